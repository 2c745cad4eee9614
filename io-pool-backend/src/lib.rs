#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]

mod backend;
mod lock;
mod note;
mod queues;
mod run;
mod timing;
mod worker;

pub use backend::{LocalPool, PoolBackend};
pub use lock::SpinLock;
pub use worker::Worker;
