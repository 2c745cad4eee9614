//! What a backend has done, in relaxed atomics: for reports. Only the number of those that are not delivered yet is read
//! for a decision, by a stop that waits for them.

use crate::backend::{Counters, Way};
use crate::op::Op;
use crate::sync::plain::AtomicU64;
use crate::sync::{self, Ordering, const_unless_loom};

/// What a backend has done, apart from what its lists tell.
///
/// Of a backend for one thread each counter is loaded and stored: an exchange between threads costs as much
/// as everything else that is done for an operation.
#[derive(Debug)]
pub struct Count {
    shared: bool,
    queued: AtomicU64,
    inline: AtomicU64,
    nops: AtomicU64,
    delivered: sync::AtomicU64,
    syscalls: AtomicU64,
    by_way: [AtomicU64; 5],
}

impl Count {
    const_unless_loom! {
        /// Nothing yet; `shared` if several threads may count ([`RawLock::SHARED`](crate::RawLock::SHARED)).
        #[must_use]
        pub const fn new(shared: bool) -> Count {
            Count {
                shared,
                queued: AtomicU64::new(0),
                inline: AtomicU64::new(0),
                nops: AtomicU64::new(0),
                delivered: sync::AtomicU64::new(0),
                syscalls: AtomicU64::new(0),
                by_way: [const { AtomicU64::new(0) }; 5],
            }
        }
    }

    /// Nothing yet, in a forked child.
    pub fn renew(&self) {
        let Count { shared: _, queued, inline, nops, delivered, syscalls, by_way } = self;
        delivered.store(0, Ordering::Relaxed);
        let all = [queued, inline, nops, syscalls].into_iter().chain(by_way);
        all.for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    #[inline]
    fn add(&self, counter: &AtomicU64) {
        if self.shared {
            counter.fetch_add(1, Ordering::Relaxed);
        } else {
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// An operation left submit unfinished.
    #[inline]
    pub fn queued(&self) {
        self.add(&self.queued);
    }

    /// An operation was finished, in this way.
    #[inline]
    pub fn way(&self, way: Way) {
        self.add(&self.by_way[way as usize]);
    }

    /// An operation that left submit unfinished was delivered.
    #[inline]
    pub fn delivered(&self) {
        let delivered = &self.delivered;
        if self.shared {
            // Ordering: Release, for `undelivered`: who no longer counts it sees that it is done.
            delivered.fetch_add(1, Ordering::Release);
        } else {
            delivered.store(delivered.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// How many operations have left submit unfinished and are not delivered. With the lock under which the backend's
    /// lists change, never fewer than there are: who has taken one off its list is counted until it is done.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        // In this order: what is queued and delivered between the two counts as not delivered. That the queueing is
        // seen of what another thread has, the lock sees to.
        let delivered = self.delivered.load(Ordering::Acquire);
        self.queued.load(Ordering::Relaxed).saturating_sub(delivered)
    }

    /// The backend made a system call.
    #[inline]
    pub fn syscall(&self) {
        self.add(&self.syscalls);
    }

    /// An operation was finished inside submit, with one system call unless it is a nop, and is delivered
    /// too: one counter for the hot path.
    #[inline]
    pub fn inline(&self, op: &Op) {
        let counter = if matches!(op, Op::Nop(_)) { &self.nops } else { &self.inline };
        self.add(counter);
    }

    /// As [`inline`](Self::inline), without a system call.
    pub fn inline_free(&self) {
        self.add(&self.nops);
    }

    /// An operation has its result inside submit, but is delivered later.
    pub fn inline_later(&self, op: &Op) {
        self.queued();
        self.way(Way::Inline);
        if !matches!(op, Op::Nop(_)) {
            self.syscall();
        }
    }

    /// The report, with how many are queued and how many are in the hands of the kernel or a worker.
    #[must_use]
    pub fn read(&self, queued_now: usize, running_now: usize) -> Counters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut by_way = [0, 1, 2, 3, 4].map(|way: usize| load(&self.by_way[way]));
        let (calls, nops) = (load(&self.inline), load(&self.nops));
        by_way[Way::Inline as usize] += calls + nops;
        Counters {
            submitted: load(&self.queued) + calls + nops,
            delivered: self.delivered.load(Ordering::Relaxed) + calls + nops,
            queued_now: queued_now as u64,
            in_kernel_now: running_now as u64,
            syscalls: load(&self.syscalls) + calls,
            by_way,
            ..Counters::default()
        }
    }
}
