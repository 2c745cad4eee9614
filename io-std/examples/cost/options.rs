//! The command line.

use lexopt::{Arg, Parser, ValueExt};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One line, for errors.
pub(crate) const USAGE: &str = "usage: cost [--rounds N] [--strace N] [--backend uring|epoll|pool] [--tree DIR] \
                                [--files N] [NAME…]; --help says more";

/// What `--help` prints.
pub(crate) const HELP: &str = "\
What tracing costs the program: real programs alone, under the tracer, and under strace -f, in turns.

usage: cost [OPTIONS] [NAME…]

  --rounds N   how often each is run (11)
  --strace N   in how many of these rounds also under strace (3)
  --backend B  what writes the events: uring, epoll (the default) or pool
  --tree DIR   files to work on, which are copied (the sources that cargo has fetched)
  --files N    how many of them at most (8000)
  NAME         only the programs with this in their names; pread is a loop of reads of one byte

Time is that of the program and all it starts, not of the launcher, which reads and tells the events when the
program is over. It wants a machine that does nothing else.";

/// What to do.
pub(crate) enum Command {
    Help,
    Measure(Options),
}

/// How.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) strace: usize,
    pub(crate) backend: String,
    pub(crate) tree: PathBuf,
    pub(crate) files: usize,
    pub(crate) names: Vec<String>,
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let mut options = Options {
        rounds: 11,
        strace: 3,
        backend: "epoll".to_owned(),
        tree: home.unwrap_or_default().join("registry/src"),
        files: 8000,
        names: Vec::new(),
    };
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("rounds") => options.rounds = count(parser.value()?)?.max(1),
            Arg::Long("strace") => options.strace = count(parser.value()?)?,
            Arg::Long("files") => options.files = count(parser.value()?)?.max(1),
            Arg::Long("tree") => options.tree = parser.value()?.into(),
            Arg::Long("backend") => {
                let backend = parser.value()?.string()?;
                if !["uring", "epoll", "pool"].contains(&backend.as_str()) {
                    return Err(format!("no backend {backend:?}").into());
                }
                options.backend = backend;
            }
            Arg::Value(name) => options.names.push(name.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Measure(options))
}

fn count(value: OsString) -> Result<usize, lexopt::Error> {
    value.parse()
}
