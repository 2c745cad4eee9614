//! The pool inside a shared object without std and without an allocator: what a tracer's preload object
//! does, as small as it gets. `main.c` loads it and reads a file through it.
#![no_std]

use core::ffi::{c_int, c_void};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicI64, Ordering};
use io_core::op::{Op, Pread, Write};
use io_core::{Deadline, Fd, IoAwaitable, IoBackend, Seekable};
use io_pool_backend::{PoolBackend, Worker};
use spin::Once;

/// In static storage: it never moves and is never freed.
static POOL: Once<PoolBackend> = Once::new();
/// What the last callback was told.
static LAST: AtomicI64 = AtomicI64::new(i64::MIN);

unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: `abort(3)` has no preconditions.
    unsafe { abort() }
}

fn pool() -> Option<Pin<&'static PoolBackend>> {
    POOL.try_call_once(PoolBackend::new).ok().map(Pin::static_ref)
}

/// Makes the pool. 0, or `-errno`.
#[unsafe(no_mangle)]
pub extern "C" fn proof_start() -> c_int {
    match pool().map(|pool| pool.start()) {
        Some(Ok(())) => 0,
        Some(Err(errno)) => -errno.raw(),
        None => -1,
    }
}

/// Lends the calling thread until `proof_stop`.
#[unsafe(no_mangle)]
pub extern "C" fn proof_worker(_: *mut c_void) -> *mut c_void {
    if let Some(pool) = pool() {
        Worker::new(pool).run();
    }
    core::ptr::null_mut()
}

/// How many threads are lent.
#[unsafe(no_mangle)]
pub extern "C" fn proof_workers() -> c_int {
    pool().map_or(0, |pool| c_int::try_from(pool.workers()).unwrap_or(c_int::MAX))
}

/// `pread(2)` through the pool, blocking.
///
/// # Safety
/// * As the system call: `buf` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn proof_pread(fd: c_int, buf: *mut u8, len: usize, offset: i64) -> i64 {
    let Some(pool) = pool() else { return -1 };
    let (fd, seekable) = (Fd::new(fd), Seekable::Unknown);
    let op = Op::Pread(Pread { fd, seekable, buf, len, offset });
    // SAFETY: valid until this returns, promised by the caller; `wait` returns when it is done.
    pin!(unsafe { IoAwaitable::new(pool, op) }).wait()
}

fn done(_: *mut (), result: i64) {
    LAST.store(result, Ordering::Release);
}

/// `write(2)` through the pool, with a callback; returns what the callback was told.
///
/// # Safety
/// * As the system call: `buf` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn proof_write(fd: c_int, buf: *const u8, len: usize) -> i64 {
    let Some(pool) = pool() else { return -1 };
    LAST.store(i64::MIN, Ordering::Relaxed);
    let op = Op::Write(Write { fd: Fd::new(fd), buf, len });
    // SAFETY: valid until this returns, promised by the caller; it returns when it is done.
    let mut write = pin!(unsafe { IoAwaitable::new(pool, op) });
    if write.as_mut().submit_with_callback(done, core::ptr::null_mut()).is_err() {
        return -1;
    }
    while LAST.load(Ordering::Acquire) == i64::MIN {
        if pool.poll(None).is_err() {
            return -1;
        }
    }
    LAST.load(Ordering::Acquire)
}

/// Drains the pool and sends the lent threads home. How many operations are still owned.
#[unsafe(no_mangle)]
pub extern "C" fn proof_stop() -> c_int {
    let Some(pool) = pool() else { return -1 };
    let left = match pool.stop(Deadline::NEVER) {
        Ok(()) => 0,
        Err(io_core::StopError::StillOwned(left)) => c_int::try_from(left).unwrap_or(c_int::MAX),
        Err(io_core::StopError::WrongPlace(errno)) => -errno.raw(),
    };
    pool.release_workers();
    left
}
