//! Sockets, as system calls.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::rw::{one, slices, slices_mut};
use super::{borrow, failed, on, retry};
use crate::fd::Fd;
use crate::op::{Accept, AcceptFlags, MAX_RW_COUNT, MsgFlags, Recv, Send};
use core::mem::MaybeUninit;
use core::{ptr, slice};
use rustix::fd::IntoRawFd;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags,
    SocketType,
};

/// `accept4(2)`, always with `SOCK_CLOEXEC`.
pub(super) fn accept(op: &Accept) -> i64 {
    let fd = match borrow(op.fd) {
        Ok(fd) => fd,
        Err(result) => return result,
    };
    let flags = SocketFlags::CLOEXEC | socket_flags(op.flags);
    let accepted = if op.addr.is_null() || op.addr_len.is_null() {
        retry(fd, |fd| rustix::net::accept_with(fd, flags)).map(|fd| (fd, None))
    } else {
        retry(fd, |fd| rustix::net::acceptfrom_with(fd, flags))
    };
    match accepted {
        Ok((accepted, peer)) => {
            if !op.addr.is_null() && !op.addr_len.is_null() {
                store_address(op, peer.as_ref());
            }
            i64::from(accepted.into_raw_fd())
        }
        Err(errno) => failed(errno),
    }
}

/// Whether it is a listening socket (`getsockopt(2)`, `SO_ACCEPTCONN`).
pub(super) fn listens(fd: Fd) -> bool {
    borrow(fd).is_ok_and(|fd| rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false))
}

/// Copies the peer's address out as `accept(2)` does: cut to the room there is, its true length told.
fn store_address(op: &Accept, peer: Option<&SocketAddrAny>) {
    let Some(peer) = peer else {
        // SAFETY: not null, so valid, promised by whoever made the op.
        unsafe { op.addr_len.write(0) };
        return;
    };
    let copy = |address: *const rustix::net::addr::SocketAddrOpaque, len: u32| {
        // SAFETY: not null, so valid, promised by whoever made the op.
        let room = unsafe { op.addr_len.read() };
        let fits = usize::try_from(len.min(room)).unwrap_or(0);
        // SAFETY: `fits` is within both the address and the room promised at `addr`.
        unsafe { ptr::copy_nonoverlapping(address.cast::<u8>(), op.addr, fits) };
        // SAFETY: as above.
        unsafe { op.addr_len.write(len) };
    };
    // SAFETY: `copy` reads no more than the length it is given.
    unsafe { peer.with_sockaddr(copy) };
}

fn socket_flags(flags: AcceptFlags) -> SocketFlags {
    SocketFlags::from_bits_retain(flags.bits())
}

/// `recv(2)` with these flags. A `MSG_WAITALL` on a stream that a signal cuts short goes on: the kernel's
/// own work for a ring interrupts like a signal, so this is no rarity.
pub(super) fn recv(op: &Recv, flags: MsgFlags) -> i64 {
    let mut done = recv_at(op, flags, 0);
    let whole = MsgFlags::WAITALL;
    let looks = MsgFlags::DONTWAIT | MsgFlags::PEEK | MsgFlags::TRUNC | MsgFlags::OOB;
    let len = i64::try_from(op.len.min(MAX_RW_COUNT)).unwrap_or(i64::MAX);
    if done <= 0 || done >= len || flags & (whole | looks) != whole || !is_stream(op.fd) {
        return done;
    }
    while done < len
        && let more @ 1.. = recv_at(op, flags, usize::try_from(done).unwrap_or(0))
    {
        done += more;
    }
    done
}

/// Whether it is a stream socket (`getsockopt(2)`, `SO_TYPE`).
fn is_stream(fd: Fd) -> bool {
    let kind = |fd| rustix::net::sockopt::socket_type(fd);
    borrow(fd).is_ok_and(|fd| kind(fd).is_ok_and(|kind| kind == SocketType::STREAM))
}

/// One `recv(2)` behind the first `done` bytes of the buffer.
fn recv_at(op: &Recv, flags: MsgFlags, done: usize) -> i64 {
    let flags = RecvFlags::from_bits_retain(flags.bits());
    if op.buf.is_null() {
        // A null slice is not a thing in Rust; a null vector is one to the kernel.
        let mut vec = [one(op.buf, op.len)];
        let mut control = RecvAncillaryBuffer::default();
        return on(op.fd, |fd| {
            let bufs = slices_mut(&mut vec);
            rustix::net::recvmsg(fd, bufs, &mut control, flags).map(|message| message.bytes)
        });
    }
    let vec = one(op.buf.wrapping_add(done), op.len - done.min(op.len));
    on(op.fd, |fd| {
        // SAFETY: not null; valid for writes, promised by whoever made the op; `MaybeUninit` has no
        // invalid content and nothing here reads it.
        let buf = unsafe { slice::from_raw_parts_mut(vec.base.cast::<MaybeUninit<u8>>(), vec.len) };
        // The second number is the length of the message, which MSG_TRUNC reports.
        rustix::net::recv(fd, buf, flags).map(|(_, length)| length)
    })
}

/// `send(2)` with these flags and `MSG_NOSIGNAL`.
pub(super) fn send(op: &Send, flags: MsgFlags) -> i64 {
    let flags = SendFlags::from_bits_retain(flags.bits()) | SendFlags::NOSIGNAL;
    let vec = one(op.buf.cast_mut(), op.len);
    if op.buf.is_null() {
        let mut control = SendAncillaryBuffer::default();
        return on(op.fd, |fd| {
            // SAFETY: a local table of one entry.
            let bufs = unsafe { slices(&raw const vec, 1) };
            rustix::net::sendmsg(fd, bufs, &mut control, flags)
        });
    }
    on(op.fd, |fd| {
        // SAFETY: not null; valid and initialised, promised by whoever made the op.
        let buf = unsafe { slice::from_raw_parts(op.buf, vec.len) };
        rustix::net::send(fd, buf, flags)
    })
}
