//! [`Listener`]: a socket that can be connected to.

use super::{Protocol, SharedSocket, Stream, Tcp, Unix};
use crate::error::io_error;
use crate::io::Io;
use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;
use io_core::op::{AcceptFlags, Family};
use io_core::ops::Ops;
use io_core::{Address, Fd, IoFd, OwnedFd};
use rustix::net::sockopt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many connections wait for an accept; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A socket that can be connected to. Clones share it; it is closed when the last of them, and the last
/// operation that uses it, is gone.
pub struct Listener<P> {
    io: Io,
    socket: SharedSocket,
    protocol: PhantomData<fn() -> P>,
}

/// A listener for TCP connections.
pub type TcpListener = Listener<Tcp>;
/// A listener for connections of this machine.
pub type UnixListener = Listener<Unix>;

impl Listener<Tcp> {
    /// Listens at this address (`socket(2)`, `bind(2)`, `listen(2)`); port 0 is a free one. An address
    /// that old connections still linger at can be bound (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// Those of the system calls.
    pub async fn bind(io: &Io, address: SocketAddr) -> io::Result<TcpListener> {
        let family = if address.is_ipv4() { Family::INET } else { Family::INET6 };
        let socket = SharedSocket::stream(io, family).await?;
        sockopt::set_socket_reuseaddr(socket.borrow(), true)?;
        Listener::listen(io, socket, address.into()).await
    }
}

impl Listener<Unix> {
    /// Listens at this path, which is made and must not exist. For a name outside of the file system see
    /// [`bind_to`](Self::bind_to).
    ///
    /// # Errors
    /// Those of the system calls; `InvalidInput` or `ENAMETOOLONG` for a path that is none or longer than
    /// 107 bytes.
    pub async fn bind(io: &Io, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let address = Address::unix(path.as_ref().as_os_str().as_bytes()).map_err(io_error)?;
        Listener::bind_to(io, address).await
    }

    /// Listens at this address.
    ///
    /// # Errors
    /// Those of the system calls.
    pub async fn bind_to(io: &Io, address: Address) -> io::Result<UnixListener> {
        let socket = SharedSocket::stream(io, Family::UNIX).await?;
        Listener::listen(io, socket, address).await
    }
}

impl<P: Protocol> Listener<P> {
    async fn listen(io: &Io, socket: SharedSocket, address: Address) -> io::Result<Listener<P>> {
        io.bind(socket.clone(), address).await.map_err(io_error)?;
        io.listen(socket.clone(), BACKLOG).await.map_err(io_error)?;
        Ok(Listener { io: io.clone(), socket, protocol: PhantomData })
    }

    /// A listener over a socket that listens already. Its mode, blocking or not, is left as it is.
    #[must_use]
    pub fn from_fd(io: &Io, fd: OwnedFd) -> Listener<P> {
        Listener { io: io.clone(), socket: SharedSocket::new(io, fd), protocol: PhantomData }
    }

    /// The next connection, and where it comes from (`accept4(2)`). A connection that arrives when this
    /// is dropped is closed, or stays for the next accept.
    ///
    /// # Errors
    /// Those of the system call; `ECANCELED` on a stopped backend.
    pub async fn accept(&self) -> io::Result<(Stream<P>, P::Address)> {
        let accept = self.io.accept_from(self.socket.clone(), AcceptFlags::NONBLOCK);
        let (fd, peer) = accept.await.map_err(io_error)?;
        Ok((Stream::from_fd(&self.io, fd), P::address(peer)?))
    }

    /// Where it listens (`getsockname(2)`).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<P::Address> {
        P::address(self.socket.local_address()?)
    }

    /// The backend it is used through.
    #[must_use]
    pub fn io(&self) -> &Io {
        &self.io
    }
}

impl<P> Clone for Listener<P> {
    fn clone(&self) -> Listener<P> {
        let (io, socket) = (self.io.clone(), self.socket.clone());
        Listener { io, socket, protocol: PhantomData }
    }
}

impl<P> AsRawFd for Listener<P> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd().raw()
    }
}

impl<P> AsFd for Listener<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.borrow()
    }
}

impl<P> Listener<P> {
    fn fd(&self) -> Fd {
        self.socket.fd()
    }
}

impl<P> fmt::Debug for Listener<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("fd", &self.fd()).finish_non_exhaustive()
    }
}
