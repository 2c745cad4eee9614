//! The plain system call that an operation stands for, made by libc: what every result is held against.
//!
//! Deliberately not `io_core::syscall::perform`, which is one of the things that are tested.
#![allow(unsafe_code, reason = "calls the kernel with raw descriptors and pointers")]
//! # Safety
//! The addresses are those that [`crate::raw::raw`] accepts: null, or in memory that the caller keeps.

use crate::mem::Mem;
use crate::raw::check;
use crate::world::{Outcome, Shared};
use io_core::op::{MAX_RW_COUNT, Poll};
use io_core::{Errno, Op};
use libc::{c_int, c_long};

fn fd(number: io_core::Fd) -> c_int {
    number.raw()
}

/// Makes the system call, or what it is in a simulated world, where a wait is `EAGAIN`, and returns the count,
/// descriptor or offset, or `-errno`. One transfer is cut to the kernel's limit first. A call that a signal
/// interrupts is made again, but for a close.
///
/// # Panics
/// If an address in `op` is neither null nor in `keep`.
#[must_use]
pub fn oracle(op: &Op, keep: &[Mem]) -> i64 {
    check(op, keep);
    if let Some(world) = Shared::current() {
        // SAFETY: null or kept, as just checked.
        return match world.with(|world| unsafe { world.perform(op, usize::MAX) }) {
            Outcome::Done(result) => result,
            Outcome::Wait => Errno::AGAIN.to_result(),
        };
    }
    loop {
        let result = call(op);
        let interrupted = result == Errno::INTR.to_result() && !matches!(op, Op::Close(_));
        if !interrupted {
            return result;
        }
    }
}

fn call(op: &Op) -> i64 {
    let result = match op {
        Op::Accept(_) | Op::Close(_) | Op::Fstat(_) | Op::Fsync(_) | Op::Ftruncate(_) => files(op),
        Op::Fdatasync(_) | Op::Lseek(_) | Op::Nop(_) | Op::Open(_) | Op::Sendfile(_) => files(op),
        Op::Bind(_) | Op::Connect(_) | Op::Listen(_) | Op::Shutdown(_) | Op::Socket(_) => {
            sockets(op)
        }
        Op::Poll(op) => return look(op),
        _ => transfers(op),
    };
    if result < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().expect("an errno");
        return -i64::from(errno);
    }
    result
}

fn files(op: &Op) -> i64 {
    match *op {
        Op::Accept(op) => {
            let flags = op.flags.bits().cast_signed() | libc::SOCK_CLOEXEC;
            // SAFETY: addresses are null or kept, as `oracle` checked.
            i64::from(unsafe { libc::accept4(fd(op.fd), op.addr.cast(), op.addr_len, flags) })
        }
        // SAFETY: takes a number.
        Op::Close(op) => i64::from(unsafe { libc::close(fd(op.fd)) }),
        Op::Fstat(op) => {
            let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS | libc::STATX_BTIME);
            let (path, out) = (c"".as_ptr(), op.out.cast());
            // SAFETY: the path is a literal; the address is null or kept, as `oracle` checked.
            i64::from(unsafe { libc::statx(fd(op.fd), path, flags, mask, out) })
        }
        // SAFETY: takes a number.
        Op::Fdatasync(op) => i64::from(unsafe { libc::fdatasync(fd(op.fd)) }),
        // SAFETY: takes a number.
        Op::Fsync(op) => i64::from(unsafe { libc::fsync(fd(op.fd)) }),
        // SAFETY: takes numbers.
        Op::Ftruncate(op) => i64::from(unsafe { libc::ftruncate(fd(op.fd), op.len) }),
        // SAFETY: takes numbers.
        Op::Lseek(op) => unsafe { libc::lseek(fd(op.fd), op.offset, op.whence.cast_signed()) },
        Op::Open(op) => {
            let (dir, flags) = (c_long::from(fd(op.dir)), c_long::from(op.flags.bits()));
            let (path, mode) = (op.path, c_long::from(op.mode));
            // SAFETY: the address is null or kept, as `oracle` checked. Not `libc::openat`, which
            // changes flags on some targets.
            unsafe { libc::syscall(libc::SYS_openat, dir, path, flags, mode) }
        }
        Op::Sendfile(op) => {
            let mut at = op.offset.unwrap_or(0);
            let offset = if op.offset.is_some() { &raw mut at } else { core::ptr::null_mut() };
            let len = op.len.min(MAX_RW_COUNT);
            // SAFETY: the offset is a local or null.
            let sent = unsafe { libc::sendfile(fd(op.out_fd), fd(op.in_fd), offset, len) };
            i64::try_from(sent).expect("64 bits")
        }
        _ => 0,
    }
}

