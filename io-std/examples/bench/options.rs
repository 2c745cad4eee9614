//! The command line.

use crate::data::MAX_DEPTH;
use crate::rows::{Backend, Form, Row, Workload};
use lexopt::{Arg, Parser, ValueExt};
use std::env;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Compares each backend with its practical limit, written by hand.

Usage: bench [--json] [--quick] [--dir DIR]

  --json     one JSON object a line instead of a table
  --quick    fewer and shorter rounds: about 15 s instead of about a minute
  --dir DIR  where to make the data file of 256 MiB (default: the directory for temporary files)

One row is one workload (nop, 4 KiB reads within 256 KiB or 256 MiB of page cache) on one backend in
one form at one depth. Figures are medians over rounds in which all contenders take turns.
ratio: CPU time against the limit: uring against raw-ring, epoll and pool against pread; for the limits
themselves, a second run of the same loop against the first, which is the noise.
syscalls/op: from the backend's own counters.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Compare {
        json: bool,
        quick: bool,
        directory: PathBuf,
    },
    /// Runs this many operations of one row and measures nothing: something to run under a profiler
    /// or tracer.
    Count {
        row: Row,
        ops: u64,
        directory: PathBuf,
    },
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    let (mut json, mut quick, mut count) = (false, false, None);
    let mut directory = env::temp_dir();
    let mut row =
        Row { workload: Workload::Nop, backend: Backend::Uring, form: Form::Future, depth: 32 };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("json") => json = true,
            Arg::Long("quick") => quick = true,
            Arg::Long("dir") => directory = parser.value()?.into(),
            Arg::Long("count") => count = Some(parser.value()?.parse()?),
            Arg::Long("workload") => row.workload = parser.value()?.parse()?,
            Arg::Long("backend") => row.backend = parser.value()?.parse()?,
            Arg::Long("form") => row.form = parser.value()?.parse()?,
            Arg::Long("depth") => row.depth = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    if !(1..=MAX_DEPTH).contains(&row.depth) {
        return Err(format!("--depth is 1 to {MAX_DEPTH}").into());
    }
    Ok(match count {
        Some(ops) => Command::Count { row, ops, directory },
        None => Command::Compare { json, quick, directory },
    })
}
