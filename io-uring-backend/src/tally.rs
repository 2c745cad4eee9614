//! Counters: most are written by the ring's owner alone and cost a load and a store, the anybody by any
//! thread.

use core::array;
use core::sync::atomic::{AtomicU64, Ordering};
use io_core::{Counters, OpKind, Way};

/// A number that one thread writes and any thread reads.
#[derive(Debug)]
pub(crate) struct Count(AtomicU64);

impl Count {
    const fn new() -> Count {
        Count(AtomicU64::new(0))
    }

    /// Adds, without a read-modify-write: for the owner.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // Ordering: Relaxed, a count carries no data.
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// Adds from any thread. Never mixed with [`add`](Self::add) on one count.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was counted by the owner alone, or by any thread.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) submitted: Count,
    pub(crate) delivered: Count,
    pub(crate) syscalls: Count,
    by_way: [Count; Way::ALL.len()],
}

impl Side {
    fn new() -> Side {
        Side {
            submitted: Count::new(),
            delivered: Count::new(),
            syscalls: Count::new(),
            by_way: array::from_fn(|_| Count::new()),
        }
    }

    /// How often the way was taken.
    pub(crate) fn way(&self, way: Way) -> &Count {
        &self.by_way[way as usize]
    }
}

/// All of a backend's counters.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) owner: Side,
    pub(crate) anybody: Side,
    pub(crate) queued_now: Count,
    pub(crate) in_kernel_now: Count,
    pub(crate) ready_now: Count,
    pub(crate) overflow_high_water: Count,
    ring_ops: [Count; OpKind::ALL.len()],
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            owner: Side::new(),
            anybody: Side::new(),
            queued_now: Count::new(),
            in_kernel_now: Count::new(),
            ready_now: Count::new(),
            overflow_high_water: Count::new(),
            ring_ops: array::from_fn(|_| Count::new()),
        }
    }

    /// Back to nothing, in a forked child.
    pub(crate) fn renew(&self) {
        let gauges = [&self.queued_now, &self.in_kernel_now, &self.ready_now];
        let sides = [&self.owner, &self.anybody].into_iter();
        let sides = sides.flat_map(|side| {
            [&side.submitted, &side.delivered, &side.syscalls].into_iter().chain(&side.by_way)
        });
        let others = gauges.into_iter().chain([&self.overflow_high_water]).chain(&self.ring_ops);
        sides.chain(others).for_each(|count| count.set(0));
    }

    /// About how many operations are owned, as far as a thread other than the owner can know.
    pub(crate) fn owned_about(&self) -> usize {
        let ready = usize::try_from(self.ready_now.get()).unwrap_or(0);
        self.in_flight().saturating_sub(ready)
    }

    /// One more operation of this kind was pushed on the ring.
    #[inline]
    pub(crate) fn on_ring(&self, kind: OpKind) {
        self.ring_ops[kind as usize].add(1);
    }

    /// Operations submitted and not yet delivered.
    pub(crate) fn in_flight(&self) -> usize {
        // Delivered first: what is submitted meanwhile then counts as in flight, never below zero.
        let delivered = self.owner.delivered.get() + self.anybody.delivered.get();
        let submitted = self.owner.submitted.get() + self.anybody.submitted.get();
        usize::try_from(submitted.saturating_sub(delivered)).unwrap_or(usize::MAX)
    }

    pub(crate) fn counters(&self) -> Counters {
        let sum = |pick: fn(&Side) -> &Count| pick(&self.owner).get() + pick(&self.anybody).get();
        let ring_ops: [u64; OpKind::ALL.len()] = array::from_fn(|kind| self.ring_ops[kind].get());
        let mut by_way =
            array::from_fn(|way| self.owner.by_way[way].get() + self.anybody.by_way[way].get());
        by_way[Way::Ring as usize] = ring_ops.iter().sum();
        Counters {
            submitted: sum(|side| &side.submitted),
            delivered: sum(|side| &side.delivered),
            queued_now: self.queued_now.get(),
            in_kernel_now: self.in_kernel_now.get(),
            overflow_high_water: self.overflow_high_water.get(),
            syscalls: sum(|side| &side.syscalls),
            by_way,
            ring_ops,
        }
    }
}
