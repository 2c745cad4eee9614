//! Running wakers and callbacks: the only file that does. Nothing is held or borrowed meanwhile, so they
//! may submit, cancel, drop, poll and wait.
#![allow(unsafe_code, reason = "completes nodes in the way of the mode")]
//! # Safety
//! Nodes come from the ready list, where only operations of this backend are.

use crate::inbox::Mode;
use crate::round::{Ended, Wait};
use crate::seat::Seat;
use core::cell::Cell;
use core::time::Duration;
use io_core::syscall::now_ns;
use io_core::{Deadline, Errno, Node, OffloadHandle};

/// Notes that user code runs, also when it unwinds.
struct Delivering<'s> {
    flag: &'s Cell<bool>,
    before: bool,
}

impl<'s> Delivering<'s> {
    fn begin(flag: &'s Cell<bool>) -> Self {
        Delivering { flag, before: flag.replace(true) }
    }
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// The contract's `poll`.
    pub(crate) fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        self.quiet.set(0);
        let wait = match timeout {
            Some(Duration::ZERO) => Wait::No,
            Some(timeout) => Wait::Until(Deadline::after(now_ns(), timeout)),
            None => Wait::Until(Deadline::NEVER),
        };
        loop {
            match self.round(wait, 0) {
                Err(errno) if self.news() == 0 => return Err(errno),
                Err(_) | Ok(Ended::Woken) => break,
                Ok(Ended::Plainly) if self.news() > 0 || is_over(wait) => break,
                Ok(Ended::Plainly) => {}
            }
        }
        // What becomes ready from here on is for the next poll: a callback that submits for ever does
        // not keep us here.
        let (quiet, ready) = (self.quiet.replace(0), self.ready.len());
        let delivered = quiet + self.deliver(ready);
        // A wake from one of those wakers, or from anywhere until now, ends this poll.
        self.backend.wake.use_up();
        Ok(delivered)
    }

    /// Delivers up to `limit` results, oldest first. If a waker or callback panics, the rest stays for
    /// the next time.
    pub(crate) fn deliver(&self, limit: usize) -> usize {
        let _flag = Delivering::begin(&self.delivering);
        let born = self.backend.lineage.generation();
        for delivered in 0..limit {
            match self.ready.pop() {
                Some(node) => self.deliver_one(node),
                None => return delivered,
            }
            if self.backend.lineage.generation() != born {
                // Whoever was told has forked, and this is the child: the rest is the parent's. If the child
                // has made the backend new, this seat is nobody's.
                return delivered;
            }
        }
        limit
    }

    #[inline]
    fn deliver_one(&self, node: Node) {
        // SAFETY: what is on our lists was submitted here.
        let delivery = unsafe { M::complete(node) };
        self.backend.tally.owner.delivered.add(1);
        if delivery.waiter() {
            self.announce();
        }
        delivery.run();
    }

    /// Delivers one result ahead of its turn, because its caller blocks for it.
    pub(crate) fn deliver_now(&self, node: Node) {
        let _flag = Delivering::begin(&self.delivering);
        self.deliver_one(node);
    }

    /// Delivers everything, for a backend that is about to be gone. A panic does not stop it.
    pub(crate) fn deliver_rest(&self) {
        struct Rest<'r, 's, M: Mode, O: OffloadHandle>(&'r Seat<'s, M, O>);
        impl<M: Mode, O: OffloadHandle> Drop for Rest<'_, '_, M, O> {
            fn drop(&mut self) {
                self.0.deliver_all();
            }
        }
        let rest = Rest(self);
        rest.0.deliver_all();
    }

    fn deliver_all(&self) {
        while !self.backend.lineage.is_forked() {
            self.intake();
            match self.ready.pop() {
                Some(node) => self.deliver_now(node),
                None => break,
            }
        }
    }
}

fn is_over(wait: Wait) -> bool {
    match wait {
        Wait::No => true,
        Wait::Until(Deadline::NEVER) => false,
        Wait::Until(deadline) => now_ns() >= deadline.as_nanos(),
    }
}
