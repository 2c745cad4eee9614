//! Reading and writing. Offsets and vector counts were checked before (`checks.rs`).

use super::transfer;
use crate::ring::{AT_POSITION, Sqe};
use io_core::op::{Pread, Preadv, Pwrite, Pwritev, Read, Readv, Write, Writev};

#[inline]
pub(super) fn pread(op: &Pread) -> Sqe {
    Sqe::read(op.fd.raw(), op.buf, transfer(op.len), op.offset.cast_unsigned())
}

#[inline]
pub(super) fn preadv(op: &Preadv) -> Sqe {
    Sqe::readv(op.fd.raw(), op.iov, transfer(op.count), op.offset.cast_unsigned())
}

#[inline]
pub(super) fn pwrite(op: &Pwrite) -> Sqe {
    Sqe::write(op.fd.raw(), op.buf, transfer(op.len), op.offset.cast_unsigned())
}

#[inline]
pub(super) fn pwritev(op: &Pwritev) -> Sqe {
    Sqe::writev(op.fd.raw(), op.iov, transfer(op.count), op.offset.cast_unsigned())
}

#[inline]
pub(super) fn read(op: &Read) -> Sqe {
    Sqe::read(op.fd.raw(), op.buf, transfer(op.len), AT_POSITION)
}

#[inline]
pub(super) fn readv(op: &Readv) -> Sqe {
    Sqe::readv(op.fd.raw(), op.iov, transfer(op.count), AT_POSITION)
}

#[inline]
pub(super) fn write(op: &Write) -> Sqe {
    Sqe::write(op.fd.raw(), op.buf, transfer(op.len), AT_POSITION)
}

#[inline]
pub(super) fn writev(op: &Writev) -> Sqe {
    Sqe::writev(op.fd.raw(), op.iov, transfer(op.count), AT_POSITION)
}
