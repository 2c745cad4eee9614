//! Runs a program and records its I/O calls, and those of the processes it starts, while they run.
//!
//! ```text
//! cargo run --release --example trace -- [OPTIONS] COMMAND [ARGS…]
//! ```
//!
//! A shared object, preloaded into every process, records the calls and writes them out through this
//! library's backends, inside the traced program. This is the other side: it builds the object, starts the
//! program as if it were not there, waits, reads what each process left – a file of events, and a mapping with
//! what was not written any more – and tells it: a summary, a trace for Perfetto, and a picture. What it
//! writes goes through the library as well.

mod args;
mod calls;
mod child;
mod chrome;
mod clock;
mod collect;
#[path = "../../tracer/src/counter.rs"]
#[allow(unreachable_pub, reason = "the object's own file")]
mod counter;
mod durations;
mod elf;
#[allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "the object's own file, of which the launcher needs the layout"
)]
#[path = "../../tracer/src/format.rs"]
mod format;
mod life;
mod names;
mod object;
mod outputs;
mod program;
#[cfg(test)]
mod samples;
mod session;
mod sink;
mod slots;
mod stats;
mod story;
mod summary;
mod svg;
mod wait;

use args::{Command, Options};
use clock::Moment;
use collect::Collector;
use io_std::{Backend, Io};
use program::Refusal;
use session::Session;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use story::Story;
use summary::Run;
use wait::Ended;

fn main() -> ExitCode {
    match args::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => {
            // Nobody reading it is no failure.
            let _ = writeln!(io::stdout(), "{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Trace(options)) => match run(&options) {
            Ok(Ended::Code(code)) => std::process::exit(code),
            Ok(Ended::Signal(signal)) => child::die_of(signal),
            Err(refusal) => {
                eprintln!("trace: {}", refusal.why);
                ExitCode::from(refusal.code)
            }
        },
        Err(error) => {
            eprintln!("trace: {error}\n{}", args::USAGE);
            ExitCode::from(program::REFUSED)
        }
    }
}

/// Runs the command and tells what it did; an error is that it was not run.
fn run(options: &Options) -> Result<Ended, Refusal> {
    let program = program::find(&options.command, env::var_os("PATH").as_deref())?;
    program::check(&program)?;
    outputs::check(options)?;
    // One thread does everything, so it may as well own the ring.
    let io = Io::builder().backend(options.backend).driver(false).workers(0).build();
    let io = io.map_err(|error| Refusal::new(error.to_string()))?;
    let (backend, why) = inside(options.backend, &io);
    let object = object::find(backend).map_err(Refusal::new)?;
    let session = Session::new(options.spool.as_deref())
        .map_err(|error| Refusal::new(format!("cannot make a folder for the events: {error}")))?;
    let mut collector = Collector::new(io.clone(), &session);
    let (begun, first) = (Instant::now(), Moment::now());
    let ended = follow(options, &program, (&object, backend), &session, &mut collector)?;
    let wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    match wait::for_descendants(session.dir(), || collector.turn()) {
        Ok(0) => {}
        Ok(left) => {
            eprintln!("trace: {left} traced processes still run; what they do now is not seen")
        }
        Err(error) => eprintln!("trace: cannot wait for what it left behind: {error}"),
    }
    child::mortal();
    let (lives, troubles) = collector.finish();
    let run = Run {
        command: command_line(options),
        ended,
        wall_ns,
        why,
        out: options.out.display().to_string(),
        svg: options.svg.as_ref().map(|svg| svg.display().to_string()),
    };
    let mut story = Story::read(&io, lives, first, Moment::now());
    if story.lives.is_empty() {
        eprintln!("trace: the program left nothing: the tracer was not loaded, or could not begin");
    }
    let told = outputs::write(&io, options, &run, &mut story);
    for trouble in troubles.into_iter().chain(told) {
        eprintln!("trace: {trouble}");
    }
    if let Err(error) = session.close() {
        eprintln!("trace: cannot remove the folders of the session: {error}");
    }
    Ok(ended)
}

/// What writes inside the program, and why. Where it is ours to choose, not the ring: its workers, which the kernel makes
/// for files that it cannot write to at once, are threads of the program, and the kernel refuses such a program things that
/// are for one thread only, as `unshare(CLONE_NEWUSER)`.
fn inside(asked: Backend, io: &Io) -> (Backend, String) {
    let chosen = io.chosen();
    if asked == Backend::Auto && env::var_os("IO_BACKEND").is_none_or(|forced| forced.is_empty()) {
        return (Backend::Epoll, "the program sees least of it".to_owned());
    }
    (chosen.backend, chosen.why.clone())
}

/// Starts the command and waits for it.
fn follow(
    options: &Options,
    program: &Path,
    (object, backend): (&Path, Backend),
    session: &Session,
    collector: &mut Collector,
) -> Result<Ended, Refusal> {
    let preloaded = env::var_os("LD_PRELOAD");
    let environment = session
        .environment(object, backend, options.full, preloaded.as_deref())
        .map_err(|error| Refusal::new(format!("cannot name the object: {error}")))?;
    wait::adopt().map_err(|error| Refusal::new(format!("cannot adopt processes: {error}")))?;
    let (name, arguments) = (&options.command, &options.arguments);
    let pid = child::spawn(program, name, arguments, environment).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        Refusal { code, why: format!("{}: {error}", program.display()) }
    })?;
    wait::for_command(pid, || collector.turn())
        .map_err(|error| Refusal::new(format!("cannot wait for the command: {error}")))
}

/// The command as one would type it, for people.
fn command_line(options: &Options) -> String {
    let words = core::iter::once(&options.command).chain(&options.arguments);
    let words: Vec<_> = words.map(|word| PathBuf::from(word).display().to_string()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
