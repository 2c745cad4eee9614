//! Typed operations on files as objects.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! Each descriptor points into the struct that `describe` got.

use super::{Operation, count, owned_fd, unit};
use crate::buf::IoPath;
use crate::errno::{Errno, decode};
use crate::fd::{Fd, IoFd, OwnedFd};
use crate::op::{self, Op, OpenFlags, Stat};

/// See [`Ops::close`](super::Ops::close).
#[derive(Debug)]
pub struct Close {
    // `None` once the kernel was asked: the number is free for reuse then, whatever it answers.
    file: Option<OwnedFd>,
}

impl Close {
    pub(super) const fn new(file: OwnedFd) -> Close {
        Close { file: Some(file) }
    }
}

// SAFETY: no pointers; the owned descriptor is given up here, so it is closed once.
unsafe impl Operation for Close {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let file = unsafe { &mut *this }.file.take();
        // `describe` is called once, so the file is there; -1 would be a harmless EBADF.
        Op::Close(op::Close { fd: file.map_or(Fd::new(-1), OwnedFd::into_raw) })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::fdatasync`](super::Ops::fdatasync).
#[derive(Debug)]
pub struct Fdatasync<F> {
    pub(super) file: F,
}

// SAFETY: no pointers; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for Fdatasync<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        Op::Fdatasync(op::Fdatasync { fd: unsafe { &*this }.file.fd() })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::fsync`](super::Ops::fsync).
#[derive(Debug)]
pub struct Fsync<F> {
    pub(super) file: F,
}

// SAFETY: no pointers; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for Fsync<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        Op::Fsync(op::Fsync { fd: unsafe { &*this }.file.fd() })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::ftruncate`](super::Ops::ftruncate).
#[derive(Debug)]
pub struct Ftruncate<F> {
    pub(super) file: F,
    pub(super) len: i64,
}

// SAFETY: no pointers; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for Ftruncate<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Ftruncate(op::Ftruncate { fd: this.file.fd(), len: this.len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::fstat`](super::Ops::fstat).
#[derive(Debug)]
pub struct Fstat<F> {
    pub(super) file: F,
    pub(super) out: Stat,
}

// SAFETY: the pointer is to the field `out`; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for Fstat<F> {
    type Output = Result<Stat, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, pinned and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        Op::Fstat(op::Fstat { fd: this.file.fd(), out: &raw mut this.out })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result).map(|()| self.out)
    }
}

/// Where [`Ops::lseek`](super::Ops::lseek) counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The start of the file (`SEEK_SET`).
    Set = 0,
    /// The current position (`SEEK_CUR`).
    Current = 1,
    /// The end of the file (`SEEK_END`).
    End = 2,
    /// The next data at or after the offset (`SEEK_DATA`); `ENXIO` if there is none.
    Data = 3,
    /// The next hole at or after the offset (`SEEK_HOLE`).
    Hole = 4,
}

/// See [`Ops::lseek`](super::Ops::lseek).
#[derive(Debug)]
pub struct Lseek<F> {
    pub(super) file: F,
    pub(super) offset: i64,
    pub(super) whence: Whence,
}

// SAFETY: no pointers; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for Lseek<F> {
    type Output = Result<u64, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        let (fd, offset, whence) = (this.file.fd(), this.offset, this.whence as u32);
        Op::Lseek(op::Lseek { fd, whence, offset })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        decode(result)
    }
}

/// See [`Ops::open`](super::Ops::open).
#[derive(Debug)]
pub struct Open<P> {
    pub(super) path: P,
    pub(super) flags: OpenFlags,
    pub(super) mode: u32,
}

// SAFETY: the pointer is the path's; there is no descriptor but the working directory.
unsafe impl<P: IoPath> Operation for Open<P> {
    type Output = Result<OwnedFd, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (flags, mode) = (this.flags, this.mode);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let path = unsafe { P::as_c_ptr(&raw mut this.path) };
        Op::Open(op::Open { dir: Fd::CWD, path, flags, mode })
    }

    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output {
        owned_fd(result, close)
    }
}

/// See [`Ops::open_at`](super::Ops::open_at).
#[derive(Debug)]
pub struct OpenAt<F, P> {
    pub(super) dir: F,
    pub(super) path: P,
    pub(super) flags: OpenFlags,
    pub(super) mode: u32,
}

// SAFETY: the pointer is the path's; `dir` proves the descriptor.
unsafe impl<F: IoFd, P: IoPath> Operation for OpenAt<F, P> {
    type Output = Result<OwnedFd, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (dir, flags, mode) = (this.dir.fd(), this.flags, this.mode);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let path = unsafe { P::as_c_ptr(&raw mut this.path) };
        Op::Open(op::Open { dir, path, flags, mode })
    }

    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output {
        owned_fd(result, close)
    }
}

/// See [`Ops::sendfile`](super::Ops::sendfile).
#[derive(Debug)]
pub struct Sendfile<O, I> {
    pub(super) output: O,
    pub(super) input: I,
    pub(super) offset: Option<i64>,
    pub(super) len: usize,
}

// SAFETY: no pointers; `output` and `input` prove the descriptors.
unsafe impl<O: IoFd, I: IoFd> Operation for Sendfile<O, I> {
    type Output = Result<usize, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Sendfile(op::Sendfile {
            out_fd: this.output.fd(),
            in_fd: this.input.fd(),
            offset: this.offset,
            len: this.len,
        })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        count(result)
    }
}
