//! One run of one program, and its time: taken by this program, which the tracer or strace runs in between.
#![allow(unsafe_code, reason = "asks for the processor time of children")]
//! # Safety
//! The call fills a record of plain numbers.

use crate::programs::Workload;
use core::mem::MaybeUninit;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The first argument of this program where it runs another and takes its time.
pub(crate) const INNER: &str = "--inner-run";

/// What is around the program.
pub(crate) enum Way<'a> {
    Alone,
    Traced { launcher: &'a Path, backend: &'a str },
    Strace,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// In seconds: on the wall, and of all processors.
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    /// Calls that were traced.
    pub(crate) events: u64,
}

/// Runs a program once.
pub(crate) fn once(way: &Way<'_>, workload: &Workload) -> io::Result<Cost> {
    let dir = tempfile::tempdir_in(&workload.dir)?;
    (workload.prepare)(dir.path())?;
    let notes = tempfile::tempdir()?;
    let (time, summary) = (notes.path().join("time"), notes.path().join("summary"));
    let this = env::current_exe()?;
    let mut run = match way {
        Way::Alone => Command::new(&this),
        Way::Traced { launcher, backend } => {
            let mut run = Command::new(launcher);
            run.args(["--out", "/dev/null", "--json", "--backend", backend, "--summary"]);
            run.arg(&summary).arg(&this);
            run
        }
        Way::Strace => {
            let mut run = Command::new("strace");
            run.args(["-f", "-o", "/dev/null"]).arg(&this);
            run
        }
    };
    run.arg(INNER).arg(&time).args(&workload.command).current_dir(dir.path());
    let output = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {}", output.status, said.trim())));
    }
    let time = fs::read_to_string(time)?;
    let mut numbers = time.split_whitespace().filter_map(|number| number.parse().ok());
    let (Some(wall), Some(cpu)) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other("no time was taken"));
    };
    let summary = fs::read(summary).unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap_or_default();
    if summary["events_lost"].as_u64().is_some_and(|lost| lost > 0) {
        return Err(io::Error::other("events were lost"));
    }
    Ok(Cost { wall, cpu, events: summary["events"].as_u64().unwrap_or(0) })
}

/// What `once` runs: the program in the arguments, whose time goes to the file that is named first.
pub(crate) fn inner(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let (Some(time), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("a file and a program"));
    };
    let (before, begin) = (children(), Instant::now());
    let status = Command::new(program).args(arguments).status()?;
    let wall = begin.elapsed().as_secs_f64();
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    fs::write(time, format!("{wall} {}", children() - before))
}

/// The processor time of all children that were waited for, in seconds.
fn children() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: only writes to `usage`.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: zero is valid for it, and the call has filled it.
    let usage = unsafe { usage.assume_init() };
    #[allow(clippy::cast_precision_loss, reason = "less than a month")]
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
