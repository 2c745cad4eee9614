//! Feature `syscall`, for backends: waiting for readiness. [`Park`] is where threads sleep, one of them in
//! `epoll_wait(2)`; [`Waiting`] is the intrusive table of the operations that wait on descriptors;
//! [`Events`] is what a wait brought; [`Count`] is what was done;
//! [`Tellers`] is who is in user code.
//!
//! # The scratch word
//!
//! While a node is in a [`Waiting`] table, its scratch word has two owners: the low [`BACKEND_BITS`] bits are
//! its backend's, the bits from there on the table's, which clears them when the node is pushed. Outside
//! the table the table's bits mean nothing.

mod count;
mod events;
mod park;
mod tellers;
mod waiting;

pub use count::Count;
pub use events::{Event, Events, Readiness};
pub use park::{Park, Role};
pub use tellers::{Teller, Tellers, Telling};
pub use waiting::{BACKEND_BITS, Waiting};
