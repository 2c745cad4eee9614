//! One file: open, read and write until its end, metadata, close, and its final name.

use crate::meta::{Kept, Owner};
use crate::stage::{Failure, at, part_name, replaceable};
use crate::totals::Totals;
use crate::walk::{Job, Walk};
use core::cell::{Cell, RefCell};
use io_core::ops::{Ops, Whence};
use io_core::{Errno, OpenFlags, Stat};
use io_std::{File, Io, io_error};
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// The most bytes of one read, and so what a slot's buffer holds.
const CHUNK: usize = 256 * 1024;

/// The file type bits of a mode, and those of a regular file.
const TYPE: u16 = 0o170_000;
const REGULAR: u16 = 0o100_000;

/// What all slots share.
pub(crate) struct Copier {
    io: Io,
    walk: RefCell<Walk>,
    /// Whether the final names are hidden anyway, so that files may be made under them at once.
    hidden: bool,
    owner: Owner,
    salt: Cell<u32>,
    totals: Rc<Totals>,
}

type Outcome<T> = Result<T, Failure>;

impl Copier {
    pub(crate) fn new(io: Io, walk: Walk, hidden: bool, totals: Rc<Totals>) -> Copier {
        let salt = Cell::new(std::process::id());
        Copier { io, walk: RefCell::new(walk), hidden, owner: Owner::of_process(), salt, totals }
    }

    /// One slot: file after file, until there is none left.
    pub(crate) async fn work(&self) {
        let mut buf = Vec::new();
        loop {
            let job = self.walk.borrow_mut().next();
            let Some(job) = job else { return };
            match self.copy(&job, &mut buf).await {
                Ok(()) => self.totals.file(),
                Err(failure) => self.totals.fail(failure),
            }
            drop(job.dir);
        }
    }

    async fn copy(&self, job: &Job, buf: &mut Vec<u8>) -> Outcome<()> {
        let input = File::options()
            .read(true)
            .custom_flags(OpenFlags::NOFOLLOW)
            .open(&self.io, &job.src)
            .await
            .map_err(at("open", &job.src))?;
        let stat = input.metadata().await.map_err(at("read", &job.src))?;
        if stat.mode & TYPE != REGULAR {
            return Err(Failure::new("copy", &job.src, "it is no regular file any more"));
        }
        if self.hidden {
            return self.write(job, &input, &stat, &job.dst, buf).await;
        }
        replaceable(&job.dst).map_err(at("replace", &job.dst))?;
        let salt = self.salt.get();
        self.salt.set(salt.wrapping_add(1));
        let part = part_name(&job.dst, salt);
        self.write(job, &input, &stat, &part, buf).await?;
        fs::rename(&part, &job.dst).map_err(|error| {
            // What cannot be renamed is not wanted; the first error is the one to tell.
            let _ = fs::remove_file(&part);
            Failure::new("create", &job.dst, error)
        })
    }

    /// Makes the file under `name`; whatever goes wrong, nothing is left under it.
    async fn write(
        &self,
        job: &Job,
        input: &File,
        stat: &Stat,
        name: &Path,
        buf: &mut Vec<u8>,
    ) -> Outcome<()> {
        let create = at("create", &job.dst);
        let output = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OpenFlags::NOFOLLOW)
            .open(&self.io, name)
            .await
            .map_err(create)?;
        let done = self.fill(job, input, stat, output, buf).await;
        if done.is_err() {
            // The error that matters is on its way.
            let _ = fs::remove_file(name);
        }
        done
    }

    async fn fill(
        &self,
        job: &Job,
        input: &File,
        stat: &Stat,
        output: File,
        buf: &mut Vec<u8>,
    ) -> Outcome<()> {
        let write = at("write", &job.dst);
        if stat.size > 0 && stat.blocks * 512 < stat.size {
            self.fill_sparse(job, input, stat, &output, buf).await?;
        } else {
            // A file of /proc says 0 and has something all the same.
            let end = if stat.size == 0 { u64::MAX } else { stat.size };
            self.fill_range(job, input, &output, 0..end, buf).await?;
        }
        Kept::from(stat).apply_to_fd(&output, &self.owner).map_err(&write)?;
        output.close().await.map_err(write)
    }

    /// Copies a part; ends early where the file does.
    async fn fill_range(
        &self,
        job: &Job,
        input: &File,
        output: &File,
        range: core::ops::Range<u64>,
        buf: &mut Vec<u8>,
    ) -> Outcome<()> {
        let mut offset = range.start;
        while offset < range.end {
            let mut chunk = core::mem::take(buf);
            chunk.clear();
            chunk.reserve_exact(CHUNK);
            let (read, chunk) = input.read_at(chunk, offset).await;
            let count = match read {
                Ok(count) => count,
                Err(error) => return Err(Failure::new("read", &job.src, error)),
            };
            if count == 0 {
                *buf = chunk;
                break;
            }
            let mut chunk = chunk;
            // The file may have grown: what was measured is what is copied.
            chunk.truncate(usize::try_from(range.end - offset).unwrap_or(usize::MAX));
            let written = chunk.len() as u64;
            let (result, chunk) = output.write_all_at(chunk, offset).await;
            *buf = chunk;
            result.map_err(|partial| Failure::new("write", &job.dst, partial.error))?;
            offset += written;
            self.totals.bytes(written);
        }
        Ok(())
    }

    /// Copies the parts that have data, and leaves the holes.
    async fn fill_sparse(
        &self,
        job: &Job,
        input: &File,
        stat: &Stat,
        output: &File,
        buf: &mut Vec<u8>,
    ) -> Outcome<()> {
        let seek = |error| Failure::new("read", &job.src, io_error(error));
        let mut offset = 0;
        while offset < stat.size {
            let from = i64::try_from(offset).unwrap_or(i64::MAX);
            let data = match self.io.lseek(input.clone(), from, Whence::Data).await {
                Ok(data) => data,
                // No more data: the rest is a hole.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(seek(error)),
            };
            let from = i64::try_from(data).unwrap_or(i64::MAX);
            let hole = self.io.lseek(input.clone(), from, Whence::Hole).await.map_err(seek)?;
            self.fill_range(job, input, output, data..hole.min(stat.size), buf).await?;
            offset = hole;
        }
        output.set_len(stat.size).await.map_err(at("write", &job.dst))
    }
}
