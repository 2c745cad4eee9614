//! Doing the work: one job, what becomes of its result, and what is delivered when.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is performed only while its node is in this thread's hands.

use crate::backend::PoolBackend;
use crate::line::Arrival;
use crate::note::{Place, Stage, set_place};
use crate::queues::Job;
use io_core::readiness::{Teller, Telling, Tried};
use io_core::syscall::{Attempt, attempt, attempt_again, perform_from, tells_of_more};
use io_core::{Errno, Node, Op, RawLock, Way};

/// Whether a turn may run wakers and callbacks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn<'t> {
    /// Yes: a worker, or the caller of `poll`.
    Deliver(&'t Teller),
    /// No: a wait inside drop, stop or a `*_sync` form. Sinks stay on the ready list.
    Reap,
}

/// What came of a job's system calls.
enum Outcome {
    Done(i64, Way),
    Wait,
}

/// Tells pollers and waiters that something was delivered. While it exists, its thread is in user code.
struct Announce<'p, L: RawLock> {
    pool: &'p PoolBackend<L>,
    telling: Telling<'p>,
    born: u32,
}

impl<'p, L: RawLock> Announce<'p, L> {
    fn in_sink(pool: &'p PoolBackend<L>, teller: &Teller) -> Self {
        Announce { pool, telling: pool.tellers.enter(teller), born: pool.lineage.generation() }
    }
}

impl<L: RawLock> Drop for Announce<'_, L> {
    fn drop(&mut self) {
        if !self.pool.is_of(self.born) {
            // The sink has forked, and this is the child: it went into the parent's pool.
            return;
        }
        self.telling.leave();
        if !L::SHARED {
            // Nobody else polls or waits; and the turn that this is inside of counts what it delivers.
            return;
        }
        self.pool.announce();
        // The sink may have unwound, and this thread with it.
        self.pool.park.leave();
    }
}

impl<L: RawLock> PoolBackend<L> {
    /// Does one piece of work, if there is any. Returns how many were delivered, or `None`.
    pub(crate) fn work(&self, turn: Turn<'_>) -> Option<usize> {
        let (job, more) = self.queues(|queues| {
            let job = queues.take_job();
            (job, !queues.work.is_empty())
        });
        let job = job?;
        // Two pieces of work may have woken one sleeper; and the watcher may have become a worker.
        if L::SHARED && more {
            self.notify_work();
        }
        self.park.leave();
        Some(self.run(job, turn))
    }

    pub(crate) fn run(&self, mut job: Job, turn: Turn<'_>) -> usize {
        self.refuse_all(core::mem::take(&mut job.ended));
        match self.act(&job) {
            Outcome::Done(result, way) => {
                let (node, held) = self.queues(|queues| {
                    let held = !queues.held.is_empty();
                    (queues.end_job(&job, Tried::of(&job.op, result)), held)
                });
                self.notify_held(held);
                self.count.way(way);
                self.finish(node, result, turn)
            }
            Outcome::Wait => {
                let in_vain = job.stage.is_ready() && self.hears_of_more(&job);
                // In one step: between two, a recall would find it neither with a worker nor waiting.
                let (waits, held, leaving) = self.queues(|queues| {
                    let held = !queues.held.is_empty();
                    let node = queues.end_run(&job);
                    let stage = if in_vain { job.stage } else { Stage::Fresh };
                    let from = Arrival::after(stage, &node);
                    node.requeue();
                    (queues.wait_again(node, job.claim, from), held, queues.leaving > 0)
                });
                self.notify_held(held);
                if leaving {
                    self.notify_others();
                }
                self.after_wait(waits, job.op.fd(), turn)
            }
        }
    }

    /// Whether it may wait for the next event, when the last one brought nothing.
    #[cold]
    fn hears_of_more(&self, job: &Job) -> bool {
        // A source's line knows by itself.
        if job.claim.is_some() {
            return true;
        }
        self.count.syscall();
        tells_of_more(&job.op)
    }

