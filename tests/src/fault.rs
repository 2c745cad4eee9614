//! Faults of the real world: what a test needs to make a kernel refuse, fail, interrupt or come up short, on
//! purpose and at a chosen moment, and to see afterwards that nothing was lost or left behind.
//!
//! * [`Supervisor`]: the kernel asks us before each of this process's system calls, by seccomp's user
//!   notification. It works on bare system calls, so nothing in between can be missed.
//! * [`Entries`]: what a ring is about to submit, for a script to change: a cancel gets the answer that a test wants.
//! * [`FaultyFile`]: a file whose reads and writes are answered by us (FUSE).
//! * [`Tmpfs`]: a file system of a few pages. [`Files`], [`Disabled`] and others: limits that are set back.
//!   [`denied`], [`as_nobody`], [`without_threads`]: threads that may do less.
//! * [`Storm`]: a timer that interrupts whatever waits. [`stopped_and_continued`]: `SIGSTOP` and `SIGCONT`.
//! * [`Census`]: what the process holds: descriptors, threads, mappings, memory; with [`Heap`], to the byte.
//! * [`Cell`]: each fault has a process of its own, because a filter cannot be taken off again.

mod cell;
mod census;
mod entries;
mod filter;
mod fuse;
mod heap;
mod limits;
mod mount;
mod signals;
mod supervisor;

pub use cell::{Cell, Made, chosen, made, not_here};
pub use census::{Census, flat};
pub use entries::{Entries, give_up};
pub use filter::denied;
pub use fuse::{Behaviour, FaultyFile};
pub use heap::Heap;
pub use limits::{
    AddressSpace, Disabled, FileSize, Files, LockedMemory, as_nobody, without_threads,
};
pub use mount::Tmpfs;
pub use signals::{Storm, stopped_and_continued};
pub use supervisor::{Answer, Call, Supervisor, every, nth};
