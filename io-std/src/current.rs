//! The thread's current backend, and the free functions: each runs its operation there, and on a
//! thread without a current backend as the plain system call, which blocks.
//!
//! The backend is looked up when the function is called, not when its future is polled.
#![allow(unsafe_code, reason = "implements the unsafe trait that keeps the backend in place")]
//! # Safety
//! The handle is an `Io`, or leads to a `static`.

use crate::io::Io;
use crate::plain::PLAIN;
use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use io_core::op::{AcceptFlags, Family, MsgFlags, PollEvents, SocketFlags, SocketKind};
use io_core::ops::{How, Ops, Whence};
use io_core::{
    Address, Errno, Handle, IoBackend, IoBuf, IoBufMut, IoFd, IoPath, OpenFlags, OwnedFd, Stat,
};

thread_local! {
    static CURRENT: RefCell<Option<Io>> = const { RefCell::new(None) };
}

/// Replaces the thread's current backend. Where the thread's locals are gone, nothing is current.
fn replace(io: Option<Io>) -> Option<Io> {
    // The old value is dropped by the caller, outside of the borrow: that may run anything.
    CURRENT.try_with(|current| current.replace(io)).unwrap_or(None)
}

/// The thread's current backend: that of the innermost [`Io::block_on`] or [`Io::enter`].
#[must_use]
pub fn current() -> Option<Io> {
    CURRENT.try_with(|current| current.borrow().clone()).unwrap_or(None)
}

/// While it exists, a backend is the thread's current one. Made by [`Io::enter`]; guards are dropped
/// in the reverse order.
#[must_use = "the backend is current only while the guard exists"]
pub struct Enter {
    before: Option<Io>,
    _this_thread: PhantomData<*const ()>,
}

impl Enter {
    pub(crate) fn new(io: Io) -> Enter {
        Enter { before: replace(Some(io)), _this_thread: PhantomData }
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        drop(replace(self.before.take()));
    }
}

impl fmt::Debug for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").finish_non_exhaustive()
    }
}

/// What the free functions run on.
#[derive(Clone)]
pub(crate) enum Here {
    Io(Io),
    Plain,
}

// SAFETY: an `Io` keeps the promises itself; the other one is a `static` without state.
unsafe impl Handle for Here {
    type Backend = dyn IoBackend + Send + Sync;

    fn backend(&self) -> &Self::Backend {
        match self {
            Here::Io(io) => io.backend(),
            Here::Plain => &PLAIN,
        }
    }
}

/// Looked up by each free function.
pub(crate) fn here() -> Here {
    current().map_or(Here::Plain, Here::Io)
}

/// A count of bytes or an error, and the buffer back.
type Transfer<B> = (Result<usize, Errno>, B);

/// `read(2)` at the file's position into the whole of `buf`; the output is the count of bytes, and the
/// buffer. Errors: those of the system call; `ECANCELED` on a stopped backend.
pub fn read<F: IoFd, B: IoBufMut>(file: F, buf: B) -> impl Future<Output = Transfer<B>> {
    here().read(file, buf)
}

/// `write(2)` at the file's position. As [`read`].
pub fn write<F: IoFd, B: IoBuf>(file: F, buf: B) -> impl Future<Output = Transfer<B>> {
    here().write(file, buf)
}

/// `pread(2)` at `offset`, in bytes. As [`read`]; `EINVAL` for a negative offset.
pub fn pread<F: IoFd, B: IoBufMut>(
    file: F,
    buf: B,
    offset: i64,
) -> impl Future<Output = Transfer<B>> {
    here().pread(file, buf, offset)
}

/// `pwrite(2)` at `offset`, in bytes. As [`read`]; `EINVAL` for a negative offset.
pub fn pwrite<F: IoFd, B: IoBuf>(
    file: F,
    buf: B,
    offset: i64,
) -> impl Future<Output = Transfer<B>> {
    here().pwrite(file, buf, offset)
}

/// `readv(2)` into `bufs` in turn. As [`read`].
pub fn readv<F: IoFd, B: IoBufMut, const N: usize>(
    file: F,
    bufs: [B; N],
) -> impl Future<Output = Transfer<[B; N]>> {
    here().readv(file, bufs)
}

/// `writev(2)` from `bufs` in turn. As [`read`].
pub fn writev<F: IoFd, B: IoBuf, const N: usize>(
    file: F,
    bufs: [B; N],
) -> impl Future<Output = Transfer<[B; N]>> {
    here().writev(file, bufs)
}

/// `preadv(2)` at `offset` into `bufs` in turn. As [`pread`].
pub fn preadv<F: IoFd, B: IoBufMut, const N: usize>(
    file: F,
    bufs: [B; N],
    offset: i64,
) -> impl Future<Output = Transfer<[B; N]>> {
    here().preadv(file, bufs, offset)
}

