//! From a completion entry to a result, or to another try.
//!
//! | result | of the operation | of its wait for readiness |
//! |---|---|---|
//! | `EINTR`, the kernel's restart codes | again; a close is done, its number is free | the operation again |
//! | `EAGAIN` | wanted: the result. A descriptor that can wait is non-blocking: wait for it. Else once again, by a worker; then the result | the operation again |
//! | `ECANCELED` | the result | asked for: the result. Else the operation again |
//! | else | the result | the operation again, which gives its own error |
#![allow(unsafe_code, reason = "takes nodes back from the kernel")]
//! # Safety
//! A node whose token comes back is in the in-flight list: it was put there when its entry was pushed, one
//! entry at a time, and only its completion takes it out.

use crate::inbox::Mode;
use crate::probe::Plan;
use crate::seat::{Cancels, Seat, place};
use crate::token::Token;
use core::sync::atomic::Ordering;
use io_core::{Errno, Node, OffloadHandle, Op, OpKind, OpenFlags};

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Takes every completion that is there. Runs no waker and no callback.
    #[inline]
    pub(crate) fn reap(&self) {
        for (word, result) in self.ring.completions() {
            // SAFETY: it came back in a CQE.
            match unsafe { Token::decode(word) } {
                Token::Op(node) => {
                    // SAFETY: a token that comes back names a node in flight.
                    let node = unsafe { self.in_flight.remove(node) };
                    self.operated(node, i64::from(result));
                }
                Token::Ready(node) => {
                    // SAFETY: as above.
                    let node = unsafe { self.in_flight.remove(node) };
                    self.became_ready(node);
                }
                Token::Wake => self.wake_armed.set(false),
                Token::Cancel => self.cancel_answered(result),
            }
        }
    }

    #[inline]
    fn operated(&self, node: Node, result: i64) {
        if result >= 0 {
            return self.finish(node, result);
        }
        self.failed(node, result);
    }

    #[cold]
    fn failed(&self, node: Node, result: i64) {
        const INTR: i64 = Errno::INTR.to_result();
        const AGAIN: i64 = Errno::AGAIN.to_result();
        const NXIO: i64 = Errno::NXIO.to_result();
        let blocks = node.scratch() & place::BLOCKS;
        match if is_restart(result) { INTR } else { result } {
            INTR if node.op().kind() == OpKind::Close => self.finish(node, 0),
            AGAIN if node.op().wants_eagain() => self.finish(node, AGAIN),
            INTR | AGAIN if self.unwanted(&node) => {
                self.finish(node, Errno::CANCELED.to_result());
            }
            NXIO if waits_for_a_reader(&node) => self.again(node, place::BLOCKS),
            AGAIN if node.op().interest().is_some() => self.again(node, place::WAITS),
            INTR => self.again(node, blocks),
            AGAIN if blocks == 0 => self.again(node, place::BLOCKS),
            _ => self.finish(node, result),
        }
    }

    fn became_ready(&self, node: Node) {
        if self.unwanted(&node) {
            self.finish(node, Errno::CANCELED.to_result());
        } else if self.backend.plans.of(node.op().kind()) == Plan::Ring {
            self.again(node, 0);
        } else {
            node.requeue();
            node.set_scratch(place::TURN | place::WAS_READY);
            self.turn.push(node);
        }
    }

    /// Whether an operation that would have to go again is not to.
    pub(crate) fn unwanted(&self, node: &Node) -> bool {
        let asked = node.cancel_asked() || self.backend.stopping.load(Ordering::Relaxed);
        asked && !node.op().kind().never_cancelled()
    }

    /// `ENOENT` may mean that the operation was just being moved inside the kernel: it is asked again, a
    /// few times. `EALREADY` means that it runs and has been told; 0, that it comes back cancelled.
    fn cancel_answered(&self, result: i32) {
        if result == -Errno::NOENT.raw() {
            self.want_cancels(Cancels::Again);
        }
    }

    /// Takes what other threads have pushed, and their wishes to cancel.
    pub(crate) fn intake(&self) {
        let mode = &self.backend.mode;
        if !mode.is_empty() || !self.taken.is_empty() {
            self.taken.fill(|list| mode.take(list));
            while let Some(node) = self.taken.pop() {
                self.receive(node);
            }
        }
        if mode.take_cancels() {
            self.want_cancels(Cancels::First);
            self.complete_silent();
        }
    }

    pub(crate) fn receive(&self, node: Node) {
        match node.scratch() & place::MASK {
            place::FRESH if self.backend.stopping.load(Ordering::Relaxed) => {
                let result = self.backend.refuse(&node);
                self.finish(node, result);
            }
            place::FRESH if self.unwanted(&node) => {
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::FRESH => self.place_known(node),
            place::HOME => {
                self.backend.mode.came_home();
                let result = node.result();
                self.finish(node, result);
            }
            _ => {
                let result = node.result();
                self.finish(node, result);
            }
        }
    }
}

/// The kernel's own codes for "restart the system call", which the ring lets through when a worker is
/// interrupted: `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`.
fn is_restart(result: i64) -> bool {
    matches!(result, -514..=-512 | -516)
}

/// Whether an open that got `ENXIO` may be of a FIFO without a reader. The kernel's first try is with
/// `O_NONBLOCK`, also for a caller who did not ask for it; the second, by a worker, waits.
fn waits_for_a_reader(node: &Node) -> bool {
    let first = node.scratch() & place::BLOCKS == 0;
    matches!(node.op(), Op::Open(op) if first && !op.flags.contains(OpenFlags::NONBLOCK))
}
