//! The try that never waits: what a backend may do inside submit or on a poll loop.
//!
//! Reads and writes use `RWF_NOWAIT`, socket operations `MSG_DONTWAIT`. A file that refuses
//! `RWF_NOWAIT`, or a kernel that does not know it, is a miss and never an error. A *partial* read of a
//! file is not the result either: the rest may only be missing from the page cache.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::rw::{no_bytes, one, refused, slices, slices_mut, with_slices_mut};
use super::{
    BADF, INLINE_MAX, INVAL, SPIPE, act, borrow, check_seekable, counted, fs, net, poll, retry,
    vectors,
};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{
    Connect, IoVec, MsgFlags, Op, Poll, Pread, Preadv, Pwrite, Pwritev, Read, Readv, Recv, Write,
    Writev,
};
use core::ptr;
use rustix::io::{Errno as SysErrno, IoSliceMut};

/// The file's own position, as `preadv2(2)` takes it.
const POSITION: u64 = u64::MAX;

const AGAIN: i64 = Errno::AGAIN.to_result();

const NOT_A_SOCKET: i64 = Errno::NOTSOCK.to_result();

/// What a try came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// This is the operation's result.
    Done(i64),
    /// It would have waited: for readiness if the descriptor can be polled, else for a device.
    WouldBlock,
    /// It would have waited for a device after this many bytes of a `read`, `write` or `pwrite`: go on with
    /// [`perform_from`](super::perform_from). 0 also of a connect that only a blocking call can make.
    Partial(usize),
    /// There is no way to try it on this file or kernel.
    Refused,
}

/// Whether the operation copies little enough to be tried inside submit.
///
/// # Safety
/// * As [`perform`](super::perform): a vector table is read.
#[must_use]
pub unsafe fn fits_inline(op: &Op) -> bool {
    let len = match op {
        Op::Read(op) => op.len,
        Op::Write(op) => op.len,
        Op::Pread(op) => op.len,
        Op::Pwrite(op) => op.len,
        Op::Recv(op) => op.len,
        Op::Send(op) => op.len,
        Op::Readv(op) => total(op.iov, op.count),
        Op::Writev(op) => total(op.iov, op.count),
        Op::Preadv(op) => total(op.iov, op.count),
        Op::Pwritev(op) => total(op.iov, op.count),
        _ => 0,
    };
    len <= INLINE_MAX
}

/// The bytes a vector table names; 0 for one that will be refused.
fn total(iov: *const IoVec, count: usize) -> usize {
    if refused(iov, count).is_some() {
        return 0;
    }
    if count == 0 {
        return 0;
    }
    // SAFETY: not null, and that many entries are valid, promised by whoever made the op.
    let table = unsafe { core::slice::from_raw_parts(iov, count) };
    table.iter().map(|vec| vec.len).fold(0, usize::saturating_add)
}

