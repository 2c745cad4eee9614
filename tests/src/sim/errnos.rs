//! [`errnos`]: what each operation can fail with for a reason of the kernel's own, by the manual page of its
//! call.
//!
//! Not in the table: what the arguments or the state of a file or connection lead to (`EBADF`, `ENOTCONN`,
//! `EPIPE`, `ECONNRESET`, …), which the [`World`](crate::world::World) gives as the kernel would; and `EINTR`
//! and `EAGAIN`, which the contract keeps from the caller.

use io_core::op::OpenFlags;
use io_core::{Errno, Op, OpKind};

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
const FILE_WRITE: &[Errno] = &[Errno::DQUOT, Errno::FBIG, Errno::IO, Errno::NOSPC, Errno::PERM];
/// The last is a stream's.
const WRITE: &[Errno] =
    &[Errno::DQUOT, Errno::FBIG, Errno::IO, Errno::NOSPC, Errno::PERM, Errno::NOMEM];

/// What the adversary may let a call of this kind fail with. Without effect, but for close, whose descriptor
/// is gone all the same.
#[must_use]
pub const fn errnos(kind: OpKind) -> &'static [Errno] {
    match kind {
        OpKind::Accept => &[
            Errno::CONNABORTED,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::PERM,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
        ],
        OpKind::Bind => {
            &[Errno::ACCES, Errno::ADDRINUSE, Errno::ADDRNOTAVAIL, Errno::NOMEM, Errno::ROFS]
        }
        OpKind::Close => &[Errno::IO, Errno::NOSPC, Errno::DQUOT],
        OpKind::Connect => &[
            Errno::ACCES,
            Errno::ADDRINUSE,
            Errno::ADDRNOTAVAIL,
            Errno::CONNREFUSED,
            Errno::NETUNREACH,
            Errno::PERM,
            Errno::TIMEDOUT,
        ],
        OpKind::Fdatasync | OpKind::Fsync => &[Errno::IO, Errno::NOSPC, Errno::DQUOT],
        OpKind::Fstat | OpKind::Poll | OpKind::Recv => &[Errno::NOMEM],
        OpKind::Ftruncate => &[Errno::FBIG, Errno::IO, Errno::PERM, Errno::TXTBSY],
        OpKind::Listen => &[Errno::ADDRINUSE],
        OpKind::Open => OPEN,
        OpKind::Pread | OpKind::Preadv | OpKind::Read | OpKind::Readv => &[Errno::IO],
        OpKind::Pwrite | OpKind::Pwritev => FILE_WRITE,
        OpKind::Write | OpKind::Writev => WRITE,
        OpKind::Send => &[Errno::NOBUFS, Errno::NOMEM],
        OpKind::Sendfile => &[Errno::IO, Errno::NOMEM],
        OpKind::Socket => &[Errno::ACCES, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM],
        OpKind::Cancel | OpKind::Lseek | OpKind::Nop | OpKind::Shutdown | OpKind::Timeout => &[],
    }
}

/// Whether this very operation can fail so: a pipe knows no quota, and only what makes a file needs room for
/// it. `stream`: its descriptor is a pipe or a socket.
#[must_use]
pub fn is_possible(op: &Op, errno: Errno, stream: bool) -> bool {
    match op {
        Op::Open(open) if matches!(errno, Errno::DQUOT | Errno::NOSPC) => {
            open.flags.contains(OpenFlags::CREATE)
        }
        Op::Write(_) | Op::Writev(_) => (errno == Errno::NOMEM) == stream,
        _ => true,
    }
}
