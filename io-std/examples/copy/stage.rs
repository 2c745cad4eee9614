//! Where the copy grows: under a hidden name that is renamed at the end, or, with `--force` onto
//! something that exists, in place file by file.

use crate::args::Options;
use crate::totals::Totals;
use core::fmt;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest name the usual file systems take, in bytes.
const NAME_MAX: usize = 255;

/// What could not be done, to what, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    path: PathBuf,
    why: String,
}

impl Failure {
    pub(crate) fn new(what: &'static str, path: &Path, why: impl ToString) -> Failure {
        Failure { what, path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} '{}': {}", self.what, self.path.display(), self.why)
    }
}

/// A [`Failure`] at this path, for `map_err`.
pub(crate) fn at(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(what, path, error)
}

/// Looks at both names before anything is changed; returns what the source is.
pub(crate) fn examine(options: &Options) -> Result<Metadata, Failure> {
    let (src, dst) = (&options.src, &options.dst);
    let top = fs::symlink_metadata(src).map_err(at("read", src))?;
    match fs::symlink_metadata(dst) {
        Ok(there) if there.dev() == top.dev() && there.ino() == top.ino() => {
            return Err(Failure::new("copy", src, "it is the same as the destination"));
        }
        Ok(_) if !options.force => {
            return Err(Failure::new("create", dst, "it exists; --force replaces it"));
        }
        Ok(there) if there.is_dir() != top.is_dir() => {
            let why = if there.is_dir() { "it is a directory" } else { "it is no directory" };
            return Err(Failure::new("replace", dst, why));
        }
        Ok(_) => replaceable(dst).map_err(at("replace", dst))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::new("create", dst, error)),
    }
    let parent = fs::canonicalize(parent(dst)).map_err(at("create", dst))?;
    if top.is_dir() {
        let inside = fs::canonicalize(src).map_err(at("read", src))?;
        if parent.starts_with(&inside) {
            return Err(Failure::new("create", dst, "it would be inside the source"));
        }
    }
    if dst.file_name().is_none() {
        return Err(Failure::new("create", dst, "that is no name for something new"));
    }
    Ok(top)
}

/// Whether `--force` may replace what is at `dst`: nothing, a file or a symbolic link, which is not
/// followed. Devices, FIFOs and sockets are left alone. Directories are merged into, elsewhere.
pub(crate) fn replaceable(dst: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dst) {
        Ok(there) if there.is_file() || there.is_symlink() || there.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::other("it is no file, directory or symbolic link")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `.name.XXXX.part` beside `path`, cut so that it is a legal name; `salt` makes another one.
pub(crate) fn part_name(path: &Path, salt: u32) -> PathBuf {
    let name = path.file_name().unwrap_or(OsStr::new("copy")).as_bytes();
    let tail = format!(".{salt:04x}.part");
    let kept = name.len().min(NAME_MAX - 1 - tail.len());
    let part = [b".", &name[..kept], tail.as_bytes()].concat();
    path.with_file_name(OsString::from_vec(part))
}

/// Where the top of the copy is made.
pub(crate) struct Stage {
    /// The name during the copy.
    pub(crate) now: PathBuf,
    /// The final name, if it is another one.
    then: Option<PathBuf>,
    force: bool,
}

impl Stage {
    /// Picks a free hidden name beside `DST`, or `DST` itself where it exists.
    pub(crate) fn new(options: &Options) -> Result<Stage, Failure> {
        let (dst, force) = (&options.dst, options.force);
        if force && fs::symlink_metadata(dst).is_ok() {
            return Ok(Stage { now: dst.clone(), then: None, force });
        }
        let pid = std::process::id();
        // A left-over of a killed process with our number: take the next one.
        let free = (0..100)
            .map(|offset| part_name(dst, pid.wrapping_add(offset)))
            .find(|part| fs::symlink_metadata(part).is_err());
        let now =
            free.ok_or_else(|| Failure::new("create", dst, "too many .part files are beside it"))?;
        Ok(Stage { now, then: Some(dst.clone()), force })
    }

    /// Whether nobody sees the copy before it is complete.
    pub(crate) fn is_hidden(&self) -> bool {
        self.then.is_some()
    }

    /// The failure with the path the user knows, not the hidden one.
    pub(crate) fn shown(&self, mut failure: Failure) -> Failure {
        if let Some(dst) = &self.then
            && let Ok(inside) = failure.path.strip_prefix(&self.now)
        {
            let whole = inside.as_os_str().is_empty();
            failure.path = if whole { dst.clone() } else { dst.join(inside) };
        }
        failure
    }

    /// Gives the copy its final name.
    pub(crate) fn publish(&self, totals: &Totals) -> Result<(), Failure> {
        let Some(dst) = &self.then else { return Ok(()) };
        if totals.failures() > 0 && fs::symlink_metadata(&self.now).is_err() {
            // The top itself failed, which was reported; there is nothing to rename.
            return Ok(());
        }
        rename(&self.now, dst, self.force).map_err(|error| {
            let why = format!("{error}; the copy is at {}", self.now.display());
            Failure::new("create", dst, why)
        })
    }
}

/// Renames; without `replace`, never onto something.
fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // This file system cannot do it in one step.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        done => Ok(done?),
    }
}