/// `pwritev(2)` at `offset` from `bufs` in turn. As [`pwrite`].
pub fn pwritev<F: IoFd, B: IoBuf, const N: usize>(
    file: F,
    bufs: [B; N],
    offset: i64,
) -> impl Future<Output = Transfer<[B; N]>> {
    here().pwritev(file, bufs, offset)
}

/// `openat(2)` from the working directory; `mode` is for a file that is created.
pub fn open<P: IoPath>(
    path: P,
    flags: OpenFlags,
    mode: u32,
) -> impl Future<Output = Result<OwnedFd, Errno>> {
    here().open(path, flags, mode)
}

/// `openat(2)` from the directory `dir`; otherwise as [`open`].
pub fn open_at<F: IoFd, P: IoPath>(
    dir: F,
    path: P,
    flags: OpenFlags,
    mode: u32,
) -> impl Future<Output = Result<OwnedFd, Errno>> {
    here().open_at(dir, path, flags, mode)
}

/// `close(2)`. The descriptor is closed whatever the result is.
pub fn close(file: OwnedFd) -> impl Future<Output = Result<(), Errno>> {
    here().close(file)
}

/// `fsync(2)`.
pub fn fsync<F: IoFd>(file: F) -> impl Future<Output = Result<(), Errno>> {
    here().fsync(file)
}

/// `fdatasync(2)`.
pub fn fdatasync<F: IoFd>(file: F) -> impl Future<Output = Result<(), Errno>> {
    here().fdatasync(file)
}

/// `ftruncate(2)` to `len` bytes; `EINVAL` if negative.
pub fn ftruncate<F: IoFd>(file: F, len: i64) -> impl Future<Output = Result<(), Errno>> {
    here().ftruncate(file, len)
}

/// `fstat(2)`, by way of `statx(2)`.
pub fn fstat<F: IoFd>(file: F) -> impl Future<Output = Result<Stat, Errno>> {
    here().fstat(file)
}

/// `lseek(2)`; the output is the new position, in bytes.
pub fn lseek<F: IoFd>(
    file: F,
    offset: i64,
    whence: Whence,
) -> impl Future<Output = Result<u64, Errno>> {
    here().lseek(file, offset, whence)
}

/// `sendfile(2)`: up to `len` bytes from `input`, at `offset` or at its position, to `output`.
pub fn sendfile<O: IoFd, I: IoFd>(
    output: O,
    input: I,
    offset: Option<i64>,
    len: usize,
) -> impl Future<Output = Result<usize, Errno>> {
    here().sendfile(output, input, offset, len)
}

/// `accept4(2)`: the accepted descriptor is close-on-exec.
pub fn accept<F: IoFd>(
    listener: F,
    flags: AcceptFlags,
) -> impl Future<Output = Result<OwnedFd, Errno>> {
    here().accept(listener, flags)
}

/// `recv(2)`; waits for data also on a non-blocking socket. 0 is the end of the stream.
pub fn recv<F: IoFd, B: IoBufMut>(
    socket: F,
    buf: B,
    flags: MsgFlags,
) -> impl Future<Output = Transfer<B>> {
    here().recv(socket, buf, flags)
}

/// `send(2)`; a peer that is gone gives `EPIPE`, never a `SIGPIPE`.
pub fn send<F: IoFd, B: IoBuf>(
    socket: F,
    buf: B,
    flags: MsgFlags,
) -> impl Future<Output = Transfer<B>> {
    here().send(socket, buf, flags)
}

/// `socket(2)`: the socket is close-on-exec.
pub fn socket(
    family: Family,
    kind: SocketKind,
    flags: SocketFlags,
    protocol: u32,
) -> impl Future<Output = Result<OwnedFd, Errno>> {
    here().socket(family, kind, flags, protocol)
}

/// `bind(2)`.
pub fn bind<F: IoFd>(
    socket: F,
    address: impl Into<Address>,
) -> impl Future<Output = Result<(), Errno>> {
    here().bind(socket, address)
}

/// `listen(2)`.
pub fn listen<F: IoFd>(socket: F, backlog: i32) -> impl Future<Output = Result<(), Errno>> {
    here().listen(socket, backlog)
}

/// `connect(2)`; waits for the connection also from a non-blocking socket.
pub fn connect<F: IoFd>(
    socket: F,
    address: impl Into<Address>,
) -> impl Future<Output = Result<(), Errno>> {
    here().connect(socket, address)
}

/// `shutdown(2)`.
pub fn shutdown<F: IoFd>(socket: F, how: How) -> impl Future<Output = Result<(), Errno>> {
    here().shutdown(socket, how)
}

/// `poll(2)` of one descriptor: the output is what holds.
pub fn poll_fd<F: IoFd>(
    file: F,
    events: PollEvents,
) -> impl Future<Output = Result<PollEvents, Errno>> {
    here().poll_fd(file, events)
}
