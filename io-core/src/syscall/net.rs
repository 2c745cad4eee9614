//! Sockets, as system calls.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::rw::{one, slices, slices_mut};
use super::{borrow, failed, on, poll, retry};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{
    Accept, AcceptFlags, Bind, Connect, Family, Listen, MAX_RW_COUNT, MsgFlags, Recv, Send,
    Shutdown, Socket, SocketKind,
};
use core::mem::MaybeUninit;
use core::num::NonZeroU32;
use core::{ptr, slice};
use rustix::fd::{BorrowedFd, IntoRawFd};
use rustix::fs::OFlags;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{
    AddressFamily, Protocol, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags,
    Shutdown as How, SocketAddrAny, SocketFlags, SocketType,
};

/// `accept4(2)`, always with `SOCK_CLOEXEC`.
pub(super) fn accept(op: &Accept) -> i64 {
    let fd = borrow(op.fd);
    let flags = SocketFlags::CLOEXEC | socket_flags(op.flags);
    let accepted = if op.addr.is_null() || op.addr_len.is_null() {
        retry(fd, |fd| rustix::net::accept_with(fd, flags)).map(|fd| (fd, None))
    } else {
        retry(fd, |fd| rustix::net::acceptfrom_with(fd, flags))
    };
    match accepted {
        Ok((accepted, peer)) => {
            if !op.addr.is_null() && !op.addr_len.is_null() {
                // SAFETY: not null, so valid, promised by whoever made the op.
                if unsafe { op.addr_len.read() } > i32::MAX.unsigned_abs() {
                    // The connection is lost, as `accept(2)` has it.
                    return Errno::INVAL.to_result();
                }
                store_address(op, peer.as_ref());
            }
            i64::from(accepted.into_raw_fd())
        }
        Err(errno) => failed(errno),
    }
}

/// Whether it is a listening socket (`getsockopt(2)`, `SO_ACCEPTCONN`).
pub(super) fn listens(fd: Fd) -> bool {
    rustix::net::sockopt::socket_acceptconn(borrow(fd)).unwrap_or(false)
}

