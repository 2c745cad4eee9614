//! The command line.

use core::time::Duration;
use io_std::Backend;
use lexopt::{Arg, Parser, ValueExt};

/// One line, for errors.
pub(crate) const USAGE: &str = "usage: soak [--backend uring|epoll|pool|all] [--seconds N] [--seed S] [--json]; --help says more";

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Random load with random faults on each backend, and what must hold all the while.

usage: soak [OPTIONS]

  --backend B  uring, epoll, pool, or all, one after the other (the default)
  --seconds N  how long, each (60)
  --seed S     where all choices come from (from the clock)
  --json       one JSON object a line instead of text
  --help       this text

The time is made of epochs. Each builds the backend anew, with a driver thread or without, few workers or many, a
ring of 1 to 256 entries; one to three threads run some hundred sessions on it, many at a time: files against a
copy in memory, pipes, socket pairs with short buffers, TCP connections, timers, accepts that nobody waits for, reads
that are cancelled, dropped or closed under way, forks. Meanwhile signals come without SA_RESTART, descriptors run out,
peers reset, everything is cancelled, and the backend is stopped and started.

Checked: each byte of a stream or file is the one that belongs there, also around cancels and deadlines; no error comes
that nobody caused; no timer is early; after each epoch submitted = delivered, no descriptor, thread or byte of heap is
left, and the resident memory does not grow. When nothing advances for a minute (times IO_TEST_SCALE), what is in flight
is printed. Exit status 1 and the seed when something is wrong; the seed repeats the choices, not the threads' timing.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Soak(Options),
}

/// How to soak.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) backends: Vec<Backend>,
    /// Of each backend.
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) json: bool,
}

impl Options {
    /// The command that does it again.
    pub(crate) fn again(&self, backend: Backend) -> String {
        format!(
            "again with: --backend {} --seconds {} --seed {}",
            backend.name(),
            self.time.as_secs_f64(),
            self.seed
        )
    }
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut options = Options {
        backends: backends("all")?,
        time: Duration::from_secs(60),
        seed: now.as_secs() ^ u64::from(now.subsec_nanos()),
        json: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("json") => options.json = true,
            Arg::Long("backend") => options.backends = backends(&parser.value()?.string()?)?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("seconds") => options.time = seconds(parser.value()?.parse()?)?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Soak(options))
}

fn backends(name: &str) -> Result<Vec<Backend>, lexopt::Error> {
    match name.to_ascii_lowercase().as_str() {
        "all" => Ok(vec![Backend::Uring, Backend::Epoll, Backend::Pool]),
        "uring" => Ok(vec![Backend::Uring]),
        "epoll" => Ok(vec![Backend::Epoll]),
        "pool" => Ok(vec![Backend::Pool]),
        _ => Err(format!("--backend takes uring, epoll, pool or all, not {name:?}").into()),
    }
}

fn seconds(value: f64) -> Result<Duration, lexopt::Error> {
    match Duration::try_from_secs_f64(value) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(7 * 24 * 3600) => Ok(time),
        _ => Err("--seconds is more than 0 and at most a week".into()),
    }
}
