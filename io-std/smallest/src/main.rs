//! The smallest embedding: a static program without libc, std or an allocator, which writes a file through the pool and
//! through epoll, and reads it back.
//!
//! ```text
//! smallest [FILE]
//! ```
//!
//! `FILE` is made, or made anew; without one it is `/tmp/io-smallest`. The exit code is 0 only if what was read back is
//! what was written; else it says what failed, first on the pool (1 to 6), then on epoll (11 to 16): making the backend
//! 1, opening 2, writing 3, reading back 4, closing 5, stopping 6. A poll that fails is 100, a panic 101.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "keeps an operation in static storage")]
//! # Safety
//! * S1: the program has one thread, and nothing interrupts it.
//! * S2: [`run`] returns only when its operation is done.

mod start;

// The page begins here.
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use io_core::op::{Close, Op, Open, OpenFlags, Pread, Pwrite};
use io_core::{Deadline, Fd, IoAwaitable, IoBackend, Seekable};
use io_epoll_backend::EpollBackend;
use io_pool_backend::PoolBackend;
use spin::Once;

type Backend = Pin<&'static dyn IoBackend>;

/// A backend is pinned for as long as it has operations. In a static it is so for ever.
static POOL: Once<PoolBackend> = Once::new();
static EPOLL: Once<EpollBackend> = Once::new();

/// Room for one operation: all the memory that it needs while it is in flight.
struct Storage(UnsafeCell<MaybeUninit<IoAwaitable<Backend>>>);
// SAFETY: S1.
unsafe impl Sync for Storage {}
static STORAGE: Storage = Storage(UnsafeCell::new(MaybeUninit::uninit()));

/// What is written and what is read back: buffers are static too.
static LINES: [&[u8]; 2] = [b"written through the pool\n", b"written through epoll\n"];
static BACK: [AtomicU8; 64] = [const { AtomicU8::new(0) }; 64];

/// What the callback was told; before, a number that is no result.
static RESULT: AtomicI64 = AtomicI64::new(PENDING);
const PENDING: i64 = i64::MIN;

/// The callback: it is called inside `poll`, on this thread, when the operation is done.
fn done(_context: *mut (), result: i64) {
    RESULT.store(result, Ordering::Release);
}

/// Runs one operation: a number of bytes or a descriptor, or `-errno`.
///
/// # Safety
/// * What the operation points to is valid until this returns.
unsafe fn run(backend: Backend, op: Op) -> i64 {
    RESULT.store(PENDING, Ordering::Relaxed);
    // SAFETY: valid until it is done, promised by the caller, because of S2.
    let operation = unsafe { IoAwaitable::new(backend, op) };
    // SAFETY: S1, and by S2 what was in the storage is done.
    let storage = unsafe { &mut *STORAGE.0.get() };
    // SAFETY: a static does not move; what is in it is written over only when it is done, with nothing to drop.
    let operation = unsafe { Pin::new_unchecked(storage.write(operation)) };
    if let Err(errno) = operation.submit_with_callback(done, ptr::null_mut()) {
        return errno.to_result();
    }
    // No thread is lent to the pool: whoever polls does the work. An embedding with something else to do does it here.
    while RESULT.load(Ordering::Acquire) == PENDING {
        if backend.poll(None).is_err() {
            // The operation is not done, and its memory is not ours again: there is no way back.
            start::exit(100);
        }
    }
    RESULT.load(Ordering::Acquire)
}

/// Writes a line at its place in the file, and reads it back. `Err` is the step that failed.
fn write_and_read(backend: Backend, path: &CStr, line: &'static [u8], at: i64) -> Result<(), i32> {
    let new = if at == 0 { OpenFlags::CREATE | OpenFlags::TRUNC } else { OpenFlags::empty() };
    let flags = OpenFlags::RDWR | OpenFlags::CLOEXEC | new;
    let open = Op::Open(Open { dir: Fd::CWD, path: path.as_ptr(), flags, mode: 0o644 });
    // SAFETY: the path is a borrowed string.
    let fd = i32::try_from(unsafe { run(backend, open) }).ok().filter(|fd| *fd >= 0).ok_or(2)?;
    let (fd, seekable) = (Fd::new(fd), Seekable::Unknown);

    let (buf, len) = (line.as_ptr(), line.len());
    let write = Op::Pwrite(Pwrite { fd, seekable, buf, len, offset: at });
    // SAFETY: the bytes are static.
    if unsafe { run(backend, write) } != len as i64 {
        return Err(3);
    }

    let (buf, len) = (BACK.as_ptr().cast::<u8>().cast_mut(), BACK.len());
    let read = Op::Pread(Pread { fd, seekable, buf, len, offset: at });
    // SAFETY: the bytes are static, and may be written through a shared reference.
    let count = unsafe { run(backend, read) };
    let back = BACK.iter().map(|byte| byte.load(Ordering::Relaxed)).take(line.len());
    if count != line.len() as i64 || !back.eq(line.iter().copied()) {
        return Err(4);
    }

    // SAFETY: it points to nothing, and the descriptor is ours.
    if unsafe { run(backend, Op::Close(Close { fd })) } == 0 { Ok(()) } else { Err(5) }
}

/// From the start of a backend to its stop.
fn use_one(backend: Option<Backend>, path: &CStr, line: &'static [u8], at: i64) -> Result<(), i32> {
    let backend = backend.filter(|backend| backend.start().is_ok()).ok_or(1)?;
    write_and_read(backend, path, line, at)?;
    backend.stop(Deadline::NEVER).map_err(|_| 6)
}

/// The exit code.
fn main(path: Option<&CStr>) -> i32 {
    let path = path.unwrap_or(c"/tmp/io-smallest");
    let [first, second] = LINES;
    let pool = POOL.try_call_once(PoolBackend::new).ok();
    if let Err(step) = use_one(pool.map(|pool| Pin::static_ref(pool) as Backend), path, first, 0) {
        return step;
    }
    let epoll = EPOLL.try_call_once(EpollBackend::new).ok();
    let epoll = epoll.map(|epoll| Pin::static_ref(epoll) as Backend);
    use_one(epoll, path, second, first.len() as i64).map_or_else(|step| 10 + step, |()| 0)
}
// The page ends here.
