//! Lent threads: an embedder makes a [`Worker`] for each thread it wants to give and calls
//! [`run`](Worker::run) there; threads may join and leave while work is queued.

use crate::backend::PoolBackend;
use crate::run::Turn;
use core::ops::Deref;
use io_core::readiness::SpinLock;
use io_core::readiness::{Role, Teller};
use io_core::sync::Ordering;
use io_core::{Deadline, RawLock};

/// The ticket of one lent thread. Made before the thread starts, so that a
/// [`release_workers`](PoolBackend::release_workers) that comes first is not missed.
#[derive(Debug)]
pub struct Worker<P, L: RawLock = SpinLock>
where
    P: Deref<Target = PoolBackend<L>>,
{
    pool: P,
    generation: u32,
}

impl<L: RawLock, P: Deref<Target = PoolBackend<L>>> Worker<P, L> {
    /// A ticket for `pool`, which is any pointer to one: a borrow, a pinned borrow, an `Arc`.
    pub fn new(pool: P) -> Worker<P, L> {
        let generation = pool.release.load(Ordering::SeqCst);
        Worker { pool, generation }
    }

    /// Lends the calling thread to the pool until it is released. Performs queued operations and runs
    /// their wakers and callbacks.
    ///
    /// The thread counts in [`workers`](PoolBackend::workers) from here on, not from the making of the
    /// `Worker`. Wait for `workers() > 0` before you rely on this pool as another backend's offload: until then
    /// the epoll backend takes it for none and performs such operations inside its own `poll`, and what a
    /// ring gives to it waits until a thread comes.
    ///
    /// The thread should block all signals, so that a `SIGPIPE` of its writes stays pending. A panic in a
    /// waker or callback unwinds out of here with the pool in order; call it again to go on.
    pub fn run(&self) {
        let pool = &*self.pool;
        let born = pool.lineage.generation();
        if born == 0 {
            return;
        }
        let teller = Teller::new(L::SHARED);
        pool.workers.fetch_add(1, Ordering::SeqCst);
        let _joined = Joined { pool, born };
        while pool.is_of(born) {
            let seen = pool.park.epoch();
            if pool.release.load(Ordering::SeqCst) != self.generation {
                return;
            }
            pool.expire();
            if pool.deliver_ready(&teller) > 0 || pool.work(Turn::Deliver(&teller)).is_some() {
                continue;
            }
            pool.sleep(Role::Worker, seen, Deadline::NEVER);
        }
    }
}

/// Counts a worker out also when a waker or callback unwinds.
struct Joined<'p, L: RawLock> {
    pool: &'p PoolBackend<L>,
    born: u32,
}

impl<L: RawLock> Drop for Joined<'_, L> {
    fn drop(&mut self) {
        if !self.pool.is_of(self.born) {
            // It joined the parent's pool.
            return;
        }
        self.pool.workers.fetch_sub(1, Ordering::SeqCst);
        // The last worker leaves its work to pollers and waiters.
        self.pool.park.notify_all();
    }
}

impl<L: RawLock> PoolBackend<L> {
    /// Sends every thread home whose [`Worker`] was made before now, after what it is doing.
    pub fn release_workers(&self) {
        if self.lineage.is_forked() {
            return;
        }
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

    /// Whether a worker may come to take work: one that is not inside a waker or callback, which may be
    /// waiting for just that work.
    pub(crate) fn has_free_workers(&self) -> bool {
        self.workers.load(Ordering::SeqCst) > self.tellers.count()
    }
}
