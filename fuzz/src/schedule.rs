//! Random programs of operations over the simulated backend.

/// Runs one input.
///
/// # Panics
/// If the code and its model differ.
pub fn run(data: &[u8]) {
    let _ = data;
}

/// The input as a readable list of events.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    format!("{data:?}")
}
