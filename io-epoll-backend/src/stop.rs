//! Turns of the poll loop, waits that deliver nothing, start and stop.
#![allow(unsafe_code, reason = "looks at nodes by address")]
//! # Safety
//! The caller of `wait` keeps the node's storage valid.

use crate::backend::EpollBackend;
use crate::queues::{Mode, Queues};
use crate::run::Turn;
use core::time::Duration;
use io_core::readiness::{Role, Teller, give_way};
use io_core::sync::{AtomicU32, Ordering};
use io_core::syscall::{deadline_in, now_ns};
use io_core::{Deadline, Errno, NodePtr, OffloadHandle, RawLock, Scope, StopError};

/// So many turns in a row may deliver without a look into epoll, so that a stream of operations that
/// finish inside submit does not starve those that wait.
const UNLOOKED: u32 = 4;

/// Lowers a flag; whether it was raised.
fn take(flag: &AtomicU32) -> bool {
    flag.load(Ordering::SeqCst) != 0 && flag.swap(0, Ordering::SeqCst) != 0
}

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// The contract's `poll`, in the backend's generation `born`. At most one `epoll_wait(2)` if there is something to deliver; none if nothing
    /// waits there and nobody is to be waited for.
    pub(crate) fn turn(&self, born: u32, timeout: Option<Duration>) -> Result<usize, Errno> {
        let deadline = match timeout {
            None => Deadline::NEVER,
            Some(Duration::ZERO) => Deadline::NOW,
            Some(timeout) => deadline_in(timeout),
        };
        let teller = Teller::new(L::SHARED);
        let news = self.news.load(Ordering::SeqCst);
        let mut looked = false;
        loop {
            let seen = self.park.epoch();
            self.expire();
            let mut delivered = self.deliver_all(born, &teller);
            if !self.is_of(born) {
                return self.in_child(delivered);
            }
            if delivered == 0
                && let Some(errno) = self.park.lost()
            {
                if self.end_lost(errno) {
                    continue;
                }
                self.park.leave();
                return Err(errno);
            }
            let told = take(&self.woken) | take(&self.announced)
                || self.news.load(Ordering::SeqCst) != news;
            if delivered > 0 || told || deadline.is_over(now_ns) {
                if !looked && self.look(delivered > 0 || told) {
                    delivered += self.deliver_all(born, &teller);
                    if !self.is_of(born) {
                        return self.in_child(delivered);
                    }
                    self.announced.store(0, Ordering::SeqCst);
                }
                self.park.leave();
                return Ok(delivered);
            }
            looked = true;
            self.sleep(seen, deadline);
        }
    }

    fn deliver_all(&self, born: u32, teller: &Teller) -> usize {
        self.deliver_ready(born, teller) + self.work_through(born, teller)
    }

    /// A callback has forked, and this is the child. It may have made the backend new: then nothing of what
    /// this turn began is left.
    fn in_child(&self, delivered: usize) -> Result<usize, Errno> {
        if self.is_forked() { Err(Errno::OWNERDEAD) } else { Ok(delivered) }
    }

    /// Looks into epoll without waiting, if something waits there; not each time if the turn has delivered.
    fn look(&self, delivered: bool) -> bool {
        if delivered && self.unlooked.fetch_add(1, Ordering::Relaxed) < UNLOOKED
            || self.queues(|queues| queues.parked()) == 0
        {
            return false;
        }
        self.unlooked.store(0, Ordering::Relaxed);
        self.count.syscall();
        let events = self.park.look();
        self.ready_again(&events);
        true
    }

    /// Does the work there is now; what it adds is for the next turn.
    fn work_through(&self, born: u32, teller: &Teller) -> usize {
        if !self.is_of(born) {
            return 0;
        }
        let mut left = self.queues(|queues| queues.work.len());
        let mut delivered = 0;
        while left > 0
            && self.is_of(born)
            && let Some(done) = self.work(Turn::Deliver(teller))
        {
            left -= 1;
            delivered += done;
        }
        delivered
    }

    /// The contract's `flush`.
    pub(crate) fn hand_on(&self) -> usize {
        let queued = self.queues(|queues| queues.work.len());
        for _ in 0..queued {
            if self.work(Turn::Reap).is_none() {
                break;
            }
        }
        queued
    }

    /// One turn of a thread that may not deliver: some work, or a sleep until there may be news.
    pub(crate) fn help(&self, seen: u32, deadline: Deadline) {
        self.expire();
        if self.work(Turn::Reap).is_none() {
            self.sleep(seen, deadline);
        }
    }

    /// Sleeps until there may be news since `seen`, a deadline of any operation, or `deadline`.
    fn sleep(&self, seen: u32, deadline: Deadline) {
        // Where others are, work that was added since `seen` has raised the epoch.
        if !L::SHARED && !self.queues(|queues| queues.work.is_empty()) {
            return;
        }
        if self.park.lost().is_some_and(|errno| self.end_lost(errno)) {
            return;
        }
        let timed = self.timed.load(Ordering::SeqCst) != 0;
        let timer =
            if timed { self.queues(|queues| queues.timers.next()) } else { Deadline::NEVER };
        self.count.syscall();
        self.unlooked.store(0, Ordering::Relaxed);
        let events = self.park.park(Role::Other, seen, deadline, timer);
        self.ready_again(&events);
    }

    /// The contract's `wait`.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn wait_for_one(&self, node: NodePtr) {
        if self.is_forked() {
            return;
        }
        loop {
            let seen = self.park.epoch();
            // SAFETY: promised by the caller.
            let ready = self.queues(|queues| unsafe { queues.take_this_ready(node) });
            if let Some(node) = ready {
                // Its sink was taken out before: nobody's code runs.
                let result = node.result();
                self.finish(node, result, Turn::Reap);
                self.park.leave();
                return;
            }
            // SAFETY: promised by the caller.
            let job = self.queues(|queues| unsafe { queues.take_this_job(node) });
            if let Some(job) = job {
                self.run(job, Turn::Reap);
                continue;
            }
            // SAFETY: promised by the caller.
            if !unsafe { node.add_waiter() } {
                self.park.leave();
                return;
            }
            self.help(seen, Deadline::NEVER);
        }
    }

    /// The contract's `start`.
    pub(crate) fn begin(&self) -> Result<(), Errno> {
        if self.is_forked() {
            return Err(Errno::OWNERDEAD);
        }
        self.queues(|queues| match queues.mode {
            Mode::Open { started: true } => Err(Errno::ALREADY),
            Mode::Stopping if queues.owned() > 0 => Err(Errno::BUSY),
            Mode::Open { started: false } | Mode::Stopping | Mode::Stopped => {
                queues.mode = Mode::Open { started: true };
                self.publish(queues);
                Ok(())
            }
        })
    }

    /// Makes the mode readable without the lock; called under it.
    fn publish(&self, queues: &Queues) {
        self.refusing.store(u32::from(queues.refuses()), Ordering::Relaxed);
    }

    /// The contract's `stop`.
    pub(crate) fn end(&self, deadline: Deadline) -> Result<(), StopError> {
        if self.is_forked() {
            return Err(StopError::WrongPlace(Errno::OWNERDEAD));
        }
        if self.tellers.is_inside(L::SHARED) {
            return Err(StopError::WrongPlace(Errno::DEADLK));
        }
        match self.shut(deadline) {
            0 => Ok(()),
            owned => Err(StopError::StillOwned(owned)),
        }
    }

    /// Refuses, cancels and drains. The number still owned when the deadline passes.
    fn shut(&self, deadline: Deadline) -> usize {
        let withdrawn = self.queues(|queues| {
            // A close may have come since.
            if queues.mode == Mode::Stopped && self.left(queues) == 0 {
                return None;
            }
            queues.mode = Mode::Stopping;
            self.publish(queues);
            Some(queues.withdraw_all(|_| true))
        });
        let Some(mut withdrawn) = withdrawn else { return 0 };
        while let Some(node) = withdrawn.pop() {
            self.refuse(node, Turn::Reap);
        }
        self.recall_all(Scope::All);
        self.drain(deadline)
    }

    /// How many operations have no result yet. A thread that has that of what it took off the lists may be about to
    /// store it.
    fn left(&self, queues: &Queues) -> usize {
        let telling = self.count.undelivered().saturating_sub(queues.ready.len() as u64);
        queues.owned().max(usize::try_from(telling).unwrap_or(usize::MAX))
    }

    /// Waits until nothing is owned. The number that is, when the deadline passes.
    fn drain(&self, deadline: Deadline) -> usize {
        loop {
            let seen = self.park.epoch();
            let (owned, left) = self.queues(|queues| {
                let left = self.left(queues);
                // Under the same lock: a start cannot come in between.
                if left == 0 && queues.mode == Mode::Stopping {
                    queues.mode = Mode::Stopped;
                }
                (queues.owned(), left)
            });
            if left == 0 {
                self.await_visitors();
            }
            if left == 0 || deadline.is_over(now_ns) {
                self.park.leave();
                return left;
            }
            if owned == 0 {
                give_way();
            } else {
                self.help(seen, deadline);
            }
        }
    }

    /// Waits until who brought the last one home, or away, has completed it and left: a few instructions, and
    /// at most one write of an eventfd, each.
    fn await_visitors(&self) {
        while self.queues(|queues| queues.bringing + queues.handing) > 0 {
            give_way();
        }
    }

    /// The end of the backend: nothing of it is owned or touched by anybody when this returns.
    pub(crate) fn finish_all(&self) {
        // Also from inside a callback: what that completed is not owned any more.
        let owned = self.shut(Deadline::NEVER);
        debug_assert_eq!(owned, 0, "a drain without deadline ends at zero");
        self.await_visitors();
        let teller = Teller::new(L::SHARED);
        let born = self.lineage.generation();
        while self.deliver_ready(born, &teller) > 0 && self.is_of(born) {}
    }
}
