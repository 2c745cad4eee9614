//! [`Stream`]: a connection.
#![allow(unsafe_code, reason = "takes sockets over, and tells buffers how much of them is filled")]
//! # Safety
//! A socket that is taken over was just given up by its only owner. A buffer is told what completed
//! operations have written, and no more.

use super::{Protocol, SharedSocket, Tcp, Unix};
use crate::buf::{Rest, Room, capacity, len};
use crate::call::Call;
use crate::error::{Partial, io_error};
use crate::io::Io;
use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;
use io_core::op::{Family, MsgFlags, PollEvents};
use io_core::ops::{How, Ops, PollFd, Recv, SafeOp, Send, Shutdown};
use io_core::syscall::close_fd;
use io_core::{Address, Fd, IoBuf, IoBufMut, IoFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A connection. Clones share it; it is closed when the last of them, and the last operation that uses it,
/// is gone.
pub struct Stream<P> {
    io: Io,
    socket: SharedSocket,
    protocol: PhantomData<fn() -> P>,
}

/// A TCP connection.
pub type TcpStream = Stream<Tcp>;
/// A connection on this machine.
pub type UnixStream = Stream<Unix>;

impl Stream<Tcp> {
    /// Connects to this address (`socket(2)`, `connect(2)`).
    ///
    /// # Errors
    /// Those of the system calls; `ECANCELED` on a stopped backend.
    pub async fn connect(io: &Io, address: SocketAddr) -> io::Result<TcpStream> {
        let family = if address.is_ipv4() { Family::INET } else { Family::INET6 };
        Stream::connect_as(io, family, address.into()).await
    }

    /// A connection that the standard library made. Its mode, blocking or not, is left as it is.
    #[must_use]
    pub fn from_std(io: &Io, stream: std::net::TcpStream) -> TcpStream {
        Stream::from_raw(io, stream)
    }

    /// Whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(self.as_fd(), nodelay)?)
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(self.as_fd())?)
    }
}

impl Stream<Unix> {
    /// Connects to the listener at this path.
    ///
    /// # Errors
    /// Those of the system calls; `WouldBlock` if the listener's queue is full, which the kernel offers no
    /// way to wait for; `InvalidInput` or `ENAMETOOLONG` for a path that is none or longer than 107 bytes.
    pub async fn connect(io: &Io, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = Address::unix(path.as_ref().as_os_str().as_bytes()).map_err(io_error)?;
        Stream::connect_to(io, address).await
    }

    /// Connects to the listener at this address.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_to(io: &Io, address: Address) -> io::Result<UnixStream> {
        Stream::connect_as(io, Family::UNIX, address).await
    }

    /// Two ends of one connection (`socketpair(2)`).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn pair(io: &Io) -> io::Result<(UnixStream, UnixStream)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Stream::from_raw(io, one), Stream::from_raw(io, other)))
    }

    /// A connection that the standard library made. Its mode, blocking or not, is left as it is.
    #[must_use]
    pub fn from_std(io: &Io, stream: std::os::unix::net::UnixStream) -> UnixStream {
        Stream::from_raw(io, stream)
    }
}

impl<P: Protocol> Stream<P> {
    async fn connect_as(io: &Io, family: Family, address: Address) -> io::Result<Stream<P>> {
        let socket = SharedSocket::stream(io, family).await?;
        io.connect(socket.clone(), address).await.map_err(io_error)?;
        Ok(Stream { io: io.clone(), socket, protocol: PhantomData })
    }

    /// The address of this end (`getsockname(2)`).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<P::Address> {
        P::address(self.socket.local_address()?)
    }

    /// The address of the other end (`getpeername(2)`).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn peer_addr(&self) -> io::Result<P::Address> {
        P::address(self.socket.peer_address()?)
    }
}

impl<P> Stream<P> {
    /// A connection over a socket that is connected already. Its mode, blocking or not, is left as it is.
    #[must_use]
    pub fn from_fd(io: &Io, fd: OwnedFd) -> Stream<P> {
        Stream { io: io.clone(), socket: SharedSocket::new(io, fd), protocol: PhantomData }
    }

    fn from_raw(io: &Io, owner: impl IntoRawFd) -> Stream<P> {
        let fd = Fd::new(owner.into_raw_fd());
        // SAFETY: just given up by its only owner, and `close_fd` is `close(2)`.
        Stream::from_fd(io, unsafe { OwnedFd::from_raw(fd, close_fd) })
    }

