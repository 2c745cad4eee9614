//! Doing the work: one job, what becomes of its result, and what is delivered when.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is performed only while its node is in this thread's hands.

use crate::backend::EpollBackend;
use crate::line::lane;
use crate::note::Stage;
use crate::plan::{Next, after, tells};
use crate::queues::{Alone, Job, Queues};
use io_core::readiness::{Teller, Telling};
use io_core::syscall::{
    Attempt, attempt, attempt_again, no_longer_receives, perform_from, tells_of_more,
};
use io_core::{Errno, Node, OffloadHandle, OpKind, RawLock, Way};

/// Whether a turn may run wakers and callbacks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn<'t> {
    /// Yes: the caller of `poll`.
    Deliver(&'t Teller),
    /// No: a flush, or a wait inside drop, stop or a `*_sync` form. Sinks stay on the ready list.
    Reap,
}

/// What came of a job's system calls.
enum Outcome {
    Done(i64, Way),
    Wait,
    HandOver(usize),
}

/// Tells pollers and waiters that something was delivered, also when its sink unwinds.
struct Announce<'b, L: RawLock, O: OffloadHandle> {
    backend: &'b EpollBackend<L, O>,
    telling: Telling<'b>,
    born: u32,
}

impl<L: RawLock, O: OffloadHandle> Drop for Announce<'_, L, O> {
    fn drop(&mut self) {
        if self.backend.lineage.generation() != self.born {
            // The sink has forked, and this is the child: it went into the parent's backend.
            return;
        }
        self.telling.leave();
        if !L::SHARED {
            // Nobody else polls or waits; and the turn that this is inside of counts what it delivers.
            return;
        }
        self.backend.announce();
        // The sink may have unwound, and this thread with it.
        self.backend.park.leave();
    }
}

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// Does one piece of work, if there is any. Returns how many were delivered, or `None`.
    #[inline]
    pub(crate) fn work(&self, turn: Turn<'_>) -> Option<usize> {
        if L::SHARED { self.work_shared(turn) } else { self.work_alone(turn) }
    }

    /// [`work`](Self::work) where nobody can look for the node meanwhile: a source's operation that gets its
    /// result at once, which is nearly every one, is in no list while it is tried.
    fn work_alone(&self, turn: Turn<'_>) -> Option<usize> {
        let (node, generation) = match self.queues(Queues::take_alone)? {
            Alone::Job(job) => return Some(self.run(job, turn)),
            Alone::Claimed(node, generation) => (node, generation),
        };
        self.count.syscall();
        // SAFETY: the operation of a node that is in this thread's hands, and not completed.
        let tried = unsafe { attempt(node.op()) };
        let Attempt::Done(result) = tried else {
            let job = self.queues(|queues| queues.take_up(node, generation));
            return Some(self.follow(&job, tried, turn));
        };
        let tells = tells(node.op(), result);
        self.queues(|queues| queues.end_alone(&node, generation, tells));
        self.count.way(Way::Readiness);
        Some(self.finish(node, result, turn))
    }

    fn work_shared(&self, turn: Turn<'_>) -> Option<usize> {
        let job = self.queues(|queues| {
            let job = queues.take_job();
            // Two pieces of work may have woken one sleeper.
            queues.news.work |= L::SHARED && !queues.work.is_empty();
            job
        })?;
        self.park.leave();
        Some(self.run(job, turn))
    }

    pub(crate) fn run(&self, mut job: Job, turn: Turn<'_>) -> usize {
        while let Some(node) = job.ended.pop() {
            self.refuse(node, Turn::Reap);
        }
        let tried = self.attempt(&job);
        self.follow(&job, tried, turn)
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

    /// What becomes of a job after its try.
    fn follow(&self, job: &Job, tried: Attempt, turn: Turn<'_>) -> usize {
        match (self.act(job, tried), lane(&job.op)) {
            (Outcome::Wait, Some((fd, its))) => {
                let in_vain = job.stage.is_ready() && self.hears_of_more(job);
                // In one step: between two, a stop would find it neither running nor waiting.
                let waits = self.queues(|queues| {
                    let (node, from) = queues.end_try(job, in_vain);
                    node.requeue();
                    queues.wait_again(node, fd, its, job.claim, from)
                });
                self.after_wait(waits, fd, turn)
            }
            (Outcome::HandOver(done), _) => {
                let node = self.queues(|queues| queues.end_to_go_away(job, done));
                match node {
                    Ok(node) => self.accept(node),
                    Err(node) => return self.refuse(node, turn),
                }
                0
            }
            (Outcome::Done(result, way), _) => {
                let node = self.queues(|queues| queues.end_job(job, tells(&job.op, result)));
                self.count.way(way);
                self.finish(node, result, turn)
            }
            (Outcome::Wait, None) => {
                debug_assert!(false, "what waits has a descriptor");
                0
            }
        }
    }

    /// The try of one job.
    fn attempt(&self, job: &Job) -> Attempt {
        let op = &job.op;
        if job.stage == Stage::Block {
            return Attempt::Refused;
        }
        self.count.syscall();
        // A source's call itself does not wait, so nobody has to look first.
        let again = job.stage.is_ready() && (job.claim.is_none() || op.kind() == OpKind::Connect);
        // SAFETY: the operation of a node that is in this thread's hands, and not completed.
        if again { unsafe { attempt_again(op) } } else { unsafe { attempt(op) } }
    }

    /// A source's try that would have waited, for events that do not come any more.
    fn attempt_last(&self, job: &Job, tried: Attempt) -> Attempt {
        let waits = tried == Attempt::WouldBlock && job.claim.is_some();
        if !waits || !no_longer_receives(&job.op) {
            return tried;
        }
        self.count.syscall();
        // SAFETY: as in `attempt`.
        unsafe { attempt_again(&job.op) }
    }

    /// The system calls of one job, after its try.
    fn act(&self, job: &Job, tried: Attempt) -> Outcome {
        let op = &job.op;
        // Readiness is what the operation waited for, if it did.
        let way = if job.stage.is_ready() { Way::Readiness } else { Way::Inline };
        let tried = self.attempt_last(job, tried);
        // Before anybody is asked who else could do it.
        if let Attempt::Done(result) = tried {
            return Outcome::Done(result, way);
        }
        let offload = self.helper().is_some();
        let result = match after(op, job.stage, tried, offload) {
            Next::Done(result) => return Outcome::Done(result, way),
            Next::Wait => return Outcome::Wait,
            Next::Block(done) if offload => return Outcome::HandOver(done.max(job.done)),
            Next::Block(done) => self.perform(job, done.max(job.done)),
            Next::Act => self.perform(job, job.done),
        };
        // A non-blocking description: wait for readiness, unless the caller wants to be told. What epoll has
        // refused (`Block`) has none to wait for, and would go round for ever.
        let again = result == Errno::AGAIN.to_result()
            && op.interest().is_some()
            && !op.wants_eagain()
            && job.stage != Stage::Block;
        if !again {
            return Outcome::Done(result, way);
        }
        match self.attempt_last(job, Attempt::WouldBlock) {
            Attempt::Done(result) => Outcome::Done(result, way),
            _ => Outcome::Wait,
        }
    }

    fn perform(&self, job: &Job, done: usize) -> i64 {
        self.count.syscall();
        // SAFETY: as in `act`.
        unsafe { perform_from(&job.op, done) }
    }

    /// An operation has its result. In a turn that may not deliver, a sink is left on the ready list.
    pub(crate) fn finish(&self, node: Node, result: i64, turn: Turn<'_>) -> usize {
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
                self.park.notify_others();
            }
        }
        0
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

    /// Completes and runs the sink. Nothing is held here: it is user code.
    fn deliver(&self, node: Node, result: i64, teller: &Teller) {
        if !L::SHARED {
            return self.deliver_alone(node, result, teller);
        }
        let delivery = node.complete(result);
        self.count.delivered();
        if delivery.waiter() {
            self.announce();
        }
        // Other pollers hear of it after the sink has run, because they look for what it did; and also when
        // it unwinds.
        let _announced = self.inside(teller);
        delivery.run();
    }

    fn inside(&self, teller: &Teller) -> Announce<'_, L, O> {
        let (telling, born) = (self.tellers.enter(teller), self.lineage.generation());
        Announce { backend: self, telling, born }
    }

    /// [`deliver`](Self::deliver) where there is no other thread to tell or to exclude.
    fn deliver_alone(&self, node: Node, result: i64, teller: &Teller) {
        node.set_result(result);
        // SAFETY: the lock is not `Sync`, and so neither is the backend.
        let delivery = unsafe { node.complete_unshared() };
        self.count.delivered();
        let _inside = self.inside(teller);
        delivery.run();
    }

    /// Delivers what is on the ready list now; what is added meanwhile is for the next turn.
    pub(crate) fn deliver_ready(&self, born: u32, teller: &Teller) -> usize {
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

    /// Finishes an operation that submit could finish, with so many system calls.
    #[inline]
    pub(crate) fn finish_inline(&self, node: Node, result: i64, calls: u32) {
        if node.has_callback() {
            return self.finish_later(node, result, calls);
        }
        if calls == 0 {
            self.count.inline_free();
        } else {
            self.count.inline(node.op());
        }
        node.complete_inline(result);
    }

    /// Submit runs no user code: the next turn does.
    fn finish_later(&self, node: Node, result: i64, calls: u32) {
        self.count.queued();
        self.count.way(Way::Inline);
        if calls > 0 && !matches!(node.op(), io_core::Op::Nop(_)) {
            self.count.syscall();
        }
        node.set_result(result);
        self.queues(|queues| queues.push_ready(node));
        if L::SHARED {
            self.park.notify_others();
        }
    }
}
