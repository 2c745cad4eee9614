//! Both intrusive queues, held against plain lists: [`live`] runs what a byte string says.
//!
//! [`Fifo`](io_core::queue::Fifo) has one owner, so its calls come one after the other. A
//! [`Transfer`](io_core::queue::Transfer) has many producers and a taker: where the feature `steps` is on, further
//! pushes and takes come between the accesses of a push, and further pushes between those of a take, as
//! the bytes say.
//!
//! A plain list of numbers says what must come out, in which order, and what each call answers.

mod nodes;
mod world;

use core::cell::RefCell;
use std::rc::Rc;
use world::World;

/// A readable list of what happened, that outlives a panic.
pub type Log = Rc<RefCell<Vec<String>>>;

/// Runs what `data` says; returns how many calls were made.
///
/// # Errors
/// How the queues and the plain lists parted.
pub fn live(data: &[u8], log: Option<Log>) -> Result<usize, String> {
    let world = World::new(data, log);
    world.run();
    world.end()
}
