//! Files as objects: opening, closing, sizes, positions, metadata.

use crate::fd::Fd;
use core::ffi::c_char;

bitflags::bitflags! {
    /// Flags of `open(2)`, as the kernel of this architecture numbers them. Unknown bits pass
    /// through. Nothing is added: ask for [`OpenFlags::CLOEXEC`] yourself.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Read only; the zero flag.
        const RDONLY = 0;
        /// Write only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// Create the file if it is not there.
        const CREATE = 0o100;
        /// With `CREATE`: fail with `EEXIST` if it is there.
        const EXCL = 0o200;
        /// Do not make a terminal the controlling one.
        const NOCTTY = 0o400;
        /// Cut the file to length 0.
        const TRUNC = 0o1000;
        /// Every write goes to the end.
        const APPEND = 0o2000;
        /// Do not wait for a peer when opening; operations through a backend wait all the same.
        const NONBLOCK = 0o4000;
        /// Writes return when the data is on the device.
        const DSYNC = 0o10000;
        /// Bypass the page cache; needs aligned buffers.
        const DIRECT = abi::DIRECT;
        /// Fail with `ENOTDIR` unless it is a directory.
        const DIRECTORY = abi::DIRECTORY;
        /// Fail with `ELOOP` if the last component is a symbolic link.
        const NOFOLLOW = abi::NOFOLLOW;
        /// Do not update the access time.
        const NOATIME = 0o1_000_000;
        /// Close the descriptor on `execve(2)`.
        const CLOEXEC = 0o2_000_000;
        /// Writes return when data and metadata are on the device.
        const SYNC = 0o4_010_000;
        /// A handle to the place in the tree only.
        const PATH = 0o10_000_000;
        /// An unnamed file in the directory given.
        const TMPFILE = 0o20_000_000 | abi::DIRECTORY;
        /// Any other bit.
        const _ = !0;
    }
}

#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
mod abi {
    pub(super) const DIRECT: u32 = 0o200_000;
    pub(super) const DIRECTORY: u32 = 0o40_000;
    pub(super) const NOFOLLOW: u32 = 0o100_000;
}
#[cfg(not(any(target_arch = "aarch64", target_arch = "arm")))]
mod abi {
    pub(super) const DIRECT: u32 = 0o40_000;
    pub(super) const DIRECTORY: u32 = 0o200_000;
    pub(super) const NOFOLLOW: u32 = 0o400_000;
}

/// `openat(2)`: the result is the new descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// The directory a relative path starts from; [`Fd::CWD`] for the working directory.
    pub dir: Fd,
    /// The NUL-terminated path. Null gives `EFAULT`.
    pub path: *const c_char,
    /// How to open it.
    pub flags: OpenFlags,
    /// Permissions of a created file, cut by the umask.
    pub mode: u32,
}

/// `close(2)`. The number is free for reuse whatever the result is; never retried.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the argument of the system call")]
pub struct Close {
    pub fd: Fd,
}

/// `fsync(2)`: data and metadata to the device. `EINVAL` on pipes and sockets.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the argument of the system call")]
pub struct Fsync {
    pub fd: Fd,
}

/// `fdatasync(2)`: data to the device, and of the metadata what is needed to find it. `EINVAL` on pipes
/// and sockets.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the argument of the system call")]
pub struct Fdatasync {
    pub fd: Fd,
}

/// `ftruncate(2)`: cuts or extends the file to `len` bytes; negative gives `EINVAL`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Ftruncate {
    pub fd: Fd,
    pub len: i64,
}

/// `lseek(2)`: moves the file position; the result is the new one. `whence` is the kernel's number
/// (0 set, 1 current, 2 end, 3 data, 4 hole); others give `EINVAL`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Lseek {
    pub fd: Fd,
    pub whence: u32,
    pub offset: i64,
}

/// `sendfile(2)`: copies up to `len` bytes from `in_fd` to `out_fd` inside the kernel; the result is
/// the count of bytes written.
#[derive(Clone, Copy, Debug)]
pub struct Sendfile {
    /// A file, pipe or socket to write to, at its position.
    pub out_fd: Fd,
    /// A file to read from.
    pub in_fd: Fd,
    /// Where to start in `in_fd`, which keeps its position; `None` reads at its position and moves
    /// it. Negative gives `EINVAL`.
    pub offset: Option<i64>,
    /// How many bytes at most.
    pub len: usize,
}

/// `fstat(2)` by way of `statx(2)`: fills `out`.
#[derive(Clone, Copy, Debug)]
pub struct Fstat {
    /// The file.
    pub fd: Fd,
    /// Where the answer goes. Null gives `EFAULT`.
    pub out: *mut Stat,
}

/// A file's metadata in the layout of the kernel's `struct statx`, so that nothing is converted.
/// See `statx(2)` for the meaning of each field; `mask` says which are filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "the kernel's struct, field by field")]
pub struct Stat {
    pub mask: u32,
    pub blksize: u32,
    pub attributes: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    #[doc(hidden)]
    pub spare0: u16,
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub attributes_mask: u64,
    pub atime: StatTimestamp,
    pub btime: StatTimestamp,
    pub ctime: StatTimestamp,
    pub mtime: StatTimestamp,
    pub rdev_major: u32,
    pub rdev_minor: u32,
    pub dev_major: u32,
    pub dev_minor: u32,
    pub mnt_id: u64,
    pub dio_mem_align: u32,
    pub dio_offset_align: u32,
    #[doc(hidden)]
    pub spare: [u64; 12],
}

/// Seconds and nanoseconds since 1970, in the layout of `struct statx_timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
#[expect(missing_docs, reason = "the kernel's struct, field by field")]
pub struct StatTimestamp {
    pub sec: i64,
    pub nsec: u32,
    #[doc(hidden)]
    pub spare: i32,
}

static_assertions::const_assert_eq!(size_of::<Stat>(), 256);
static_assertions::const_assert_eq!(core::mem::offset_of!(Stat, mode), 28);
static_assertions::const_assert_eq!(core::mem::offset_of!(Stat, size), 40);
static_assertions::const_assert_eq!(core::mem::offset_of!(Stat, mtime), 112);
static_assertions::const_assert_eq!(core::mem::offset_of!(Stat, mnt_id), 144);
