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

use crate::call::Call;
use crate::error::io_error;
use crate::io::Io;
use core::fmt;
use io_core::op::PollEvents;
use io_core::ops::{
    Fdatasync, Fstat, Fsync, Ftruncate, Ops, PollFd, Pread, Pwrite, Read, SafeOp, Write,
};
use io_core::syscall::{check_seekable, close_fd};
use io_core::{Fd, IoBuf, IoBufMut, IoFd, OwnedFd, Seekable};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

/// An open file. Clones share the descriptor and its position; it is closed when the last of them,
/// and the last operation that uses it, is gone.
#[derive(Clone)]
pub struct File {
    io: Io,
    shared: SharedFd,
}

/// A file's descriptor as its operations hold it.
#[derive(Clone)]
pub struct SharedFd(Arc<Inner>);

struct Inner {
    fd: OwnedFd,
    seekable: Seekable,
}

// SAFETY: a counted owner; forgetting a clone keeps the descriptor open for ever. `Proven` comes from
// `check_seekable`.
unsafe impl IoFd for SharedFd {
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

    /// A file over a descriptor that is open already: of any kind, also a pipe, a terminal or a socket.
    ///
    /// Asks once whether it has positions: a `pread(2)` of no bytes, on a write-only descriptor also a
    /// `pwrite(2)` of none. On what has none, [`read_at`](File::read_at) and its kin give `ESPIPE`.
    #[must_use]
    pub fn from_fd(io: &Io, fd: OwnedFd) -> File {
        let seekable = match check_seekable(fd.fd()) {
            Ok(()) => Seekable::Proven,
            // A pipe, a socket, a terminal: positional operations will say so.
            Err(_) => Seekable::Unknown,
        };
        File { io: io.clone(), shared: SharedFd(Arc::new(Inner { fd, seekable })) }
    }

    /// A file over one that the standard library opened, or over anything it owns the descriptor of:
    /// `File::from_std(&io, std::os::fd::OwnedFd::from(pipe_reader).into())`. As [`from_fd`](File::from_fd).
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
    pub fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> Call<SafeOp<Io, Pread<SharedFd, B>>> {
        Call::new(self.io.pread(self.shared.clone(), buf, signed(offset)))
    }

    /// Writes once at `offset`, in bytes (`pwrite(2)`). May write less than all.
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> Call<SafeOp<Io, Pwrite<SharedFd, B>>> {
        Call::new(self.io.pwrite(self.shared.clone(), buf, signed(offset)))
    }

    /// Reads once at the file's position, and moves it (`read(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn read<B: IoBufMut>(&self, buf: B) -> Call<SafeOp<Io, Read<SharedFd, B>>> {
        Call::new(self.io.read(self.shared.clone(), buf))
    }

    /// Writes once at the file's position, and moves it (`write(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn write<B: IoBuf>(&self, buf: B) -> Call<SafeOp<Io, Write<SharedFd, B>>> {
        Call::new(self.io.write(self.shared.clone(), buf))
    }

    /// Data and metadata to the device (`fsync(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn fsync(&self) -> Call<SafeOp<Io, Fsync<SharedFd>>> {
        Call::new(self.io.fsync(self.shared.clone()))
    }

    /// Data, and the metadata that finding it needs, to the device (`fdatasync(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn sync_data(&self) -> Call<SafeOp<Io, Fdatasync<SharedFd>>> {
        Call::new(self.io.fdatasync(self.shared.clone()))
    }

    /// Waits for one of `events`, an error or a hang-up, and says what holds then (`poll(2)`). A regular
    /// file is always ready.
    ///
    /// # Errors
    /// `ECANCELED` on a stopped backend; `EPERM` for events that this kind of file never has.
    pub fn poll(&self, events: PollEvents) -> Call<SafeOp<Io, PollFd<SharedFd>>> {
        Call::new(self.io.poll_fd(self.shared.clone(), events))
    }

    /// Waits until there is something to read, or the end of it.
    ///
    /// # Errors
    /// As [`poll`](File::poll).
    pub fn readable(&self) -> Call<SafeOp<Io, PollFd<SharedFd>>> {
        self.poll(PollEvents::IN)
    }

    /// Cuts or extends the file to `len` bytes (`ftruncate(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn set_len(&self, len: u64) -> Call<SafeOp<Io, Ftruncate<SharedFd>>> {
        Call::new(self.io.ftruncate(self.shared.clone(), signed(len)))
    }

    /// Size, times, owner and the rest (`statx(2)`).
    ///
    /// # Errors
    /// As [`read_at`](File::read_at).
    pub fn metadata(&self) -> Call<SafeOp<Io, Fstat<SharedFd>>> {
        Call::new(self.io.fstat(self.shared.clone()))
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

impl fmt::Debug for SharedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedFd").field(&self.fd()).finish()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd()).finish_non_exhaustive()
    }
}
