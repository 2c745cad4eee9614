//! Operations with no way of their own and no offload backend: performed inside poll.
//!
//! What can wait for readiness is tried without blocking, and waits in the ring in between; the others
//! block the poll for as long as their system call takes, which the route says.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is performed only while its node is in this thread's hands.

use crate::identity::stat_of;
use crate::inbox::Mode;
use crate::seat::{Seat, place};
use io_core::syscall::{Attempt, attempt, attempt_again, perform, perform_from};
use io_core::{Errno, Node, OffloadHandle, Op, OpKind};
use rustix::fs::FileType;

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Gives each operation that is here now its turn.
    pub(crate) fn run_turns(&self) {
        for _ in 0..self.turn.len() {
            let Some(node) = self.turn.pop() else { break };
            self.run_turn(node);
        }
    }

    fn run_turn(&self, node: Node) {
        if self.unwanted(&node) {
            return self.finish(node, Errno::CANCELED.to_result());
        }
        if let Op::Close(close) = *node.op() {
            return self.close_in_turn(node, close.fd);
        }
        let op = node.op();
        self.backend.tally.owner.syscalls.add(1);
        // A connect that wants to be told waits for another reason.
        let told = op.wants_eagain() && op.kind() != OpKind::Connect;
        if op.interest().is_none() || told {
            // SAFETY: the operation of a node that is not completed.
            let result = unsafe { perform(op) };
            return self.finish(node, result);
        }
        // What cannot wait in the ring blocks here: once ready, an act without a form that does not block; and
        // at once a file, which is always ready and still waits for its device.
        let was_ready = node.scratch() & place::WAS_READY != 0;
        // SAFETY: the operation of a node that is not completed; so in the rest of this function.
        let tried = if was_ready { unsafe { attempt_again(op) } } else { unsafe { attempt(op) } };
        let result = match tried {
            Attempt::Done(result) => return self.finish(node, result),
            // SAFETY: as above.
            Attempt::Partial(done) => unsafe { perform_from(op, done) },
            // SAFETY: as above.
            Attempt::Refused if was_ready || on_device(op) => unsafe { perform(op) },
            // SAFETY: as above.
            Attempt::WouldBlock if on_device(op) => unsafe { perform(op) },
            Attempt::WouldBlock | Attempt::Refused => return self.await_readiness(node),
        };
        if result == Errno::AGAIN.to_result() && !op.wants_eagain() {
            self.await_readiness(node);
        } else {
            self.finish(node, result);
        }
    }
}

/// Whether the operation waits for a device, not for readiness. (A position does not tell: the kernel's log has one.)
fn on_device(op: &Op) -> bool {
    let stat = op.interest().and_then(|(fd, _)| stat_of(fd));
    let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Some(FileType::RegularFile | FileType::BlockDevice | FileType::Directory))
}
