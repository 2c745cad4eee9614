//! [`Cell`]: one fault on one backend, in a process of its own.
//!
//! The process is the test binary again, with the cell's name in the environment: a fresh one, because
//! filters, limits and mounts are for good, and because a count of what is left behind means something only
//! where nothing else goes on.

use crate::skip::Skip;
use crate::watchdog::Watchdog;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use libtest_mimic::{Completion, Failed};
use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Output, Stdio};

/// Says which cell a process is.
const VARIABLE: &str = "IO_FAULT_CELL";
/// The exit code of a cell that cannot be made here.
const NOT_HERE: u8 = 77;
/// Set where each cell can be made (CI): one that cannot is a failure then.
const REQUIRED: &str = "IO_FAULTS_REQUIRED";
/// What comes before the reason in its output.
const REASON: &str = "cannot be made here: ";

/// A name and what to do.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Names it among the others.
    pub name: &'static str,
    /// Makes the fault, and panics if it is not borne.
    pub body: fn(),
}

/// How many cells this process has run, and how many of them could not be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    /// Were made, and borne or not.
    pub run: usize,
    /// Could not be made on this machine.
    pub not_here: usize,
}

static RUN: AtomicUsize = AtomicUsize::new(0);
static NOT_MADE: AtomicUsize = AtomicUsize::new(0);

/// See [`Made`].
#[must_use]
pub fn made() -> Made {
    Made { run: RUN.load(Ordering::Relaxed), not_here: NOT_MADE.load(Ordering::Relaxed) }
}

/// Ends the running cell, which cannot be made on this machine, for this reason.
pub fn not_here(reason: impl Into<String>) -> ! {
    crate::skip::skip(reason)
}

/// The name of the cell that this process is to be, if it is one.
#[must_use]
pub fn chosen() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

impl Cell {
    /// Is this cell, in its own process.
    #[must_use]
    pub fn be(self) -> ExitCode {
        let _watchdog = Watchdog::arm(self.name);
        match catch_unwind(AssertUnwindSafe(self.body)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(payload) => match payload.downcast::<Skip>() {
                Ok(skip) => {
                    println!("{REASON}{}", skip.0);
                    ExitCode::from(NOT_HERE)
                }
                // The panic's message is out already.
                Err(_) => ExitCode::FAILURE,
            },
        }
    }

    /// Runs this cell in a process of its own, and waits for it. One that cannot be made here is ignored, with its
    /// reason, and counted; with `IO_FAULTS_REQUIRED=1` in the environment it is a failure.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn run(self, name: &str) -> Result<Completion, Failed> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program);
        child.env(VARIABLE, name).stdin(Stdio::null());
        judge(&child.output().map_err(|error| error.to_string())?)
    }
}

fn judge(output: &Output) -> Result<Completion, Failed> {
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(i32::from(NOT_HERE)) {
        let reason = text.lines().find_map(|line| line.strip_prefix(REASON)).unwrap_or_default();
        if std::env::var_os(REQUIRED).is_some_and(|required| required != "0") {
            return Err(Failed::from(format!("{REASON}{reason}, and {REQUIRED} is set")));
        }
        NOT_MADE.fetch_add(1, Ordering::Relaxed);
        return Ok(Completion::ignored_with(format!("{REASON}{reason}")));
    }
    RUN.fetch_add(1, Ordering::Relaxed);
    if output.status.success() {
        print!("{text}");
        return Ok(Completion::Completed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Failed::from(format!("{}\n{text}{errors}", output.status)))
}
