//! Socket operations.

use crate::fd::Fd;

bitflags::bitflags! {
    /// Flags of `send(2)` and `recv(2)`, as the kernel numbers them. Unknown bits pass through.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MsgFlags: u32 {
        /// Out-of-band data (`MSG_OOB`).
        const OOB = 0x1;
        /// Look at the data without consuming it (`MSG_PEEK`).
        const PEEK = 0x2;
        /// Return the real length of a datagram (`MSG_TRUNC`).
        const TRUNC = 0x20;
        /// Give `EAGAIN` instead of waiting (`MSG_DONTWAIT`).
        const DONTWAIT = 0x40;
        /// Take a queued error (`MSG_ERRQUEUE`); never waits.
        const ERRQUEUE = 0x2000;
        /// Wait until the whole buffer is filled (`MSG_WAITALL`).
        const WAITALL = 0x100;
        /// More data follows (`MSG_MORE`).
        const MORE = 0x8000;
        /// Any other bit.
        const _ = !0;
    }

    /// Flags of `accept4(2)`. The accepted descriptor is always close-on-exec.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AcceptFlags: u32 {
        /// The accepted descriptor is non-blocking (`SOCK_NONBLOCK`).
        const NONBLOCK = 0o4000;
        /// Any other bit.
        const _ = !0;
    }

    /// Flags of `socket(2)`. The socket is always close-on-exec.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SocketFlags: u32 {
        /// The socket is non-blocking (`SOCK_NONBLOCK`).
        const NONBLOCK = 0o4000;
        /// Any other bit. Those of the kind of socket are the kind's.
        const _ = !0;
    }
}

/// An address family (`AF_*`), as the kernel numbers them; any other number is as good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Family(pub u16);

impl Family {
    /// No family: a datagram socket that connects to it has no peer any more (`AF_UNSPEC`).
    pub const UNSPEC: Family = Family(0);
    /// Local sockets (`unix(7)`).
    pub const UNIX: Family = Family(1);
    /// IPv4 (`ip(7)`).
    pub const INET: Family = Family(2);
    /// IPv6 (`ipv6(7)`).
    pub const INET6: Family = Family(10);
    /// The kernel's own messages (`netlink(7)`).
    pub const NETLINK: Family = Family(16);
    /// Virtual machines and their host (`vsock(7)`).
    pub const VSOCK: Family = Family(40);
}

/// A kind of socket (`SOCK_*`), as the kernel numbers them; any other number is as good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct SocketKind(pub u32);

impl SocketKind {
    /// A stream of bytes.
    pub const STREAM: SocketKind = SocketKind(1);
    /// Datagrams.
    pub const DGRAM: SocketKind = SocketKind(2);
    /// Raw packets of the family.
    pub const RAW: SocketKind = SocketKind(3);
    /// A connection that keeps the bounds of its messages.
    pub const SEQPACKET: SocketKind = SocketKind(5);
}

/// `accept4(2)`: takes the next connection; the result is its descriptor, close-on-exec.
///
/// Waits for a connection also when the listener is non-blocking.
#[derive(Clone, Copy, Debug)]
pub struct Accept {
    /// The listening socket.
    pub fd: Fd,
    /// Flags of the new descriptor.
    pub flags: AcceptFlags,
    /// Where to store the peer's `struct sockaddr`, or null.
    pub addr: *mut u8,
    /// The size at `addr` in bytes on the way in, the address's length on the way out; null if
    /// `addr` is.
    pub addr_len: *mut u32,
}

/// `bind(2)`: gives the socket the address of `addr_len` bytes at `addr`. Null gives `EFAULT`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Bind {
    pub fd: Fd,
    pub addr: *const u8,
    pub addr_len: u32,
}

/// `connect(2)`: connects the socket to the address of `addr_len` bytes at `addr`. Null gives `EFAULT`.
///
/// Waits for the connection also when the socket is non-blocking: `EINPROGRESS` and `EALREADY` are no
/// results. A second connect while one is in progress waits for the same connection. One that is
/// cancelled leaves the socket as the kernel has it, mostly still connecting: close it. `EAGAIN` is a
/// result on a non-blocking Unix socket alone, when the listener's queue is full, which the kernel offers
/// no way to wait for.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Connect {
    pub fd: Fd,
    pub addr: *const u8,
    pub addr_len: u32,
}

/// `listen(2)`: lets the socket be connected to, with up to `backlog` connections that wait for an
/// accept. The kernel cuts it to `net.core.somaxconn`, as also a negative one.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Listen {
    pub fd: Fd,
    pub backlog: i32,
}

/// `recv(2)`: fills `buf` with what has arrived; 0 is the end of the stream.
///
/// Waits for data also when the socket is non-blocking, unless the flags have
/// [`MsgFlags::DONTWAIT`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Recv {
    pub fd: Fd,
    pub flags: MsgFlags,
    pub buf: *mut u8,
    pub len: usize,
}

/// `send(2)`: sends `buf`. A peer that is gone gives `EPIPE` and never a `SIGPIPE`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Send {
    pub fd: Fd,
    pub flags: MsgFlags,
    pub buf: *const u8,
    pub len: usize,
}

/// `shutdown(2)`: ends one direction of a connection, or both; whoever waits for it hears of it. `how` is
/// the kernel's number (0 receiving, 1 sending, 2 both); others give `EINVAL`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Shutdown {
    pub fd: Fd,
    pub how: u32,
}

/// `socket(2)`: makes a socket; the result is its descriptor, close-on-exec.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// What its addresses look like.
    pub family: Family,
    /// What it carries.
    pub kind: SocketKind,
    /// Flags of the new descriptor.
    pub flags: SocketFlags,
    /// The family's protocol; 0 for the usual one.
    pub protocol: u32,
}