/// Tries the operation without waiting.
///
/// # Safety
/// * As [`perform`](super::perform).
#[must_use]
pub unsafe fn attempt(op: &Op) -> Attempt {
    match op {
        // Refused, or nothing to do: either way at once.
        Op::Readv(Readv { iov, count, .. })
        | Op::Writev(Writev { iov, count, .. })
        | Op::Preadv(Preadv { iov, count, .. })
        | Op::Pwritev(Pwritev { iov, count, .. })
            if *count == 0 || refused(*iov, *count).is_some() =>
        {
            Attempt::Done(act(op, 0))
        }
        Op::Fstat(_) | Op::Listen(_) | Op::Lseek(_) | Op::Nop(_) | Op::Shutdown(_) => {
            Attempt::Done(act(op, 0))
        }
        // A Unix socket's name may be a file, which has to be made.
        Op::Bind(bind) if net::is_unix(bind.fd) => Attempt::Refused,
        Op::Bind(_) => Attempt::Done(act(op, 0)),
        Op::Connect(connect) => connect_now(connect, false),
        Op::Poll(op) => look(op),
        Op::Read(Read { fd, len: 0, .. }) if fs::waits_for_nothing(*fd) => Attempt::WouldBlock,
        // A terminal has a queue of those who read it, and one of those who write, also for nothing.
        Op::Read(read) if read.len == 0 && fs::is_terminal(read.fd) => self::read(read),
        Op::Write(Write { fd, len: 0, .. }) if fs::is_terminal(*fd) => {
            write(*fd, &one(ptr::null_mut(), 0))
        }
        // Nothing to wait for, but for a message that is empty.
        Op::Pread(Pread { len: 0, .. })
        | Op::Pwrite(Pwrite { len: 0, .. })
        | Op::Read(Read { len: 0, .. }) => Attempt::Done(act(op, 0)),
        Op::Write(Write { fd, len: 0, .. }) => match net::send_nothing(*fd) {
            NOT_A_SOCKET => Attempt::Done(act(op, 0)),
            result => message(op, result),
        },
        // For others the kernel may load a module first.
        Op::Socket(socket) if net::is_common(socket) => Attempt::Done(act(op, 0)),
        Op::Pread(op) => pread(op),
        Op::Preadv(op) => preadv(op),
        Op::Pwrite(op) => pwrite(op),
        Op::Pwritev(op) => pwritev(op),
        Op::Read(op) => read(op),
        Op::Readv(op) => readv(op),
        Op::Write(op) => {
            let vec = one(op.buf.cast_mut(), op.len);
            write(op.fd, &vec)
        }
        Op::Writev(op) => writev(op),
        Op::Recv(recv) if recv.flags.contains(MsgFlags::WAITALL) => wait_all(recv),
        Op::Recv(recv) => message(op, net::recv(recv, recv.flags | MsgFlags::DONTWAIT)),
        Op::Send(send) => message(op, net::send(send, send.flags | MsgFlags::DONTWAIT)),
        // Nothing but a listening socket can wait for a connection.
        Op::Accept(accept) if net::may_wait(accept) => Attempt::Refused,
        Op::Accept(_) => Attempt::Done(act(op, 0)),
        // What is refused at once has nothing to wait for.
        Op::Sendfile(sendfile) if !fs::can_send(sendfile) => Attempt::Done(act(op, 0)),
        Op::Cancel(_)
        | Op::Close(_)
        | Op::Fdatasync(_)
        | Op::Fsync(_)
        | Op::Ftruncate(_)
        | Op::Open(_)
        | Op::Sendfile(_)
        | Op::Socket(_)
        | Op::Timeout(_) => Attempt::Refused,
    }
}

/// [`attempt`] for an operation that would have blocked and has waited for its readiness since. It makes a
/// difference for a connect: "already connected" is its own success then; and for what has no form that does
/// not wait, such as an accept or a `MSG_WAITALL` on a blocking socket: it goes back to wait if there is nothing
/// any more, because another has taken it or the event was of an earlier file of that number, and does not hold a
/// thread until something comes. (Two threads that look at the same time may still do that.)
///
/// # Safety
/// * As [`perform`](super::perform).
#[must_use]
pub unsafe fn attempt_again(op: &Op) -> Attempt {
    match op {
        Op::Connect(connect) => connect_now(connect, true),
        op => {
            // SAFETY: promised by the caller.
            let tried = unsafe { attempt(op) };
            match (tried, op.interest()) {
                (Attempt::Refused, Some((fd, interest)))
                    if poll::is_idle(fd, interest.events()) =>
                {
                    Attempt::WouldBlock
                }
                (Attempt::WouldBlock | Attempt::Refused, _) if no_longer_receives(op) => {
                    Attempt::Done(receive_the_last(op))
                }
                _ => tried,
            }
        }
    }
}

