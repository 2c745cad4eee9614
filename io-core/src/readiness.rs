//! For backends: waiting for readiness. [`Source`] is the record of a descriptor whose owner says when it
//! ends. Under the feature `syscall`, `Park` is where threads sleep, one of them in `epoll_wait(2)`;
//! `Waiting` is the intrusive table of the operations that wait on bare numbers; `Events` is what a wait
//! brought; `Count` is what was done; `Tellers` is who is in user code.
//!
//! # The scratch word
//!
//! While a node is in a `Waiting` table, its scratch word has two owners: the low `BACKEND_BITS` bits are
//! its backend's, the bits from there on the table's, which clears them when the node is pushed. Outside
//! the table the table's bits mean nothing.

#[cfg(feature = "syscall")]
mod count;
mod events;
#[cfg(feature = "syscall")]
#[cfg_attr(io_loom, path = "readiness/kernel_loom.rs")]
mod kernel;
#[cfg(feature = "syscall")]
mod park;
mod source;
#[cfg(feature = "syscall")]
#[cfg_attr(io_loom, path = "readiness/spin_lock_loom.rs")]
mod spin_lock;
#[cfg(feature = "syscall")]
mod tellers;
mod turns;
#[cfg(feature = "syscall")]
mod waiting;

#[cfg(feature = "syscall")]
pub use count::Count;
pub use events::{Event, Events, Readiness, Trigger};
#[cfg(feature = "syscall")]
pub use park::{Park, Role};
pub use source::{Entry, Lane, Source, SourceState, Sources, Traits, Tried};
#[cfg(feature = "syscall")]
pub use spin_lock::{SpinLock, give_way};
#[cfg(feature = "syscall")]
pub use tellers::{Teller, Tellers, Telling};
pub use turns::Claim;
#[cfg(feature = "syscall")]
pub use waiting::{BACKEND_BITS, Waiting, Wanted};
