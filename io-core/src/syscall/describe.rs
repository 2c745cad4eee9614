//! What a descriptor is, as far as a backend must know.

use super::{borrow, fs};
use crate::fd::Fd;
use crate::op::{Interest, Op};

/// Whether its description is non-blocking (`fcntl(2)` with `F_GETFL`): then no act on it waits for a peer.
#[must_use]
pub fn is_nonblocking(fd: Fd) -> bool {
    let flags = rustix::fs::fcntl_getfl(borrow(fd));
    flags.is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK))
}

/// Whether it is a plain TCP socket (`getsockopt(2)`, up to three calls): there a short read or write
/// means that no more is possible now. Others may stop in between: a unix socket before a passed
/// descriptor.
#[must_use]
pub fn is_tcp(fd: Fd) -> bool {
    use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
    let fd = borrow(fd);
    let family = sockopt::socket_domain(fd);
    family.is_ok_and(|family| matches!(family, AddressFamily::INET | AddressFamily::INET6))
        && sockopt::socket_type(fd).is_ok_and(|kind| kind == SocketType::STREAM)
        && sockopt::socket_protocol(fd).is_ok_and(|its| its == Some(ipproto::TCP))
}

/// Whether it is an event on the descriptor when this operation, for which it was ready in vain, may go on.
///
/// Not for who writes to a socket that can always be written to, and has to wait when its peer is full: a netlink
/// socket is told nothing when the peer has room again. So only sockets of the usual families are believed
/// (`getsockopt(2)`, `SO_DOMAIN`), and what is no socket. And not for who reads a terminal that is non-blocking: it
/// refuses him while another reads, and says nothing when that has left something.
#[must_use]
pub fn tells_of_more(op: &Op) -> bool {
    match op.interest() {
        Some((fd, Interest::Readable)) => tells_readers(fd),
        Some((fd, Interest::Writable)) => socket_tells(fd).unwrap_or(true),
        Some((_, Interest::Events(_))) | None => true,
    }
}

/// Whether all that may be waited for on the descriptor comes with an event, as [`tells_of_more`] says it of one operation:
/// else it is no source.
#[must_use]
pub fn tells_of_all(fd: Fd) -> bool {
    // A socket is no terminal.
    socket_tells(fd).unwrap_or_else(|| tells_readers(fd))
}

fn tells_readers(fd: Fd) -> bool {
    cfg!(miri) || !fs::is_terminal(fd)
}

/// `None`: it is no socket.
fn socket_tells(fd: Fd) -> Option<bool> {
    use rustix::net::{AddressFamily, sockopt};
    if cfg!(miri) {
        return None;
    }
    let family = sockopt::socket_domain(borrow(fd)).ok()?;
    Some(matches!(family, AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX))
}
