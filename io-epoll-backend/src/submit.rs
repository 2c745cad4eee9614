//! How an operation enters: what is done inside submit, and where the rest goes.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is tried only while its node is in this thread's hands, inside its submit.

use crate::backend::EpollBackend;
use crate::line::{Arrival, Waits, lane};
use crate::note::{Place, Stage, set};
use crate::plan::{Next, after, tells};
use crate::queues::{Claim, Queues};
use crate::run::Turn;
use io_core::readiness::{Entry, Lane, Tried};
use io_core::sync::Ordering;
use io_core::syscall::{Attempt, attempt, fits_inline, no_longer_receives, now_ns, perform};
use io_core::{Errno, Fd, Node, OffloadHandle, Op, RawLock};

/// What an operation finds on its descriptor.
enum Line {
    /// Nobody before it: it may be tried.
    Free(Node),
    /// Nobody before it, on a source: it has the direction.
    Claimed(Node, Claim),
    /// It was queued.
    Queued(Waits),
}

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// The contract's `submit`.
    #[inline]
    pub(crate) fn enter(&self, node: Node) {
        // Ordering: Relaxed, a hint: what is queued is checked again, under the lock.
        if self.refusing.load(Ordering::Relaxed) != 0 {
            return self.turn_away(node);
        }
        if node.overdue(now_ns) {
            return self.finish_inline(node, Errno::CANCELED.to_result(), 0);
        }
        match node.op() {
            Op::Cancel(op) => {
                let asked = self.cancel_in(op.scope);
                return self.finish_inline(node, i64::try_from(asked).unwrap_or(i64::MAX), 0);
            }
            Op::Timeout(_) => return self.idle(node),
            Op::Close(op) => self.end_waiting(op.fd),
            _ => {}
        }
        // Ordering: Relaxed, as above.
        if self.lines.load(Ordering::Relaxed) != 0
            && !node.op().wants_eagain()
            && let Some((fd, its)) = lane(node.op())
        {
            return self.join(node, fd, its);
        }
        self.try_inline(node, None);
    }

    #[cold]
    fn turn_away(&self, node: Node) {
        let (result, calls) = if node.op().kind().never_cancelled() {
            // SAFETY: the operation of a node that is not completed.
            (unsafe { perform(node.op()) }, 1)
        } else {
            (Errno::CANCELED.to_result(), 0)
        };
        self.finish_inline(node, result, calls);
    }

    /// Joins a line, or tries at once if there is none.
    fn join(&self, node: Node, fd: Fd, its: Lane) {
        let line = self.queues(|queues| {
            let line = look(queues, node, fd, its);
            if matches!(line, Line::Queued(_)) {
                // Before anybody can deliver it.
                self.count.queued();
            }
            line
        });
        match line {
            Line::Free(node) => self.try_inline(node, None),
            Line::Claimed(node, claim) => self.try_inline(node, Some(claim)),
            Line::Queued(waits) => {
                self.after_wait(waits, fd, Turn::Reap);
            }
        }
    }

    /// Tries the operation here if it is short enough, else leaves that to the next turn.
    #[inline]
    fn try_inline(&self, node: Node, claim: Option<Claim>) {
        // SAFETY: the operation of a node that is not completed.
        if !unsafe { fits_inline(node.op()) } {
            return self.leave(node, claim);
        }
        // SAFETY: as above.
        let tried = unsafe { attempt(node.op()) };
        if let Attempt::Done(result) = tried {
            if let Some(claim) = claim {
                self.give_up(node.op(), claim, tells(node.op(), result));
            }
            return self.finish_inline(node, result, 1);
        }
        self.queue_untried(node, tried, claim);
    }

    /// Too long to be tried here. What has no readiness goes where it may be performed.
    #[cold]
    fn leave(&self, node: Node, claim: Option<Claim>) {
        self.count.queued();
        if claim.is_none() && lane(node.op()).is_none() && self.helper().is_some() {
            return self.hand_over(node);
        }
        self.enqueue(node, Stage::Fresh, claim);
    }

    /// What a try inside submit could not finish goes to wait, to work, or to the offload backend.
    #[cold]
    fn queue_untried(&self, node: Node, tried: Attempt, claim: Option<Claim>) {
        if tried != Attempt::Refused {
            self.count.syscall();
        }
        self.count.queued();
        let next = after(node.op(), Stage::Fresh, tried, self.helper().is_some());
        // A source's event of that may be long past.
        let waits =
            claim.is_none() || tried == Attempt::WouldBlock && !no_longer_receives(node.op());
        match (next, lane(node.op())) {
            (Next::Wait, Some((fd, its))) if waits => {
                self.wait_for(node, fd, its, claim);
            }
            // There is no form of it that does not wait, or nothing to wait for: the turn makes the call.
            (Next::Wait | Next::Act | Next::Done(_), _) => self.enqueue(node, Stage::Ready, claim),
            (Next::Block(done), _) => {
                node.set_result(i64::try_from(done).unwrap_or(0));
                if let Some(claim) = claim {
                    self.give_up(node.op(), claim, Tried::Nothing);
                }
                if self.helper().is_some() {
                    self.hand_over(node);
                } else {
                    self.enqueue(node, Stage::Block, None);
                }
            }
        }
    }

    /// Gives the direction of a source to the next in line.
    fn give_up(&self, op: &Op, claim: Claim, tried: Tried) {
        if let Some((fd, its)) = lane(op) {
            self.queues(|queues| queues.release(fd, its, Some(claim), tried));
        }
    }

    /// Leaves an operation to the next turn, with the direction of its source if it has that.
    fn enqueue(&self, node: Node, stage: Stage, claim: Option<Claim>) {
        let refused = self.queues(|queues| match (queues.admit(node), claim) {
            (Ok(node), Some(claim)) => {
                queues.push_claimed(node, stage, claim.generation);
                None
            }
            (Ok(node), None) => {
                queues.push_work(node, stage);
                None
            }
            (Err(node), claim) => {
                if let Some((fd, its)) = lane(node.op()).filter(|_| claim.is_some()) {
                    queues.release(fd, its, claim, Tried::Nothing);
                }
                Some(node)
            }
        });
        if let Some(node) = refused {
            self.refuse(node, Turn::Reap);
        }
    }

    /// A try that would have blocked: waits in front of those that came meanwhile, or is tried again if
    /// an event came meanwhile.
    fn wait_for(&self, node: Node, fd: Fd, its: Lane, claim: Option<Claim>) {
        let from = Arrival::Tried;
        let waits = self.queues(|queues| queues.wait_again(node, fd, its, claim, from));
        self.after_wait(waits, fd, Turn::Reap);
    }

    /// A timeout waits for its deadline, a cancel or a stop.
    fn idle(&self, node: Node) {
        self.count.queued();
        let refused = self.queues(|queues| match queues.admit(node) {
            Ok(node) => {
                set(&node, Place::Idle, Stage::Fresh);
                queues.idle.push(node);
                None
            }
            Err(node) => Some(node),
        });
        if let Some(node) = refused {
            self.refuse(node, Turn::Reap);
        }
    }
}

/// What an operation finds on its descriptor, under the lock.
fn look(queues: &mut Queues, node: Node, fd: Fd, its: Lane) -> Line {
    let Some(state) = queues.sources.find(fd).filter(|state| !state.is_refused()) else {
        return if queues.has_before(fd, its) {
            Line::Queued(queues.let_wait(node, fd, its, Arrival::New))
        } else {
            Line::Free(node)
        };
    };
    match state.enter(its) {
        Entry::Try(tick) => {
            let generation = state.generation();
            Line::Claimed(node, Claim { generation, tick })
        }
        Entry::Wait => Line::Queued(queues.let_wait(node, fd, its, Arrival::New)),
    }
}
