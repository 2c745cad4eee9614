//! Typed, safe operations: futures that own their buffer, their path and a proof of their descriptor.
//!
//! [`Ops`] makes them; each is a [`SafeOp`] over a small struct that says what it owns. A pinned
//! future is never moved, so a plain `[u8; N]` inside it is a fine buffer: no heap is needed. The
//! buffer comes back beside the result, also on error and on cancel.
//!
//! Sound under `mem::forget`, under drop at any await point, and under a panic in a waker: what is
//! forgotten stays where it is for ever, and what is dropped waits (see [`crate::IoAwaitable`]).
#![allow(unsafe_code, reason = "holds memory the kernel writes to behind an awaitable")]
//! # Safety
//! The operation's data is filled before the first poll, described to the kernel by raw pointers taken
//! once pinned, and not touched again until the awaitable is done. Fields drop in order: the awaitable,
//! whose drop waits, before the data.

mod control;
mod fs;
mod net;
mod poll;
mod rw;
mod time;

pub use control::{Cancel, Nop};
pub use fs::{Close, Fdatasync, Fstat, Fsync, Ftruncate, Lseek, Open, OpenAt, Sendfile, Whence};
pub use net::{Accept, AcceptFrom, Bind, Connect, How, Listen, Recv, Send, Shutdown, Socket};
pub use poll::PollFd;
pub use rw::{Pread, Preadv, Pwrite, Pwritev, Read, Readv, Write, Writev};
pub use time::Timeout;

use crate::addr::Address;
use crate::awaitable::IoAwaitable;
use crate::backend::{Handle, IoBackend};
use crate::buf::{IoBuf, IoBufMut, IoPath};
use crate::errno::{Errno, decode};
use crate::fd::{Fd, IoFd, OwnedFd};
use crate::op::{
    self, AcceptFlags, Family, MsgFlags, Op, OpenFlags, PollEvents, Scope, SocketFlags, SocketKind,
    Stat,
};
use crate::sink::CompletionFn;
use crate::state::Phase;
use crate::sync::{UnsafeCell, const_unless_loom};
use crate::time::Deadline;
use crate::timed::Timed;
use core::fmt;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{self, Poll};

/// What a typed operation owns, and how it becomes a descriptor and a typed result.
///
/// # Safety
/// * The descriptor that `describe` returns points only to memory that is inside `this` or owned by
///   it, and that stays valid until `this` is next touched; its `fd` is proven open by a field of
///   `this`.
pub unsafe trait Operation: Sized {
    /// What the future yields.
    type Output;

    /// The descriptor. Called once, pinned, before the submit.
    ///
    /// # Safety
    /// * `this` is valid, pinned, and not touched until the operation is done.
    unsafe fn describe(this: *mut Self) -> Op;

    /// The typed result. `result` is the result word of that descriptor; `close` closes descriptors
    /// that this backend made.
    fn finish(self, result: i64, close: unsafe fn(Fd)) -> Self::Output;
}

/// A typed operation on one backend: a future, or with a callback.
///
/// Nothing happens until it is polled or submitted. Polled again after it was ready, it stays pending,
/// because its buffer is gone (an [`IoAwaitable`] yields its number again); for another operation make
/// another one. To end one early, keep it pinned, [`submit`](SafeOp::submit) or poll it, then
/// [`cancel`](SafeOp::cancel) and await it: the buffer comes back.
pub struct SafeOp<H: Handle, D: Operation> {
    // Dropped first: its drop returns when the kernel has let go of `data`.
    awaitable: IoAwaitable<H>,
    data: UnsafeCell<Option<D>>,
}

impl<H: Handle, D: Operation> SafeOp<H, D> {
    const_unless_loom! {
        /// An operation that will run on `handle`'s backend.
        pub const fn new(handle: H, data: D) -> SafeOp<H, D> {
            // Replaced by `describe` before the submit; a nop keeps no promise to break.
            let op = Op::Nop(op::Nop);
            // SAFETY: a nop has no pointers and no descriptor.
            let awaitable = unsafe { IoAwaitable::new(handle, op) };
            SafeOp { awaitable, data: UnsafeCell::new(Some(data)) }
        }
    }

    /// Where the operation is in its life.
    pub fn phase(&self) -> Phase {
        self.awaitable.phase()
    }

    /// The handle it was made with.
    #[cfg(feature = "syscall")]
    pub(crate) fn handle(&self) -> &H {
        self.awaitable.handle()
    }

