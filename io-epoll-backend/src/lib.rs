#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]

mod away;
mod backend;
mod busy;
mod control;
mod early;
mod line;
mod note;
mod plan;
mod queues;
mod ready;
mod run;
mod source;
mod stop;
mod submit;

pub use backend::{EpollBackend, LocalEpoll};
pub use io_core::readiness::SpinLock;
