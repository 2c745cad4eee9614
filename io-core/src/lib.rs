#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod addr;
mod awaitable;
mod backend;
mod buf;
pub mod context;
mod errno;
mod fd;
#[cfg(feature = "syscall")]
pub mod fork;
#[cfg(all(test, io_loom))]
mod interleave;
mod link;
mod lock;
pub mod op;
pub mod ops;
pub mod queue;
mod raw;
pub mod readiness;
mod registered;
mod sink;
mod state;
#[doc(hidden)]
pub mod sync;
#[cfg(feature = "syscall")]
pub mod syscall;
mod time;
mod timed;
mod timer;

pub use addr::Address;
pub use awaitable::IoAwaitable;
pub use backend::{
    Binding, Counters, Handle, InFlight, IoBackend, NoOffload, Offload, OffloadHandle, Route,
    StopError, SubmitVtable, WakeHandle, Way,
};
pub use buf::{IoBuf, IoBufMut, IoPath, PathBytes};
pub use context::{Delivery, Node, NodePtr, SubmitContext};
pub use errno::{Errno, decode};
pub use fd::{Fd, IoFd, OpenFd, OwnedFd, Seekable};
pub use lock::{Locked, NoopLock, RawLock};
pub use op::{Interest, Op, OpKind, OpSet, OpenFlags, Scope, Stat};
pub use raw::RawOps;
pub use registered::Registered;
pub use sink::CompletionFn;
pub use state::Phase;
pub use time::Deadline;
pub use timed::Timed;
pub use timer::{Timer, Timers};
