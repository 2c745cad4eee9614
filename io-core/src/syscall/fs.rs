//! Files as objects, as system calls.
#![allow(unsafe_code, reason = "hands raw descriptors and pointers to the kernel")]
//! # Safety
//! As in the parent module.

use super::{BADF, INVAL, SPIPE, borrow, counted, failed, on, retry};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{
    Close, Fdatasync, Fstat, Fsync, Ftruncate, Lseek, MAX_RW_COUNT, Open, PollEvents, Sendfile,
    Stat,
};
use core::ffi::CStr;
use rustix::fd::{BorrowedFd, IntoRawFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Statx, StatxFlags};
use rustix::io::Errno as SysErrno;

static_assertions::assert_eq_size!(Stat, Statx);
static_assertions::assert_eq_align!(Stat, Statx);

/// `close(2)`: never retried; an interrupted close has closed.
pub(super) fn close(op: &Close) -> i64 {
    if op.fd.raw() < 0 {
        return Errno::BADF.to_result();
    }
    // SAFETY: not -1; that nobody else needs the descriptor was the promise of whoever made the op.
    match unsafe { rustix::io::try_close(op.fd.raw()) } {
        Ok(()) | Err(rustix::io::Errno::INTR) => 0,
        Err(errno) => failed(errno),
    }
}

/// `statx(2)` with `AT_EMPTY_PATH`.
pub(super) fn fstat(op: &Fstat) -> i64 {
    let fd = borrow(op.fd);
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let call = |fd: BorrowedFd<'_>| rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted);
    match retry(fd, call) {
        Ok(_) if op.out.is_null() => Errno::FAULT.to_result(),
        Ok(stat) => {
            // SAFETY: not null, so valid for a `Stat`, promised by whoever made the op; a `Statx` has
            // the same size and alignment, and both are the kernel's `struct statx`.
            unsafe { op.out.cast::<Statx>().write(stat) };
            0
        }
        Err(errno) => failed(errno),
    }
}

pub(super) fn fdatasync(op: &Fdatasync) -> i64 {
    on(op.fd, |fd| rustix::fs::fdatasync(fd).map(|()| 0))
}

pub(super) fn fsync(op: &Fsync) -> i64 {
    on(op.fd, |fd| rustix::fs::fsync(fd).map(|()| 0))
}

pub(super) fn ftruncate(op: &Ftruncate) -> i64 {
    // The kernel takes the length as signed: a negative one comes back as EINVAL.
    on(op.fd, |fd| rustix::fs::ftruncate(fd, op.len.cast_unsigned()).map(|()| 0))
}

pub(super) fn lseek(op: &Lseek) -> i64 {
    let from = match op.whence {
        // The kernel takes these as signed too.
        0 => SeekFrom::Start(op.offset.cast_unsigned()),
        1 => SeekFrom::Current(op.offset),
        2 => SeekFrom::End(op.offset),
        3 => SeekFrom::Data(op.offset.cast_unsigned()),
        4 => SeekFrom::Hole(op.offset.cast_unsigned()),
        // The kernel looks at the descriptor first.
        _ => {
            return match position(op.fd) {
                BADF => BADF,
                _ => Errno::INVAL.to_result(),
            };
        }
    };
    seek(op.fd, from)
}

