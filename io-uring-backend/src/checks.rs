//! What the ring would answer differently from the plain system call is answered before the ring sees it.
//!
//! The opcodes take offset -1 for "the position", ignore the offset on a pipe or socket, and look at the
//! vector count, at the address, or at an accept's flags before the descriptor, and at an open's path before
//! its flags. They do not tell every file of a transfer of nothing, and tell some of one in no pieces.
#![allow(unsafe_code, reason = "performs operations")]
//! # Safety
//! An operation is performed only while its node is in this thread's hands.

use crate::tally::Count;
use io_core::op::{AcceptFlags, IOV_MAX, IoVec, OpenFlags};
use io_core::syscall::{Attempt, attempt, check_positional, perform};
use io_core::{Errno, Op, OpKind, OpSet, Seekable};

/// The operations that [`check`] has something to say about.
pub(crate) const NEEDED: OpSet = OpSet::of(OpKind::Accept)
    .union(OpSet::of(OpKind::Bind))
    .union(OpSet::of(OpKind::Connect))
    .union(OpSet::of(OpKind::Open))
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
        Op::Pread(op) => op.seekable == Seekable::Proven && op.offset >= 0 && op.len > 0,
        Op::Pwrite(op) => op.seekable == Seekable::Proven && op.offset >= 0 && op.len > 0,
        Op::Accept(_) | Op::Open(_) => !is_wrong(op),
        _ => false,
    }
}

/// Whether the ring must not see it, by its arguments alone: it fails without transferring anything, and
/// which error comes first is the system call's matter.
#[inline]
pub(crate) fn is_wrong(op: &Op) -> bool {
    // The size of the kernel's `struct sockaddr_storage`.
    let bad_address = |addr: *const u8, len: u32| addr.is_null() || len > 128;
    let bad_table =
        |iov: *const IoVec, count: usize| iov.is_null() || count == 0 || count > IOV_MAX;
    match op {
        Op::Accept(op) => !ACCEPT_FLAGS.contains(op.flags),
        Op::Bind(op) => bad_address(op.addr, op.addr_len),
        Op::Connect(op) => bad_address(op.addr, op.addr_len),
        Op::Open(op) => has_no_sense(op.flags),
        Op::Pread(op) => op.offset < 0,
        Op::Pwrite(op) => op.offset < 0,
        Op::Preadv(op) => op.offset < 0 || bad_table(op.iov, op.count),
        Op::Pwritev(op) => op.offset < 0 || bad_table(op.iov, op.count),
        Op::Readv(op) => bad_table(op.iov, op.count),
        Op::Writev(op) => bad_table(op.iov, op.count),
        _ => false,
    }
}

/// What `accept4(2)` takes (`SOCK_NONBLOCK`, `SOCK_CLOEXEC`).
const ACCEPT_FLAGS: AcceptFlags =
    AcceptFlags::NONBLOCK.union(AcceptFlags::from_bits_retain(0o2_000_000));

/// Flags that `open(2)` refuses whatever the path is: to create a directory, and a file without a name that
/// cannot be written to.
#[inline]
fn has_no_sense(flags: OpenFlags) -> bool {
    const UNNAMED: OpenFlags = OpenFlags::TMPFILE.difference(OpenFlags::DIRECTORY);
    let writes = flags.intersects(OpenFlags::WRONLY.union(OpenFlags::RDWR));
    let unnamed = flags.contains(UNNAMED);
    let directory = flags.contains(OpenFlags::DIRECTORY);
    !flags.contains(OpenFlags::PATH)
        && (directory && flags.contains(OpenFlags::CREATE) || unnamed && !(directory && writes))
}

/// Whether it transfers nothing, by its length.
fn is_empty(op: &Op) -> bool {
    match op {
        Op::Pread(op) => op.len == 0,
        Op::Pwrite(op) => op.len == 0,
        Op::Read(op) => op.len == 0,
        Op::Write(op) => op.len == 0,
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
    if is_empty(op) {
        syscalls.add_shared(1);
        // SAFETY: as above.
        if let Attempt::Done(result) = unsafe { attempt(op) } {
            return Some(result);
        }
    }
    let Seekable::Unknown = (match op {
        Op::Pread(op) => op.seekable,
        Op::Pwrite(op) => op.seekable,
        Op::Preadv(op) => op.seekable,
        Op::Pwritev(op) => op.seekable,
        _ => return None,
    }) else {
        return None;
    };
    syscalls.add_shared(1);
    check_positional(op).err().map(Errno::to_result)
}
