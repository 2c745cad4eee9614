#![doc = include_str!("../README.md")]

mod backend;
mod cancel;
mod checks;
mod clock;
mod config;
mod deliver;
mod dump;
mod encode;
mod flight;
mod fork;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod identity;
mod inbox;
#[cfg(all(test, io_loom))]
mod interleave;
mod list;
mod position;
mod probe;
mod reap;
mod ring;
mod round;
mod scope;
mod seat;
mod stop;
mod submit;
mod tally;
#[cfg_attr(io_loom, path = "threads_loom.rs")]
mod threads;
mod token;
mod turn;
mod wake;

pub use backend::UringBackend;
pub use config::{BuildError, Cause, Config, MAX_ENTRIES};
pub use inbox::{Local, Mode, Shared};
