//! The walk through the source tree: one entry at a time, so that memory does not grow with the tree.
//! Directories, links and FIFOs are made on the way; regular files are handed out as jobs.

use crate::args::Options;
use crate::meta::{Kept, Owner, copy_fifo, copy_symlink};
use crate::stage::{Failure, Stage, part_name, replaceable};
use crate::totals::Totals;
use rustix::fs::{CWD, Mode, mkdirat};
use std::fs::{self, FileType, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A directory of the copy. It gets its mode and times when the last thing in it is done.
pub(crate) struct Dir {
    src: PathBuf,
    dst: PathBuf,
    kept: Kept,
    totals: Rc<Totals>,
    /// Changed last, so dropped after this one was finished.
    _parent: Option<Rc<Dir>>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        match self.kept.apply_to_dir(&self.dst, &Owner::of_process()) {
            Ok(()) => self.totals.dir(),
            Err(error) => {
                self.totals.fail(Failure::new("set mode and times of", &self.dst, error));
            }
        }
    }
}

/// A regular file to copy.
pub(crate) struct Job {
    pub(crate) src: PathBuf,
    pub(crate) dst: PathBuf,
    pub(crate) dir: Option<Rc<Dir>>,
}

/// The walk.
pub(crate) struct Walk {
    levels: Vec<(ReadDir, Rc<Dir>)>,
    first: Option<Job>,
    /// Merge into directories that exist, replace what is there.
    replace: bool,
    owner: Owner,
    totals: Rc<Totals>,
}

impl Walk {
    pub(crate) fn new(
        options: &Options,
        stage: &Stage,
        top: &Metadata,
        totals: Rc<Totals>,
    ) -> Walk {
        let mut walk = Walk {
            levels: Vec::new(),
            first: None,
            replace: !stage.is_hidden(),
            owner: Owner::of_process(),
            totals,
        };
        let (src, dst) = (options.src.clone(), stage.now.clone());
        walk.first = walk.visit(top.file_type(), Job { src, dst, dir: None });
        walk
    }

    /// The next regular file; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Job> {
        if let Some(job) = self.first.take() {
            return Some(job);
        }
        loop {
            let (entries, dir) = self.levels.last_mut()?;
            let Some(entry) = entries.next() else {
                self.levels.pop();
                continue;
            };
            let dir = dir.clone();
            let found = entry.and_then(|entry| Ok((entry.file_type()?, entry.file_name())));
            match found {
                Ok((kind, name)) => {
                    let (src, dst) = (dir.src.join(&name), dir.dst.join(&name));
                    if let Some(job) = self.visit(kind, Job { src, dst, dir: Some(dir) }) {
                        return Some(job);
                    }
                }
                Err(error) => {
                    self.totals.fail(Failure::new("read", &dir.src, error));
                    self.levels.pop();
                }
            }
        }
    }

    /// Makes what is no regular file; gives the job back if it is one.
    fn visit(&mut self, kind: FileType, job: Job) -> Option<Job> {
        if kind.is_file() {
            return Some(job);
        }
        let (src, dst) = (job.src.clone(), job.dst.clone());
        let made = if kind.is_dir() {
            return self.enter(job);
        } else if kind.is_symlink() {
            self.make(&dst, |at, owner| copy_symlink(&src, at, owner)).inspect(|()| {
                self.totals.symlink();
            })
        } else if kind.is_fifo() {
            self.make(&dst, |at, owner| copy_fifo(&src, at, owner))
        } else {
            self.totals.fail(Failure::new("copy", &src, special(kind)));
            return None;
        };
        if let Err(error) = made {
            self.totals.fail(Failure::new("copy", &src, error));
        }
        None
    }

    /// Makes a node; onto something that exists, by way of a hidden name.
    fn make(&self, dst: &Path, make: impl Fn(&Path, &Owner) -> io::Result<()>) -> io::Result<()> {
        if !self.replace {
            return make(dst, &self.owner);
        }
        replaceable(dst)?;
        let part = part_name(dst, std::process::id());
        let made = make(&part, &self.owner).and_then(|()| fs::rename(&part, dst));
        if made.is_err() {
            // It may not be there; what went wrong is reported.
            let _ = fs::remove_file(&part);
        }
        made
    }

    fn enter(&mut self, job: Job) -> Option<Job> {
        let Job { src, dst, dir: parent } = job;
        let opened = fs::symlink_metadata(&src)
            .and_then(|metadata| Ok((Kept::from(&metadata), fs::read_dir(&src)?)));
        let (kept, entries) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.totals.fail(Failure::new("read", &src, error));
                return None;
            }
        };
        if let Err(error) = self.make_dir(&dst) {
            self.totals.fail(Failure::new("create", &dst, error));
            return None;
        }
        let totals = self.totals.clone();
        self.levels.push((entries, Rc::new(Dir { src, dst, kept, totals, _parent: parent })));
        None
    }

    /// Ours alone until it is finished.
    fn make_dir(&self, dst: &Path) -> io::Result<()> {
        match mkdirat(CWD, dst, Mode::RWXU) {
            // A link to a directory is no directory here: it is not followed.
            Err(rustix::io::Errno::EXIST)
                if self.replace && fs::symlink_metadata(dst)?.is_dir() =>
            {
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

fn special(kind: FileType) -> &'static str {
    if kind.is_socket() { "it is a socket" } else { "it is a device" }
}