    pub(crate) fn awaitable(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<H>> {
        // SAFETY: structural: the field is never moved out of a pinned `SafeOp`.
        unsafe { self.map_unchecked_mut(|this| &mut this.awaitable) }
    }

    /// Writes the descriptor into the awaitable, once, before it is submitted.
    fn prepare(mut self: Pin<&mut Self>) -> Result<(), Errno> {
        if self.phase() != Phase::Idle {
            return Err(Errno::ALREADY);
        }
        // SAFETY: idle, so nobody else looks at the data.
        let Some(data) = self.data.with_mut(|data| unsafe { (*data).as_mut() }) else {
            return Err(Errno::ALREADY);
        };
        // SAFETY: pinned, and from here on not touched until done.
        let op = unsafe { D::describe(data) };
        // SAFETY: the descriptor's memory and descriptor are owned by `data`, which outlives the
        // awaitable's flight: it is dropped after it, and forgotten only with it.
        unsafe { self.as_mut().awaitable().reset(op) }
    }

    /// Submits; `function(context, result)` is called at completion by the thread that reaps or
    /// completes it, never inside this call. [`take`](Self::take) then has the typed result, and owns
    /// what is in it: a descriptor the callback was told of is closed if nobody takes it. Dropping the
    /// operation before that drops the callback.
    ///
    /// # Errors
    /// `EALREADY` if it was polled or submitted before, `EOWNERDEAD` if the backend is another process's; the
    /// callback is then not called.
    pub fn submit_with_callback(
        mut self: Pin<&mut Self>,
        function: CompletionFn,
        context: *mut (),
    ) -> Result<(), Errno> {
        self.as_mut().prepare()?;
        self.awaitable().submit_notifying(function, context)
    }

    /// Submits without anybody to hear of it: ask [`take`](Self::take), or [`wait`](Self::wait).
    ///
    /// # Errors
    /// `EALREADY` if it was polled or submitted before, `EOWNERDEAD` if the backend is another process's.
    pub fn submit(mut self: Pin<&mut Self>) -> Result<(), Errno> {
        self.as_mut().prepare()?;
        self.awaitable().submit()
    }

    /// Asks for an early end. The operation still completes, with its own result if that wins, else
    /// with `ECANCELED`.
    pub fn cancel(self: Pin<&mut Self>) {
        self.awaitable().cancel();
    }

    /// The typed result of an operation that is done; `None` before, and after it was taken.
    pub fn take(mut self: Pin<&mut Self>) -> Option<D::Output> {
        if self.phase() != Phase::Done {
            return None;
        }
        // SAFETY: done: the kernel has let go of the data.
        let data = self.data.with_mut(|data| unsafe { (*data).take() })?;
        let result = self.as_mut().awaitable().result()?;
        Some(data.finish(result, self.awaitable.handle().backend().closer()))
    }

    /// Blocks until the operation is done; submits first if that has not happened. Reaps other
    /// operations but runs none of their wakers and callbacks. `None` if the result was taken before.
    pub fn wait(mut self: Pin<&mut Self>) -> Option<D::Output> {
        if self.phase() == Phase::Idle {
            // Refused, it is done with that result; taken before, there is none.
            let _: Result<(), Errno> = self.as_mut().submit();
        }
        if self.phase() != Phase::Idle {
            self.as_mut().awaitable().wait_done();
        }
        self.take()
    }
}

impl<H: Handle, D: Operation> Future for SafeOp<H, D> {
    type Output = D::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<D::Output> {
        let done = if self.phase() == Phase::Idle {
            // User code (the waker's clone) before the data is given out, so that it may unwind.
            let waker = cx.waker().clone();
            match self.as_mut().prepare() {
                Ok(()) => self.as_mut().awaitable().start(waker),
                Err(_) => Poll::Pending,
            }
        } else {
            self.as_mut().awaitable().poll_done(cx)
        };
        if done.is_pending() {
            return Poll::Pending;
        }
        match self.take() {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }
}

impl<H: Handle, D: Operation> fmt::Debug for SafeOp<H, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state word only: the data may be the kernel's.
        write!(f, "SafeOp({:?})", self.awaitable)
    }
}

