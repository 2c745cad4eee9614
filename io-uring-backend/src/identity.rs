//! Whether a number still means the file that an operation has waited for.
//!
//! What waits for readiness in the ring is then tried again by its descriptor's number, and that may have been
//! closed and used again without a word to the backend. So the file is told by its inode, before and after: one
//! `fstat(2)` each, for what would have blocked only. If it is another file now, the operation goes on
//! waiting, for a cancel, its deadline or a stop; its own file can no longer be reached. Files that share
//! one inode, such as two eventfds, are not told apart.
#![allow(unsafe_code, reason = "asks what a bare descriptor is")]
//! # Safety
//! A bare descriptor is only looked at.

use io_core::{Fd, Node, Op};
use rustix::fd::BorrowedFd;
use rustix::fs::{Stat, fstat};

/// What `fstat(2)` says of a bare descriptor.
pub(crate) fn stat_of(fd: Fd) -> Option<Stat> {
    if fd.raw() < 0 {
        return None;
    }
    // SAFETY: only asked about; if it is closed, the kernel says so.
    fstat(unsafe { BorrowedFd::borrow_raw(fd.raw()) }).ok()
}

/// Whether no file is behind it at all: a counter, a timer, an epoll, a process.
pub(crate) fn has_no_type(stat: &Stat) -> bool {
    stat.st_mode & 0o170_000 == 0
}

/// A number that two files rarely have in common.
pub(crate) fn mix(stat: &Stat) -> u64 {
    (stat.st_ino ^ stat.st_dev.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The file that an operation would wait for; 0 if there is none. A poll asks by number in any case.
pub(crate) fn awaited_file(op: &Op) -> u32 {
    match (op, op.interest()) {
        (Op::Poll(_), _) | (_, None) => 0,
        (_, Some((fd, _))) => {
            stat_of(fd).map_or(0, |stat| u32::try_from(mix(&stat) >> 32).unwrap_or(0))
        }
    }
}

/// What is kept of a waiting node's entry in its result: the file above, the entry's number below.
pub(crate) fn keep(file: u32, number: u64) -> i64 {
    (u64::from(file) << 32 | number & u64::from(u32::MAX)).cast_signed()
}

/// The file that a node has waited for.
pub(crate) fn kept(node: &Node) -> u32 {
    u32::try_from(node.result().cast_unsigned() >> 32).unwrap_or(0)
}
