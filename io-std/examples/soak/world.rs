//! [`World`]: what all who load one backend in one epoch share: the backend, counts, the first failure.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use io_core::Errno;
use io_std::Io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often something was done, in this epoch.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sessions: AtomicU64,
    /// Sessions that a fault ended early.
    pub(crate) excused: AtomicU64,
    /// Bytes compared with what they should be.
    pub(crate) bytes: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) closes_under: AtomicU64,
    pub(crate) forks: AtomicU64,
    pub(crate) signals: AtomicU64,
    pub(crate) squeezes: AtomicU64,
    pub(crate) stops: AtomicU64,
    pub(crate) cancels_of_all: AtomicU64,
}

/// One more of these.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What one lane is doing, for when it hangs.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<&'static str>);

impl Slot {
    /// It begins with this.
    pub(crate) fn set(&self, step: &'static str) {
        *lock(&self.0) = step;
    }

    /// What it is at.
    pub(crate) fn get(&self) -> &'static str {
        *lock(&self.0)
    }
}

/// One epoch's shared state.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) io: Io,
    pub(crate) counts: Counts,
    /// Threads whose sessions are not over.
    pub(crate) busy: AtomicUsize,
    /// A stop and a start, or a cancel of everything, may come.
    pub(crate) harsh: bool,
    /// Descriptors may run out.
    pub(crate) squeezed: bool,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl World {
    /// A new epoch's.
    pub(crate) fn new(io: Io, threads: usize, harsh: bool, squeezed: bool) -> World {
        World {
            io,
            counts: Counts::default(),
            busy: AtomicUsize::new(threads),
            harsh,
            squeezed,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            slots: Mutex::default(),
        }
    }

    /// Remembers what went wrong first, and lets everybody end.
    pub(crate) fn fail(&self, error: String) {
        lock(&self.failure).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether something went wrong.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What went wrong first.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.failure).take()
    }

    /// A place to say what one is at.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        lock(&self.slots).push(Arc::clone(&slot));
        slot
    }

    /// What everybody is at.
    pub(crate) fn doing(&self) -> Vec<&'static str> {
        lock(&self.slots).iter().map(|slot| slot.get()).collect()
    }

    /// Whether somebody may have caused this error: a stop or a cancel, or a limit on descriptors.
    pub(crate) fn excuses(&self, errno: Errno) -> bool {
        match errno {
            Errno::CANCELED => self.harsh,
            Errno::MFILE => self.squeezed,
            _ => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