/// A result word as a count of bytes.
fn count(result: i64) -> Result<usize, Errno> {
    // A count is at most `MAX_RW_COUNT`.
    decode(result).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A result word that says only whether it worked.
fn unit(result: i64) -> Result<(), Errno> {
    decode(result).map(drop)
}

/// A result word as a new descriptor.
fn owned_fd(result: i64, close: unsafe fn(Fd)) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(decode(result)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just made the descriptor for us; `close` is the backend's closing function.
    Ok(unsafe { OwnedFd::from_raw(Fd::new(number), close) })
}

/// Makes typed operations. Implemented by every [`Handle`].
///
/// Counts are in bytes, offsets in bytes from the start of the file. A short transfer is passed
/// through. The errors are those of the system call named, plus `ECANCELED` after a cancel or on a
/// stopped backend.
///
/// Operations in flight at once are in no order, unless the backend says so: on a stream, await one read
/// before the next, and one write before the next.
pub trait Ops: Handle {
    /// `read(2)` at the file's position into the whole of `buf`.
    fn read<F: IoFd, B: IoBufMut>(&self, file: F, buf: B) -> SafeOp<Self, Read<F, B>> {
        SafeOp::new(self.clone(), Read { file, buf })
    }

    /// `write(2)` at the file's position.
    fn write<F: IoFd, B: IoBuf>(&self, file: F, buf: B) -> SafeOp<Self, Write<F, B>> {
        SafeOp::new(self.clone(), Write { file, buf })
    }

    /// `pread(2)` at `offset` into the whole of `buf`. `EINVAL` for a negative offset, `ESPIPE` on
    /// pipes and sockets.
    fn pread<F: IoFd, B: IoBufMut>(
        &self,
        file: F,
        buf: B,
        offset: i64,
    ) -> SafeOp<Self, Pread<F, B>> {
        SafeOp::new(self.clone(), Pread { file, buf, offset })
    }

    /// `pwrite(2)` at `offset`. `EINVAL` for a negative offset, `ESPIPE` on pipes and sockets.
    fn pwrite<F: IoFd, B: IoBuf>(
        &self,
        file: F,
        buf: B,
        offset: i64,
    ) -> SafeOp<Self, Pwrite<F, B>> {
        SafeOp::new(self.clone(), Pwrite { file, buf, offset })
    }

    /// `readv(2)` at the file's position into `bufs` in turn. `EINVAL` for more than 1024.
    fn readv<F: IoFd, B: IoBufMut, const N: usize>(
        &self,
        file: F,
        bufs: [B; N],
    ) -> SafeOp<Self, Readv<F, B, N>> {
        SafeOp::new(self.clone(), Readv::new(file, bufs))
    }

    /// `writev(2)` at the file's position from `bufs` in turn. `EINVAL` for more than 1024.
    fn writev<F: IoFd, B: IoBuf, const N: usize>(
        &self,
        file: F,
        bufs: [B; N],
    ) -> SafeOp<Self, Writev<F, B, N>> {
        SafeOp::new(self.clone(), Writev::new(file, bufs))
    }

    /// `preadv(2)` at `offset` into `bufs` in turn.
    fn preadv<F: IoFd, B: IoBufMut, const N: usize>(
        &self,
        file: F,
        bufs: [B; N],
        offset: i64,
    ) -> SafeOp<Self, Preadv<F, B, N>> {
        SafeOp::new(self.clone(), Preadv::new(file, bufs, offset))
    }

    /// `pwritev(2)` at `offset` from `bufs` in turn.
    fn pwritev<F: IoFd, B: IoBuf, const N: usize>(
        &self,
        file: F,
        bufs: [B; N],
        offset: i64,
    ) -> SafeOp<Self, Pwritev<F, B, N>> {
        SafeOp::new(self.clone(), Pwritev::new(file, bufs, offset))
    }

    /// `openat(2)` from the working directory; `mode` is for a file that is created. Add
    /// [`OpenFlags::CLOEXEC`] unless children shall inherit it.
    fn open<P: IoPath>(&self, path: P, flags: OpenFlags, mode: u32) -> SafeOp<Self, Open<P>> {
        SafeOp::new(self.clone(), Open { path, flags, mode })
    }

    /// `openat(2)` from the directory `dir`; otherwise as [`open`](Ops::open).
    fn open_at<F: IoFd, P: IoPath>(
        &self,
        dir: F,
        path: P,
        flags: OpenFlags,
        mode: u32,
    ) -> SafeOp<Self, OpenAt<F, P>> {
        SafeOp::new(self.clone(), OpenAt { dir, path, flags, mode })
    }

    /// `close(2)` of an owned descriptor. It is closed whatever the result is.
    fn close(&self, file: OwnedFd) -> SafeOp<Self, Close> {
        SafeOp::new(self.clone(), Close::new(file))
    }

    /// `fdatasync(2)`.
    fn fdatasync<F: IoFd>(&self, file: F) -> SafeOp<Self, Fdatasync<F>> {
        SafeOp::new(self.clone(), Fdatasync { file })
    }

    /// `fsync(2)`.
    fn fsync<F: IoFd>(&self, file: F) -> SafeOp<Self, Fsync<F>> {
        SafeOp::new(self.clone(), Fsync { file })
    }

    /// `ftruncate(2)` to `len` bytes; `EINVAL` if negative.
    fn ftruncate<F: IoFd>(&self, file: F, len: i64) -> SafeOp<Self, Ftruncate<F>> {
        SafeOp::new(self.clone(), Ftruncate { file, len })
    }

    /// `fstat(2)`, by way of `statx(2)`.
    fn fstat<F: IoFd>(&self, file: F) -> SafeOp<Self, Fstat<F>> {
        SafeOp::new(self.clone(), Fstat { file, out: Stat::default() })
    }

    /// `lseek(2)`; yields the new position.
    fn lseek<F: IoFd>(&self, file: F, offset: i64, whence: Whence) -> SafeOp<Self, Lseek<F>> {
        SafeOp::new(self.clone(), Lseek { file, offset, whence })
    }

    /// `sendfile(2)`: up to `len` bytes from `input`, at `offset` or at its position, to `output`.
    fn sendfile<O: IoFd, I: IoFd>(
        &self,
        output: O,
        input: I,
        offset: Option<i64>,
        len: usize,
    ) -> SafeOp<Self, Sendfile<O, I>> {
        SafeOp::new(self.clone(), Sendfile { output, input, offset, len })
    }

    /// `socket(2)`: the socket is close-on-exec. `protocol` 0 is the family's usual one.
    fn socket(
        &self,
        family: Family,
        kind: SocketKind,
        flags: SocketFlags,
        protocol: u32,
    ) -> SafeOp<Self, Socket> {
        SafeOp::new(self.clone(), Socket { family, kind, flags, protocol })
    }

    /// `bind(2)`.
    fn bind<F: IoFd>(&self, socket: F, address: impl Into<Address>) -> SafeOp<Self, Bind<F>> {
        SafeOp::new(self.clone(), Bind { socket, address: address.into() })
    }

    /// `listen(2)` with up to `backlog` connections that wait for an accept.
    fn listen<F: IoFd>(&self, socket: F, backlog: i32) -> SafeOp<Self, Listen<F>> {
        SafeOp::new(self.clone(), Listen { socket, backlog })
    }

    /// `connect(2)`; waits for the connection also from a non-blocking socket. `EAGAIN` only from a
    /// non-blocking Unix socket whose peer's queue is full. After a cancel the socket may still be
    /// connecting: close it.
    fn connect<F: IoFd>(&self, socket: F, address: impl Into<Address>) -> SafeOp<Self, Connect<F>> {
        SafeOp::new(self.clone(), Connect { socket, address: address.into() })
    }

    /// `accept4(2)`: the accepted descriptor is close-on-exec.
    fn accept<F: IoFd>(&self, listener: F, flags: AcceptFlags) -> SafeOp<Self, Accept<F>> {
        SafeOp::new(self.clone(), Accept { listener, flags })
    }

    /// [`accept`](Ops::accept), with the peer's address.
    fn accept_from<F: IoFd>(&self, listener: F, flags: AcceptFlags) -> SafeOp<Self, AcceptFrom<F>> {
        SafeOp::new(self.clone(), AcceptFrom { listener, flags, peer: Address::EMPTY })
    }

    /// `shutdown(2)`: ends one direction of a connection, or both.
    fn shutdown<F: IoFd>(&self, socket: F, how: How) -> SafeOp<Self, Shutdown<F>> {
        SafeOp::new(self.clone(), Shutdown { socket, how })
    }

    /// `poll(2)` of one descriptor: waits for one of `events`, an error or a hang-up, and yields what
    /// holds then. See [`op::Poll`].
    fn poll_fd<F: IoFd>(&self, file: F, events: PollEvents) -> SafeOp<Self, PollFd<F>> {
        SafeOp::new(self.clone(), PollFd { file, events })
    }

    /// `recv(2)`; waits for data also on a non-blocking socket. 0 is the end of the stream. With
    /// [`MsgFlags::TRUNC`] the count says nothing about the buffer, and a growable one keeps its length.
    fn recv<F: IoFd, B: IoBufMut>(
        &self,
        socket: F,
        buf: B,
        flags: MsgFlags,
    ) -> SafeOp<Self, Recv<F, B>> {
        SafeOp::new(self.clone(), Recv { socket, buf, flags })
    }

    /// `send(2)`; a peer that is gone gives `EPIPE`, never a `SIGPIPE`.
    fn send<F: IoFd, B: IoBuf>(
        &self,
        socket: F,
        buf: B,
        flags: MsgFlags,
    ) -> SafeOp<Self, Send<F, B>> {
        SafeOp::new(self.clone(), Send { socket, buf, flags })
    }

    /// Asks everything this backend has to end early; yields how many were asked. They complete all the
    /// same, each with its own result if that wins, else with `ECANCELED`. A close is never asked.
    fn cancel_all(&self) -> SafeOp<Self, Cancel> {
        SafeOp::new(self.clone(), Cancel { scope: Scope::All })
    }

    /// [`cancel_all`](Self::cancel_all) of what works on this descriptor.
    fn cancel_fd<F: IoFd + ?Sized>(&self, file: &F) -> SafeOp<Self, Cancel> {
        SafeOp::new(self.clone(), Cancel { scope: Scope::Fd(file.fd()) })
    }

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Deadline) -> Timed<SafeOp<Self, Timeout>> {
        SafeOp::new(self.clone(), Timeout).with_deadline(deadline)
    }

    /// Waits for `timeout` from now on.
    #[cfg(feature = "syscall")]
    fn sleep(&self, timeout: core::time::Duration) -> Timed<SafeOp<Self, Timeout>> {
        SafeOp::new(self.clone(), Timeout).with_timeout(timeout)
    }

    /// Does nothing, asynchronously.
    fn nop(&self) -> SafeOp<Self, Nop> {
        SafeOp::new(self.clone(), Nop)
    }

    /// `pread(2)` through the backend, blocking until it is done. For threads that cannot await.
    ///
    /// # Errors
    /// Those of the system call, and `ECANCELED` on a stopped backend.
    fn submit_read_sync<F: IoFd + ?Sized>(
        &self,
        file: &F,
        buf: &mut [u8],
        offset: i64,
    ) -> Result<usize, Errno> {
        let (buf, len) = (buf.as_mut_ptr(), buf.len());
        let (fd, seekable) = (file.fd(), file.seekable());
        count(sync(self, Op::Pread(op::Pread { fd, seekable, buf, len, offset })))
    }

    /// `pwrite(2)` through the backend, blocking until it is done.
    ///
    /// # Errors
    /// As [`submit_read_sync`](Self::submit_read_sync).
    fn submit_write_sync<F: IoFd + ?Sized>(
        &self,
        file: &F,
        buf: &[u8],
        offset: i64,
    ) -> Result<usize, Errno> {
        let (buf, len) = (buf.as_ptr(), buf.len());
        let (fd, seekable) = (file.fd(), file.seekable());
        count(sync(self, Op::Pwrite(op::Pwrite { fd, seekable, buf, len, offset })))
    }

    /// `fsync(2)` through the backend, blocking until it is done.
    ///
    /// # Errors
    /// As [`submit_read_sync`](Self::submit_read_sync).
    fn submit_fsync_sync<F: IoFd + ?Sized>(&self, file: &F) -> Result<(), Errno> {
        unit(sync(self, Op::Fsync(op::Fsync { fd: file.fd() })))
    }

    /// `ftruncate(2)` through the backend, blocking until it is done.
    ///
    /// # Errors
    /// As [`submit_read_sync`](Self::submit_read_sync).
    fn submit_ftruncate_sync<F: IoFd + ?Sized>(&self, file: &F, len: i64) -> Result<(), Errno> {
        unit(sync(self, Op::Ftruncate(op::Ftruncate { fd: file.fd(), len })))
    }

    /// `fstat(2)` through the backend, blocking until it is done.
    ///
    /// # Errors
    /// As [`submit_read_sync`](Self::submit_read_sync).
    fn submit_fstat_sync<F: IoFd + ?Sized>(&self, file: &F) -> Result<Stat, Errno> {
        let mut out = Stat::default();
        let op = Op::Fstat(op::Fstat { fd: file.fd(), out: &raw mut out });
        unit(sync(self, op)).map(|()| out)
    }
}

impl<H: Handle> Ops for H {}

/// Runs `op`, whose pointers are borrowed by the caller of this function, and waits.
fn sync<H: Handle>(handle: &H, op: Op) -> i64 {
    // SAFETY: the caller's borrows last until this returns; it returns only when the operation is done,
    // and the awaitable is a local that nobody can forget.
    pin!(unsafe { IoAwaitable::new(handle.clone(), op) }).wait()
}
