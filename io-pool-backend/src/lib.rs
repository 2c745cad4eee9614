#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]

mod backend;
mod count;
mod lock;
mod note;
mod park;
mod queues;
mod run;
mod waiting;
mod worker;

pub use backend::{LocalPool, PoolBackend};
pub use lock::SpinLock;
pub use worker::Worker;
