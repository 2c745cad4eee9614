//! What a backend has done, in relaxed atomics: read for reports, never for decisions.

use crate::backend::{Counters, Way};
use crate::op::Op;
use crate::sync::Ordering;
use crate::sync::plain::AtomicU64;

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
    delivered: AtomicU64,
    syscalls: AtomicU64,
    by_way: [AtomicU64; 5],
}

impl Count {
    /// Nothing yet; `shared` if several threads may count ([`RawLock::SHARED`](crate::RawLock::SHARED)).
    #[must_use]
    pub const fn new(shared: bool) -> Count {
        Count {
            shared,
            queued: AtomicU64::new(0),
            inline: AtomicU64::new(0),
            nops: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            syscalls: AtomicU64::new(0),
            by_way: [const { AtomicU64::new(0) }; 5],
        }
    }

    /// Nothing yet, in a forked child.
    pub fn renew(&self) {
        let Count { shared: _, queued, inline, nops, delivered, syscalls, by_way } = self;
        let all = [queued, inline, nops, delivered, syscalls].into_iter().chain(by_way);
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
        self.add(&self.delivered);
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
            delivered: load(&self.delivered) + calls + nops,
            queued_now: queued_now as u64,
            in_kernel_now: running_now as u64,
            syscalls: load(&self.syscalls) + calls,
            by_way,
            ..Counters::default()
        }
    }
}
