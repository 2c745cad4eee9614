//! Waiting without delivering: for one operation, and for the end of all.
//!
//! Closing a ring is no barrier: the kernel may write into buffers for some time after. Only counting
//! down to each operation's own completion is, and that is what happens here.
#![allow(unsafe_code, reason = "looks at nodes by address")]
//! # Safety
//! The caller of `wait` keeps the node's storage valid. Scratch words are read as in `cancel.rs`.

use crate::UringBackend;
use crate::inbox::{Caller, Mode};
use crate::probe::Plan;
use crate::round::{Ended, Wait};
use crate::seat::{Cancels, Seat, place};
use io_core::syscall::now_ns;
use io_core::{Deadline, Errno, Node, NodePtr, OffloadHandle, Phase, Scope, StopError};

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The contract's `wait`, on a thread that is not the owner: blocks until the owner has completed it.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn wait_elsewhere(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        if !unsafe { node.add_waiter() } {
            return;
        }
        // It may be on the ready list by now, with nobody left to tell: the owner is to look.
        self.mode.ask_cancels();
        self.nudge();
        // SAFETY: promised by the caller; looked at, and given up again at once.
        let view = unsafe { node.into_node() };
        let deadline = view.deadline();
        let _: NodePtr = view.into_ptr();
        let _waiting = self.mode.begin_wait();
        loop {
            let epoch = self.mode.epoch();
            // Who drives the backend knows the deadline; if nobody does, we do.
            let until = if deadline.is_over(now_ns) { Deadline::NEVER } else { deadline };
            self.borrow_seat(|seat| seat.clear_out(node));
            // SAFETY: promised by the caller.
            if unsafe { node.phase() } == Phase::Done {
                return;
            }
            self.mode.wait_epoch(epoch, until);
        }
    }

    /// The contract's `stop`.
    pub(crate) fn stop_by(&self, deadline: Deadline) -> Result<(), StopError> {
        self.check_fork().map_err(StopError::WrongPlace)?;
        if self.mode.caller() != Caller::Owner && !self.mode.is_owner() {
            return self.stop_elsewhere(deadline);
        }
        let seat = self.take_seat().map_err(StopError::WrongPlace)?;
        seat.may_stop().map_err(StopError::WrongPlace)?;
        self.gate.close();
        let drained = seat.drain(deadline).map_err(StopError::StillOwned);
        seat.rest();
        drained
    }

    /// On a thread that is not the owner: asks the owner, and waits. Without an owner nothing is in the
    /// ring, and what waits for one is refused here.
    fn stop_elsewhere(&self, deadline: Deadline) -> Result<(), StopError> {
        self.gate.close();
        self.mode.ask_cancels();
        self.nudge();
        let _waiting = self.mode.begin_wait();
        loop {
            let epoch = self.mode.epoch();
            self.borrow_seat(|seat| seat.wind_down());
            if !self.gate.is_stopping() {
                return Ok(());
            }
            if deadline.is_over(now_ns) {
                // 0 if nothing is, as far as one can see from here, and the owner has not said so yet.
                return Err(StopError::StillOwned(self.tally.owned_about()));
            }
            self.mode.wait_epoch(epoch, deadline);
        }
    }
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// The contract's `wait`, on the owner's thread.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn wait(&self, node: NodePtr) {
        let mut woken = false;
        loop {
            let old_news = self.news();
            // SAFETY: promised by the caller.
            if unsafe { node.phase() } == Phase::Done {
                break;
            }
            // SAFETY: promised by the caller, and it is not done.
            if let Some(node) = unsafe { self.take_ready(node) } {
                self.deliver_now(node);
                break;
            }
            // An error is not this operation's end: the ring is dead, and what it still owns comes back.
            let ended = self.round(Wait::Until(Deadline::NEVER), old_news);
            woken |= ended == Ok(Ended::Woken);
        }
        self.give_back(woken);
    }

    /// A wake that came during a wait is the next poll's.
    fn give_back(&self, woken: bool) {
        if woken {
            self.backend.wake.keep();
        }
    }

    /// # Safety
    /// * The node was submitted here, is not done, and its storage is valid.
    unsafe fn take_ready(&self, node: NodePtr) -> Option<Node> {
        if self.ready.is_empty() {
            return None;
        }
        // SAFETY: promised by the caller.
        let kind = unsafe { node.kind() };
        if self.backend.plans.of(kind) == Plan::Offload {
            return self.ready.find_remove(node);
        }
        // SAFETY: not at the offload backend; else promised by the caller.
        let word = unsafe { self.peek(node) };
        // SAFETY: the place says that it is in the list.
        (word & place::MASK == place::READY).then(|| unsafe { self.ready.remove(node) })
    }

    /// How many operations are owned by the kernel, by a worker, or by our own lists.
    pub(crate) fn owned(&self) -> usize {
        let outside = self.backend.mode.outside();
        let listed = self.overflow.len()
            + self.held.len()
            + self.closing.len()
            + self.turn.len()
            + self.asleep.len();
        self.in_flight.len() + listed + outside
    }

    /// While a stop is under way: asks everything to end, and settles it when nothing is owned any more.
    #[inline]
    pub(crate) fn wind_down(&self) {
        if self.backend.gate.is_stopping() {
            self.wind_down_now();
        }
    }

    /// The gate is closed: nothing new comes, except from threads inside submit, who are waited for.
    #[cold]
    fn wind_down_now(&self) {
        self.started.set(false);
        self.backend.recall_scope(Scope::All);
        self.await_visitors();
        self.intake();
        if self.owned() > 0 {
            self.want_cancels(Cancels::First);
        } else {
            self.backend.gate.settle();
            self.backend.mode.announce_to_waiting();
        }
    }

    /// Waits until nothing is owned any more. The gate is closed, and each round asks everything to end.
    pub(crate) fn drain(&self, deadline: Deadline) -> Result<(), usize> {
        let mut woken = false;
        let drained = loop {
            self.wind_down();
            if !self.backend.gate.is_stopping() {
                break Ok(());
            }
            // An error: the ring is dead, and what it still owns comes back.
            let ended = self.round(Wait::Until(deadline), self.news());
            woken |= ended == Ok(Ended::Woken);
            if self.backend.gate.is_stopping() && deadline.is_over(now_ns) {
                break Err(self.owned());
            }
        };
        // Who brought the last one home is about to leave.
        self.await_visitors();
        self.publish();
        self.give_back(woken);
        drained
    }

    /// A few instructions and at most one write of an eventfd each.
    fn await_visitors(&self) {
        while !self.backend.mode.unvisited() {
            crate::threads::give_way();
        }
    }

    /// Ends the life of the backend: nothing of it is owned by anybody when this returns.
    pub(crate) fn finish_all(&self) {
        let drained = self.drain(Deadline::NEVER);
        debug_assert!(drained.is_ok(), "a drain without deadline ends at zero");
        self.deliver_rest();
    }

    /// Ends what nobody needs to drive: what has its result and nobody to tell, and what waits for an
    /// owner and is not wanted any more. `waited` is an operation that a thread blocks for: if it is one
    /// that is never cancelled, it is performed here.
    pub(crate) fn clear_out(&self, waited: NodePtr) {
        self.backend.mode.take_cancels();
        self.taken.fill(|list| self.backend.mode.take(list));
        for _ in 0..self.taken.len() {
            let Some(node) = self.taken.pop() else { break };
            let fresh = node.scratch() & place::MASK == place::FRESH;
            let never_cancelled = node.op().kind().never_cancelled();
            let stopping = self.backend.gate.refuses_owner();
            if !fresh || stopping || self.unwanted(&node) || node.overdue(now_ns) {
                self.receive(node);
            } else if never_cancelled && node.ptr() == waited {
                let result = self.backend.refuse(&node);
                self.finish(node, result);
            } else {
                self.taken.push(node);
            }
        }
        self.complete_silent();
    }

    /// Completes what is on the ready list and has nobody to tell any more: a thread may block for it.
    pub(crate) fn complete_silent(&self) {
        for _ in 0..self.ready.len() {
            let Some(node) = self.ready.pop() else { break };
            let result = node.result();
            self.finish(node, result);
        }
    }

    /// After a stop nobody may drive the ring for long: lets threads that drop an operation look into our
    /// half themselves, until the owner comes back. Not from inside a callback, whose caller is in it.
    pub(crate) fn rest(&self) {
        let stopped = self.backend.gate.refuses_owner();
        if stopped && !self.delivering.get() && self.owned() == 0 {
            self.backend.mode.rest();
        }
    }

    /// Refuses to wait where it would be for ever.
    pub(crate) fn may_stop(&self) -> Result<(), Errno> {
        if self.delivering.get() { Err(Errno::DEADLK) } else { Ok(()) }
    }
}
