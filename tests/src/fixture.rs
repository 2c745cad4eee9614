//! [`Fixture`]: how the suite gets a backend to test. Implement it for yours, and run [`crate::suite`].
//!
//! In `Cargo.toml` a target with a `main` of its own (`[[test]] name = "mine"`, `harness = false`), and as
//! `tests/mine.rs`, here for the library's epoll backend without an offload:
//!
//! ```
//! use core::pin::pin;
//! use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour};
//! use io_conformance::rig::Rig;
//! use io_conformance::{suite, tally};
//! use io_core::{IoBackend, OpKind};
//! use io_epoll_backend::EpollBackend;
//! # use std::process::ExitCode;
//!
//! struct Mine;
//!
//! impl Fixture for Mine {
//!     type Backend = EpollBackend;
//!
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!
//!     fn caps(&self) -> Caps {
//!         Caps {
//!             kernel: true,
//!             blocking: Blocking::HoldsPoll,
//!             runs_by_itself: false,
//!             one_owner: false,
//!             opens_fifo_at_once: false,
//!             in_order: true,
//!             faults: &OpKind::ALL,
//!         }
//!     }
//!
//!     fn available(&self) -> Result<(), String> {
//!         Ok(())
//!     }
//!
//!     fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
//!         let backend = pin!(EpollBackend::new().expect("an epoll instance"));
//!         let backend = backend.into_ref();
//!         if flavour == Flavour::Started {
//!             backend.start().expect("start");
//!         }
//!         let result = test(&Rig::new(backend));
//!         tally::add("mine", &backend.counters());
//!         result
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     let mut cases = suite::all();
//! #   cases.retain(|case| case.name.starts_with("control::"));
//!     suite::run(suite::trials(Mine, cases), &["mine"])
//! }
//! ```
//!
//! A backend that threads may share runs [`suite::shared`](crate::suite::shared) too. Cases by their names:
//! `cargo test --test mine -- rw::`; what cannot run says why, and is counted.

use crate::rig::Rig;
use crate::world::Entered;
use core::pin::Pin;
use io_core::{Errno, IoBackend, OpKind};

/// How a backend is set up for one test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavour {
    /// Started by the test's thread, with the variant's worker threads, if it has any.
    Started,
    /// Not started, with no thread but the test's: `poll` does the work.
    Unstarted,
}

impl Flavour {
    /// Both.
    pub const ALL: [Flavour; 2] = [Flavour::Started, Flavour::Unstarted];
}

/// What happens to a system call that blocks without a readiness to wait for, such as the opening of a
/// FIFO that nobody writes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocking {
    /// The kernel can interrupt it: cancel ends it.
    Cancelled,
    /// It holds a worker thread until it is over.
    HoldsWorker,
    /// It holds the thread that polls.
    HoldsPoll,
}

/// What a case needs that a simulation has not: where there is no [`Caps::kernel`] it is left out, and
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Needs {
    /// The clock on the wall: something must take its time, or no time.
    Clock,
    /// Child processes.
    Fork,
    /// An object that only the kernel has: a device, a FIFO, a datagram socket, a mount, a limit.
    Object,
    /// Memory that only the kernel can be given: unmapped, or not to be written to.
    Memory,
    /// Signals.
    Signal,
    /// More threads than one.
    Threads,
}

impl Needs {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Needs::Clock => "the wall clock",
            Needs::Fork => "child processes",
            Needs::Object => "an object of the kernel",
            Needs::Memory => "memory that faults",
            Needs::Signal => "signals",
            Needs::Threads => "threads",
        }
    }
}

/// What a variant promises beyond the contract.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Whether there is a real kernel behind it, and not a simulation that runs on one thread, by its own
    /// clock, and has the objects of [`World`](crate::world::World).
    pub kernel: bool,
    /// See [`Blocking`].
    pub blocking: Blocking,
    /// Whether a started backend has threads that run and complete operations while nobody polls.
    pub runs_by_itself: bool,
    /// Whether `poll` from a thread other than the owner is an error (`EEXIST`).
    pub one_owner: bool,
    /// Whether the opening of a FIFO returns before there is a peer, as the kernel's ring has it.
    pub opens_fifo_at_once: bool,
    /// Whether operations of one direction that wait on one descriptor number are served in the order of
    /// their submission.
    pub in_order: bool,
    /// Operations whose memory is touched in user space on the way, where a page that nobody may touch
    /// is a signal and not `EFAULT`. Backends on `io_core::syscall` list at least open, fstat and the four
    /// vectored operations; with too few listed, the suite dies of `SIGSEGV` in `fs` or `errors`.
    pub faults: &'static [OpKind],
}

/// A way to make fresh backends of one variant.
pub trait Fixture: Send + Sync + Sized + 'static {
    /// What is tested.
    type Backend: IoBackend;

    /// The variant's name, for reports.
    fn name(&self) -> &str;

    /// What it promises.
    fn caps(&self) -> Caps;

    /// Whether it can run on this machine.
    ///
    /// # Errors
    /// Why not.
    fn available(&self) -> Result<(), String>;

    /// Called before each case, and the value dropped after it: a simulation enters a world here, which the
    /// backends of the case share as others share the kernel.
    fn enter(&self) -> Option<Entered> {
        None
    }

    /// Makes a backend, runs `test` with it on this thread, adds its counters to [`crate::tally`], and
    /// drops it before returning, also when `test` panics.
    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R;

    /// Makes the backend new in a forked child, also whatever it offloads to. `None` if it cannot be.
    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        let _ = backend;
        None
    }

    /// [`with`](Self::with) a started backend.
    fn started<R>(&self, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        self.with(Flavour::Started, test)
    }

    /// [`with`](Self::with) a backend that is not started.
    fn unstarted<R>(&self, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        self.with(Flavour::Unstarted, test)
    }

    /// Runs `test` with a backend of each flavour.
    fn both(&self, test: impl Fn(&Rig<'_, Self::Backend>)) {
        for flavour in Flavour::ALL {
            self.with(flavour, &test);
        }
    }
}
