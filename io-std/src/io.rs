//! [`Io`]: a backend with its threads, shared by everybody who does I/O on it.
#![allow(unsafe_code, reason = "implements the unsafe trait that keeps the backend in place")]
//! # Safety
//! The backend is on the heap behind an `Arc`, and every operation holds a clone.

use crate::block_on::block_on;
use crate::choose::{BuildError, Builder, Report};
use crate::current::Enter;
use crate::driver::Runtime;
use crate::error::io_error;
use core::fmt;
use core::future::Future;
use io_core::{Deadline, Errno, Handle, IoBackend, StopError};
use std::sync::Arc;

/// A backend and the threads that run it. Cheap to clone; each operation in flight holds a clone.
///
/// The typed operations come from [`io_core::ops::Ops`]; files from [`File`](crate::File). When the
/// last clone goes, the threads are stopped and joined.
#[derive(Clone)]
pub struct Io(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    report: Report,
}

// SAFETY: the backend is in an `Arc` of its own inside the runtime: it does not move, and it is freed
// by its own drop after the last clone of `Io` is gone; a forgotten clone keeps it for ever. It is
// `Send + Sync`, and so is `Io`.
unsafe impl Handle for Io {
    type Backend = dyn IoBackend + Send + Sync;

    fn backend(&self) -> &Self::Backend {
        self.0.runtime.engine().backend()
    }
}

impl Io {
    /// The best backend that works here, with the default threads.
    ///
    /// # Errors
    /// The reasons of each backend that was tried.
    pub fn new() -> Result<Io, BuildError> {
        Io::builder().build()
    }

    /// Says which backend and how.
    pub const fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_parts(runtime: Runtime, report: Report) -> Io {
        Io(Arc::new(Inner { runtime, report }))
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// Which backend it is, and why.
    #[must_use]
    pub fn chosen(&self) -> &Report {
        &self.0.report
    }

    /// Runs `future` to its end on this thread, which does the backend's work meanwhile if nobody
    /// else does. This backend is the thread's [`current`](crate::current) one meanwhile.
    ///
    /// Allocates once. May be nested.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(self, future)
    }

    /// Makes this the backend of the free functions on this thread until the guard is dropped.
    pub fn enter(&self) -> Enter {
        Enter::new(self.clone())
    }

    /// Starts the backend again after a [`stop`](Io::stop). Without a driver thread, this binds the
    /// ring to the calling thread.
    ///
    /// # Errors
    /// `EALREADY` if it runs, as it does after [`Builder::build`] where it has threads; `EBUSY` after a
    /// stop that left operations owned; `EDEADLK` from a waker or callback on the driver thread;
    /// `EOWNERDEAD` in a forked child; else what the kernel says.
    pub fn start(&self) -> Result<(), Errno> {
        self.0.runtime.start_backend()
    }

    /// Refuses new operations (they fail with `ECANCELED`), cancels the rest, and waits until the
    /// kernel and the workers own none or `deadline` (`CLOCK_MONOTONIC`) passes. The threads stay.
    ///
    /// Any thread may call it. A ring without a driver thread is stopped by its owner: called elsewhere,
    /// this asks the owner, who is to be in [`block_on`](Io::block_on) or to come there, and waits.
    ///
    /// # Errors
    /// [`StopError::StillOwned`]: how many operations are still owned at the deadline.
    /// [`StopError::WrongPlace`]: nothing was done, because the calling thread is inside a waker or callback
    /// that this backend runs (`EDEADLK`), or because the process was forked (`EOWNERDEAD`).
    pub fn stop(&self, deadline: Deadline) -> Result<(), StopError> {
        self.0.runtime.stop_backend(deadline)
    }

    /// Makes the backend and its threads anew in a forked child, where until then every operation ends
    /// with `EOWNERDEAD`, nothing waits, and dropping the last clone joins no thread. Operations from
    /// before the fork stay ended; the parent's are untouched. The clones that the child has, the
    /// [`current`](crate::current) one too, work again.
    ///
    /// Clones that other threads had at the fork are never dropped in the child: if there are any, what the
    /// child inherited of the backend's descriptors stays open until it ends or calls `execve(2)`.
    ///
    /// Between the fork and this call the child may do only what the child of a program with threads may
    /// do: this call makes threads and allocates.
    ///
    /// # Errors
    /// `EALREADY` (114) if the backend is this process's own, as in the parent and after a successful call;
    /// `EBUSY` (16) if another thread is just making it anew; else what could not be made, which can be tried
    /// again. The number is the error's [`raw_os_error`](std::io::Error::raw_os_error); its text is the C
    /// library's, which knows nothing of forks.
    pub fn reinit(&self) -> std::io::Result<()> {
        self.0.runtime.reinit().map_err(|refusal| match refusal.errno {
            Some(errno) => io_error(errno),
            None => std::io::Error::other(refusal.why),
        })
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(&self.0.report).finish()
    }
}
