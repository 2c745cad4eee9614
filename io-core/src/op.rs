//! The descriptor of one operation: plain data that says what to do, and what each operation *is*
//! (can it block, what readiness does it want, does it make a descriptor).
//!
//! A descriptor proves nothing: numbers may be closed and pointers may dangle. Whoever submits it
//! makes the promise (see [`crate::IoAwaitable::new`]).

mod control;
mod fs;
mod net;
mod poll;
mod rw;
mod time;

pub use control::{Cancel, Nop, Scope};
pub use fs::{
    Close, Fdatasync, Fstat, Fsync, Ftruncate, Lseek, Open, OpenFlags, Sendfile, Stat,
    StatTimestamp,
};
pub use net::{
    Accept, AcceptFlags, Bind, Connect, Family, Listen, MsgFlags, Recv, Send, Shutdown, Socket,
    SocketFlags, SocketKind,
};
pub use poll::{Poll, PollEvents};
pub use rw::{
    IOV_MAX, IoVec, MAX_RW_COUNT, Pread, Preadv, Pwrite, Pwritev, Read, Readv, Write, Writev,
};
pub use time::Timeout;

use crate::fd::Fd;

/// What to do. Each variant's payload is documented where it is declared.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "a variant is its payload, documented there")]
pub enum Op {
    Accept(Accept),
    Bind(Bind),
    Cancel(Cancel),
    Close(Close),
    Connect(Connect),
    Fdatasync(Fdatasync),
    Fstat(Fstat),
    Fsync(Fsync),
    Ftruncate(Ftruncate),
    Listen(Listen),
    Lseek(Lseek),
    Nop(Nop),
    Open(Open),
    Poll(Poll),
    Pread(Pread),
    Preadv(Preadv),
    Pwrite(Pwrite),
    Pwritev(Pwritev),
    Read(Read),
    Readv(Readv),
    Recv(Recv),
    Send(Send),
    Sendfile(Sendfile),
    Shutdown(Shutdown),
    Socket(Socket),
    Timeout(Timeout),
    Write(Write),
    Writev(Writev),
}

static_assertions::const_assert!(size_of::<Op>() <= 40);

/// The operation without its arguments: for route tables, masks and counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of the payload types")]
pub enum OpKind {
    Accept,
    Bind,
    Cancel,
    Close,
    Connect,
    Fdatasync,
    Fstat,
    Fsync,
    Ftruncate,
    Listen,
    Lseek,
    Nop,
    Open,
    Poll,
    Pread,
    Preadv,
    Pwrite,
    Pwritev,
    Read,
    Readv,
    Recv,
    Send,
    Sendfile,
    Shutdown,
    Socket,
    Timeout,
    Write,
    Writev,
}

impl OpKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [OpKind; 28] = [
        OpKind::Accept,
        OpKind::Bind,
        OpKind::Cancel,
        OpKind::Close,
        OpKind::Connect,
        OpKind::Fdatasync,
        OpKind::Fstat,
        OpKind::Fsync,
        OpKind::Ftruncate,
        OpKind::Listen,
        OpKind::Lseek,
        OpKind::Nop,
        OpKind::Open,
        OpKind::Poll,
        OpKind::Pread,
        OpKind::Preadv,
        OpKind::Pwrite,
        OpKind::Pwritev,
        OpKind::Read,
        OpKind::Readv,
        OpKind::Recv,
        OpKind::Send,
        OpKind::Sendfile,
        OpKind::Shutdown,
        OpKind::Socket,
        OpKind::Timeout,
        OpKind::Write,
        OpKind::Writev,
    ];

    /// The lower-case name, as in the system call it stands for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OpKind::Accept => "accept",
            OpKind::Bind => "bind",
            OpKind::Cancel => "cancel",
            OpKind::Close => "close",
            OpKind::Connect => "connect",
            OpKind::Fdatasync => "fdatasync",
            OpKind::Fstat => "fstat",
            OpKind::Fsync => "fsync",
            OpKind::Ftruncate => "ftruncate",
            OpKind::Listen => "listen",
            OpKind::Lseek => "lseek",
            OpKind::Nop => "nop",
            OpKind::Open => "open",
            OpKind::Poll => "poll",
            OpKind::Pread => "pread",
            OpKind::Preadv => "preadv",
            OpKind::Pwrite => "pwrite",
            OpKind::Pwritev => "pwritev",
            OpKind::Read => "read",
            OpKind::Readv => "readv",
            OpKind::Recv => "recv",
            OpKind::Send => "send",
            OpKind::Sendfile => "sendfile",
            OpKind::Shutdown => "shutdown",
            OpKind::Socket => "socket",
            OpKind::Timeout => "timeout",
            OpKind::Write => "write",
            OpKind::Writev => "writev",
        }
    }

    /// Whether the operation's successful result is a new descriptor that somebody must close.
    #[must_use]
    pub const fn yields_fd(self) -> bool {
        matches!(self, OpKind::Accept | OpKind::Open | OpKind::Socket)
    }

    /// Whether cancel and stop leave it alone. A close that is cancelled would leak its descriptor, so
    /// every backend runs it, also when it refuses everything else.
    #[must_use]
    pub const fn never_cancelled(self) -> bool {
        matches!(self, OpKind::Close)
    }

    /// Whether the operation only touches kernel memory and so never waits for a device or a peer.
    #[must_use]
    pub const fn never_blocks(self) -> bool {
        matches!(
            self,
            OpKind::Cancel
                | OpKind::Fstat
                | OpKind::Listen
                | OpKind::Lseek
                | OpKind::Nop
                | OpKind::Shutdown
        )
    }
}