/// Whether it is to receive from a socket that has been shut down for that (`poll(2)`): then it does not wait,
/// and what readiness brings is no news.
#[must_use]
pub fn no_longer_receives(op: &Op) -> bool {
    let fd = match op {
        Op::Accept(op) => op.fd,
        Op::Read(op) => op.fd,
        Op::Readv(op) => op.fd,
        Op::Recv(recv) if !op.wants_eagain() => recv.fd,
        _ => return false,
    };
    !cfg!(miri) && poll::is_shut(fd)
}

/// What came before the shutdown is still to be had. Then a blocking call says that this is the end; one that
/// does not block says `EAGAIN`, as if there were something to wait for: of sockets that keep messages apart, and
/// of Unix listeners.
fn receive_the_last(op: &Op) -> i64 {
    match (act(op, 0), op) {
        (AGAIN, Op::Accept(_)) => Errno::INVAL.to_result(),
        (AGAIN, _) => 0,
        (result, _) => result,
    }
}

/// A connect from a non-blocking socket. The call is made again after the wait rather than `SO_ERROR`
/// asked for: it gives the same answer, and only it lets the socket leave the connecting state, so that the
/// next connect has the answer it has after a blocking one.
fn connect_now(op: &Connect, waited: bool) -> Attempt {
    match net::connect_mode(op.fd) {
        // Looks a name up in the file system, or has no form that does not wait. There is no readiness to
        // wait for before it: a listener, or a connection that is full, is refused and never writable.
        net::ConnectMode::Waits => Attempt::Partial(0),
        net::ConnectMode::Now => match net::connect_once(op, waited) {
            net::IN_PROGRESS | net::IN_PROGRESS_ALREADY => Attempt::WouldBlock,
            result => Attempt::Done(result),
        },
    }
}

fn look(op: &Poll) -> Attempt {
    match poll::look(op) {
        0 => Attempt::WouldBlock,
        result => Attempt::Done(result),
    }
}

/// The answer to a socket operation that was told not to wait.
fn message(op: &Op, result: i64) -> Attempt {
    if result == Errno::AGAIN.to_result() && !op.wants_eagain() {
        Attempt::WouldBlock
    } else {
        Attempt::Done(result)
    }
}

/// What a `MSG_WAITALL` gets without waiting would be consumed and yet not the whole; so only what is
/// refused at once is found out.
fn wait_all(op: &Recv) -> Attempt {
    let look = Recv { len: 0, ..*op };
    match net::recv(&look, MsgFlags::PEEK | MsgFlags::DONTWAIT) {
        result if result < 0 && result != Errno::AGAIN.to_result() => Attempt::Done(result),
        _ => Attempt::Refused,
    }
}

/// Reads a `RWF_NOWAIT` answer.
fn answer(result: rustix::io::Result<usize>) -> Attempt {
    match result {
        Err(SysErrno::AGAIN) => Attempt::WouldBlock,
        Err(SysErrno::OPNOTSUPP | SysErrno::NOSYS) => Attempt::Refused,
        result => Attempt::Done(counted(result)),
    }
}

