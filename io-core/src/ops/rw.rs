//! Typed reads and writes.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! Each descriptor points into the struct that `describe` got, by way of `IoBuf` and `IoBufMut`; a
//! vector table is a field beside its buffers, filled by `describe`.

use super::{Operation, count};
use crate::buf::{IoBuf, IoBufMut};
use crate::errno::Errno;
use crate::fd::{Fd, IoFd};
use crate::op::{self, IoVec, Op};
use core::fmt;
use core::ptr;

/// How many bytes fit into a buffer nobody else uses now.
pub(super) fn capacity<B: IoBufMut>(buf: &mut B) -> usize {
    // SAFETY: a valid buffer, borrowed; the pointer is thrown away.
    unsafe { B::parts_mut(buf) }.1
}

/// Tells a buffer how much of it was read into, and gives it back.
fn filled<B: IoBufMut>(result: i64, mut buf: B) -> (Result<usize, Errno>, B) {
    let filled = count(result);
    if let Ok(count) = filled {
        // SAFETY: the kernel wrote that many, at most the length it was given.
        unsafe { buf.set_filled(count) };
    }
    (filled, buf)
}

/// As `filled`, over buffers that were filled in turn.
fn filled_all<B: IoBufMut, const N: usize>(
    result: i64,
    mut bufs: [B; N],
) -> (Result<usize, Errno>, [B; N]) {
    let total = count(result);
    if let Ok(mut left) = total {
        for buf in &mut bufs {
            let here = left.min(capacity(buf));
            // SAFETY: the kernel fills the buffers in turn, so that many are in this one.
            unsafe { buf.set_filled(here) };
            left -= here;
        }
    }
    (total, bufs)
}

const EMPTY: IoVec = IoVec { base: ptr::null_mut(), len: 0 };

/// Fills a vector table for reading.
///
/// # Safety
/// * `bufs` are pinned, and not touched while the table is used.
unsafe fn list_mut<B: IoBufMut, const N: usize>(bufs: &mut [B; N], table: &mut [IoVec; N]) {
    for (buf, vec) in bufs.iter_mut().zip(table) {
        // SAFETY: valid; pinned and left alone, promised by the caller.
        let (base, len) = unsafe { B::parts_mut(buf) };
        *vec = IoVec { base, len };
    }
}

/// Fills a vector table for writing.
///
/// # Safety
/// * As [`list_mut`].
unsafe fn list<B: IoBuf, const N: usize>(bufs: &mut [B; N], table: &mut [IoVec; N]) {
    for (buf, vec) in bufs.iter_mut().zip(table) {
        // SAFETY: valid; pinned and left alone, promised by the caller.
        let (base, len) = unsafe { B::parts(buf) };
        *vec = IoVec { base: base.cast_mut(), len };
    }
}

/// See [`Ops::pread`](super::Ops::pread).
#[derive(Debug)]
pub struct Pread<F, B> {
    pub(super) file: F,
    pub(super) buf: B,
    pub(super) offset: i64,
}

// SAFETY: the pointer is the buffer's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBufMut> Operation for Pread<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, seekable, offset) = (this.file.fd(), this.file.seekable(), this.offset);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts_mut(&raw mut this.buf) };
        Op::Pread(op::Pread { fd, seekable, buf, len, offset })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        filled(result, self.buf)
    }
}

/// See [`Ops::pwrite`](super::Ops::pwrite).
#[derive(Debug)]
pub struct Pwrite<F, B> {
    pub(super) file: F,
    pub(super) buf: B,
    pub(super) offset: i64,
}

// SAFETY: the pointer is the buffer's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBuf> Operation for Pwrite<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, seekable, offset) = (this.file.fd(), this.file.seekable(), this.offset);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts(&raw mut this.buf) };
        Op::Pwrite(op::Pwrite { fd, seekable, buf, len, offset })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        (count(result), self.buf)
    }
}

/// See [`Ops::read`](super::Ops::read).
#[derive(Debug)]
pub struct Read<F, B> {
    pub(super) file: F,
    pub(super) buf: B,
}

// SAFETY: the pointer is the buffer's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBufMut> Operation for Read<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let fd = this.file.fd();
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts_mut(&raw mut this.buf) };
        Op::Read(op::Read { fd, buf, len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        filled(result, self.buf)
    }
}

/// See [`Ops::write`](super::Ops::write).
#[derive(Debug)]
pub struct Write<F, B> {
    pub(super) file: F,
    pub(super) buf: B,
}

// SAFETY: the pointer is the buffer's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBuf> Operation for Write<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let fd = this.file.fd();
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts(&raw mut this.buf) };
        Op::Write(op::Write { fd, buf, len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        (count(result), self.buf)
    }
}

/// See [`Ops::preadv`](super::Ops::preadv).
pub struct Preadv<F, B, const N: usize> {
    file: F,
    bufs: [B; N],
    iov: [IoVec; N],
    offset: i64,
}

impl<F, B, const N: usize> Preadv<F, B, N> {
    pub(super) const fn new(file: F, bufs: [B; N], offset: i64) -> Self {
        Preadv { file, bufs, iov: [EMPTY; N], offset }
    }
}

