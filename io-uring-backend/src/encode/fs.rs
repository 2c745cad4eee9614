//! Files as objects.

use crate::ring::Sqe;
use io_core::op::{Close, Fdatasync, Fsync, Open};

#[inline]
pub(super) fn close(op: &Close) -> Sqe {
    Sqe::close(op.fd.raw())
}

#[inline]
pub(super) fn fdatasync(op: &Fdatasync) -> Sqe {
    Sqe::fdatasync(op.fd.raw())
}

#[inline]
pub(super) fn fsync(op: &Fsync) -> Sqe {
    Sqe::fsync(op.fd.raw())
}

#[inline]
pub(super) fn open(op: &Open) -> Sqe {
    Sqe::openat(op.dir.raw(), op.path, op.flags.bits(), op.mode)
}
