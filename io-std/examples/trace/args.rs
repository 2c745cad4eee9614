//! The command line.

use io_std::Backend;
use lexopt::Arg::{self, Long, Short, Value};
use lexopt::ValueExt;
use std::ffi::OsString;
use std::path::PathBuf;

/// One line, for errors.
pub(crate) const USAGE: &str = "usage: trace [--out FILE] [--summary FILE|-] [--json] [--svg FILE] \
                                [--backend auto|uring|epoll|pool] [--full wait|drop] [--spool DIR] \
                                COMMAND [ARGS…]";

/// All of it.
pub(crate) const HELP: &str = "\
Runs COMMAND and records its I/O calls, and those of the processes it starts, while they run.

usage: trace [OPTIONS] COMMAND [ARGS…]

  --out FILE      the trace, for chrome://tracing or https://ui.perfetto.dev (trace.json)
  --summary FILE  the summary; - is the standard output (the standard error)
  --json          the summary is one JSON object
  --svg FILE      a picture of the timeline
  --backend B     what writes the events: auto (the default: epoll), uring, epoll or pool; one that cannot
                  work here is an error. With uring the kernel's workers are threads of COMMAND: it sees
                  them in /proc/self/task, and cannot do what takes a single thread (a user namespace)
  --full F        when the events come faster than they can be written: wait (the default), or drop and
                  count them
  --spool DIR     where the events are until COMMAND is over (TMPDIR, or /tmp)
  --help          this text

COMMAND must be dynamically linked, and neither setuid nor setgid nor with file capabilities; what such
programs do that COMMAND starts is not seen, and counted. Standard input, output and error are COMMAND's;
what trace itself has to say goes to the standard error. The exit code is COMMAND's, and trace dies of the
signal that COMMAND died of; 125: it was not run, 126: it cannot be executed, 127: there is no such program.
While COMMAND runs, SIGINT and SIGQUIT are its alone, as with a shell: from the keyboard it gets them, and with kill
they go to it, not to trace. Traced processes that COMMAND leaves behind are waited for; an interrupt ends that.
IO_TRACE_OBJECT names the object to preload instead of the one that is built and kept beside this program.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Trace(Options),
}

/// Where the summary goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Stderr,
    Stdout,
    File(PathBuf),
}

/// What the object does when its buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Wait,
    Drop,
}

impl Full {
    /// As the object reads it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Full::Wait => "wait",
            Full::Drop => "drop",
        }
    }
}

/// What to run, and what to leave.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) backend: Backend,
    pub(crate) full: Full,
    pub(crate) out: PathBuf,
    pub(crate) summary: Words,
    pub(crate) json: bool,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) command: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// Reads the arguments behind the program's name. The first that is no option is the command, and what is
/// behind it is the command's.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut backend, mut full, mut json) = (Backend::Auto, Full::Wait, false);
    let (mut out, mut summary) = (PathBuf::from("trace.json"), Words::Stderr);
    let (mut svg, mut spool) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("backend") => backend = parser.value()?.parse()?,
            Long("full") => full = full_of(&parser.value()?)?,
            Long("out") => out = parser.value()?.into(),
            Long("summary") => {
                let value = parser.value()?;
                summary = if value == "-" { Words::Stdout } else { Words::File(value.into()) };
            }
            Long("json") => json = true,
            Long("svg") => svg = Some(parser.value()?.into()),
            Long("spool") => spool = Some(parser.value()?.into()),
            Long("help") | Short('h') => return Ok(Command::Help),
            Value(command) => {
                let arguments = parser.raw_args()?.collect();
                return Ok(Command::Trace(Options {
                    backend,
                    full,
                    out,
                    summary,
                    json,
                    svg,
                    spool,
                    command,
                    arguments,
                }));
            }
            Arg::Long(_) | Arg::Short(_) => return Err(argument.unexpected()),
        }
    }
    Err("a command is needed".into())
}

fn full_of(value: &std::ffi::OsStr) -> Result<Full, lexopt::Error> {
    match value.to_str() {
        Some("wait") => Ok(Full::Wait),
        Some("drop") => Ok(Full::Drop),
        _ => Err("--full takes wait or drop".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Full, Options, Words, parse};
    use io_std::Backend;
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    fn options(line: &str) -> Options {
        match parse(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Trace(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_behind_the_command_is_the_commands() {
        let options = options("--json --out x.json ls --json -l -- --help");
        assert_eq!(options.command, "ls");
        assert_eq!(options.arguments, ["--json", "-l", "--", "--help"]);
        assert!(options.json);
        assert_eq!(options.out, Path::new("x.json"));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let options = options("-- --odd");
        assert_eq!((options.command.to_str(), options.arguments.len()), (Some("--odd"), 0));
        assert_eq!((options.backend, options.full), (Backend::Auto, Full::Wait));
        assert_eq!((options.out.to_str(), options.summary), (Some("trace.json"), Words::Stderr));
        assert_eq!((options.json, options.svg, options.spool), (false, None, None));
    }

    #[test]
    fn every_option_is_read() {
        let options = options(
            "--backend pool --full drop --summary - --svg a.svg --spool /x --out=b.json true",
        );
        assert_eq!((options.backend, options.full), (Backend::Pool, Full::Drop));
        assert_eq!(options.summary, Words::Stdout);
        assert_eq!(options.svg, Some(PathBuf::from("a.svg")));
        assert_eq!(options.spool, Some(PathBuf::from("/x")));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for line in ["", "--json", "--backend aio ls", "--full never ls", "--out", "-x ls"] {
            let parsed = parse(line.split_whitespace().map(OsString::from));
            assert!(parsed.is_err(), "{line}: {parsed:?}");
        }
        assert!(matches!(parse([OsString::from("--help")]), Ok(Command::Help)));
    }
}