fn sockets(op: &Op) -> i64 {
    let result = match *op {
        // SAFETY: the address is null or kept, as `oracle` checked.
        Op::Bind(op) => unsafe { libc::bind(fd(op.fd), op.addr.cast(), op.addr_len) },
        // SAFETY: as above.
        Op::Connect(op) => unsafe { libc::connect(fd(op.fd), op.addr.cast(), op.addr_len) },
        // SAFETY: takes numbers.
        Op::Listen(op) => unsafe { libc::listen(fd(op.fd), op.backlog) },
        // SAFETY: takes numbers.
        Op::Shutdown(op) => unsafe { libc::shutdown(fd(op.fd), op.how.cast_signed()) },
        Op::Socket(op) => {
            let kind = (op.kind.0 | op.flags.bits()).cast_signed() | libc::SOCK_CLOEXEC;
            // SAFETY: takes numbers.
            unsafe { libc::socket(c_int::from(op.family.0), kind, op.protocol.cast_signed()) }
        }
        _ => 0,
    };
    i64::from(result)
}

/// What `poll(2)` says at once: `EBADF` for a closed number, `EAGAIN` where it would wait.
fn look(op: &Poll) -> i64 {
    let events = op.events.bits().cast_signed();
    let mut entry = libc::pollfd { fd: fd(op.fd), events, revents: 0 };
    // SAFETY: one entry, a local.
    let count = unsafe { libc::poll(&raw mut entry, 1, 0) };
    if entry.fd < 0 || entry.revents & libc::POLLNVAL != 0 {
        return -i64::from(libc::EBADF);
    }
    if count == 1 { i64::from(entry.revents) } else { -i64::from(libc::EAGAIN) }
}

/// By their numbers and not by libc's functions: a sanitizer takes the count in the answer for memory that was
/// touched, and `/dev/null`, or `MSG_TRUNC`, counts what was not.
fn transfers(op: &Op) -> i64 {
    let cut = |len: usize| len.min(MAX_RW_COUNT);
    // libc's functions take no more than an `int` says; the kernel would cut a count to 32 bits.
    let entries = |count: usize| c_long::from(c_int::try_from(count).unwrap_or(c_int::MAX));
    let upper: c_long = 0;
    // SAFETY, for each arm: addresses are null or kept, as `oracle` checked.
    match *op {
        // SAFETY: as above.
        Op::Read(op) => unsafe { libc::syscall(libc::SYS_read, fd(op.fd), op.buf, cut(op.len)) },
        // SAFETY: as above.
        Op::Write(op) => unsafe { libc::syscall(libc::SYS_write, fd(op.fd), op.buf, cut(op.len)) },
        // SAFETY: as above.
        Op::Pread(op) => unsafe {
            libc::syscall(libc::SYS_pread64, fd(op.fd), op.buf, cut(op.len), op.offset)
        },
        // SAFETY: as above.
        Op::Pwrite(op) => unsafe {
            libc::syscall(libc::SYS_pwrite64, fd(op.fd), op.buf, cut(op.len), op.offset)
        },
        // SAFETY: as above.
        Op::Readv(op) => unsafe {
            libc::syscall(libc::SYS_readv, fd(op.fd), op.iov, entries(op.count))
        },
        // SAFETY: as above.
        Op::Writev(op) => unsafe {
            libc::syscall(libc::SYS_writev, fd(op.fd), op.iov, entries(op.count))
        },
        // The offset is in two halves; the upper one counts only where a register has 32 bits.
        // SAFETY: as above.
        Op::Preadv(op) => unsafe {
            libc::syscall(libc::SYS_preadv, fd(op.fd), op.iov, entries(op.count), op.offset, upper)
        },
        // SAFETY: as above.
        Op::Pwritev(op) => unsafe {
            libc::syscall(libc::SYS_pwritev, fd(op.fd), op.iov, entries(op.count), op.offset, upper)
        },
        Op::Recv(op) => {
            let (flags, none) = (op.flags.bits().cast_signed(), core::ptr::null_mut::<u8>());
            let (number, len) = (libc::SYS_recvfrom, cut(op.len));
            // SAFETY: as above.
            unsafe { libc::syscall(number, fd(op.fd), op.buf, len, flags, none, none) }
        }
        Op::Send(op) => {
            let flags = op.flags.bits().cast_signed() | libc::MSG_NOSIGNAL;
            let (number, len, none) = (libc::SYS_sendto, cut(op.len), core::ptr::null_mut::<u8>());
            // SAFETY: as above.
            unsafe { libc::syscall(number, fd(op.fd), op.buf, len, flags, none, 0) }
        }
        _ => 0,
    }
}
