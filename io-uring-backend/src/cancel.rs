//! Asking for the early end of an operation. What waits in a list ends at once; what is in the ring is
//! sent a cancel, whose own completion says nothing about the operation's.
#![allow(unsafe_code, reason = "looks at nodes by address")]
//! # Safety
//! The caller of `cancel` keeps the node's storage valid. The owner reads a node's scratch word only if it
//! is not at the offload backend, whose word it would be: then it was written by the submitting thread,
//! before that returned, or by the owner.

use crate::UringBackend;
use crate::inbox::Mode;
use crate::probe::Plan;
use crate::ring::Sqe;
use crate::seat::{Cancels, Seat, place};
use crate::token::Token;
use core::time::Duration;
use io_core::syscall::{deadline_in, now_ns};
use io_core::{Deadline, Errno, Node, NodePtr, OffloadHandle};

/// How long what all cancels have missed is left alone at first, and at most: twice as long each time.
const FIRST_DOUBT: Duration = Duration::from_millis(1);
const LAST_DOUBT: Duration = Duration::from_millis(64);

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The contract's `cancel`, from any thread.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn ask_cancel(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        let kind = unsafe { node.kind() };
        if kind.never_cancelled() {
            return;
        }
        match (self.plans.of(kind), self.offload.offload(), self.seat()) {
            (Plan::Offload, Some(offload), _) => {
                // SAFETY: operations of this plan are given to the offload by their submit.
                unsafe { offload.recall(node) };
            }
            // Finished inside submit; at most its delivery is due.
            (Plan::Offload | Plan::Inline, ..) => {}
            // SAFETY: not at the offload backend; the storage is promised by the caller.
            (_, _, Some(seat)) => unsafe { seat.cancel(node) },
            (_, _, None) => {
                self.mode.ask_cancels();
                self.nudge();
            }
        }
    }
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// # Safety
    /// * The node was submitted here, is not at the offload backend, and its storage is valid.
    pub(crate) unsafe fn cancel(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        let word = unsafe { self.peek(node) };
        match word & place::MASK {
            place::OVERFLOW => {
                // SAFETY: the place says which list it is in.
                let node = unsafe { self.overflow.remove(node) };
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::TURN => {
                // SAFETY: as above.
                let node = unsafe { self.turn.remove(node) };
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::HELD => {
                // SAFETY: as above.
                let node = unsafe { self.held.remove(node) };
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::ASLEEP => {
                // SAFETY: as above.
                let node = unsafe { self.asleep.remove(node) };
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::RING => {
                // SAFETY: as in `peek`: looked at, and given up again at once.
                let view = unsafe { node.into_node() };
                if !self.try_cancel(&view, 1) {
                    self.want_cancels(Cancels::First);
                }
                let _: NodePtr = view.into_ptr();
            }
            // On its way here, where it is looked at; or ready.
            _ => {}
        }
    }

    /// The scratch word of a node that somebody else may hold the right to.
    ///
    /// # Safety
    /// * As [`cancel`](Self::cancel).
    pub(crate) unsafe fn peek(&self, node: NodePtr) -> u32 {
        // SAFETY: not used as a right: given up again at once. The word is ours to read, see above.
        let view = unsafe { node.into_node() };
        let word = view.scratch();
        let _: NodePtr = view.into_ptr();
        word
    }

    /// Pushes the cancels that are due, until the SQ is full.
    pub(crate) fn send_cancels(&self) {
        let due = self.cancels.replace(Cancels::None);
        if due == Cancels::None {
            return;
        }
        self.end_queued(|node| self.unwanted(node));
        let limit = match due {
            Cancels::None | Cancels::First => 1,
            Cancels::Again => place::CANCEL_LIMIT,
            Cancels::Late => u32::MAX,
        };
        let mut missed = false;
        // SAFETY: the closure pushes entries and writes scratch words; it leaves the list alone.
        unsafe {
            self.in_flight.for_each(|node| {
                missed |= sent_so_often(node) >= limit && self.unwanted(node);
                let sent = self.try_cancel(node, limit);
                if !sent {
                    self.want_cancels(due);
                }
                sent
            });
        }
        if due == Cancels::Again && missed {
            self.doubt();
        }
    }

    /// All cancels of something have missed it: the kernel is moving it to and fro, which it may do more than
    /// a hundred times where a file says that it is ready and is not, and may then start it in earnest.
    #[cold]
    fn doubt(&self) {
        let patience = (self.patience.get() * 2).clamp(FIRST_DOUBT, LAST_DOUBT);
        self.patience.set(patience);
        self.doubt.set(deadline_in(patience));
    }

    /// Sends another cancel to what all cancels have missed, when it is time.
    pub(crate) fn ask_again(&self) {
        if self.doubt.get() != Deadline::NEVER && self.doubt.get().as_nanos() <= now_ns() {
            self.doubt.set(Deadline::NEVER);
            self.want_cancels(Cancels::Late);
        }
    }

    /// Pushes a cancel for a node in flight, if it is to be cancelled and has been sent fewer than
    /// `limit`. `false` if there is no room.
    pub(crate) fn try_cancel(&self, node: &Node, limit: u32) -> bool {
        let word = node.scratch();
        if sent_so_often(node) >= limit || !self.unwanted(node) {
            return true;
        }
        let room = self.push_cancel(node);
        if room {
            let first = word & place::CANCELS == 0;
            self.being_cancelled.set(self.being_cancelled.get() + usize::from(first));
            if word & place::CANCELS != place::CANCELS {
                node.set_scratch(word + place::CANCEL_SENT);
            }
        }
        room
    }

    /// An entry that was sent a cancel has come back.
    #[cold]
    pub(crate) fn end_cancelling(&self) {
        self.being_cancelled.set(self.being_cancelled.get() - 1);
        if self.being_cancelled.get() == 0 {
            self.doubt.set(Deadline::NEVER);
            self.patience.set(Duration::ZERO);
        }
    }

    fn push_cancel(&self, node: &Node) -> bool {
        let word = node.scratch();
        let target = if word & place::WAITS != 0 {
            Token::Ready(node.ptr())
        } else if word & place::FILED != 0 {
            Token::Filed(node.ptr())
        } else {
            Token::Op(node.ptr())
        };
        // SAFETY: the entry holds a word and points to nothing.
        unsafe { self.push_sqe(Sqe::cancel(target.encode()), Token::Cancel) }
    }
}

/// How many cancels an operation in flight has been sent; from 15 on no more are counted.
fn sent_so_often(node: &Node) -> u32 {
    (node.scratch() & place::CANCELS) / place::CANCEL_SENT
}
