//! The six vector calls under Miri, which has none of them: the first buffer is read or written (a short
//! transfer, which is legal), and nothing can be tried without waiting.
#![allow(unsafe_code, reason = "turns a vector into a slice")]
//! # Safety
//! The tests that Miri runs pass valid vectors.

use crate::op::IoVec;
use core::mem::MaybeUninit;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, IoSlice, IoSliceMut, Result};

fn first_mut<'a>(bufs: &'a mut [IoSliceMut<'_>]) -> &'a mut [MaybeUninit<u8>] {
    if bufs.is_empty() {
        return &mut [];
    }
    // SAFETY: both are the kernel's `struct iovec`, and there is one.
    let vec = unsafe { bufs.as_ptr().cast::<IoVec>().read() };
    // SAFETY: the vector is valid for writes; `MaybeUninit` has no invalid content.
    unsafe { core::slice::from_raw_parts_mut(vec.base.cast(), vec.len) }
}

fn first<'a>(bufs: &'a [IoSlice<'_>]) -> &'a [u8] {
    if bufs.is_empty() {
        return &[];
    }
    // SAFETY: both are the kernel's `struct iovec`, and there is one.
    let vec = unsafe { bufs.as_ptr().cast::<IoVec>().read() };
    // SAFETY: the vector is valid and initialised.
    unsafe { core::slice::from_raw_parts(vec.base, vec.len) }
}

pub(super) fn readv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
    rustix::io::read(fd, first_mut(bufs)).map(|(read, _)| read.len())
}

pub(super) fn writev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Result<usize> {
    rustix::io::write(fd, first(bufs))
}

pub(super) fn preadv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>], at: u64) -> Result<usize> {
    rustix::io::pread(fd, first_mut(bufs), at).map(|(read, _)| read.len())
}

pub(super) fn pwritev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> Result<usize> {
    rustix::io::pwrite(fd, first(bufs), at)
}

pub(super) fn preadv_now(_: BorrowedFd<'_>, _: &mut [IoSliceMut<'_>], _: u64) -> Result<usize> {
    Err(Errno::OPNOTSUPP)
}

pub(super) fn pwritev_now(_: BorrowedFd<'_>, _: &[IoSlice<'_>], _: u64) -> Result<usize> {
    Err(Errno::OPNOTSUPP)
}
