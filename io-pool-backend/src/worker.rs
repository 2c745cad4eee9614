//! Lent threads: an embedder calls [`run_worker`](PoolBackend::run_worker) on as many threads as it wants
//! to give; they may join and leave while work is queued.

use crate::backend::PoolBackend;
use crate::park::Role;
use crate::run::Turn;
use core::sync::atomic::Ordering;
use io_core::{Deadline, RawLock};

/// Counts a worker out also when a waker or callback unwinds.
struct Joined<'p, L: RawLock>(&'p PoolBackend<L>);

impl<L: RawLock> Drop for Joined<'_, L> {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::SeqCst);
        // The last worker leaves its work to pollers and waiters.
        self.0.park.notify_all();
    }
}

impl<L: RawLock> PoolBackend<L> {
    /// Lends the calling thread to the pool until [`release_workers`](Self::release_workers). Performs
    /// queued operations and runs their wakers and callbacks.
    ///
    /// The thread should block all signals, so that a `SIGPIPE` of its writes stays pending. A panic in a
    /// waker or callback unwinds out of here with the pool in order; call it again to go on.
    pub fn run_worker(&self) {
        let generation = self.release.load(Ordering::SeqCst);
        self.workers.fetch_add(1, Ordering::SeqCst);
        let _joined = Joined(self);
        loop {
            let seen = self.park.epoch();
            if self.release.load(Ordering::SeqCst) != generation {
                return;
            }
            if self.deliver_ready() > 0 || self.work(Turn::Deliver).is_some() {
                continue;
            }
            self.count.syscall();
            let events = self.park.park(Role::Worker, seen, Deadline::NEVER);
            self.ready_again(&events);
        }
    }

    /// Makes every [`run_worker`](Self::run_worker) that runs now return after what it is doing.
    pub fn release_workers(&self) {
        self.release.fetch_add(1, Ordering::SeqCst);
        self.park.notify_all();
    }

    /// How many threads are lent now.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::SeqCst) as usize
    }

    pub(crate) fn has_workers(&self) -> bool {
        self.workers.load(Ordering::SeqCst) > 0
    }
}
