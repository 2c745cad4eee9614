//! Epoll inside a shared object without std and without an allocator, with the pool as its offload. `main.c`
//! loads it, reads a file through it and waits for a socket.
#![no_std]

use core::ffi::{c_int, c_void};
use core::pin::{Pin, pin};
use io_core::op::{MsgFlags, Op, Pread, Recv};
use io_core::{Deadline, Fd, IoAwaitable, IoBackend, Seekable, StopError};
use io_epoll_backend::{EpollBackend, SpinLock};
use io_pool_backend::{PoolBackend, Worker};
use spin::Once;

type Epoll = EpollBackend<SpinLock, &'static PoolBackend>;

/// In static storage: they never move and are never freed.
static POOL: Once<PoolBackend> = Once::new();
static EPOLL: Once<Epoll> = Once::new();

unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: `abort(3)` has no preconditions.
    unsafe { abort() }
}

fn pool() -> Option<&'static PoolBackend> {
    POOL.try_call_once(PoolBackend::new).ok()
}

fn epoll() -> Option<Pin<&'static Epoll>> {
    let pool = pool()?;
    EPOLL.try_call_once(|| EpollBackend::with_offload(pool)).ok().map(Pin::static_ref)
}

/// Makes both. 0, or `-errno`.
#[unsafe(no_mangle)]
pub extern "C" fn proof_start() -> c_int {
    match epoll().map(|epoll| epoll.start()) {
        Some(Ok(())) => 0,
        Some(Err(errno)) => -errno.raw(),
        None => -1,
    }
}

/// Lends the calling thread to the pool until `proof_stop`.
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

/// How many operations wait.
#[unsafe(no_mangle)]
pub extern "C" fn proof_waiting() -> u64 {
    epoll().map_or(0, |epoll| epoll.counters().queued_now)
}

/// `pread(2)`, blocking. More than 64 KiB goes to the pool.
///
/// # Safety
/// * As the system call: `buf` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn proof_pread(fd: c_int, buf: *mut u8, len: usize, offset: i64) -> i64 {
    let Some(epoll) = epoll() else { return -1 };
    let (fd, seekable) = (Fd::new(fd), Seekable::Unknown);
    let op = Op::Pread(Pread { fd, seekable, buf, len, offset });
    // SAFETY: valid until this returns, promised by the caller; `wait` returns when it is done.
    pin!(unsafe { IoAwaitable::new(epoll, op) }).wait()
}

/// `recv(2)`, blocking.
///
/// # Safety
/// * As the system call: `buf` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn proof_recv(fd: c_int, buf: *mut u8, len: usize) -> i64 {
    let Some(epoll) = epoll() else { return -1 };
    let op = Op::Recv(Recv { fd: Fd::new(fd), flags: MsgFlags::empty(), buf, len });
    // SAFETY: as in `proof_pread`.
    pin!(unsafe { IoAwaitable::new(epoll, op) }).wait()
}

/// Drains both and sends the lent threads home. How many operations are still owned.
#[unsafe(no_mangle)]
pub extern "C" fn proof_stop() -> c_int {
    let (Some(epoll), Some(pool)) = (epoll(), pool()) else { return -1 };
    let left = match epoll.stop(Deadline::NEVER).and_then(|()| pool.stop(Deadline::NEVER)) {
        Ok(()) => 0,
        Err(StopError::StillOwned(left)) => c_int::try_from(left).unwrap_or(c_int::MAX),
        Err(StopError::WrongPlace(errno)) => -errno.raw(),
    };
    pool.release_workers();
    left
}
