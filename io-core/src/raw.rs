//! Raw operations under the names of the original: bare descriptors and pointers, with the caller's promise
//! that they hold. Each is lazy: it is submitted when first polled, or with
//! [`submit`](IoAwaitable::submit), [`submit_with_callback`](IoAwaitable::submit_with_callback) or
//! [`wait`](IoAwaitable::wait). For other descriptors (a proof of seekability) make the
//! [`Op`] and call [`IoAwaitable::new`].
#![allow(unsafe_code, reason = "passes the caller's promise on")]
//! # Safety
//! Every function's contract is that of [`IoAwaitable::new`].

use crate::awaitable::IoAwaitable;
use crate::backend::Handle;
use crate::fd::{Fd, Seekable};
use crate::op::{
    self, AcceptFlags, Family, IoVec, MsgFlags, Op, OpenFlags, PollEvents, Scope, SocketFlags,
    SocketKind, Stat,
};
use crate::time::Deadline;
use crate::timed::Timed;
use core::ffi::c_char;

/// Makes raw operations. Implemented by every [`Handle`]; [`Ops`](crate::ops::Ops) makes the safe ones.
///
/// The result word is `>= 0` for what each says, or `-errno`.
pub trait RawOps: Handle {
    /// `accept4(2)`: the result is a close-on-exec descriptor, the caller's to close. `addr` and `addr_len` may be
    /// null.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_accept(
        &self,
        fd: Fd,
        addr: *mut u8,
        addr_len: *mut u32,
        flags: AcceptFlags,
    ) -> IoAwaitable<Self> {
        let op = Op::Accept(op::Accept { fd, flags, addr, addr_len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `bind(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_bind(&self, fd: Fd, addr: *const u8, addr_len: u32) -> IoAwaitable<Self> {
        let op = Op::Bind(op::Bind { fd, addr, addr_len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `close(2)`: 0. The number is free for reuse whatever the result is.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_close(&self, fd: Fd) -> IoAwaitable<Self> {
        let op = Op::Close(op::Close { fd });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// Asks operations of this backend to end early: how many were asked. See
    /// [`Cancel`](op::Cancel).
    fn submit_cancel(&self, scope: Scope) -> IoAwaitable<Self> {
        let op = Op::Cancel(op::Cancel { scope });
        // SAFETY: no pointers; a descriptor to compare with.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// Waits until `deadline`: 0.
    fn submit_timeout(&self, deadline: Deadline) -> Timed<IoAwaitable<Self>> {
        let op = Op::Timeout(op::Timeout);
        // SAFETY: no pointers, no descriptor.
        unsafe { IoAwaitable::new(self.clone(), op) }.with_deadline(deadline)
    }

    /// `connect(2)`: 0. Waits for the connection also on a non-blocking socket.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_connect(&self, fd: Fd, addr: *const u8, addr_len: u32) -> IoAwaitable<Self> {
        let op = Op::Connect(op::Connect { fd, addr, addr_len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `fdatasync(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_fdatasync(&self, fd: Fd) -> IoAwaitable<Self> {
        let op = Op::Fdatasync(op::Fdatasync { fd });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `fstat(2)`, by way of `statx(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_fstat(&self, fd: Fd, out: *mut Stat) -> IoAwaitable<Self> {
        let op = Op::Fstat(op::Fstat { fd, out });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `fsync(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_fsync(&self, fd: Fd) -> IoAwaitable<Self> {
        let op = Op::Fsync(op::Fsync { fd });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `ftruncate(2)` to `len` bytes: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_ftruncate(&self, fd: Fd, len: i64) -> IoAwaitable<Self> {
        let op = Op::Ftruncate(op::Ftruncate { fd, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `listen(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_listen(&self, fd: Fd, backlog: i32) -> IoAwaitable<Self> {
        let op = Op::Listen(op::Listen { fd, backlog });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `lseek(2)`: the new position in bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_lseek(&self, fd: Fd, offset: i64, whence: u32) -> IoAwaitable<Self> {
        let op = Op::Lseek(op::Lseek { fd, whence, offset });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// Nothing: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_nop(&self) -> IoAwaitable<Self> {
        let op = Op::Nop(op::Nop);
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `openat(2)` from the working directory: the result is a descriptor, the caller's to close.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_open(
        &self,
        path: *const c_char,
        flags: OpenFlags,
        mode: u32,
    ) -> IoAwaitable<Self> {
        let op = Op::Open(op::Open { dir: Fd::CWD, path, flags, mode });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `openat(2)` from a directory: the result is a descriptor, the caller's to close.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_openat(
        &self,
        dir: Fd,
        path: *const c_char,
        flags: OpenFlags,
        mode: u32,
    ) -> IoAwaitable<Self> {
        let op = Op::Open(op::Open { dir, path, flags, mode });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `poll(2)` of one descriptor: what it is ready for, as the bits of [`PollEvents`].
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_poll(&self, fd: Fd, events: PollEvents) -> IoAwaitable<Self> {
        let op = Op::Poll(op::Poll { fd, events });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `pread(2)`: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_pread(
        &self,
        fd: Fd,
        buf: *mut u8,
        len: usize,
        offset: i64,
    ) -> IoAwaitable<Self> {
        let op = Op::Pread(op::Pread { fd, seekable: Seekable::Unknown, buf, len, offset });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `preadv(2)`: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_preadv(
        &self,
        fd: Fd,
        iov: *const IoVec,
        count: usize,
        offset: i64,
    ) -> IoAwaitable<Self> {
        let op = Op::Preadv(op::Preadv { fd, seekable: Seekable::Unknown, iov, count, offset });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `pwrite(2)`: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_pwrite(
        &self,
        fd: Fd,
        buf: *const u8,
        len: usize,
        offset: i64,
    ) -> IoAwaitable<Self> {
        let op = Op::Pwrite(op::Pwrite { fd, seekable: Seekable::Unknown, buf, len, offset });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `pwritev(2)`: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_pwritev(
        &self,
        fd: Fd,
        iov: *const IoVec,
        count: usize,
        offset: i64,
    ) -> IoAwaitable<Self> {
        let op = Op::Pwritev(op::Pwritev { fd, seekable: Seekable::Unknown, iov, count, offset });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `read(2)` at the file's position: the count of bytes; 0 is the end of the file.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_read(&self, fd: Fd, buf: *mut u8, len: usize) -> IoAwaitable<Self> {
        let op = Op::Read(op::Read { fd, buf, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `readv(2)` at the file's position: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_readv(&self, fd: Fd, iov: *const IoVec, count: usize) -> IoAwaitable<Self> {
        let op = Op::Readv(op::Readv { fd, iov, count });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `recv(2)`: the count of bytes; 0 is the end of the stream.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_recv(
        &self,
        fd: Fd,
        buf: *mut u8,
        len: usize,
        flags: MsgFlags,
    ) -> IoAwaitable<Self> {
        let op = Op::Recv(op::Recv { fd, flags, buf, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `send(2)`: the count of bytes. Never raises `SIGPIPE`.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_send(
        &self,
        fd: Fd,
        buf: *const u8,
        len: usize,
        flags: MsgFlags,
    ) -> IoAwaitable<Self> {
        let op = Op::Send(op::Send { fd, flags, buf, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `sendfile(2)`: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_sendfile(
        &self,
        out_fd: Fd,
        in_fd: Fd,
        offset: Option<i64>,
        len: usize,
    ) -> IoAwaitable<Self> {
        let op = Op::Sendfile(op::Sendfile { out_fd, in_fd, offset, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `shutdown(2)`: 0.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_shutdown(&self, fd: Fd, how: u32) -> IoAwaitable<Self> {
        let op = Op::Shutdown(op::Shutdown { fd, how });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `socket(2)`: the result is a close-on-exec descriptor, the caller's to close.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_socket(
        &self,
        family: Family,
        kind: SocketKind,
        flags: SocketFlags,
        protocol: u32,
    ) -> IoAwaitable<Self> {
        let op = Op::Socket(op::Socket { family, kind, flags, protocol });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `write(2)` at the file's position: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_write(&self, fd: Fd, buf: *const u8, len: usize) -> IoAwaitable<Self> {
        let op = Op::Write(op::Write { fd, buf, len });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }

    /// `writev(2)` at the file's position: the count of bytes.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`].
    unsafe fn submit_writev(&self, fd: Fd, iov: *const IoVec, count: usize) -> IoAwaitable<Self> {
        let op = Op::Writev(op::Writev { fd, iov, count });
        // SAFETY: promised by the caller.
        unsafe { IoAwaitable::new(self.clone(), op) }
    }
}

impl<H: Handle> RawOps for H {}
