//! Who is told of what: workers of work, pollers and waiters of what was delivered. A pool of one thread has
//! nobody to tell: before that thread sleeps, it looks at the lists again.

use crate::backend::PoolBackend;
use io_core::RawLock;
use io_core::sync::Ordering;

impl<L: RawLock> PoolBackend<L> {
    /// There is work for one thread.
    #[inline]
    pub(crate) fn notify_work(&self) {
        if L::SHARED {
            self.park.notify_work(!self.has_workers());
        }
    }

    /// So much work was passed on under the lock.
    #[inline]
    pub(crate) fn notify_passed(&self, count: usize) {
        (0..count).for_each(|_| self.notify_work());
    }

    /// Something happened that pollers and waiters want to know.
    #[inline]
    pub(crate) fn notify_others(&self) {
        if L::SHARED {
            self.park.notify_others();
        }
    }

    /// There is something on the ready list for a worker or the caller of `poll`.
    pub(crate) fn notify_ready(&self) {
        if L::SHARED && self.has_workers() {
            self.park.notify_work(false);
        }
        // Workers may all be busy; and a waiter may be waiting for just this.
        self.notify_others();
    }

    /// Closes that were held are work again, for any thread: this one may go to sleep now.
    pub(crate) fn notify_held(&self, held: bool) {
        if held {
            self.notify_work();
            self.notify_others();
        }
    }

    /// Something was delivered by a thread that is not in `poll`: pollers and waiters look again.
    pub(crate) fn announce(&self) {
        self.announced.store(1, Ordering::SeqCst);
        self.news.fetch_add(1, Ordering::SeqCst);
        self.park.notify_others();
    }

    /// What the wake handle does, on any thread and in a signal handler.
    pub(crate) fn wake(&self) {
        if self.lineage.is_forked() {
            return;
        }
        self.woken.store(1, Ordering::SeqCst);
        self.news.fetch_add(1, Ordering::SeqCst);
        self.park.notify_others();
    }
}