    /// The backend it is used through.
    #[must_use]
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Takes what has arrived, or waits for something (`recv(2)`). 0 is the end of the stream; fewer bytes
    /// than fit are not.
    ///
    /// # Errors
    /// Those of the system call; `ECANCELED` on a stopped backend.
    pub fn read<B: IoBufMut>(&self, buf: B) -> Call<SafeOp<Io, Recv<SharedSocket, B>>> {
        self.recv(buf, MsgFlags::empty())
    }

    /// Sends what there is room for, at least a byte (`send(2)`).
    ///
    /// # Errors
    /// Those of the system call, `BrokenPipe` for a peer that is gone, and never a `SIGPIPE`; `ECANCELED` on
    /// a stopped backend.
    pub fn write<B: IoBuf>(&self, buf: B) -> Call<SafeOp<Io, Send<SharedSocket, B>>> {
        self.send(buf, MsgFlags::empty())
    }

    /// [`read`](Self::read) with flags.
    ///
    /// # Errors
    /// As [`read`](Self::read); `WouldBlock` with [`MsgFlags::DONTWAIT`].
    pub fn recv<B: IoBufMut>(
        &self,
        buf: B,
        flags: MsgFlags,
    ) -> Call<SafeOp<Io, Recv<SharedSocket, B>>> {
        Call::new(self.io.recv(self.socket.clone(), buf, flags))
    }

    /// [`write`](Self::write) with flags.
    ///
    /// # Errors
    /// As [`write`](Self::write); `WouldBlock` with [`MsgFlags::DONTWAIT`].
    pub fn send<B: IoBuf>(
        &self,
        buf: B,
        flags: MsgFlags,
    ) -> Call<SafeOp<Io, Send<SharedSocket, B>>> {
        Call::new(self.io.send(self.socket.clone(), buf, flags))
    }

    /// Fills the whole of `buf`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before; else as [`read`](Self::read).
    pub async fn read_exact<B: IoBufMut>(&self, mut buf: B) -> (Result<(), Partial>, B) {
        let (mut done, wanted) = (0, capacity(&mut buf));
        while done < wanted {
            // SAFETY: the steps so far have written `done` bytes, one behind the other.
            let room = unsafe { Room::behind(buf, done) };
            let socket = self.socket.clone();
            let (result, room) = self.io.recv(socket, room, MsgFlags::empty()).await;
            buf = room.inner;
            match result {
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return (Err(Partial { done, error }), buf);
                }
                Ok(count) => done += count,
                Err(errno) => return (Err(Partial { done, error: io_error(errno) }), buf),
            }
        }
        (Ok(()), buf)
    }

    /// Sends all of `buf`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all<B: IoBuf>(&self, mut buf: B) -> (Result<(), Partial>, B) {
        let (mut done, wanted) = (0, len(&mut buf));
        while done < wanted {
            let (socket, rest) = (self.socket.clone(), Rest::of(buf, done));
            let (result, rest) = self.io.send(socket, rest, MsgFlags::empty()).await;
            buf = rest.inner;
            match result {
                Ok(count) => done += count,
                Err(errno) => return (Err(Partial { done, error: io_error(errno) }), buf),
            }
        }
        (Ok(()), buf)
    }

    /// Ends one direction, or both (`shutdown(2)`): the peer sees the end of the stream, and reads that wait
    /// here see it too.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn shutdown(&self, how: How) -> Call<SafeOp<Io, Shutdown<SharedSocket>>> {
        Call::new(self.io.shutdown(self.socket.clone(), how))
    }

    /// Waits for one of `events`, an error or a hang-up, and says what holds then (`poll(2)`).
    ///
    /// # Errors
    /// `ECANCELED` on a stopped backend.
    pub fn poll(&self, events: PollEvents) -> Call<SafeOp<Io, PollFd<SharedSocket>>> {
        Call::new(self.io.poll_fd(self.socket.clone(), events))
    }

    /// Waits until there is something to read, or the end of the stream.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn readable(&self) -> Call<SafeOp<Io, PollFd<SharedSocket>>> {
        self.poll(PollEvents::IN)
    }

    /// Waits until there is room to write, or the peer is gone.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn writable(&self) -> Call<SafeOp<Io, PollFd<SharedSocket>>> {
        self.poll(PollEvents::OUT)
    }
}

impl<P> Clone for Stream<P> {
    fn clone(&self) -> Stream<P> {
        let (io, socket) = (self.io.clone(), self.socket.clone());
        Stream { io, socket, protocol: PhantomData }
    }
}

impl<P> AsRawFd for Stream<P> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.fd().raw()
    }
}

impl<P> AsFd for Stream<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.borrow()
    }
}

impl<P> fmt::Debug for Stream<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("fd", &self.socket.fd()).finish_non_exhaustive()
    }
}
