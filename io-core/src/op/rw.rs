//! Reading and writing: at the file's own position (`read`, `readv`, …) and at a given offset
//! (`pread`, `preadv`, …).
//!
//! Every result is a count of bytes. Lengths are 64 bits wide; one transfer moves at most
//! [`MAX_RW_COUNT`] bytes, so a longer request is a short transfer, never an error and never 0.
//! A negative offset is `EINVAL`; a positional operation on a pipe or socket is `ESPIPE`.

use crate::fd::{Fd, Seekable};

/// The most bytes the kernel moves in one call: 2 GiB less one page.
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// The most vectors one call takes; more is `EINVAL`.
pub const IOV_MAX: usize = 1024;

/// One piece of memory, in the layout of the kernel's `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IoVec {
    /// Where the bytes are.
    pub base: *mut u8,
    /// How many.
    pub len: usize,
}

// An address and a number, as in the kernel's struct; using it is what needs `unsafe`.
static_assertions::assert_eq_size!(IoVec, [usize; 2]);

/// `read(2)`: fills `buf` from the file's position and moves it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Read {
    pub fd: Fd,
    pub buf: *mut u8,
    pub len: usize,
}

/// `write(2)`: writes `buf` at the file's position and moves it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Write {
    pub fd: Fd,
    pub buf: *const u8,
    pub len: usize,
}

/// `pread(2)`: fills `buf` from `offset`, in bytes from the start of the file.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Pread {
    pub fd: Fd,
    pub seekable: Seekable,
    pub buf: *mut u8,
    pub len: usize,
    pub offset: i64,
}

/// `pwrite(2)`: writes `buf` at `offset`, in bytes from the start of the file.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Pwrite {
    pub fd: Fd,
    pub seekable: Seekable,
    pub buf: *const u8,
    pub len: usize,
    pub offset: i64,
}

/// `readv(2)`: fills the `count` pieces of memory listed at `iov` in turn.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Readv {
    pub fd: Fd,
    pub iov: *const IoVec,
    pub count: usize,
}

/// `writev(2)`: writes the `count` pieces of memory listed at `iov` in turn.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Writev {
    pub fd: Fd,
    pub iov: *const IoVec,
    pub count: usize,
}

/// `preadv(2)`: [`Readv`] from `offset`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Preadv {
    pub fd: Fd,
    pub seekable: Seekable,
    pub iov: *const IoVec,
    pub count: usize,
    pub offset: i64,
}

/// `pwritev(2)`: [`Writev`] at `offset`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Pwritev {
    pub fd: Fd,
    pub seekable: Seekable,
    pub iov: *const IoVec,
    pub count: usize,
    pub offset: i64,
}
