//! [`errnos`]: what each operation can fail with on what it works on, for a reason of the kernel's own, by the
//! manual page of its call.
//!
//! Not in the table: what the arguments or the state of a file or connection lead to (`EBADF`, `ENOTCONN`,
//! `EPIPE`, `ECONNRESET`, `EACCES` of a port that is root's, …), which the [`World`](crate::world::World) gives as
//! the kernel would; and `EINTR` and `EAGAIN`, which the contract keeps from the caller.

use crate::world::FileKind;
use io_core::op::OpenFlags;
use io_core::{Errno, Op, OpKind};

const FILE: Option<FileKind> = Some(FileKind::File);
const PIPE: Option<FileKind> = Some(FileKind::Pipe);
const LOCAL: Option<FileKind> = Some(FileKind::Local);
const NETWORK: Option<FileKind> = Some(FileKind::Network);

const OPEN: &[Errno] = &[
    Errno::ACCES,
    Errno::DQUOT,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOSPC,
    Errno::PERM,
    Errno::ROFS,
    Errno::TXTBSY,
];
/// The second half are errors that were pending on the new connection.
const ACCEPT: &[Errno] = &[
    Errno::CONNABORTED,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::PERM,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NONET,
    Errno::NOPROTOOPT,
    Errno::OPNOTSUPP,
    Errno::PROTO,
];
const CONNECT: &[Errno] = &[
    Errno::ACCES,
    Errno::ADDRINUSE,
    Errno::ADDRNOTAVAIL,
    Errno::CONNREFUSED,
    Errno::HOSTUNREACH,
    Errno::NETUNREACH,
    Errno::PERM,
    Errno::TIMEDOUT,
];
/// From a network, whose connection may have failed meanwhile.
const RECEIVE: &[Errno] = &[Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NOMEM, Errno::TIMEDOUT];
/// To a network.
const SEND: &[Errno] = &[
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::TIMEDOUT,
];
/// [`SEND`], and the reading of the file.
const SENDFILE: &[Errno] = &[
    Errno::IO,
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::TIMEDOUT,
];
const WRITE: &[Errno] = &[Errno::DQUOT, Errno::FBIG, Errno::IO, Errno::NOSPC, Errno::PERM];

/// What the adversary may let a call of this kind fail with on a file of that kind; `None` is a call that works on
/// no file, or on none that is open. Without effect, but for close, whose descriptor is gone all the same.
#[must_use]
pub const fn errnos(kind: OpKind, on: Option<FileKind>) -> &'static [Errno] {
    match (kind, on) {
        (OpKind::Open, None) => OPEN,
        (OpKind::Socket, None) => {
            &[Errno::ACCES, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        }
        (OpKind::Accept, LOCAL) => &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM],
        (OpKind::Accept, NETWORK) => ACCEPT,
        (OpKind::Bind, LOCAL) => &[Errno::ACCES, Errno::NOMEM, Errno::ROFS],
        (OpKind::Bind, NETWORK) => &[Errno::ADDRINUSE, Errno::ADDRNOTAVAIL, Errno::NOMEM],
        (OpKind::Connect, LOCAL) => &[Errno::ACCES, Errno::NOMEM],
        (OpKind::Connect, NETWORK) => CONNECT,
        (OpKind::Close | OpKind::Fdatasync | OpKind::Fsync, FILE) => {
            &[Errno::IO, Errno::NOSPC, Errno::DQUOT]
        }
        (OpKind::Fstat | OpKind::Poll, Some(_)) => &[Errno::NOMEM],
        (OpKind::Ftruncate, FILE) => &[Errno::FBIG, Errno::IO, Errno::PERM, Errno::TXTBSY],
        (OpKind::Listen, NETWORK) => &[Errno::ADDRINUSE],
        (OpKind::Pread | OpKind::Preadv | OpKind::Read | OpKind::Readv, FILE) => &[Errno::IO],
        (OpKind::Read | OpKind::Readv | OpKind::Recv, LOCAL) => &[Errno::NOMEM],
        (OpKind::Read | OpKind::Readv | OpKind::Recv, NETWORK) => RECEIVE,
        (OpKind::Pwrite | OpKind::Pwritev | OpKind::Write | OpKind::Writev, FILE) => WRITE,
        (OpKind::Write | OpKind::Writev, PIPE) => &[Errno::NOMEM],
        (OpKind::Send | OpKind::Write | OpKind::Writev, LOCAL) => &[Errno::NOBUFS, Errno::NOMEM],
        (OpKind::Send | OpKind::Write | OpKind::Writev, NETWORK) => SEND,
        (OpKind::Sendfile, FILE) => {
            &[Errno::DQUOT, Errno::FBIG, Errno::IO, Errno::NOMEM, Errno::NOSPC]
        }
        (OpKind::Sendfile, PIPE) => &[Errno::IO, Errno::NOMEM],
        (OpKind::Sendfile, LOCAL) => &[Errno::IO, Errno::NOBUFS, Errno::NOMEM],
        (OpKind::Sendfile, NETWORK) => SENDFILE,
        _ => &[],
    }
}

/// On which files an operation of this kind can do something, which the adversary [claims](super::claimed) it does.
#[must_use]
pub const fn works_on(kind: OpKind) -> &'static [Option<FileKind>] {
    match kind {
        OpKind::Cancel | OpKind::Nop | OpKind::Open | OpKind::Socket | OpKind::Timeout => &[None],
        OpKind::Accept
        | OpKind::Bind
        | OpKind::Connect
        | OpKind::Listen
        | OpKind::Recv
        | OpKind::Send
        | OpKind::Shutdown => &[LOCAL, NETWORK],
        OpKind::Fdatasync
        | OpKind::Fsync
        | OpKind::Ftruncate
        | OpKind::Lseek
        | OpKind::Pread
        | OpKind::Preadv
        | OpKind::Pwrite
        | OpKind::Pwritev => &[FILE],
        // A file is always ready, and epoll does not take it.
        OpKind::Poll => &[PIPE, LOCAL, NETWORK],
        OpKind::Close
        | OpKind::Fstat
        | OpKind::Read
        | OpKind::Readv
        | OpKind::Sendfile
        | OpKind::Write
        | OpKind::Writev => &[FILE, PIPE, LOCAL, NETWORK],
    }
}

/// Whether this very operation can fail so: only what makes a file needs room for it, only what changes one is
/// refused where nothing may change, and only a name in the tree can be out of reach. `path`: its address is such
/// a name.
#[must_use]
pub fn is_possible(op: &Op, on: Option<FileKind>, errno: Errno, path: bool) -> bool {
    match (op, errno) {
        (Op::Open(open), Errno::DQUOT | Errno::NOSPC) => open.flags.contains(OpenFlags::CREATE),
        (Op::Open(open), Errno::ROFS) => {
            open.flags.intersects(OpenFlags::CREATE | OpenFlags::WRONLY | OpenFlags::RDWR)
        }
        (Op::Open(open), Errno::TXTBSY) => {
            open.flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR)
        }
        // What refuses a connection to a network is a firewall.
        (Op::Bind(_) | Op::Connect(_), Errno::ACCES | Errno::ROFS) => path || on == NETWORK,
        _ => true,
    }
}
