//! What is left at the end: the trace, the picture and the summary, written through the library.

use crate::args::{Options, Words};
use crate::chrome::Chrome;
use crate::program::Refusal;
use crate::sink::Sink;
use crate::stats::Stats;
use crate::story::Story;
use crate::summary::{self, Run, Totals};
use crate::svg::Picture;
use io_std::Io;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// That the files can be made, before anything runs. They are made at the end, so that the program does not
/// see them.
pub(crate) fn check(options: &Options) -> Result<(), Refusal> {
    let summary = match &options.summary {
        Words::File(file) => Some(file.as_path()),
        Words::Stderr | Words::Stdout => None,
    };
    let files = [Some(options.out.as_path()), options.svg.as_deref(), summary];
    files.into_iter().flatten().try_for_each(|file| {
        writable(file).map_err(|error| Refusal::new(format!("{}: {error}", file.display())))
    })
}

/// That there is a file to be written to, or a folder for a new one.
fn writable(file: &Path) -> io::Result<()> {
    let may = |path: &Path| accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS);
    match file.metadata() {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(may(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            if file.file_name().is_none() || !folder.metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(may(folder)?)
        }
        Err(error) => Err(error),
    }
}

/// Writes them all; what went wrong, each as a line.
pub(crate) fn write(io: &Io, options: &Options, run: &Run, story: &mut Story) -> Vec<String> {
    let mut troubles = core::mem::take(&mut story.errors);
    let mut stats = Stats::default();
    let mut told = |path: &Path, result: io::Result<()>| {
        if let Err(error) = result {
            troubles.push(format!("{}: {error}", path.display()));
        }
    };
    let chrome = Sink::create(io, &options.out).and_then(|sink| Chrome::begin(sink, story));
    let mut chrome = chrome.map_err(|error| told(&options.out, Err(error))).ok();
    let mut picture = options.svg.as_ref().map(|_| Picture::of(story));
    story.each(io, |call, names| {
        stats.add(call, names);
        if let Some(chrome) = &mut chrome {
            // A sink takes everything, and tells at its end what it could not do.
            let _ = chrome.add(call, names);
        }
        if let Some(picture) = &mut picture {
            picture.add(call, names);
        }
    });
    if let Some(chrome) = chrome {
        told(&options.out, chrome.finish());
    }
    if let (Some(picture), Some(svg)) = (picture, &options.svg) {
        let written = Sink::create(io, svg).and_then(|mut sink| {
            picture.write(&mut sink, &run.command)?;
            sink.finish()
        });
        told(svg, written);
    }
    let summary = summarise(io, options, run, story, &mut stats);
    if let Err(error) = summary {
        troubles.push(format!("the summary: {error}"));
    }
    troubles
}

fn summarise(
    io: &Io,
    options: &Options,
    run: &Run,
    story: &Story,
    stats: &mut Stats,
) -> io::Result<()> {
    let mut sink = match &options.summary {
        Words::File(file) => Sink::create(io, file)?,
        Words::Stdout => Sink::from_fd(io, io::stdout().as_fd().try_clone_to_owned()?),
        Words::Stderr => Sink::from_fd(io, io::stderr().as_fd().try_clone_to_owned()?),
    };
    let totals = Totals::of(story);
    if options.json {
        summary::write_json(&mut sink, run, &totals, stats, &story.names)?;
    } else {
        summary::write_text(&mut sink, run, &totals, stats, &story.names)?;
    }
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::writable;
    use std::fs;

    #[test]
    fn what_could_not_be_written_is_known_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| writable(&dir.path().join(name));
        at("new").expect("writable");
        fs::write(dir.path().join("old"), "x").expect("written");
        at("old").expect("writable");
        for name in ["", "no/new", "old/new", "..", "old/"] {
            assert!(at(name).is_err(), "{name:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing was made");
    }
}
