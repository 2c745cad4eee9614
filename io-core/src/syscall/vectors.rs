//! The six vector calls of the kernel, as rustix has them.

use rustix::fd::BorrowedFd;
use rustix::io::{IoSlice, IoSliceMut, ReadWriteFlags, Result};

pub(super) fn readv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
    rustix::io::readv(fd, bufs)
}

pub(super) fn writev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Result<usize> {
    rustix::io::writev(fd, bufs)
}

pub(super) fn preadv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>], at: u64) -> Result<usize> {
    rustix::io::preadv(fd, bufs, at)
}

pub(super) fn pwritev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> Result<usize> {
    rustix::io::pwritev(fd, bufs, at)
}

pub(super) fn preadv_now(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> Result<usize> {
    rustix::io::preadv2(fd, bufs, at, ReadWriteFlags::NOWAIT)
}

pub(super) fn pwritev_now(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> Result<usize> {
    rustix::io::pwritev2(fd, bufs, at, ReadWriteFlags::NOWAIT)
}
