//! Reads and writes, as system calls.
//!
//! All of them pass vectors, also for a single buffer: so a null or unmapped address goes to the kernel,
//! which answers `EFAULT`, and never becomes a Rust reference. Not those of nothing: a vector of nothing
//! never reaches the file, and to some a plain call of nothing says something. A datagram socket sends an
//! empty message; an eventfd, or a full device, refuses.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::{BADF, on, vectors};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{
    IOV_MAX, IoVec, MAX_RW_COUNT, Op, Pread, Preadv, Pwrite, Pwritev, Read, Readv, Write, Writev,
};
use core::slice;
use rustix::fd::BorrowedFd;
use rustix::io::{IoSlice, IoSliceMut};

static_assertions::assert_eq_size!(IoVec, IoSlice<'static>);
static_assertions::assert_eq_size!(IoVec, IoSliceMut<'static>);
static_assertions::assert_eq_align!(IoVec, IoSlice<'static>);

/// One buffer, cut to what one call moves.
pub(super) fn one(buf: *mut u8, len: usize) -> IoVec {
    IoVec { base: buf, len: len.min(MAX_RW_COUNT) }
}

/// A vector table as rustix takes it for writing. Both are the kernel's `struct iovec`.
///
/// # Safety
/// * `iov` is valid for `count` entries, and `count` is not 0.
pub(super) unsafe fn slices<'a>(iov: *const IoVec, count: usize) -> &'a [IoSlice<'a>] {
    // SAFETY: valid, promised by the caller; the layout is that of `struct iovec` on both sides, and the
    // addresses in it are data to Rust.
    unsafe { slice::from_raw_parts(iov.cast(), count) }
}

/// A vector table as rustix takes it for reading. The kernel reads the table and writes what it names.
pub(super) fn slices_mut(table: &mut [IoVec]) -> &mut [IoSliceMut<'_>] {
    let (iov, count) = (table.as_mut_ptr(), table.len());
    // SAFETY: a borrowed table; the layout is that of `struct iovec` on both sides, and the addresses in
    // it are data to Rust.
    unsafe { slice::from_raw_parts_mut(iov.cast(), count) }
}

const EMPTY: IoVec = IoVec { base: core::ptr::null_mut(), len: 0 };

/// Copies a table of the caller's into `room`, because rustix wants it mutable and the caller's need not
/// be.
///
/// # Safety
/// * `iov` is valid for `room.len()` entries.
unsafe fn copied(iov: *const IoVec, room: &mut [IoVec]) -> &mut [IoSliceMut<'_>] {
    // SAFETY: valid, promised by the caller; the room is a local's.
    unsafe { core::ptr::copy_nonoverlapping(iov, room.as_mut_ptr(), room.len()) };
    slices_mut(room)
}

/// [`with_slices_mut`] for a table that needs a lot of stack.
///
/// # Safety
/// * `iov` is valid for `count` entries, at most [`IOV_MAX`].
#[inline(never)]
unsafe fn with_many(
    iov: *const IoVec,
    count: usize,
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> i64,
) -> i64 {
    let mut room = [EMPTY; IOV_MAX];
    // SAFETY: promised by the caller.
    call(unsafe { copied(iov, &mut room[..count]) })
}

/// A vector table that cannot be used, as the kernel says it; `None` if it can.
pub(super) fn refused(iov: *const IoVec, count: usize) -> Option<Errno> {
    if count > IOV_MAX {
        Some(Errno::INVAL)
    } else if iov.is_null() && count > 0 {
        Some(Errno::FAULT)
    } else {
        None
    }
}

/// Runs `call` over a vector table for writing.
fn with_slices(iov: *const IoVec, count: usize, call: impl FnOnce(&[IoSlice<'_>]) -> i64) -> i64 {
    match refused(iov, count) {
        // The kernel looks at the descriptor before it looks at the table.
        Some(errno) => match call(&[]) {
            result if result < 0 => result,
            _ => errno.to_result(),
        },
        None if count == 0 => call(&[]),
        // SAFETY: not null and `count` entries valid, promised by whoever made the op.
        None => call(unsafe { slices(iov, count) }),
    }
}

/// Runs `call` over a vector table for reading.
pub(super) fn with_slices_mut(
    iov: *const IoVec,
    count: usize,
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> i64,
) -> i64 {
    const FEW: usize = 8;
    let mut room = [EMPTY; FEW];
    match refused(iov, count) {
        // The kernel looks at the descriptor before it looks at the table.
        Some(errno) => match call(&mut []) {
            result if result < 0 => result,
            _ => errno.to_result(),
        },
        // SAFETY: not null and `count` entries valid, promised by whoever made the op.
        None if count > FEW => unsafe { with_many(iov, count, call) },
        None if count == 0 => call(&mut []),
        // SAFETY: as above.
        None => call(unsafe { copied(iov, &mut room[..count]) }),
    }
}

pub(super) fn read(op: &Read, done: usize) -> i64 {
    if op.len == 0 {
        return on(op.fd, |fd| rustix::io::read(fd, &mut [0_u8; 0]));
    }
    let mut vec = [one(op.buf.wrapping_add(done), op.len - done.min(op.len))];
    let result = on(op.fd, |fd| vectors::readv(fd, slices_mut(&mut vec)));
    with_done(done, result)
}

pub(super) fn write(op: &Write, done: usize) -> i64 {
    if op.len == 0 {
        return on(op.fd, |fd| rustix::io::write(fd, &[]));
    }
    let vec = one(op.buf.cast_mut().wrapping_add(done), op.len - done.min(op.len));
    // SAFETY: a local table of one entry.
    let result = on(op.fd, |fd| vectors::writev(fd, unsafe { slices(&raw const vec, 1) }));
    with_done(done, result)
}

/// A positional read of nothing, or a write of nothing where reading is not allowed.
pub(super) fn no_bytes(fd: Fd) -> i64 {
    match on(fd, |fd| rustix::io::pread(fd, &mut [0_u8; 0], 0)) {
        BADF => on(fd, |fd| rustix::io::pwrite(fd, &[], 0)),
        result => result,
    }
}

/// The descriptor of a positional transfer.
pub(super) fn positional(op: &Op) -> Option<Fd> {
    match op {
        Op::Pread(op) => Some(op.fd),
        Op::Preadv(op) => Some(op.fd),
        Op::Pwrite(op) => Some(op.fd),
        Op::Pwritev(op) => Some(op.fd),
        _ => None,
    }
}

/// A vector of one empty piece in the direction of this transfer: the kernel looks at the descriptor, and the file
/// does not hear of it.
pub(super) fn no_pieces(op: &Op) -> i64 {
    let (fd, reads) = match op {
        Op::Pread(Pread { fd, .. }) | Op::Preadv(Preadv { fd, .. }) => (*fd, true),
        Op::Read(Read { fd, .. }) | Op::Readv(Readv { fd, .. }) => (*fd, true),
        Op::Pwrite(Pwrite { fd, .. }) | Op::Pwritev(Pwritev { fd, .. }) => (*fd, false),
        Op::Write(Write { fd, .. }) | Op::Writev(Writev { fd, .. }) => (*fd, false),
        _ => return 0,
    };
    if reads {
        on(fd, |fd| vectors::readv(fd, &mut [IoSliceMut::new(&mut [])]))
    } else {
        on(fd, |fd| vectors::writev(fd, &[IoSlice::new(&[])]))
    }
}

/// What was transferred before counts, also when going on failed.
fn with_done(done: usize, result: i64) -> i64 {
    let done = i64::try_from(done).unwrap_or(0);
    if done > 0 { done + result.max(0) } else { result }
}

pub(super) fn pread(op: &Pread) -> i64 {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Errno::INVAL.to_result();
    };
    if op.len == 0 {
        return on(op.fd, |fd| rustix::io::pread(fd, &mut [0_u8; 0], offset));
    }
    let mut vec = [one(op.buf, op.len)];
    on(op.fd, |fd| vectors::preadv(fd, slices_mut(&mut vec), offset))
}

pub(super) fn pwrite(op: &Pwrite, done: usize) -> i64 {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Errno::INVAL.to_result();
    };
    if op.len == 0 {
        return on(op.fd, |fd| rustix::io::pwrite(fd, &[], offset));
    }
    let offset = offset.saturating_add(done as u64);
    let vec = one(op.buf.cast_mut().wrapping_add(done), op.len - done.min(op.len));
    // SAFETY: a local table of one entry.
    let write =
        |fd: BorrowedFd<'_>| vectors::pwritev(fd, unsafe { slices(&raw const vec, 1) }, offset);
    with_done(done, on(op.fd, write))
}

pub(super) fn readv(op: &Readv) -> i64 {
    with_slices_mut(op.iov, op.count, |bufs| on(op.fd, |fd| vectors::readv(fd, bufs)))
}

pub(super) fn writev(op: &Writev) -> i64 {
    with_slices(op.iov, op.count, |bufs| on(op.fd, |fd| vectors::writev(fd, bufs)))
}

pub(super) fn preadv(op: &Preadv) -> i64 {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Errno::INVAL.to_result();
    };
    with_slices_mut(op.iov, op.count, |bufs| on(op.fd, |fd| vectors::preadv(fd, bufs, offset)))
}

pub(super) fn pwritev(op: &Pwritev) -> i64 {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Errno::INVAL.to_result();
    };
    with_slices(op.iov, op.count, |bufs| on(op.fd, |fd| vectors::pwritev(fd, bufs, offset)))
}
