//! Files: an open descriptor, the backend it is used through, and transfers that go to their end.
//!
//! Every operation owns its buffer while it runs and gives it back beside the result. A dropped future
//! cancels its operation and waits for it.
#![allow(unsafe_code, reason = "implements the unsafe trait that proves a descriptor open")]
//! # Safety
//! The descriptor is owned behind an `Arc`; whoever uses it holds a clone.

mod options;
mod transfer;

pub use options::OpenOptions;

use crate::error::{IntoIo, io_error};
use crate::io::Io;
use core::fmt;
use io_core::ops::Ops;
use io_core::syscall::{check_seekable, close_fd};
use io_core::{Fd, IoBuf, IoBufMut, IoFd, OwnedFd, Seekable, Stat};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

/// An open file. Clones share the descriptor and its position; it is closed when the last of them,
/// and the last operation that uses it, is gone.
#[derive(Clone)]
pub struct File {
    io: Io,
    shared: Shared,
}

/// The descriptor as operations hold it.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    fd: OwnedFd,
    seekable: Seekable,
}

// SAFETY: a counted owner; forgetting a clone keeps the descriptor open for ever. `Proven` comes from
// a successful `lseek(2)`.
unsafe impl IoFd for Shared {
    fn fd(&self) -> Fd {
        self.0.fd.fd()
    }

    fn seekable(&self) -> Seekable {
        self.0.seekable
    }
}

// SAFETY: as above.
unsafe impl IoFd for File {
    fn fd(&self) -> Fd {
        self.shared.fd()
    }

    fn seekable(&self) -> Seekable {
        self.shared.seekable()
    }
}

impl File {
    /// Opens for reading (`openat(2)`).
    ///
    /// # Errors
    /// Those of the system call; `InvalidInput` for a path with a NUL in it.
    pub async fn open(io: &Io, path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(io, path).await
    }

    /// Opens for writing; creates the file, or cuts it to length 0 (`openat(2)`).
    ///
    /// # Errors
    /// As [`open`](File::open).
    pub async fn create(io: &Io, path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(io, path).await
    }

    /// Which access, what to create: see [`OpenOptions`].
    pub const fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// A file over a descriptor that is open already. Asks once whether it is seekable (`lseek(2)`).
    #[must_use]
    pub fn from_fd(io: &Io, fd: OwnedFd) -> File {
        let seekable = match check_seekable(fd.fd()) {
            Ok(()) => Seekable::Proven,
            // A pipe, a socket, a terminal: positional operations will say so.
            Err(_) => Seekable::Unknown,
        };
        File { io: io.clone(), shared: Shared(Arc::new(Inner { fd, seekable })) }
    }

    /// A file over one that the standard library opened.
    #[must_use]
    pub fn from_std(io: &Io, file: std::fs::File) -> File {
        let fd = Fd::new(file.into_raw_fd());
        // SAFETY: just given up by its only owner, and `close_fd` is `close(2)`.
        File::from_fd(io, unsafe { OwnedFd::from_raw(fd, close_fd) })
    }

    /// The backend it is used through.
    #[must_use]
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Reads once at `offset`, in bytes, into the whole of `buf` (`pread(2)`). 0 is the end of the
    /// file; fewer bytes than fit are not.
    ///
    /// # Errors
    /// Those of the system call; `ECANCELED` on a stopped backend.
    pub async fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> (io::Result<usize>, B) {
        self.io.pread(self.shared.clone(), buf, signed(offset)).await.into_io()
    }

    /// Writes once at `offset`, in bytes (`pwrite(2)`). May write less than all.
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> (io::Result<usize>, B) {
        self.io.pwrite(self.shared.clone(), buf, signed(offset)).await.into_io()
    }

    /// Reads once at the file's position, and moves it (`read(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn read<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
        self.io.read(self.shared.clone(), buf).await.into_io()
    }

    /// Writes once at the file's position, and moves it (`write(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn write<B: IoBuf>(&self, buf: B) -> (io::Result<usize>, B) {
        self.io.write(self.shared.clone(), buf).await.into_io()
    }

    /// Data and metadata to the device (`fsync(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn fsync(&self) -> io::Result<()> {
        self.io.fsync(self.shared.clone()).await.into_io()
    }

    /// Cuts or extends the file to `len` bytes (`ftruncate(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.io.ftruncate(self.shared.clone(), signed(len)).await.into_io()
    }

    /// Size, times, owner and the rest (`statx(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub async fn metadata(&self) -> io::Result<Stat> {
        self.io.fstat(self.shared.clone()).await.into_io()
    }

    /// Closes the descriptor through the backend (`close(2)`) and says what the kernel said. While
    /// clones or operations still use it, only this clone is given up, and the last of them closes it.
    ///
    /// # Errors
    /// Those of the system call. The descriptor is closed all the same.
    pub async fn close(self) -> io::Result<()> {
        let File { io, shared } = self;
        match Arc::into_inner(shared.0) {
            Some(inner) => io.close(inner.fd).await.map_err(io_error),
            None => Ok(()),
        }
    }
}

/// An offset as the kernel takes it. What does not fit becomes -1, which every operation refuses with
/// `EINVAL`.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(-1)
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd().raw()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open for as long as `self` is, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd()).finish_non_exhaustive()
    }
}
