//! What a descriptor is, as far as a backend must know.

use super::borrow;
use crate::fd::Fd;

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
