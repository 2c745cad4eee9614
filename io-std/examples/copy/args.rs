//! The command line.

use io_std::Backend;
use lexopt::Arg::{self, Long, Short, Value};
use lexopt::ValueExt;
use std::path::PathBuf;

/// One line, for errors.
pub(crate) const USAGE: &str = "usage: copy [--backend auto|uring|epoll|pool] [--jobs N] [--workers N] \
                                [--force] [--json] SRC DST";

/// All of it.
pub(crate) const HELP: &str = "\
Copies SRC, a file or a whole tree, to the new name DST.

usage: copy [OPTIONS] SRC DST

  --backend B   auto (the default), uring, epoll or pool; a backend that cannot work here is an error
  --jobs N      files in flight, 1 to 4096 (32)
  --workers N   worker threads of the backend, up to 256 (0, the default: this thread does all the work,
                which is fastest for what is in memory; some help the pool where reads wait for a slow
                disk)
  --force       replace files and symbolic links at DST (links are not followed) and merge into
                directories there; anything else there is an error
  --json        the last line on stdout is one JSON object; with \"error\" in it if nothing was copied
  --help        this text

DST is the new name itself, never a directory to copy into. Kept are contents, holes of sparse files,
permissions, times, symbolic links and FIFOs, and owners where that is permitted. Hard links become
files of their own. Extended attributes are not copied. Sockets and devices are errors.
A failed file is reported and the others go on; the exit code is then 1, and 2 for a wrong command line.";

/// What to do.
pub(crate) enum Command {
    Help,
    Copy(Options),
}

/// What to copy, and how.
pub(crate) struct Options {
    pub(crate) backend: Backend,
    pub(crate) jobs: usize,
    pub(crate) workers: usize,
    pub(crate) force: bool,
    pub(crate) json: bool,
    pub(crate) src: PathBuf,
    pub(crate) dst: PathBuf,
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut backend, mut jobs, mut workers) = (Backend::Auto, 32, 0);
    let (mut force, mut json) = (false, false);
    let mut paths = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("backend") => backend = parser.value()?.parse()?,
            Long("jobs") => jobs = parser.value()?.parse()?,
            Long("workers") => workers = parser.value()?.parse()?,
            Long("force") => force = true,
            Long("json") => json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            Value(path) => paths.push(PathBuf::from(path)),
            Arg::Long(_) | Arg::Short(_) => return Err(argument.unexpected()),
        }
    }
    if !(1..=4096).contains(&jobs) {
        return Err("--jobs takes a number from 1 to 4096".into());
    }
    if workers > 256 {
        return Err("--workers takes a number from 0 to 256".into());
    }
    let [src, dst] = <[PathBuf; 2]>::try_from(paths)
        .map_err(|paths| format!("two paths are needed, not {}", paths.len()))?;
    Ok(Command::Copy(Options { backend, jobs, workers, force, json, src, dst }))
}
