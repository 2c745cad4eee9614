//! Feature `syscall`: the definition of every operation as one Linux system call ([`perform`]), and the
//! try that never waits ([`attempt`]).
//!
//! This is what an operation *means*: every backend's result is held against it.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! Pointers go to the kernel as they are, in vectors or as slices of `MaybeUninit` that no Rust code
//! reads. That they are valid was promised to [`IoAwaitable::new`](crate::IoAwaitable::new) by whoever
//! made the descriptor, and holds while a node is owned (invariants I1 and I2).

mod describe;
mod fs;
mod lift;
mod net;
mod nowait;
mod poll;
mod rw;
#[cfg_attr(miri, path = "syscall/vectors_miri.rs")]
mod vectors;

pub use describe::{is_nonblocking, is_tcp, tells_of_all, tells_of_more};
pub(crate) use lift::lifted;
pub use lift::{keep_fds_from, lift_fd};
pub use nowait::{Attempt, attempt, attempt_again, fits_inline, no_longer_receives};

use crate::errno::Errno;
use crate::fd::{Fd, IoFd, Seekable};
use crate::op::Op;
use crate::time::Deadline;
use core::time::Duration;
use rustix::fd::BorrowedFd;
use rustix::io::Errno as SysErrno;

/// The most bytes that a submit copies by itself.
pub const INLINE_MAX: usize = 64 * 1024;

/// Performs the operation, blocking as its system call blocks, and returns the result word. `EINTR` is
/// retried, except for close, where the descriptor is gone and the result 0. `EAGAIN` of a non-blocking
/// descriptor is returned; but a connect waits, whatever the descriptor's mode.
///
/// # Safety
/// * As [`IoAwaitable::new`](crate::IoAwaitable::new), for the length of the call. It holds for the
///   operation of a [`Node`](crate::Node) that is not completed.
#[must_use]
pub unsafe fn perform(op: &Op) -> i64 {
    act(op, 0)
}

/// [`perform`] for a `read`, `write` or `pwrite` whose first `done` bytes were transferred before: the result counts them.
///
/// # Safety
/// * As [`perform`].
#[must_use]
pub unsafe fn perform_from(op: &Op, done: usize) -> i64 {
    act(op, done)
}

