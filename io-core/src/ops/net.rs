//! Typed socket operations.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! Each descriptor points into the struct that `describe` got, by way of `IoBuf` and `IoBufMut`.

use super::{Operation, count, owned_fd};
use crate::buf::{IoBuf, IoBufMut};
use crate::errno::Errno;
use crate::fd::{Fd, IoFd, OwnedFd};
use crate::op::{self, AcceptFlags, MsgFlags, Op};
use core::ptr;

/// See [`Ops::accept`](super::Ops::accept).
#[derive(Debug)]
pub struct Accept<F> {
    pub(super) listener: F,
    pub(super) flags: AcceptFlags,
}

// SAFETY: the pointers are null; `listener` proves the descriptor.
unsafe impl<F: IoFd> Operation for Accept<F> {
    type Output = Result<OwnedFd, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Accept(op::Accept {
            fd: this.listener.fd(),
            flags: this.flags,
            addr: ptr::null_mut(),
            addr_len: ptr::null_mut(),
        })
    }

    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output {
        owned_fd(result, close)
    }
}

/// See [`Ops::recv`](super::Ops::recv).
#[derive(Debug)]
pub struct Recv<F, B> {
    pub(super) socket: F,
    pub(super) buf: B,
    pub(super) flags: MsgFlags,
}

// SAFETY: the pointer is the buffer's; `socket` proves the descriptor.
unsafe impl<F: IoFd, B: IoBufMut> Operation for Recv<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, flags) = (this.socket.fd(), this.flags);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts_mut(&raw mut this.buf) };
        Op::Recv(op::Recv { fd, flags, buf, len })
    }

    fn finish(mut self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        let filled = count(result);
        if let Ok(written) = filled
            && !self.flags.contains(MsgFlags::TRUNC)
        {
            // SAFETY: the kernel wrote that many. Not so with MSG_TRUNC, which counts what a datagram
            // had beyond the buffer, and on TCP what was thrown away unread.
            unsafe { self.buf.set_filled(written) };
        }
        (filled, self.buf)
    }
}

/// See [`Ops::send`](super::Ops::send).
#[derive(Debug)]
pub struct Send<F, B> {
    pub(super) socket: F,
    pub(super) buf: B,
    pub(super) flags: MsgFlags,
}

// SAFETY: the pointer is the buffer's; `socket` proves the descriptor.
unsafe impl<F: IoFd, B: IoBuf> Operation for Send<F, B> {
    type Output = (Result<usize, Errno>, B);

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, flags) = (this.socket.fd(), this.flags);
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let (buf, len) = unsafe { B::parts(&raw mut this.buf) };
        Op::Send(op::Send { fd, flags, buf, len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        (count(result), self.buf)
    }
}