/// Whether an accept may have to wait: its flags are good, and it listens.
pub(super) fn may_wait(op: &Accept) -> bool {
    let flags = socket_flags(op.flags).difference(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
    flags.is_empty() && listens(op.fd)
}

/// Copies the peer's address out as `accept(2)` does: cut to the room there is, its true length told.
fn store_address(op: &Accept, peer: Option<&SocketAddrAny>) {
    let Some(peer) = peer else {
        // SAFETY: not null, so valid, promised by whoever made the op.
        unsafe { op.addr_len.write(0) };
        return;
    };
    let copy = |address: *const SocketAddrOpaque, len: u32| {
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
///
/// Taking a queued error never waits; a Unix socket, which has none, would ignore that flag.
pub(super) fn recv(op: &Recv, flags: MsgFlags) -> i64 {
    let queue = flags.contains(MsgFlags::ERRQUEUE);
    let flags = if queue { flags | MsgFlags::DONTWAIT } else { flags };
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
    rustix::net::sockopt::socket_type(borrow(fd)) == Ok(SocketType::STREAM)
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

/// A write of nothing to a socket, which may be an empty message, without waiting; `ENOTSOCK` if it is none.
pub(super) fn send_nothing(fd: Fd) -> i64 {
    on(fd, |fd| rustix::net::send(fd, &[], SendFlags::DONTWAIT))
}

/// An address as it stands in the descriptor: the kernel alone looks at it.
struct Bare(*const u8, u32);

// SAFETY: the kernel is given the address and length of the descriptor, which whoever made it promised to be
// valid, or bad: then it says so. Nothing in this crate reads the bytes.
unsafe impl SocketAddrArg for Bare {
    unsafe fn with_sockaddr<R>(
        &self,
        call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        call(self.0.cast(), self.1)
    }
}

pub(super) fn bind(op: &Bind) -> i64 {
    on(op.fd, |fd| rustix::net::bind(fd, &Bare(op.addr, op.addr_len)).map(|()| 0))
}

pub(super) fn listen(op: &Listen) -> i64 {
    on(op.fd, |fd| rustix::net::listen(fd, op.backlog).map(|()| 0))
}

pub(super) fn shutdown(op: &Shutdown) -> i64 {
    let how = match op.how {
        0 => How::Read,
        1 => How::Write,
        2 => How::Both,
        // The kernel looks at the descriptor first.
        _ => {
            return match on(op.fd, |fd| rustix::net::sockopt::socket_type(fd).map(|_| 0)) {
                0 => Errno::INVAL.to_result(),
                result => result,
            };
        }
    };
    on(op.fd, |fd| rustix::net::shutdown(fd, how).map(|()| 0))
}

/// `socket(2)`, always with `SOCK_CLOEXEC`.
pub(super) fn socket(op: &Socket) -> i64 {
    let family = AddressFamily::from_raw(op.family.0);
    let (kind, flags) = (SocketType::from_raw(op.kind.0), op.flags.bits());
    let flags = SocketFlags::from_bits_retain(flags) | SocketFlags::CLOEXEC;
    let protocol = NonZeroU32::new(op.protocol).map(Protocol::from_raw);
    match rustix::net::socket_with(family, kind, flags, protocol) {
        Ok(fd) => i64::from(fd.into_raw_fd()),
        Err(errno) => failed(errno),
    }
}

/// Whether the kernel has the family and protocol without loading a module.
pub(super) fn is_common(op: &Socket) -> bool {
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    match op.family {
        Family::UNIX => true,
        Family::INET | Family::INET6 => matches!(
            (op.kind, op.protocol),
            (SocketKind::STREAM, 0 | TCP) | (SocketKind::DGRAM, 0 | UDP)
        ),
        _ => false,
    }
}

/// Whether it is a Unix socket, whose names may be files (`getsockopt(2)`, `SO_DOMAIN`).
pub(super) fn is_unix(fd: Fd) -> bool {
    rustix::net::sockopt::socket_domain(borrow(fd)) == Ok(AddressFamily::UNIX)
}

/// How a connect runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectMode {
    /// The call returns at once.
    Now,
    /// The call may wait.
    Waits,
}

/// Asks the socket; what is none is told so at once.
pub(super) fn connect_mode(fd: Fd) -> ConnectMode {
    let waits = |fd: BorrowedFd<'_>| {
        if rustix::net::sockopt::socket_domain(fd)? == AddressFamily::UNIX {
            return Ok(true);
        }
        // A datagram socket only notes its peer.
        let nonblocking = rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK);
        Ok(!nonblocking && rustix::net::sockopt::socket_type(fd)? != SocketType::DGRAM)
    };
    match waits(borrow(fd)) {
        Ok::<_, rustix::io::Errno>(true) => ConnectMode::Waits,
        _ => ConnectMode::Now,
    }
}

pub(super) const IN_PROGRESS: i64 = Errno::INPROGRESS.to_result();
pub(super) const IN_PROGRESS_ALREADY: i64 = Errno::ALREADY.to_result();

/// `connect(2)`, blocking. An interrupted one goes on by itself, and the next call waits for it.
pub(super) fn connect(op: &Connect) -> i64 {
    let mut waited = false;
    loop {
        match connect_once(op, waited) {
            IN_PROGRESS | IN_PROGRESS_ALREADY => {
                let ready = poll::until_writable(op.fd);
                if ready < 0 {
                    return ready;
                }
                waited = true;
            }
            result => return result,
        }
    }
}

/// One `connect(2)`. After a wait for the connection another connect may have been told of it first
/// (`EISCONN`), or the protocol may not like to be asked again (`EBADFD`, Bluetooth): how it ended is the
/// socket's error then (`getsockopt(2)`, `SO_ERROR`).
pub(super) fn connect_once(op: &Connect, waited: bool) -> i64 {
    const IS_CONNECTED: i64 = Errno::ISCONN.to_result();
    const BAD_STATE: i64 = Errno::BADFD.to_result();
    match on(op.fd, |fd| rustix::net::connect(fd, &Bare(op.addr, op.addr_len)).map(|()| 0)) {
        IS_CONNECTED | BAD_STATE if waited => on(op.fd, |fd| {
            let error = rustix::net::sockopt::socket_error(fd)?;
            error.map(|()| 0)
        }),
        result => result,
    }
}