/// Whether a sendfile gets as far as waiting for its output.
pub(super) fn can_send(op: &Sendfile) -> bool {
    // As much as will be asked for, and not more: what is beyond the kernel's limit is cut off, and waits like the rest.
    let len = i64::try_from(op.len.min(MAX_RW_COUNT)).unwrap_or(i64::MAX);
    let beyond = |offset: i64| offset.checked_add(len).is_none();
    if op.offset.is_some_and(beyond) || super::net::listens(op.out_fd) {
        return false;
    }
    let is_pipe = |fd: BorrowedFd<'_>| {
        let mode = rustix::fs::fstat(fd)?.st_mode;
        match mode & 0o170_000 {
            // No file is behind it: a timer, a counter, an epoll. None takes anything from a sendfile, also one that
            // can be written to, and some are never writable.
            0 => Err(SysErrno::INVAL),
            _ => Ok(usize::from(FileType::from_raw_mode(mode) == FileType::Fifo)),
        }
    };
    match on(op.out_fd, is_pipe) {
        1 => {}
        INVAL => return false,
        // What is wrong with it is wrong with one of nothing, which does not wait.
        _ => return op.len > 0 && sendfile(&Sendfile { len: 0, ..*op }) == 0,
    }
    // To a full pipe one of nothing waits too, for room, and only then is looked at what the input is.
    let writes = |fd: BorrowedFd<'_>| {
        let access = rustix::fs::fcntl_getfl(fd)? & OFlags::ACCMODE;
        Ok(usize::from(access == OFlags::WRONLY || access == OFlags::RDWR))
    };
    let offset = op.offset.map(i64::cast_unsigned);
    let reads = |fd: BorrowedFd<'_>| match offset {
        Some(offset) => rustix::io::pread(fd, &mut [0_u8; 0], offset),
        None => rustix::io::read(fd, &mut [0_u8; 0]),
    };
    let is_wrong = matches!(on(op.in_fd, reads), BADF | SPIPE | INVAL);
    on(op.out_fd, writes) == 1 && !is_wrong
}

/// Whether a read of nothing waits: of an `inotify(7)` or `fanotify(7)` it does, for an event, and then fails. What
/// else has no file behind it either refuses at once or has nothing to count (`FIONREAD`). And so it does at the end
/// of the kernel's log (`/dev/kmsg`).
pub(super) fn waits_for_nothing(fd: Fd) -> bool {
    let counts = |borrowed: BorrowedFd<'_>| {
        let stat = rustix::fs::fstat(borrowed)?;
        let waits = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => {
                stat.st_rdev == rustix::fs::makedev(1, 11)
                    && super::poll::is_idle(fd, PollEvents::IN)
            }
            _ if stat.st_mode & 0o170_000 == 0 => rustix::io::ioctl_fionread(borrowed)? == 0,
            _ => false,
        };
        Ok(usize::from(waits))
    };
    on(fd, counts) == 1 && !super::describe::is_nonblocking(fd)
}

/// Whether it is a terminal, or another device that counts what there is to read (`FIONREAD`).
pub(super) fn is_terminal(fd: Fd) -> bool {
    let counts = |fd: BorrowedFd<'_>| {
        let mode = rustix::fs::fstat(fd)?.st_mode;
        let counted = FileType::from_raw_mode(mode) == FileType::CharacterDevice
            && rustix::io::ioctl_fionread(fd).is_ok();
        Ok(usize::from(counted))
    };
    on(fd, counts) == 1
}

/// The file position; `ESPIPE` where there is none.
pub(super) fn position(fd: Fd) -> i64 {
    seek(fd, SeekFrom::Current(0))
}

fn seek(fd: Fd, from: SeekFrom) -> i64 {
    match retry(borrow(fd), |fd| rustix::fs::seek(fd, from)) {
        Ok(position) => position.cast_signed(),
        Err(errno) => failed(errno),
    }
}

pub(super) fn open(op: &Open) -> i64 {
    let path = if op.path.is_null() {
        // The kernel looks at the flags before it looks at the path.
        c""
    } else {
        // SAFETY: not null, so NUL-terminated, promised by whoever made the op.
        unsafe { CStr::from_ptr(op.path) }
    };
    let dir = if op.dir == Fd::CWD { rustix::fs::CWD } else { borrow(op.dir) };
    let flags = OFlags::from_bits_retain(op.flags.bits());
    let mode = Mode::from_raw_mode(op.mode);
    match retry(dir, |dir| rustix::fs::openat(dir, path, flags, mode)) {
        Ok(fd) => i64::from(fd.into_raw_fd()),
        Err(SysErrno::NOENT) if op.path.is_null() => Errno::FAULT.to_result(),
        Err(errno) => failed(errno),
    }
}

pub(super) fn sendfile(op: &Sendfile) -> i64 {
    let (out_fd, in_fd) = (borrow(op.out_fd), borrow(op.in_fd));
    let len = op.len.min(MAX_RW_COUNT);
    let mut offset = op.offset.map(i64::cast_unsigned);
    counted(retry(out_fd, |out_fd| rustix::fs::sendfile(out_fd, in_fd, offset.as_mut(), len)))
}
