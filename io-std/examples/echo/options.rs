//! The command line.

use core::time::Duration;
use lexopt::{Arg, Parser, ValueExt};

/// One line, for errors.
pub(crate) const USAGE: &str = "usage: echo [--backend uring|epoll|pool|all] [--connections N] [--bytes N] \
                                [--seconds S] [--json]; --help says more";

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A TCP echo server on each backend, next to the same server written by hand, and the client that loads them.

usage: echo [OPTIONS]

  --backend B      uring, epoll, pool, or all (the default); both hand-written loops run in any case
  --connections N  connections of each server, 1 to 4096 (64)
  --bytes N        size of a message, 1 to 65536 (64)
  --seconds S      how long to measure each server, up to 3600 (2)
  --json           one JSON object a line instead of a table
  --help           this text

Each server is one thread that owns its backend; each of its connections receives, sends back what came,
and receives again. One client thread sends a message on every connection, takes all the echoes, checks
them, and begins again. All servers keep their connections for the whole run and take turns in short rounds; figures
are medians over the rounds.

ns/rt        time of one round trip as the client sees it, all connections together
cpu ns/rt    CPU time of the server alone: of the process, less that of the client thread
ratio        CPU time against the hand-written loop: raw-ring for uring, raw-epoll for the others
allocs/rt    heap allocations
syscalls/rt  system calls of the server, from the backends' own counters

raw-ring: one io_uring_enter submits and waits. raw-epoll: edge-triggered, one epoll_ctl a connection; a
short read means that there is no more.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Compare(Options),
}

/// Which of the library's backends to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    All,
    Uring,
    Epoll,
    Pool,
}

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) choice: Choice,
    pub(crate) connections: usize,
    /// Of one message.
    pub(crate) bytes: usize,
    /// Of each server.
    pub(crate) time: Duration,
    pub(crate) json: bool,
    /// Only the server of this name, and compared with nothing: something to run under a profiler.
    pub(crate) only: Option<String>,
}

impl Options {
    /// The room for one receive, in bytes: more than a message, so that a short read says something.
    pub(crate) fn room(&self) -> usize {
        (self.bytes * 2).max(4096)
    }
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut options = Options {
        choice: Choice::All,
        connections: 64,
        bytes: 64,
        time: Duration::from_secs(2),
        json: false,
        only: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("json") => options.json = true,
            Arg::Long("backend") => options.choice = choice(&parser.value()?.string()?)?,
            Arg::Long("only") => options.only = Some(parser.value()?.string()?),
            Arg::Long("connections") => options.connections = parser.value()?.parse()?,
            Arg::Long("bytes") => options.bytes = parser.value()?.parse()?,
            Arg::Long("seconds") => options.time = seconds(parser.value()?.parse()?)?,
            other => return Err(other.unexpected()),
        }
    }
    if !(1..=4096).contains(&options.connections) {
        return Err("--connections is 1 to 4096".into());
    }
    if !(1..=65536).contains(&options.bytes) {
        return Err("--bytes is 1 to 65536".into());
    }
    Ok(Command::Compare(options))
}

fn choice(name: &str) -> Result<Choice, lexopt::Error> {
    match name.to_ascii_lowercase().as_str() {
        "all" => Ok(Choice::All),
        "uring" => Ok(Choice::Uring),
        "epoll" => Ok(Choice::Epoll),
        "pool" => Ok(Choice::Pool),
        _ => Err(format!("--backend takes uring, epoll, pool or all, not {name:?}").into()),
    }
}

fn seconds(value: f64) -> Result<Duration, lexopt::Error> {
    match Duration::try_from_secs_f64(value) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(3600) => Ok(time),
        _ => Err("--seconds is more than 0 and at most 3600".into()),
    }
}