bitflags::bitflags! {
    /// A set of operations; the bit of a kind is `1 << kind as u32`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpSet: u64 {
        /// Bits of operations this version does not know.
        const _ = !0;
    }
}

impl OpSet {
    /// The set of this one operation.
    #[must_use]
    pub const fn of(kind: OpKind) -> OpSet {
        OpSet::from_bits_retain(1 << kind as u8)
    }

    /// Whether the set has this operation.
    #[must_use]
    pub const fn has(self, kind: OpKind) -> bool {
        self.bits() & (1 << kind as u8) != 0
    }
}

/// The readiness an operation waits for on its descriptor when it would block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Data, a connection, or the end of the stream.
    Readable,
    /// Room to write, a connection made or refused, or the peer gone.
    Writable,
    /// Any of these.
    Events(PollEvents),
}

impl Interest {
    /// The same, as `poll(2)` is asked for it.
    #[must_use]
    pub const fn events(self) -> PollEvents {
        match self {
            Interest::Readable => PollEvents::IN,
            Interest::Writable => PollEvents::OUT,
            Interest::Events(events) => events,
        }
    }
}

impl Op {
    /// Which operation this is.
    #[must_use]
    #[inline]
    pub const fn kind(&self) -> OpKind {
        match self {
            Op::Accept(_) => OpKind::Accept,
            Op::Bind(_) => OpKind::Bind,
            Op::Cancel(_) => OpKind::Cancel,
            Op::Close(_) => OpKind::Close,
            Op::Connect(_) => OpKind::Connect,
            Op::Fdatasync(_) => OpKind::Fdatasync,
            Op::Fstat(_) => OpKind::Fstat,
            Op::Fsync(_) => OpKind::Fsync,
            Op::Ftruncate(_) => OpKind::Ftruncate,
            Op::Listen(_) => OpKind::Listen,
            Op::Lseek(_) => OpKind::Lseek,
            Op::Nop(_) => OpKind::Nop,
            Op::Open(_) => OpKind::Open,
            Op::Poll(_) => OpKind::Poll,
            Op::Pread(_) => OpKind::Pread,
            Op::Preadv(_) => OpKind::Preadv,
            Op::Pwrite(_) => OpKind::Pwrite,
            Op::Pwritev(_) => OpKind::Pwritev,
            Op::Read(_) => OpKind::Read,
            Op::Readv(_) => OpKind::Readv,
            Op::Recv(_) => OpKind::Recv,
            Op::Send(_) => OpKind::Send,
            Op::Sendfile(_) => OpKind::Sendfile,
            Op::Shutdown(_) => OpKind::Shutdown,
            Op::Socket(_) => OpKind::Socket,
            Op::Timeout(_) => OpKind::Timeout,
            Op::Write(_) => OpKind::Write,
            Op::Writev(_) => OpKind::Writev,
        }
    }

