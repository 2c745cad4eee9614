//! The life of one operation, held against its executable model: [`io_conformance::model`] is all there is
//! to it.

use core::panic::AssertUnwindSafe;
use io_conformance::model::{bytes, harness::Log};
use std::panic::catch_unwind;

/// Runs one input.
///
/// # Panics
/// If the code and its model differ.
pub fn run(data: &[u8]) {
    if let Some(mismatch) = bytes::live(data, None).mismatch {
        panic!("{mismatch}");
    }
}

/// The input as a readable list of events.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let log = Log::default();
    // What panics is reported by the run; the list ends there.
    let _ = catch_unwind(AssertUnwindSafe(|| bytes::live(data, Some(&log))));
    log.borrow().join("\n")
}
