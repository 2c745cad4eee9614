#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]

mod backend;
mod line;
mod note;
mod notify;
mod queues;
mod ready;
mod run;
mod source;
mod submit;
mod timing;
mod turn;
mod worker;

pub use backend::{LocalPool, PoolBackend};
pub use io_core::readiness::SpinLock;
pub use worker::Worker;