fn read_at(fd: Fd, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Attempt {
    answer(retry(borrow(fd), |fd| vectors::preadv_now(fd, bufs, offset)))
}

fn write_at(fd: Fd, iov: *const IoVec, count: usize, offset: u64) -> Attempt {
    answer(retry(borrow(fd), |fd| {
        // SAFETY: as in `read_at`.
        let bufs = unsafe { slices(iov, count) };
        vectors::pwritev_now(fd, bufs, offset)
    }))
}

fn pread(op: &Pread) -> Attempt {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    let mut vec = [one(op.buf, op.len)];
    let len = vec[0].len;
    whole(op.fd, offset, len, read_at(op.fd, slices_mut(&mut vec), offset))
}

fn preadv(op: &Preadv) -> Attempt {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    let mut tried = Attempt::Refused;
    with_slices_mut(op.iov, op.count, |bufs| {
        tried = read_at(op.fd, bufs, offset);
        0
    });
    whole(op.fd, offset, total(op.iov, op.count), tried)
}

/// A short positional read is the result only at the end of the file; else a worker reads it again.
fn whole(fd: Fd, offset: u64, len: usize, tried: Attempt) -> Attempt {
    match tried {
        Attempt::Done(got @ 1..)
            if got.unsigned_abs() < len as u64
                && !at_end(fd, offset.saturating_add(got.unsigned_abs())) =>
        {
            Attempt::WouldBlock
        }
        other => other,
    }
}

fn pwrite(op: &Pwrite) -> Attempt {
    let Ok(offset) = u64::try_from(op.offset) else {
        return Attempt::Done(Errno::INVAL.to_result());
    };
    let vec = one(op.buf.cast_mut(), op.len);
    match write_at(op.fd, &raw const vec, 1, offset) {
        // Goes on from there: written again from the start it would be there twice with `O_APPEND`.
        Attempt::Done(put @ 1..) if put.unsigned_abs() < vec.len as u64 => {
            Attempt::Partial(usize::try_from(put).unwrap_or(0))
        }
        other => other,
    }
}

fn pwritev(op: &Pwritev) -> Attempt {
    match u64::try_from(op.offset) {
        // A short count is a result: to go on in mid-vector is the caller's.
        Ok(offset) => write_at(op.fd, op.iov, op.count, offset),
        Err(_) => Attempt::Done(Errno::INVAL.to_result()),
    }
}

fn read(op: &Read) -> Attempt {
    let mut vec = [one(op.buf, op.len)];
    let len = vec[0].len;
    match read_at(op.fd, slices_mut(&mut vec), POSITION) {
        Attempt::Done(got @ 1..) if got.unsigned_abs() < len as u64 => match fs::position(op.fd) {
            // A file: short is the result only at its end.
            // (Not an eventfd and its kin, which say that they have a position.)
            position @ 0..
                if check_seekable(op.fd).is_ok() && !at_end(op.fd, position.unsigned_abs()) =>
            {
                Attempt::Partial(usize::try_from(got).unwrap_or(0))
            }
            // A pipe or socket: what is there is the result.
            _ => Attempt::Done(got),
        },
        other => other,
    }
}

fn write(fd: Fd, vec: &IoVec) -> Attempt {
    match write_at(fd, ptr::from_ref(vec), 1, POSITION) {
        // A file is written whole, or goes on at a worker; a pipe or socket takes what it takes.
        Attempt::Done(put @ 1..) if put.unsigned_abs() < vec.len as u64 => {
            if check_seekable(fd).is_ok() {
                Attempt::Partial(usize::try_from(put).unwrap_or(0))
            } else {
                Attempt::Done(put)
            }
        }
        other => other,
    }
}

fn writev(op: &Writev) -> Attempt {
    // As `readv`.
    if is_at_position(op.fd) {
        return Attempt::Refused;
    }
    write_at(op.fd, op.iov, op.count, POSITION)
}

fn readv(op: &Readv) -> Attempt {
    // On a file a partial vectored read would have to go on in mid-vector: a worker does it whole.
    if is_at_position(op.fd) {
        return Attempt::Refused;
    }
    let mut tried = Attempt::Refused;
    with_slices_mut(op.iov, op.count, |bufs| {
        tried = read_at(op.fd, bufs, POSITION);
        0
    });
    tried
}

/// Whether vectors of it may be cut short in their midst, as those of a file. What refuses to be read at all, as a
/// process, or takes no fewer bytes than a count has, is not a file.
fn is_at_position(fd: Fd) -> bool {
    !matches!(no_bytes(fd), BADF | SPIPE | INVAL)
}

/// Whether a file ends at or before `offset`: one byte is asked for, into memory of our own.
fn at_end(fd: Fd, offset: u64) -> bool {
    let mut byte = 0_u8;
    let mut vec = [one(&raw mut byte, 1)];
    read_at(fd, slices_mut(&mut vec), offset) == Attempt::Done(0)
}
