//! The try that never waits: what a backend may do inside submit or on a poll loop.
//!
//! Reads and writes use `RWF_NOWAIT`, socket operations `MSG_DONTWAIT`. A file that refuses
//! `RWF_NOWAIT`, or a kernel that does not know it, is a miss and never an error. A *partial* read of a
//! file is not the result either: the rest may only be missing from the page cache.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::rw::{one, refused, slices, slices_mut, with_slices_mut};
use super::{INLINE_MAX, borrow, check_seekable, counted, fs, net, perform, retry, vectors};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{IoVec, MsgFlags, Op, Pread, Preadv, Read, Readv, Writev};
use core::ptr;
use rustix::io::{Errno as SysErrno, IoSliceMut};

/// The file's own position, as `preadv2(2)` takes it.
const POSITION: u64 = u64::MAX;

/// What a try came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// This is the operation's result.
    Done(i64),
    /// It would have waited: for readiness if the descriptor can be polled, else for a device.
    WouldBlock,
    /// It would have waited for a device after this many bytes of a `read` or `write` at the file's
    /// position, which has moved: go on with [`perform_from`](super::perform_from).
    Partial(usize),
    /// There is no way to try it on this file or kernel.
    Refused,
}

/// Whether the operation copies little enough to be tried inside submit.
#[must_use]
pub fn fits_inline(op: &Op) -> bool {
    let len = match op {
        Op::Read(op) => op.len,
        Op::Write(op) => op.len,
        Op::Pread(op) => op.len,
        Op::Pwrite(op) => op.len,
        Op::Recv(op) => op.len,
        Op::Send(op) => op.len,
        Op::Readv(op) => total(op.iov, op.count),
        Op::Writev(op) => total(op.iov, op.count),
        Op::Preadv(op) => total(op.iov, op.count),
        Op::Pwritev(op) => total(op.iov, op.count),
        _ => 0,
    };
    len <= INLINE_MAX
}

/// The bytes a vector table names; 0 for one that will be refused.
fn total(iov: *const IoVec, count: usize) -> usize {
    if refused(iov, count).is_some() {
        return 0;
    }
    if count == 0 {
        return 0;
    }
    // SAFETY: not null, and that many entries are valid, promised by whoever made the op.
    let table = unsafe { core::slice::from_raw_parts(iov, count) };
    table.iter().map(|vec| vec.len).fold(0, usize::saturating_add)
}

/// Tries the operation without waiting.
#[must_use]
pub fn attempt(op: &Op) -> Attempt {
    match op {
        Op::Fstat(_) | Op::Lseek(_) | Op::Nop(_) => Attempt::Done(perform(op)),
        Op::Pread(op) => pread(op),
        Op::Preadv(op) => preadv(op),
        Op::Pwrite(op) => {
            let vec = one(op.buf.cast_mut(), op.len);
            pwritev(op.fd, &raw const vec, 1, op.offset)
        }
        Op::Pwritev(op) => pwritev(op.fd, op.iov, op.count, op.offset),
        Op::Read(op) => read(op),
        Op::Readv(op) => readv(op),
        Op::Write(op) => {
            let vec = one(op.buf.cast_mut(), op.len);
            write(op.fd, &vec)
        }
        Op::Writev(op) => writev(op),
        // What a MSG_WAITALL gets without waiting would be consumed and yet not the whole.
        Op::Recv(op) if !op.flags.contains(MsgFlags::WAITALL) => {
            message(op.flags, net::recv(op, op.flags | MsgFlags::DONTWAIT))
        }
        Op::Send(op) => message(op.flags, net::send(op, op.flags | MsgFlags::DONTWAIT)),
        // Nothing but a listening socket can wait for a connection.
        Op::Accept(accept) if net::listens(accept.fd) => Attempt::Refused,
        Op::Accept(_) => Attempt::Done(perform(op)),
        // What is refused at once has nothing to wait for.
        Op::Sendfile(sendfile) if !fs::can_send(sendfile) => Attempt::Done(perform(op)),
        Op::Close(_)
        | Op::Fsync(_)
        | Op::Ftruncate(_)
        | Op::Open(_)
        | Op::Recv(_)
        | Op::Sendfile(_) => Attempt::Refused,
    }
}

/// The answer to a socket operation that was told not to wait.
fn message(wanted: MsgFlags, result: i64) -> Attempt {
    if result == Errno::AGAIN.to_result() && !wanted.contains(MsgFlags::DONTWAIT) {
        Attempt::WouldBlock
    } else {
        Attempt::Done(result)
    }
}

/// Reads a `RWF_NOWAIT` answer.
fn answer(result: rustix::io::Result<usize>) -> Attempt {
    match result {
        Err(SysErrno::AGAIN) => Attempt::WouldBlock,
        // EINVAL may be the kernel's way not to know the flag; asked plainly it will say it again.
        Err(SysErrno::OPNOTSUPP | SysErrno::NOSYS | SysErrno::INVAL) => Attempt::Refused,
        result => Attempt::Done(counted(result)),
    }
}

