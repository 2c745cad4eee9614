//! Deadlines: armed when an operation leaves its submit unfinished, disarmed before it is done. The heap is
//! in user space: there is no linked timeout, and no entry of the ring's for a deadline.
#![allow(unsafe_code, reason = "gives out the content of a cell, and looks at nodes by address")]
//! # Safety
//! A `Clock` is not `Sync`; each method borrows the heap for its own length only, and calls nothing of
//! others while it does. A node whose timer is armed is owned by this backend, so its storage is valid.

use crate::inbox::Mode;
use crate::probe::Plan;
use crate::seat::Seat;
use core::cell::UnsafeCell;
use io_core::syscall::now_ns;
use io_core::{Deadline, Node, NodePtr, OffloadHandle, Timers};

/// The heap of armed timers, for one thread.
#[derive(Debug)]
pub(crate) struct Clock(UnsafeCell<Timers>);

impl Clock {
    pub(crate) const fn new() -> Clock {
        Clock(UnsafeCell::new(Timers::new()))
    }

    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut Timers) -> R) -> R {
        // SAFETY: the only borrow; see the top of the file.
        act(unsafe { &mut *self.0.get() })
    }

    /// Arms the deadline of a node that has one.
    pub(crate) fn arm(&self, node: &Node) {
        // The owner itself is here, and looks at the earliest before it sleeps.
        let _: bool = self.with(|timers| timers.arm(node));
    }

    /// Disarms the deadline of a node that is about to be done.
    #[cold]
    pub(crate) fn disarm(&self, node: &Node) {
        self.with(|timers| timers.disarm(node));
    }

    /// The earliest deadline, or never.
    #[inline]
    pub(crate) fn next(&self) -> Deadline {
        self.with(|timers| timers.next())
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.with(|timers| timers.is_empty())
    }

    fn expire(&self, now_ns: u64) -> Option<NodePtr> {
        self.with(|timers| timers.expire(now_ns))
    }
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Asks for the end of what is overdue. Looks at the time only if a deadline is armed.
    #[inline]
    pub(crate) fn expire(&self) {
        if !self.clock.is_empty() {
            self.expire_at(now_ns());
        }
    }

    #[cold]
    fn expire_at(&self, now_ns: u64) {
        while let Some(node) = self.clock.expire(now_ns) {
            // SAFETY: its timer was armed until now, so it is submitted, not done, and valid.
            let kind = unsafe { node.kind() };
            match (self.backend.plans.of(kind), self.backend.offload.offload()) {
                // SAFETY: it was given to the offload before its timer could pass: nobody looked at the
                // clock in between.
                (Plan::Offload, Some(offload)) => unsafe { offload.recall(node) },
                // SAFETY: not at the offload backend.
                _ => unsafe { self.cancel(node) },
            }
        }
    }
}
