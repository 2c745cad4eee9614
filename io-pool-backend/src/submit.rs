//! How an operation enters: what is done inside submit, and where the rest goes.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is tried only while its node is in this thread's hands, inside its submit.

use crate::backend::PoolBackend;
use crate::line::{Arrival, Waits};
use crate::note::Stage;
use crate::run::Turn;
use io_core::readiness::{Claim, Tried};
use io_core::sync::Ordering;
use io_core::syscall::{Attempt, attempt, fits_inline, no_longer_receives, now_ns, perform};
use io_core::{Errno, Node, Op, RawLock};

impl<L: RawLock> PoolBackend<L> {
    /// The contract's `submit`.
    #[inline]
    pub(crate) fn enter(&self, node: Node) {
        // Ordering: Relaxed, a hint: what is queued is checked again, under the lock.
        if self.refusing.load(Ordering::Relaxed) != 0 {
            return self.turn_away(node);
        }
        if node.overdue(now_ns) {
            return self.finish_inline(node, Errno::CANCELED.to_result());
        }
        // Ordering: Relaxed, see `count_sources`.
        if self.sources.load(Ordering::Relaxed) != 0 && node.op().interest().is_some() {
            return self.join(node);
        }
        self.try_inline(node, None);
    }

    #[cold]
    fn turn_away(&self, node: Node) {
        let close = node.op().kind().never_cancelled();
        // SAFETY: the operation of a node that is not completed.
        let perform = || unsafe { perform(node.op()) };
        let result = if close { perform() } else { Errno::CANCELED.to_result() };
        self.finish_inline(node, result);
    }

    /// Joins the line of a source, or tries at once if there is none.
    #[inline(never)]
    fn join(&self, node: Node) {
        let line = self.queues(|queues| {
            queues.enter_line(node).map_err(|node| {
                // Before anybody can deliver it.
                self.count.queued();
                let first = self.arm(queues, &node);
                let fd = node.op().fd();
                (queues.let_wait(node, Arrival::Untried), fd, first)
            })
        });
        match line {
            Ok((node, claim)) => self.try_inline(node, claim),
            Err((waits, fd, first)) => {
                self.notice(first);
                self.after_wait(waits, fd, Turn::Reap);
            }
        }
    }

    /// Tries the operation here if it is short enough.
    // Twice in line: the usual way has no claim, and pays for none.
    #[inline(always)]
    fn try_inline(&self, node: Node, claim: Option<Claim>) {
        // SAFETY: the operation of a node that is not completed.
        let fits = unsafe { fits_inline(node.op()) };
        // SAFETY: as above.
        let tried = if fits { unsafe { attempt(node.op()) } } else { Attempt::Refused };
        if let Attempt::Done(result) = tried {
            if claim.is_some() {
                let tells = Tried::of(node.op(), result);
                self.queues(|queues| queues.release(node.op(), claim, tells));
            }
            return self.finish_inline(node, result);
        }
        self.queue_untried(node, tried, fits, claim);
    }

    /// What a submit could not finish goes to wait or to work.
    #[cold]
    fn queue_untried(&self, node: Node, tried: Attempt, fits: bool, claim: Option<Claim>) {
        if let Some(result) = self.own(&node) {
            return self.finish_inline(node, result);
        }
        if tried != Attempt::Refused {
            self.count.syscall();
        }
        self.count.queued();
        let may_wait = node.op().interest().is_some();
        match tried {
            _ if matches!(node.op(), Op::Timeout(_)) => self.put_to_sleep(node),
            Attempt::Partial(done) => {
                node.set_result(i64::try_from(done).unwrap_or(0));
                if claim.is_some() {
                    self.queues(|queues| queues.release(node.op(), claim, Tried::Nothing));
                }
                self.enqueue(node, Stage::Block, None);
            }
            // A source's event of that may be long past.
            Attempt::WouldBlock if claim.is_some() && no_longer_receives(node.op()) => {
                self.enqueue(node, Stage::Ready, claim);
            }
            // It was tried: wait for readiness.
            Attempt::WouldBlock if may_wait => self.wait_for(node, claim),
            // Too long to be tried here.
            Attempt::Refused if may_wait && !fits => self.enqueue(node, Stage::Fresh, claim),
            // There is no form of it that does not wait; but on a source the call itself does not.
            Attempt::Refused if may_wait && claim.is_some() => {
                self.enqueue(node, Stage::Ready, claim);
            }
            Attempt::Refused if may_wait => self.wait_for(node, None),
            _ => self.enqueue(node, Stage::Block, None),
        }
    }

    /// Performs an operation of the pool's own; `None` for all others.
    fn own(&self, node: &Node) -> Option<i64> {
        match node.op() {
            Op::Cancel(cancel) => {
                let home = self.address();
                let (withdrawn, count) =
                    self.queues(|queues| queues.cancel_all(home, cancel.scope));
                self.refuse_all(withdrawn);
                Some(i64::try_from(count).unwrap_or(i64::MAX))
            }
            Op::Close(close) => {
                self.end_waiting(close.fd);
                None
            }
            _ => None,
        }
    }

    /// Queues an operation that submit could not finish, with the direction of its source if it has that.
    fn enqueue(&self, node: Node, stage: Stage, claim: Option<Claim>) {
        let (refused, first) = self.queues(|queues| {
            if queues.refuses() && !node.op().kind().never_cancelled() {
                queues.release(node.op(), claim, Tried::Nothing);
                return (Some(node), false);
            }
            let first = self.arm(queues, &node);
            queues.push_entered(node, stage, claim);
            (None, first)
        });
        self.notice(first);
        match refused {
            Some(node) => {
                self.refuse(node, Turn::Reap);
            }
            None => self.notify_work(),
        }
    }

    /// A try that would have blocked waits, or is tried again if an event came meanwhile.
    fn wait_for(&self, node: Node, claim: Option<Claim>) {
        let fd = node.op().fd();
        let (waits, first) = self.queues(|queues| {
            let first = self.arm(queues, &node);
            (queues.wait_again(node, claim, Arrival::Bare), first)
        });
        self.notice(first);
        self.after_wait(waits, fd, Turn::Reap);
    }

    fn put_to_sleep(&self, node: Node) {
        let (refused, first) = self.queues(|queues| {
            let first = self.arm(queues, &node);
            node.begin_unshared();
            (queues.let_sleep(node), first)
        });
        self.notice(first);
        if let Some(node) = refused {
            self.refuse(node, Turn::Reap);
        }
    }

    /// Takes an operation of another backend's. It does not go home from in here.
    pub(crate) fn take_in(&self, node: Node) {
        let fd = node.op().fd();
        // What it has transferred is not to be transferred again: it is performed, and not tried.
        let fresh = node.result() <= 0;
        let waits = self.queues(|queues| {
            if !fresh {
                queues.push_work(node, Stage::Block);
                return None;
            }
            match queues.enter_line(node) {
                Ok((node, claim)) => queues.push_entered(node, Stage::Fresh, claim),
                Err(node) => match queues.let_wait(node, Arrival::Untried) {
                    // It ends early when it is taken from there.
                    Waits::Refused(node) => queues.push_work(node, Stage::Fresh),
                    waits => return Some(waits),
                },
            }
            None
        });
        match waits {
            Some(waits) => {
                self.after_wait(waits, fd, Turn::Reap);
            }
            None => self.notify_work(),
        }
    }
}
