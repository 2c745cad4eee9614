//! Deadlines: armed when an operation leaves submit unfinished, disarmed before it is done, and looked at
//! before each sleep.
#![allow(unsafe_code, reason = "looks at a node by address")]
//! # Safety
//! A node whose timer is in the heap is owned by this pool, and the heap is behind the lock.

use crate::backend::PoolBackend;
use crate::queues::Queues;
use crate::run::Turn;
use io_core::readiness::Role;
use io_core::sync::Ordering;
use io_core::syscall::now_ns;
use io_core::{Deadline, Node, RawLock};

impl<L: RawLock> PoolBackend<L> {
    /// Arms the deadline of an operation of this pool's own, which nobody else knows yet. Says whether it is
    /// the earliest, which is to be [noticed](Self::notice) without the lock.
    pub(crate) fn arm(&self, queues: &mut Queues, node: &Node) -> bool {
        let first = node.is_timed() && queues.timers.arm(node);
        if first {
            self.timed.store(1, Ordering::SeqCst);
        }
        first
    }

    /// Lets who sleeps look at the clock again.
    pub(crate) fn notice(&self, first: bool) {
        if first {
            self.park.notify_timer();
        }
    }

    /// Disarms the deadline of an operation that is about to be done.
    #[inline]
    pub(crate) fn disarm(&self, node: &Node) {
        if node.is_timed() {
            self.queues(|queues| {
                queues.timers.disarm(node);
                self.timed.store(u32::from(!queues.timers.is_empty()), Ordering::SeqCst);
            });
        }
    }

    /// The earliest deadline of any operation.
    fn earliest(&self) -> Deadline {
        if self.timed.load(Ordering::SeqCst) == 0 {
            return Deadline::NEVER;
        }
        self.queues(|queues| queues.timers.next())
    }

    /// Ends what is overdue: what a worker has ends when the worker is done with it.
    pub(crate) fn expire(&self) {
        if self.timed.load(Ordering::SeqCst) == 0 {
            return;
        }
        let now = now_ns();
        while let Some(withdrawn) = self.queues(|queues| {
            let node = queues.timers.expire(now)?;
            self.timed.store(u32::from(!queues.timers.is_empty()), Ordering::SeqCst);
            // SAFETY: its timer was armed, so it is owned, and its storage valid while the lock is held.
            Some(unsafe { queues.withdraw(node) })
        }) {
            if let Some(node) = withdrawn {
                self.refuse(node, Turn::Reap);
            }
        }
    }

    /// Sleeps until there may be news since `seen`, a deadline of any operation, or `deadline`.
    pub(crate) fn sleep(&self, role: Role, seen: u32, deadline: Deadline) {
        if self.park.lost().is_some_and(|errno| self.end_lost(errno)) {
            return;
        }
        let timer = self.earliest();
        self.count.syscall();
        // Ordering: Relaxed, as where it is counted.
        self.unlooked.store(0, Ordering::Relaxed);
        let events = self.park.park(role, seen, deadline, timer);
        self.ready_again(&events);
    }
}
