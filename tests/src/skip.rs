//! A test that cannot run here says so, with its reason: printed, and counted as ignored.

use std::panic::resume_unwind;

/// Why a test did not run.
#[derive(Debug)]
pub struct Skip(pub String);

/// Ends the running test as skipped, for this reason.
pub fn skip(reason: impl Into<String>) -> ! {
    // Not `panic!`: the panic hook has nothing to report.
    resume_unwind(Box::new(Skip(reason.into())))
}
