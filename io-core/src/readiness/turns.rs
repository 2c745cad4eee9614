//! Taking turns on a source: which line an operation is in, the right to try, and what a result says.

use super::source::{Lane, Tried};
use crate::fd::Fd;
use crate::op::{MAX_RW_COUNT, MsgFlags, Op};

/// The right to try on a source, and what it looked like before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Which attachment it is.
    pub generation: u32,
    /// Its events, counted, when the try began.
    pub tick: u32,
}

impl Lane {
    /// The descriptor and the lane of an operation that can wait for readiness.
    #[must_use]
    pub fn of_op(op: &Op) -> Option<(Fd, Lane)> {
        op.interest().map(|(fd, interest)| (fd, Lane::of(interest)))
    }
}

impl Tried {
    /// What a result says about how much more there is.
    #[must_use]
    pub fn of(op: &Op, result: i64) -> Tried {
        let plain =
            |flags: MsgFlags| flags.difference(MsgFlags::DONTWAIT | MsgFlags::MORE).is_empty();
        let len = match op {
            Op::Recv(op) if plain(op.flags) => op.len,
            Op::Send(op) if plain(op.flags) => op.len,
            Op::Read(op) => op.len,
            Op::Write(op) => op.len,
            _ => return Tried::More,
        };
        match usize::try_from(result) {
            Ok(done) if done > 0 && done < len.min(MAX_RW_COUNT) => Tried::Drained,
            _ => Tried::More,
        }
    }
}
