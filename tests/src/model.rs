//! The life of one operation as a pure function, and the real code held against it. Start here to fuzz.
//!
//! # The model
//!
//! A [`State`] is everything there is to know of one operation: the bits of its state word, what is in the
//! sink cell, who has the node, what was completed and not yet delivered, and which calls and acts are
//! under way. An [`Event`] is what happens next: a [`Call`] of the caller, an [`Act`] of the backend, or that
//! the innermost of those under way goes on to its next window ([`At`]). [`step()`] says what becomes of the
//! state and what else happens ([`Effects`]); what cannot happen in a state says why not ([`Refused`]).
//!
//! ```
//! use io_conformance::model::{Act, Answer, Call, Event, Start, State, Who, step};
//!
//! let mut state = State::new(Start::PLAIN);
//! let mut answer = None;
//! let go_on = [Event::Resume; 3];
//! // A poll clones its waker, submits, and looks once more. Then the operation is completed.
//! for event in [Event::Call(Call::Poll(Who::A))].into_iter().chain(go_on).chain([Event::Resume]) {
//!     let effects;
//!     (state, effects) = step(state, event);
//!     answer = effects.answer.or(answer);
//! }
//! assert_eq!(answer, Some(Answer::Pending));
//! for event in [Event::Act(Act::Complete(5)), Event::Resume, Event::Resume, Event::Act(Act::Deliver)] {
//!     let effects;
//!     (state, effects) = step(state, event);
//!     answer = effects.answer.or(answer);
//!     assert_eq!(effects.woken.is_some(), event == Event::Act(Act::Deliver));
//! }
//! assert_eq!(answer, Some(Answer::Completed(false)));
//! ```
//!
//! The states are few enough to reach them all: [`Walk`] does, by the events of a [`Theme`], and holds each step
//! against the [`RULES`], which are the invariants of [`io_core::context`] by their numbers. That every walk
//! comes to the end of the life from everywhere ([`Walk::dead_end`]) says that nothing is lost.
//!
//! # The code
//!
//! [`harness::run`] lives a life of a real [`IoAwaitable`](io_core::IoAwaitable) on a real backend, and compares it with the
//! model at each step. [`tour()`] makes it take every step of a walk. [`bytes::live`] takes what happens from a
//! byte string: that is the fuzz target `state_model`, whole. As a loop of one's own:
//!
//! ```
//! use io_conformance::choices::Choices;
//! use io_conformance::model::{bytes, harness::Log};
//!
//! for seed in 0..200 {
//!     let choices = Choices::seed(seed);
//!     let data: Vec<u8> = (0..64).map(|_| choices.below(256) as u8).collect();
//!     let log = Log::default();
//!     let report = bytes::live(&data, Some(&log));
//!     assert!(report.mismatch.is_none(), "{:?}\n{}", report.mismatch, log.borrow().join("\n"));
//! }
//! ```
//!
//! The windows inside a call, between two accesses of the library, are there only with the feature `steps`
//! (`cargo test -p io-conformance --features steps`); without it things happen between calls and inside user
//! code.
//!
//! # What is not here
//!
//! One thread comes between the accesses of another like an interrupt: who comes between, ends first. Two
//! that alternate, and the orderings of accesses, are for loom. A pointer's provenance (I8), and that
//! freed storage is not touched (I3), is for Miri and the sanitizers, which run the same harness.

mod acts;
pub mod bytes;
mod calls;
mod event;
pub mod harness;
mod rules;
mod state;
mod step;
mod tour;
mod walk;

pub use event::{Act, Call, Event, Who};
pub use rules::{RULES, Rule, Transition, broken};
pub use state::{At, DEPTH, Frame, Left, Process, Sink, Start, State, Storage, Word};
pub use step::{Answer, Effects, Refused, Then, legal, step};
pub use tour::{Tour, tour};
pub use walk::{Broken, Theme, Walk, Windows, themes};
