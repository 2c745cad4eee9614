//! What the kernel is given for an operation, for the fuzz targets to look at: the bytes of its entries.
//! Nothing here touches a ring or what a descriptor points to.

use crate::checks::is_wrong;
use crate::encode;
use crate::ring::{Sqe, stored, with_opcode};
use io_core::Op;

/// The bytes of a `struct io_uring_sqe`.
pub type Entry = [u8; 64];

/// The entry that runs `op`, as stored with this word; `None` if it has no opcode that is used.
#[must_use]
pub fn entry(op: &Op, word: u64) -> Option<Entry> {
    with_opcode().has(op.kind()).then(|| stored(encode::encode(op), word))
}

/// The same, for a kernel worker from the start.
#[must_use]
pub fn blocking(op: &Op, word: u64) -> Option<Entry> {
    with_opcode().has(op.kind()).then(|| stored(encode::encode(op).blocking(), word))
}

/// The entry that waits until `op` can be done; `None` if it waits for nothing.
#[must_use]
pub fn readiness(op: &Op, word: u64) -> Option<Entry> {
    op.interest().map(|_| stored(encode::readiness(op), word))
}

/// The entry that asks for the end of the one with the word `target`.
#[must_use]
pub fn cancel(target: u64, word: u64) -> Entry {
    stored(Sqe::cancel(target), word)
}

/// Whether the system call answers, because the ring must not see such arguments.
#[must_use]
pub fn refused(op: &Op) -> bool {
    is_wrong(op)
}