impl<F, B, const N: usize> fmt::Debug for Preadv<F, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preadv").field("count", &N).finish_non_exhaustive()
    }
}

// SAFETY: the table is beside its buffers and only used through the descriptor, so it may go along to
// another thread whenever they may.
unsafe impl<F: Send, B: Send, const N: usize> Send for Preadv<F, B, N> {}

// SAFETY: the pointers are the buffers' and the table's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBufMut, const N: usize> Operation for Preadv<F, B, N> {
    type Output = (Result<usize, Errno>, [B; N]);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, seekable, offset) = (this.file.fd(), this.file.seekable(), this.offset);
        // SAFETY: pinned and left alone, promised by the caller.
        unsafe { list_mut(&mut this.bufs, &mut this.iov) };
        let iov = &raw const this.iov;
        Op::Preadv(op::Preadv { fd, seekable, iov: iov.cast(), count: N, offset })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        filled_all(result, self.bufs)
    }
}

/// See [`Ops::pwritev`](super::Ops::pwritev).
pub struct Pwritev<F, B, const N: usize> {
    file: F,
    bufs: [B; N],
    iov: [IoVec; N],
    offset: i64,
}

impl<F, B, const N: usize> Pwritev<F, B, N> {
    pub(super) const fn new(file: F, bufs: [B; N], offset: i64) -> Self {
        Pwritev { file, bufs, iov: [EMPTY; N], offset }
    }
}

impl<F, B, const N: usize> fmt::Debug for Pwritev<F, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pwritev").field("count", &N).finish_non_exhaustive()
    }
}

// SAFETY: the table is beside its buffers and only used through the descriptor, so it may go along to
// another thread whenever they may.
unsafe impl<F: Send, B: Send, const N: usize> Send for Pwritev<F, B, N> {}

// SAFETY: the pointers are the buffers' and the table's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBuf, const N: usize> Operation for Pwritev<F, B, N> {
    type Output = (Result<usize, Errno>, [B; N]);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, seekable, offset) = (this.file.fd(), this.file.seekable(), this.offset);
        // SAFETY: pinned and left alone, promised by the caller.
        unsafe { list(&mut this.bufs, &mut this.iov) };
        let iov = &raw const this.iov;
        Op::Pwritev(op::Pwritev { fd, seekable, iov: iov.cast(), count: N, offset })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        (count(result), self.bufs)
    }
}

/// See [`Ops::readv`](super::Ops::readv).
pub struct Readv<F, B, const N: usize> {
    file: F,
    bufs: [B; N],
    iov: [IoVec; N],
}

impl<F, B, const N: usize> Readv<F, B, N> {
    pub(super) const fn new(file: F, bufs: [B; N]) -> Self {
        Readv { file, bufs, iov: [EMPTY; N] }
    }
}

impl<F, B, const N: usize> fmt::Debug for Readv<F, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readv").field("count", &N).finish_non_exhaustive()
    }
}

// SAFETY: the table is beside its buffers and only used through the descriptor, so it may go along to
// another thread whenever they may.
unsafe impl<F: Send, B: Send, const N: usize> Send for Readv<F, B, N> {}

// SAFETY: the pointers are the buffers' and the table's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBufMut, const N: usize> Operation for Readv<F, B, N> {
    type Output = (Result<usize, Errno>, [B; N]);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let fd = this.file.fd();
        // SAFETY: pinned and left alone, promised by the caller.
        unsafe { list_mut(&mut this.bufs, &mut this.iov) };
        let iov = &raw const this.iov;
        Op::Readv(op::Readv { fd, iov: iov.cast(), count: N })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        filled_all(result, self.bufs)
    }
}

/// See [`Ops::writev`](super::Ops::writev).
pub struct Writev<F, B, const N: usize> {
    file: F,
    bufs: [B; N],
    iov: [IoVec; N],
}

impl<F, B, const N: usize> Writev<F, B, N> {
    pub(super) const fn new(file: F, bufs: [B; N]) -> Self {
        Writev { file, bufs, iov: [EMPTY; N] }
    }
}

impl<F, B, const N: usize> fmt::Debug for Writev<F, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writev").field("count", &N).finish_non_exhaustive()
    }
}

// SAFETY: the table is beside its buffers and only used through the descriptor, so it may go along to
// another thread whenever they may.
unsafe impl<F: Send, B: Send, const N: usize> Send for Writev<F, B, N> {}

// SAFETY: the pointers are the buffers' and the table's; `file` proves the descriptor.
unsafe impl<F: IoFd, B: IoBuf, const N: usize> Operation for Writev<F, B, N> {
    type Output = (Result<usize, Errno>, [B; N]);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let fd = this.file.fd();
        // SAFETY: pinned and left alone, promised by the caller.
        unsafe { list(&mut this.bufs, &mut this.iov) };
        let iov = &raw const this.iov;
        Op::Writev(op::Writev { fd, iov: iov.cast(), count: N })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        (count(result), self.bufs)
    }
}
