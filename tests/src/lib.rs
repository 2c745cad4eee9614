#![doc = include_str!("../README.md")]

pub mod child;
pub mod choices;
pub mod clock;
mod desc;
pub mod differential;
pub mod explore;
pub mod fault;
pub mod fixture;
mod keep;
mod leaked;
pub mod mem;
pub mod model;
pub mod oracle;
pub mod program;
pub mod queues;
pub mod raw;
pub mod rig;
pub mod sim;
pub mod skip;
pub mod soundness;
pub mod suite;
pub mod tally;
pub mod watchdog;
pub mod world;

pub use desc::{Desc, Seeking, closer, count_fds, is_open};
