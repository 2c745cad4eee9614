//! What the ring would answer differently from the plain system call is answered before the ring sees it.
//!
//! The opcodes take offset -1 for "the position", ignore the offset on a pipe or socket, and look at the
//! vector count, or at the address, before the descriptor.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is performed only while its node is in this thread's hands.

use crate::tally::Count;
use io_core::op::IOV_MAX;
use io_core::syscall::{check_seekable, perform};
use io_core::{Errno, Op, OpKind, OpSet, Seekable};

/// The operations that [`check`] has something to say about.
pub(crate) const NEEDED: OpSet = OpSet::of(OpKind::Bind)
    .union(OpSet::of(OpKind::Connect))
    .union(OpSet::of(OpKind::Pread))
    .union(OpSet::of(OpKind::Preadv))
    .union(OpSet::of(OpKind::Pwrite))
    .union(OpSet::of(OpKind::Pwritev))
    .union(OpSet::of(OpKind::Readv))
    .union(OpSet::of(OpKind::Writev));

/// Whether [`check`] has nothing to say about one of [`NEEDED`], by its arguments alone.
#[inline]
pub(crate) fn is_proven(op: &Op) -> bool {
    match op {
        Op::Pread(op) => op.seekable == Seekable::Proven && op.offset >= 0,
        Op::Pwrite(op) => op.seekable == Seekable::Proven && op.offset >= 0,
        _ => false,
    }
}

/// Whether the ring must not see it, by its arguments alone: it fails without transferring anything, and
/// which error comes first is the system call's matter.
#[inline]
pub(crate) fn is_wrong(op: &Op) -> bool {
    // The size of the kernel's `struct sockaddr_storage`.
    let bad_address = |addr: *const u8, len: u32| addr.is_null() || len > 128;
    match op {
        Op::Bind(op) => bad_address(op.addr, op.addr_len),
        Op::Connect(op) => bad_address(op.addr, op.addr_len),
        Op::Pread(op) => op.offset < 0,
        Op::Pwrite(op) => op.offset < 0,
        Op::Preadv(op) => op.offset < 0 || op.count > IOV_MAX,
        Op::Pwritev(op) => op.offset < 0 || op.count > IOV_MAX,
        Op::Readv(op) => op.count > IOV_MAX,
        Op::Writev(op) => op.count > IOV_MAX,
        _ => false,
    }
}

/// The result of an operation that the ring must not see.
///
/// # Safety
/// * The operation is of a node that is not completed.
#[inline]
pub(crate) unsafe fn check(op: &Op, syscalls: &Count) -> Option<i64> {
    if is_wrong(op) {
        syscalls.add_shared(1);
        // SAFETY: the operation of a node that is not completed, promised by the caller.
        return Some(unsafe { perform(op) });
    }
    let (fd, Seekable::Unknown) = (match op {
        Op::Pread(op) => (op.fd, op.seekable),
        Op::Pwrite(op) => (op.fd, op.seekable),
        Op::Preadv(op) => (op.fd, op.seekable),
        Op::Pwritev(op) => (op.fd, op.seekable),
        _ => return None,
    }) else {
        return None;
    };
    syscalls.add_shared(1);
    check_seekable(fd).err().map(Errno::to_result)
}
