//! Intrusive queues of nodes: [`Fifo`] for one owner (or under a lock), [`Transfer`] from any thread
//! to one.

mod fifo;
mod transfer;

pub use fifo::{Fifo, Iter, View};
pub use transfer::Transfer;
