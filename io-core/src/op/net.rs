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