fn act(op: &Op, done: usize) -> i64 {
    match op {
        Op::Accept(op) => net::accept(op),
        Op::Bind(op) => net::bind(op),
        // Of the backend's own; there is no system call behind them.
        Op::Cancel(_) | Op::Timeout(_) => Errno::OPNOTSUPP.to_result(),
        Op::Close(op) => fs::close(op),
        Op::Connect(op) => net::connect(op),
        Op::Fdatasync(op) => fs::fdatasync(op),
        Op::Fstat(op) => fs::fstat(op),
        Op::Fsync(op) => fs::fsync(op),
        Op::Ftruncate(op) => fs::ftruncate(op),
        Op::Listen(op) => net::listen(op),
        Op::Lseek(op) => fs::lseek(op),
        Op::Nop(_) => 0,
        Op::Open(op) => fs::open(op),
        Op::Poll(op) => poll::poll(op),
        Op::Pread(op) => rw::pread(op),
        Op::Preadv(op) => rw::preadv(op),
        Op::Pwrite(op) => rw::pwrite(op, done),
        Op::Pwritev(op) => rw::pwritev(op),
        Op::Read(op) => rw::read(op, done),
        Op::Readv(op) => rw::readv(op),
        Op::Recv(op) => net::recv(op, op.flags),
        Op::Send(op) => net::send(op, op.flags),
        Op::Sendfile(op) => fs::sendfile(op),
        Op::Shutdown(op) => net::shutdown(op),
        Op::Socket(op) => net::socket(op),
        Op::Write(op) => rw::write(op, done),
        Op::Writev(op) => rw::writev(op),
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC` (`clock_gettime(2)`).
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The monotonic clock starts near 0 at boot and is never negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// The instant `timeout` from now.
#[must_use]
pub fn deadline_in(timeout: Duration) -> Deadline {
    Deadline::after(now_ns(), timeout)
}

/// Closes a descriptor that a backend made (`close(2)`): what
/// [`IoBackend::closer`](crate::IoBackend::closer) returns. There is nobody to tell about an error, and
/// the number is free whatever it is.
///
/// # Safety
/// * Nobody else uses the descriptor any more.
pub unsafe fn close_fd(fd: Fd) {
    let _: i64 = fs::close(&crate::op::Close { fd });
}

/// Asks whether positional operations are possible: one `pread(2)` of nothing, on a write-only descriptor
/// also a `pwrite(2)` of nothing. (`lseek(2)` says yes to eventfds and their kin, `pread` says no.)
///
/// # Errors
/// `ESPIPE` on pipes, sockets and whatever else has no positions; `EBADF`.
pub fn check_seekable(fd: Fd) -> Result<(), Errno> {
    match rw::no_bytes(fd) {
        result @ (BADF | SPIPE) => crate::errno::decode(result).map(drop),
        // Anything else, such as a directory's EISDIR, is the operation's own to say.
        _ => Ok(()),
    }
}

/// [`check_seekable`] of a read's or a write's descriptor, and [`check_transfers`] where that could be wrong.
///
/// # Errors
/// As those.
pub fn check_positional(op: &Op) -> Result<(), Errno> {
    let Some(fd) = rw::positional(op) else { return Ok(()) };
    match rw::no_bytes(fd) {
        result @ (BADF | SPIPE) => crate::errno::decode(result).map(drop),
        INVAL => check_transfers(op),
        _ => Ok(()),
    }
}

/// Asks whether the file of a read or write can be read or written to at all, by a vector of nothing, which never
/// reaches it: a timer or an epoll cannot, and yet may be waited for.
///
/// # Errors
/// `EINVAL`; `EBADF` for the wrong direction.
pub fn check_transfers(op: &Op) -> Result<(), Errno> {
    crate::errno::decode(rw::no_pieces(op)).map(drop)
}

const BADF: i64 = Errno::BADF.to_result();
const INVAL: i64 = Errno::INVAL.to_result();
const SPIPE: i64 = Errno::SPIPE.to_result();

/// A descriptor whose file is known to be seekable: the value is the proof, so positional operations
/// need not ask again.
#[derive(Clone, Debug)]
pub struct SeekableFd<F>(F);

impl<F: IoFd> SeekableFd<F> {
    /// Asks once; see [`check_seekable`].
    ///
    /// # Errors
    /// `ESPIPE` on pipes and sockets, with the descriptor given back.
    pub fn prove(file: F) -> Result<SeekableFd<F>, (Errno, F)> {
        match check_seekable(file.fd()) {
            Ok(()) => Ok(SeekableFd(file)),
            Err(errno) => Err((errno, file)),
        }
    }

    /// The descriptor, without the proof.
    pub fn into_inner(self) -> F {
        self.0
    }
}

// SAFETY: the inner value proves the descriptor open; `prove` has asked.
unsafe impl<F: IoFd> IoFd for SeekableFd<F> {
    fn fd(&self) -> Fd {
        self.0.fd()
    }

    fn seekable(&self) -> Seekable {
        Seekable::Proven
    }
}

/// `-errno`.
fn failed(errno: SysErrno) -> i64 {
    -i64::from(errno.raw_os_error())
}

/// A count as a result word. Counts are at most `MAX_RW_COUNT`.
fn counted(result: rustix::io::Result<usize>) -> i64 {
    match result {
        Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
        Err(errno) => failed(errno),
    }
}

/// The descriptor for the length of one call. A negative number is one that can never be open instead, so
/// that the kernel says which error comes first.
fn borrow<'a>(fd: Fd) -> BorrowedFd<'a> {
    let number = if fd.raw() < 0 { NEVER_OPEN } else { fd.raw() };
    // SAFETY: not -1. The number may be closed or reused: the kernel says so, and which file it means
    // was the promise of whoever made the descriptor.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Numbers of descriptors end below it (`fs.nr_open`).
const NEVER_OPEN: i32 = i32::MAX;

/// Runs `call` with the descriptor until it is not interrupted.
fn on(fd: Fd, call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>) -> i64 {
    counted(retry(borrow(fd), call))
}

fn retry<T>(
    fd: BorrowedFd<'_>,
    mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match call(fd) {
            Err(SysErrno::INTR) => {}
            result => return result,
        }
    }
}