fn read_at(fd: Fd, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Attempt {
    match borrow(fd) {
        Ok(fd) => answer(retry(fd, |fd| vectors::preadv_now(fd, bufs, offset))),
        Err(result) => Attempt::Done(result),
    }
}

fn write_at(fd: Fd, iov: *const IoVec, count: usize, offset: u64) -> Attempt {
    let fd = match borrow(fd) {
        Ok(fd) => fd,
        Err(result) => return Attempt::Done(result),
    };
    if count == 0 {
        return Attempt::Refused;
    }
    answer(retry(fd, |fd| {
        // SAFETY: as in `read_at`.
        let bufs = unsafe { slices(iov, count) };
        vectors::pwritev_now(fd, bufs, offset)
    }))
}

fn pread(op: &Pread) -> Attempt {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    let mut vec = [one(op.buf, op.len)];
    let len = vec[0].len;
    whole(op.fd, offset, len, read_at(op.fd, slices_mut(&mut vec), offset))
}

fn preadv(op: &Preadv) -> Attempt {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    if refused(op.iov, op.count).is_some() || op.count == 0 {
        return Attempt::Refused;
    }
    let mut tried = Attempt::Refused;
    with_slices_mut(op.iov, op.count, |bufs| {
        tried = read_at(op.fd, bufs, offset);
        0
    });
    whole(op.fd, offset, total(op.iov, op.count), tried)
}

/// A short positional read is the result only at the end of the file; else a worker reads it again.
fn whole(fd: Fd, offset: u64, len: usize, tried: Attempt) -> Attempt {
    match tried {
        Attempt::Done(got @ 1..)
            if got.unsigned_abs() < len as u64
                && !at_end(fd, offset.saturating_add(got.unsigned_abs())) =>
        {
            Attempt::WouldBlock
        }
        other => other,
    }
}

fn pwritev(fd: Fd, iov: *const IoVec, count: usize, offset: i64) -> Attempt {
    let Ok(offset) = u64::try_from(offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    if refused(iov, count).is_some() || count == 0 {
        return Attempt::Refused;
    }
    match write_at(fd, iov, count, offset) {
        // Short for lack of memory that need not be waited for: written again, whole, by a worker.
        Attempt::Done(put @ 1..) if put.unsigned_abs() < total(iov, count) as u64 => {
            Attempt::WouldBlock
        }
        other => other,
    }
}

fn read(op: &Read) -> Attempt {
    let mut vec = [one(op.buf, op.len)];
    let len = vec[0].len;
    match read_at(op.fd, slices_mut(&mut vec), POSITION) {
        Attempt::Done(got @ 1..) if got.unsigned_abs() < len as u64 => match fs::position(op.fd) {
            // A file: short is the result only at its end.
            position @ 0.. if !at_end(op.fd, position.unsigned_abs()) => {
                Attempt::Partial(usize::try_from(got).unwrap_or(0))
            }
            // A pipe or socket: what is there is the result.
            _ => Attempt::Done(got),
        },
        other => other,
    }
}

fn write(fd: Fd, vec: &IoVec) -> Attempt {
    match write_at(fd, ptr::from_ref(vec), 1, POSITION) {
        // A file is written whole, or goes on at a worker; a pipe or socket takes what it takes.
        Attempt::Done(put @ 1..) if put.unsigned_abs() < vec.len as u64 => {
            if check_seekable(fd).is_ok() {
                Attempt::Partial(usize::try_from(put).unwrap_or(0))
            } else {
                Attempt::Done(put)
            }
        }
        other => other,
    }
}

fn writev(op: &Writev) -> Attempt {
    // As `readv`.
    if refused(op.iov, op.count).is_some() || op.count == 0 || check_seekable(op.fd).is_ok() {
        return Attempt::Refused;
    }
    write_at(op.fd, op.iov, op.count, POSITION)
}

fn readv(op: &Readv) -> Attempt {
    // On a file a partial vectored read would have to go on in mid-vector: a worker does it whole.
    if refused(op.iov, op.count).is_some() || op.count == 0 || check_seekable(op.fd).is_ok() {
        return Attempt::Refused;
    }
    let mut tried = Attempt::Refused;
    with_slices_mut(op.iov, op.count, |bufs| {
        tried = read_at(op.fd, bufs, POSITION);
        0
    });
    tried
}

/// Whether a file ends at or before `offset`: one byte is asked for, into memory of our own.
fn at_end(fd: Fd, offset: u64) -> bool {
    let mut byte = 0_u8;
    let mut vec = [one(&raw mut byte, 1)];
    read_at(fd, slices_mut(&mut vec), offset) == Attempt::Done(0)
}
