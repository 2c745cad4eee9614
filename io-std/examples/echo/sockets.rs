//! Sockets for all servers alike: listeners, accepted connections, and as many descriptors as it takes.

use crate::Failure;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the program beside its connections.
const SPARE: u64 = 64;

/// Raises the limit of descriptors to what this many need (`setrlimit(2)`).
///
/// # Errors
/// If the hard limit is lower.
pub(crate) fn make_room(descriptors: usize) -> Result<(), Failure> {
    let wanted = descriptors as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|errno| {
        format!("{wanted} descriptors are needed, and the limit cannot be raised to that: {errno}")
            .into()
    })
}

/// A blocking listener on a free port of this machine alone.
///
/// # Errors
/// Those of the system calls.
pub(crate) fn listener() -> Result<(OwnedFd, SocketAddr), Failure> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&socket, 4096)?;
    let address = getsockname(&socket)?.try_into()?;
    Ok((socket, address))
}

/// The server's side of `count` connections, non-blocking, as the hand-written loops accept them.
///
/// # Errors
/// Those of `accept4(2)`.
pub(crate) fn accept_all(listener: &OwnedFd, count: usize) -> Result<Vec<OwnedFd>, Failure> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let accept = |_| {
        let socket = accept_with(listener, flags)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(socket)
    };
    (0..count).map(accept).collect()
}
