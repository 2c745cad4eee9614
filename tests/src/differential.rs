//! The same random program of real operations on backends and as plain system calls: the same errors, the
//! same bytes, the same counts, and the same is left at the end.
//!
//! A program is drawn while it runs as plain system calls ([`oracle`](crate::oracle)): so what each
//! operation gives, and which of them wait for what, is known before a backend sees it. Objects are made
//! anew for each run. A count may be smaller than the plain one on pipes and sockets alone; then the rest
//! is asked for and must come. What is left out of programs because it may go either way is listed in
//! `differential/reference.rs`.
//!
//! ```no_run
//! # use io_conformance::{choices::Choices, differential::{self, Driven, Place}};
//! # fn try_on(backend: core::pin::Pin<&impl io_core::IoBackend>) {
//! let (mine, place) = (Driven::new("mine", backend), Place::new());
//! for seed in 0..1000 {
//!     differential::run(&Choices::seed(seed), &place, &[&mine]);
//! }
//! # }
//! ```

mod build;
mod draw;
mod objects;
mod reference;
mod script;
mod subject;

pub use objects::Place;
pub use script::{
    Access, Act, End, Kind, Limit, Memory, Name, Object, Piece, Script, Step, Target, What,
};
pub use subject::{Driven, Subject};

use crate::choices::Choices;

/// Draws a program and runs it as plain system calls.
#[must_use]
pub fn write(choices: &Choices, place: &Place) -> Script {
    reference::write(choices, place)
}

/// Draws a program, and runs it on each subject.
///
/// # Panics
/// If one differs, with the program.
pub fn run(choices: &Choices, place: &Place, subjects: &[&dyn Subject]) -> Script {
    let script = write(choices, place);
    for subject in subjects {
        if let Err(error) = subject.run(&script) {
            panic!("{}: {error}\n{script}", subject.name());
        }
    }
    script
}
