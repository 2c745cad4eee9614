//! Random programs of operations over the simulated backend, with cancels, deadlines and drops at any point: the
//! bytes are all that program and adversary decide. See [`io_conformance::program`].

use io_conformance::choices::Choices;
use io_conformance::program::{self, Limits};

/// What is forgotten is never given back, so that a long run would be out of memory.
const LIMITS: Limits = Limits { forget: false, ..Limits::usual() };

/// Runs one program.
///
/// # Panics
/// If anything in it is not as the contract says.
pub fn run(data: &[u8]) {
    let _summary = program::run(&Choices::bytes(data), LIMITS);
}

/// The program, a step a line, what became of it, and what the simulator did.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    program::describe(&Choices::bytes(data), LIMITS)
}
