//! Descriptors: the bare number ([`Fd`], a claim) and the values that prove it is open
//! ([`IoFd`], [`OwnedFd`], [`OpenFd`]).
#![allow(unsafe_code, reason = "declares the unsafe trait that ties a number to an open file")]
//! # Safety
//! A type that implements [`IoFd`] owns or outlives its open descriptor; nothing here touches memory.

use core::fmt;

/// A bare file descriptor number. It is a *claim*: nothing says that the number is open, or that it
/// still means the file it meant before. Raw descriptors hold it; typed operations want an [`IoFd`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Fd(i32);

impl Fd {
    /// The current working directory, for the directory argument of `openat(2)` (`AT_FDCWD`).
    pub const CWD: Fd = Fd(-100);

    /// Any number, also a negative or a closed one: operations on those give `EBADF`.
    #[must_use]
    pub const fn new(number: i32) -> Fd {
        Fd(number)
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Promotes the claim to a proof.
    ///
    /// # Safety
    /// * The descriptor stays open, and keeps meaning the same file, for the rest of the program or
    ///   until no copy of the returned value and no operation made from one exists any more.
    #[must_use]
    pub const unsafe fn assume_open(self) -> OpenFd {
        OpenFd(self)
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fd({})", self.0)
    }
}

/// Whether positional operations on a descriptor are known to be possible.
///
/// The ring's READ and WRITE ignore the offset on a pipe or socket where `pread(2)` gives `ESPIPE`;
/// so the ring backend asks before each positional op unless this says it need not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Seekable {
    /// Nobody has asked; a backend that must know asks once per operation.
    #[default]
    Unknown,
    /// Positional reads or writes are possible on this descriptor's file.
    Proven,
}

/// A value that proves its descriptor open: what typed operations take.
///
/// # Safety
/// * [`fd`](IoFd::fd) returns the same number each time, and that descriptor stays open on the same
///   file for as long as the value exists, however it is moved.
/// * Forgetting the value keeps the descriptor open for ever; so the implementor is an owner, a
///   counted owner or a `'static` reference, never a shorter borrow.
/// * [`seekable`](IoFd::seekable) says [`Seekable::Proven`] only if somebody asked and it is.
pub unsafe trait IoFd: 'static {
    /// The descriptor's number.
    fn fd(&self) -> Fd;

    /// What is known about positional operations on it.
    fn seekable(&self) -> Seekable {
        Seekable::Unknown
    }
}

// SAFETY: the referent proves it, and a `'static` borrow of it never ends.
unsafe impl<T: IoFd> IoFd for &'static T {
    fn fd(&self) -> Fd {
        T::fd(self)
    }

    fn seekable(&self) -> Seekable {
        T::seekable(self)
    }
}

/// A number somebody promised to keep open; see [`Fd::assume_open`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct OpenFd(Fd);

// SAFETY: `Fd::assume_open`'s caller made the promise that this trait asks for.
unsafe impl IoFd for OpenFd {
    fn fd(&self) -> Fd {
        self.0
    }
}

/// A descriptor that is closed when dropped. What `open` and `accept` return.
///
/// This crate makes no system call by itself, so the value carries the closing function of the
/// backend that made it.
pub struct OwnedFd {
    fd: Fd,
    close: unsafe fn(Fd),
}

impl OwnedFd {
    /// Takes ownership of `fd`; `close` is called with it at drop.
    ///
    /// # Safety
    /// * `fd` is open and nobody else closes it.
    /// * `close` closes the descriptor (`close(2)`) and nothing else, and asks for no more than that nobody
    ///   else uses it.
    #[must_use]
    pub const unsafe fn from_raw(fd: Fd, close: unsafe fn(Fd)) -> OwnedFd {
        OwnedFd { fd, close }
    }

    /// Gives the descriptor up without closing it.
    #[must_use]
    pub fn into_raw(self) -> Fd {
        core::mem::ManuallyDrop::new(self).fd
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: `from_raw`'s caller gave the descriptor and its closing function to this value alone.
        unsafe { (self.close)(self.fd) };
    }
}

impl fmt::Debug for OwnedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedFd({})", self.fd.raw())
    }
}

// SAFETY: an owner keeps its descriptor open for as long as it exists; a forgotten one, for ever.
unsafe impl IoFd for OwnedFd {
    fn fd(&self) -> Fd {
        self.fd
    }
}
