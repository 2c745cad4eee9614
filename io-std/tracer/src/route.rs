//! Which backend writes, where it lives, and what comes after it when it is of no use any more.
//!
//! Backends are in static storage and are never dropped. One whose descriptors the program has closed is left where
//! it is, and another takes its place; there are [`LIVES`] of each kind, and after them there is no route.

use crate::format::Route;
use crate::life::Life;
use crate::{ours, ring};
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use io_core::{Errno, IoBackend};
use io_epoll_backend::EpollBackend;
use io_pool_backend::PoolBackend;
use spin::Once;

/// How often a backend can be replaced by another of its kind.
pub(crate) const LIVES: usize = 8;

static POOLS: [Once<PoolBackend>; LIVES] = [const { Once::new() }; LIVES];
static EPOLLS: [Once<EpollBackend>; LIVES] = [const { Once::new() }; LIVES];
/// [`Route`], as it is now.
static ROUTE: AtomicU32 = AtomicU32::new(0);
/// Which of its kind.
static WHICH: AtomicUsize = AtomicUsize::new(0);

/// How a block's operation reaches its backend.
pub(crate) type Backend = Pin<&'static dyn IoBackend>;

fn kind() -> Route {
    match ROUTE.load(Ordering::Acquire) {
        1 => Route::Pool,
        2 => Route::Epoll,
        3 => Route::Uring,
        _ => Route::None,
    }
}

fn set(route: Route) {
    ROUTE.store(route as u32, Ordering::Release);
    if let Some(life) = Life::current() {
        life.header().route.store(route as u32, Ordering::Relaxed);
    }
}

/// Whether threads must come one at a time.
pub(crate) fn is_exclusive() -> bool {
    kind() == Route::Uring
}

/// Makes the first backend: the one that is asked for, or what stands in for it.
pub(crate) fn prepare(wanted: Route) {
    let mut next = wanted;
    loop {
        set(next);
        let made = || build(next, WHICH.load(Ordering::Relaxed)).is_ok();
        if next == Route::None || ours::noticing(made) {
            return;
        }
        next = after(next);
    }
}

/// What stands in for it.
fn after(route: Route) -> Route {
    match route {
        Route::Uring => Route::Pool,
        Route::None | Route::Pool | Route::Epoll => Route::None,
    }
}

fn build(route: Route, which: usize) -> Result<Backend, Errno> {
    let none = Errno::NODEV;
    match route {
        Route::Pool => {
            let pool = POOLS.get(which).ok_or(none)?.try_call_once(PoolBackend::new)?;
            renew(pool.generation(), || pool.reinit())?;
            start(Pin::static_ref(pool))
        }
        Route::Epoll => {
            let epoll = EPOLLS.get(which).ok_or(none)?.try_call_once(EpollBackend::new)?;
            let epoll = Pin::static_ref(epoll);
            renew(epoll.generation(), || epoll.reinit())?;
            start(epoll)
        }
        Route::Uring => start(ring::build(which, |reinit| ours::noticing(reinit))?),
        Route::None => Err(none),
    }
}

/// In a forked child the backend is made new.
fn renew(generation: u32, reinit: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    if generation == 0 { ours::noticing(reinit) } else { Ok(()) }
}

fn start(backend: Backend) -> Result<Backend, Errno> {
    match backend.start() {
        Ok(()) | Err(Errno::ALREADY) => Ok(backend),
        Err(errno) => Err(errno),
    }
}

/// The backend, if there is one.
pub(crate) fn backend() -> Option<Backend> {
    build(kind(), WHICH.load(Ordering::Relaxed)).ok()
}

/// Leaves a backend that is of no use: another of its kind if the program has closed its descriptors, else what
/// stands in for it.
pub(crate) fn detour(life: Life, closed: bool) {
    life.header().detours.fetch_add(1, Ordering::Relaxed);
    let which = WHICH.load(Ordering::Relaxed);
    if !ours::has_place() {
        set(Route::None);
    } else if closed && which + 1 < LIVES {
        WHICH.store(which + 1, Ordering::Relaxed);
        prepare(kind());
    } else {
        prepare(after(kind()));
    }
}

/// No backend any more.
pub(crate) fn end() {
    set(Route::None);
}

/// Makes what stands in for a ring while that is possible: before the program limits itself.
pub(crate) fn stand_by() {
    if kind() == Route::Uring {
        // What cannot be made now will not stand in later.
        let _: bool = ours::noticing(|| build(Route::Pool, WHICH.load(Ordering::Relaxed)).is_ok());
    }
}

/// The program has forbidden itself the ring.
pub(crate) fn leave_ring() {
    if let Some(life) = Life::current().filter(|_| kind() == Route::Uring) {
        life.header().detours.fetch_add(1, Ordering::Relaxed);
        set(Route::Pool);
    }
}

/// Says the route in the header of a life that begins.
pub(crate) fn tell(life: Life) {
    life.header().route.store(kind() as u32, Ordering::Relaxed);
}