    /// The descriptor and readiness to wait for when the operation would block; `None` if it has
    /// no such thing. Positional operations have none: what they work on is always ready.
    #[must_use]
    #[inline]
    pub const fn interest(&self) -> Option<(Fd, Interest)> {
        match self {
            Op::Accept(op) => Some((op.fd, Interest::Readable)),
            Op::Connect(op) => Some((op.fd, Interest::Writable)),
            Op::Poll(op) => Some((op.fd, Interest::Events(op.events))),
            Op::Read(op) => Some((op.fd, Interest::Readable)),
            Op::Readv(op) => Some((op.fd, Interest::Readable)),
            Op::Recv(op) => Some((op.fd, Interest::Readable)),
            Op::Send(op) => Some((op.fd, Interest::Writable)),
            Op::Sendfile(op) => Some((op.out_fd, Interest::Writable)),
            Op::Write(op) => Some((op.fd, Interest::Writable)),
            Op::Writev(op) => Some((op.fd, Interest::Writable)),
            Op::Bind(_)
            | Op::Cancel(_)
            | Op::Close(_)
            | Op::Fdatasync(_)
            | Op::Fstat(_)
            | Op::Fsync(_)
            | Op::Ftruncate(_)
            | Op::Listen(_)
            | Op::Lseek(_)
            | Op::Nop(_)
            | Op::Open(_)
            | Op::Pread(_)
            | Op::Preadv(_)
            | Op::Pwrite(_)
            | Op::Pwritev(_)
            | Op::Shutdown(_)
            | Op::Socket(_)
            | Op::Timeout(_) => None,
        }
    }

    /// The descriptor it works on, for those that have one. A sendfile's is the output.
    #[must_use]
    pub const fn fd(&self) -> Option<Fd> {
        match self {
            Op::Accept(op) => Some(op.fd),
            Op::Bind(op) => Some(op.fd),
            Op::Close(op) => Some(op.fd),
            Op::Connect(op) => Some(op.fd),
            Op::Fdatasync(op) => Some(op.fd),
            Op::Fstat(op) => Some(op.fd),
            Op::Fsync(op) => Some(op.fd),
            Op::Ftruncate(op) => Some(op.fd),
            Op::Listen(op) => Some(op.fd),
            Op::Lseek(op) => Some(op.fd),
            Op::Poll(op) => Some(op.fd),
            Op::Pread(op) => Some(op.fd),
            Op::Preadv(op) => Some(op.fd),
            Op::Pwrite(op) => Some(op.fd),
            Op::Pwritev(op) => Some(op.fd),
            Op::Read(op) => Some(op.fd),
            Op::Readv(op) => Some(op.fd),
            Op::Recv(op) => Some(op.fd),
            Op::Send(op) => Some(op.fd),
            Op::Sendfile(op) => Some(op.out_fd),
            Op::Shutdown(op) => Some(op.fd),
            Op::Write(op) => Some(op.fd),
            Op::Writev(op) => Some(op.fd),
            Op::Cancel(_) | Op::Nop(_) | Op::Open(_) | Op::Socket(_) | Op::Timeout(_) => None,
        }
    }

    /// Whether it works on this descriptor: what a cancel by descriptor means. An open works on its directory.
    #[must_use]
    pub fn uses(&self, fd: Fd) -> bool {
        match self {
            Op::Sendfile(op) => op.out_fd == fd || op.in_fd == fd,
            Op::Open(op) => op.dir == fd,
            op => op.fd() == Some(fd),
        }
    }

    /// Whether it is in this scope.
    #[must_use]
    pub fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Fd(fd) => self.uses(fd),
        }
    }

    /// Whether `EAGAIN` is a result: the caller asked to be told (`MSG_DONTWAIT`, an open with
    /// `O_NONBLOCK`), it never waits (`MSG_ERRQUEUE`), or there is nothing to wait for (a connect to a
    /// Unix listener whose queue is full, from a non-blocking socket).
    #[must_use]
    #[inline]
    pub const fn wants_eagain(&self) -> bool {
        match self {
            Op::Recv(op) => op.flags.intersects(MsgFlags::DONTWAIT.union(MsgFlags::ERRQUEUE)),
            Op::Send(op) => op.flags.contains(MsgFlags::DONTWAIT),
            Op::Open(op) => op.flags.contains(OpenFlags::NONBLOCK),
            Op::Connect(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OpKind, OpSet};

    #[test]
    fn kinds_and_their_list_agree() {
        for (index, kind) in OpKind::ALL.into_iter().enumerate() {
            assert_eq!(index, kind as usize, "{}", kind.name());
            assert!(OpSet::all().has(kind));
            assert!(OpSet::of(kind).has(kind));
            assert!(!OpSet::of(kind).complement().has(kind));
        }
    }
}
