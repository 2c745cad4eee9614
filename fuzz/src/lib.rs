//! Fuzz targets. Each is a module with `run`, which panics if it finds something, and `describe`, which
//! says in words what an input does. Both are ordinary functions, so that the committed inputs also run
//! as a test on stable, and one input from a command line.

pub mod differential;
pub mod encode;
pub mod input;
pub mod queue_model;
pub mod schedule;
pub mod state_model;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the module, the fuzz target, and the folders of its inputs.
    pub name: &'static str,
    /// Runs one input, and panics if it finds something.
    pub run: fn(&[u8]),
    /// The input as a readable list of events.
    pub describe: fn(&[u8]) -> String,
}

/// Every target.
pub const TARGETS: [Target; 5] = [
    Target { name: "state_model", run: state_model::run, describe: state_model::describe },
    Target { name: "queue_model", run: queue_model::run, describe: queue_model::describe },
    Target { name: "encode", run: encode::run, describe: encode::describe },
    Target { name: "schedule", run: schedule::run, describe: schedule::describe },
    Target { name: "differential", run: differential::run, describe: differential::describe },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
