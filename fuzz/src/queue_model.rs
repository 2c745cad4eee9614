//! Both queues, held against plain lists, with calls that come between the accesses of others:
//! [`io_conformance::queues`].

use core::panic::AssertUnwindSafe;
use io_conformance::queues::{Log, live};
use std::panic::catch_unwind;
use std::rc::Rc;

/// Runs one input.
///
/// # Panics
/// If a queue and its plain list differ.
pub fn run(data: &[u8]) {
    if let Err(mismatch) = live(data, None) {
        panic!("{mismatch}");
    }
}

/// The input as a readable list of events.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let log = Log::default();
    // What panics is reported by the run; the list ends there.
    let _ = catch_unwind(AssertUnwindSafe(|| live(data, Some(Rc::clone(&log)))));
    log.borrow().join("\n")
}
