//! Typed socket operations.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! Each descriptor points into the struct that `describe` got: to its address, or by way of `IoBuf` and
//! `IoBufMut`.

use super::{Operation, count, owned_fd, unit};
use crate::addr::Address;
use crate::buf::{IoBuf, IoBufMut};
use crate::errno::Errno;
use crate::fd::{Fd, IoFd, OwnedFd};
use crate::op::{self, AcceptFlags, Family, MsgFlags, Op, SocketFlags, SocketKind};
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

/// See [`Ops::accept_from`](super::Ops::accept_from).
#[derive(Debug)]
pub struct AcceptFrom<F> {
    pub(super) listener: F,
    pub(super) flags: AcceptFlags,
    pub(super) peer: Address,
}

// SAFETY: the pointers are into the field `peer`; `listener` proves the descriptor.
unsafe impl<F: IoFd> Operation for AcceptFrom<F> {
    type Output = Result<(OwnedFd, Address), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, pinned and nobody else's, promised by the caller.
        let this = unsafe { &mut *this };
        let (fd, flags) = (this.listener.fd(), this.flags);
        let (addr, addr_len) = this.peer.room();
        Op::Accept(op::Accept { fd, flags, addr, addr_len })
    }

    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output {
        owned_fd(result, close).map(|fd| (fd, self.peer))
    }
}

/// See [`Ops::bind`](super::Ops::bind).
#[derive(Debug)]
pub struct Bind<F> {
    pub(super) socket: F,
    pub(super) address: Address,
}

// SAFETY: the pointer is to the field `address`; `socket` proves the descriptor.
unsafe impl<F: IoFd> Operation for Bind<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let this = unsafe { &*this };
        let (addr, addr_len) = this.address.parts();
        Op::Bind(op::Bind { fd: this.socket.fd(), addr, addr_len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::connect`](super::Ops::connect).
#[derive(Debug)]
pub struct Connect<F> {
    pub(super) socket: F,
    pub(super) address: Address,
}

// SAFETY: the pointer is to the field `address`; `socket` proves the descriptor.
unsafe impl<F: IoFd> Operation for Connect<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, pinned and left alone, promised by the caller.
        let this = unsafe { &*this };
        let (addr, addr_len) = this.address.parts();
        Op::Connect(op::Connect { fd: this.socket.fd(), addr, addr_len })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::listen`](super::Ops::listen).
#[derive(Debug)]
pub struct Listen<F> {
    pub(super) socket: F,
    pub(super) backlog: i32,
}

// SAFETY: no pointers; `socket` proves the descriptor.
unsafe impl<F: IoFd> Operation for Listen<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Listen(op::Listen { fd: this.socket.fd(), backlog: this.backlog })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
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

/// What [`Ops::shutdown`](super::Ops::shutdown) ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Receiving (`SHUT_RD`).
    Read = 0,
    /// Sending: the peer sees the end of the stream (`SHUT_WR`).
    Write = 1,
    /// Both (`SHUT_RDWR`).
    Both = 2,
}

/// See [`Ops::shutdown`](super::Ops::shutdown).
#[derive(Debug)]
pub struct Shutdown<F> {
    pub(super) socket: F,
    pub(super) how: How,
}

// SAFETY: no pointers; `socket` proves the descriptor.
unsafe impl<F: IoFd> Operation for Shutdown<F> {
    type Output = Result<(), Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Shutdown(op::Shutdown { fd: this.socket.fd(), how: this.how as u32 })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}

/// See [`Ops::socket`](super::Ops::socket).
#[derive(Debug)]
pub struct Socket {
    pub(super) family: Family,
    pub(super) kind: SocketKind,
    pub(super) flags: SocketFlags,
    pub(super) protocol: u32,
}

// SAFETY: no pointers, no descriptor.
unsafe impl Operation for Socket {
    type Output = Result<OwnedFd, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let &Socket { family, kind, flags, protocol } = unsafe { &*this };
        Op::Socket(op::Socket { family, kind, flags, protocol })
    }

    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output {
        owned_fd(result, close)
    }
}
