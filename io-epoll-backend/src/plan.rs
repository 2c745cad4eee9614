//! What is done next with an operation after a try: one table for submit, for the turn after it, and for
//! the turn after readiness.

use crate::note::Stage;
use io_core::readiness::Tried;
use io_core::syscall::{Attempt, is_nonblocking};
use io_core::{Fd, Op, OpKind};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// This is the result.
    Done(i64),
    /// Wait for readiness of its descriptor.
    Wait,
    /// Make the system call itself: it does not block, or there is nobody else who could.
    Act,
    /// Give it to the offload backend, or, without one, perform it inside a turn. This many bytes were
    /// transferred before.
    Block(usize),
}

/// What follows from a try. `offload` if there is somebody who may block.
pub(crate) fn after(op: &Op, stage: Stage, tried: Attempt, offload: bool) -> Next {
    let Some((fd, _)) = op.interest() else {
        return match tried {
            Attempt::Done(result) => Next::Done(result),
            Attempt::Partial(done) => Next::Block(done),
            Attempt::WouldBlock | Attempt::Refused => Next::Block(0),
        };
    };
    match tried {
        Attempt::Done(result) => Next::Done(result),
        Attempt::Partial(done) => Next::Block(done),
        // What epoll has refused has no readiness, and would go round for ever.
        Attempt::WouldBlock | Attempt::Refused if stage == Stage::Block => Next::Block(0),
        Attempt::WouldBlock => Next::Wait,
        // There is no form of it that does not wait. On a non-blocking description the call itself does
        // not, so it may be made here; a blocking one holds whoever makes it.
        Attempt::Refused if offload && !acts_at_once(op, fd) => Next::Block(0),
        Attempt::Refused if stage == Stage::Fresh => Next::Wait,
        Attempt::Refused => Next::Act,
    }
}

/// Whether the call itself never waits. A sendfile reads a file, which may have to come from a disk.
fn acts_at_once(op: &Op, fd: Fd) -> bool {
    op.kind() != OpKind::Sendfile && is_nonblocking(fd)
}

/// What a result says about how much more there is.
pub(crate) fn tells(op: &Op, result: i64) -> Tried {
    Tried::of(op, result)
}