    /// The system calls of one job.
    fn act(&self, job: &Job) -> Outcome {
        let op = &job.op;
        let tried = if job.stage == Stage::Block {
            Attempt::Partial(job.done)
        } else {
            self.count.syscall();
            if job.stage.is_ready() {
                // SAFETY: the operation of a node that is in this thread's hands, and not completed.
                unsafe { attempt_again(op) }
            } else {
                // SAFETY: as above.
                unsafe { attempt(op) }
            }
        };
        // Readiness is what the operation waited for, if it did.
        let way = if job.stage.is_ready() { Way::Readiness } else { Way::Offload };
        let result = match (tried, op.interest()) {
            (Attempt::Done(result), _) => return Outcome::Done(result, way),
            (Attempt::WouldBlock, Some(_)) => return Outcome::Wait,
            // A source's call itself does not wait.
            (Attempt::Refused, Some(_)) if job.stage == Stage::Fresh && job.claim.is_none() => {
                return Outcome::Wait;
            }
            (Attempt::Partial(done), _) => self.perform(op, done),
            (Attempt::WouldBlock | Attempt::Refused, _) => self.perform(op, 0),
        };
        match op.interest() {
            // A non-blocking description: wait for readiness, unless the caller wants to be told. What
            // epoll has refused (`Block`) has none to wait for, and would go round for ever.
            Some(_)
                if result == Errno::AGAIN.to_result()
                    && !op.wants_eagain()
                    && job.stage != Stage::Block =>
            {
                Outcome::Wait
            }
            _ => Outcome::Done(result, way),
        }
    }

    fn perform(&self, op: &Op, done: usize) -> i64 {
        self.count.syscall();
        // SAFETY: as in `act`.
        unsafe { perform_from(op, done) }
    }

    /// An operation has its result. In a turn that may not deliver, somebody else's sink is left on the
    /// ready list.
    pub(crate) fn finish(&self, node: Node, result: i64, turn: Turn<'_>) -> usize {
        if node.home() != self.address() {
            node.go_home(result);
            self.count.delivered();
            self.notify_others();
            return 0;
        }
        self.disarm(&node);
        if let Turn::Deliver(teller) = turn {
            self.deliver(node, result, teller);
            return 1;
        }
        match node.complete_quiet(result) {
            Ok(_) => {
                self.count.delivered();
                self.announce();
            }
            Err(node) => {
                self.queues(|queues| queues.push_ready(node));
                self.notify_ready();
            }
        }
        0
    }

    /// Completes and runs the sink. Nothing is held here: it is user code.
    fn deliver(&self, node: Node, result: i64, teller: &Teller) {
        let delivery = node.complete(result);
        self.count.delivered();
        if delivery.waiter() {
            self.announce();
        }
        // Pollers hear of it after the sink has run, because they look for what it did; and also when
        // it unwinds.
        let _announced = Announce::in_sink(self, teller);
        delivery.run();
    }

    /// Delivers what is on the ready list now; what is added meanwhile is for the next turn.
    pub(crate) fn deliver_ready(&self, teller: &Teller) -> usize {
        let born = self.lineage.generation();
        let mut left = self.queues(|queues| queues.ready.len());
        let mut delivered = 0;
        while left > 0
            && self.is_of(born)
            && let Some(node) = self.queues(|queues| queues.take_ready())
        {
            let result = node.result();
            self.deliver(node, result, teller);
            left -= 1;
            delivered += 1;
        }
        delivered
    }

    /// Ends an operation early. What it has transferred by then is its result.
    pub(crate) fn refuse(&self, node: Node, turn: Turn<'_>) -> usize {
        self.fail(node, Errno::CANCELED, turn)
    }

    /// Ends an operation with an error, or with what it has transferred by then.
    pub(crate) fn fail(&self, node: Node, errno: Errno, turn: Turn<'_>) -> usize {
        let result = match node.result() {
            done @ 1.. => done,
            _ => errno.to_result(),
        };
        self.finish(node, result, turn)
    }

    /// Finishes an operation that submit could finish.
    #[inline]
    pub(crate) fn finish_inline(&self, node: Node, result: i64) {
        if node.has_callback() {
            return self.finish_later(node, result);
        }
        self.count.inline(node.op());
        node.complete_inline(result);
    }

    /// Submit runs no user code: the next turn does.
    #[inline(never)]
    fn finish_later(&self, node: Node, result: i64) {
        self.count.inline_later(node.op());
        node.set_result(result);
        self.queues(|queues| {
            set_place(&node, Place::Nowhere);
            queues.push_ready(node);
        });
        self.notify_ready();
    }
}
