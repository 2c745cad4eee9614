//! Sockets. A new descriptor is close-on-exec, and a peer that is gone raises no signal.

use super::transfer;
use crate::ring::Sqe;
use io_core::op::{Accept, Bind, Connect, MsgFlags, Recv, Send, Socket};

const SOCK_CLOEXEC: u32 = 0o2_000_000;
const MSG_NOSIGNAL: u32 = 0x4000;

#[inline]
pub(super) fn accept(op: &Accept) -> Sqe {
    Sqe::accept(op.fd.raw(), op.addr, op.addr_len, op.flags.bits() | SOCK_CLOEXEC)
}

#[inline]
pub(super) fn bind(op: &Bind) -> Sqe {
    Sqe::bind(op.fd.raw(), op.addr, op.addr_len)
}

#[inline]
pub(super) fn connect(op: &Connect) -> Sqe {
    Sqe::connect(op.fd.raw(), op.addr, op.addr_len)
}

#[inline]
pub(super) fn recv(op: &Recv) -> Sqe {
    // The error queue never waits; the ring would wait for data.
    let now =
        if op.flags.contains(MsgFlags::ERRQUEUE) { MsgFlags::DONTWAIT } else { MsgFlags::empty() };
    Sqe::recv(op.fd.raw(), op.buf, transfer(op.len), (op.flags | now).bits())
}

#[inline]
pub(super) fn send(op: &Send) -> Sqe {
    Sqe::send(op.fd.raw(), op.buf, transfer(op.len), op.flags.bits() | MSG_NOSIGNAL)
}

#[inline]
pub(super) fn socket(op: &Socket) -> Sqe {
    let kind = op.kind.0 | op.flags.bits() | SOCK_CLOEXEC;
    Sqe::socket(op.family.0, kind, op.protocol)
}
