//! The lock as a type parameter, so that single-threaded use does not pay for sharing.
#![allow(unsafe_code, reason = "gives out the content of a cell while a lock is held")]
//! # Safety
//! The content is reached only between `lock` and `unlock` of its own lock, and only by one closure at a
//! time; [`NoopLock`] relies on never being shared between threads.

use crate::sync::{Critical, UnsafeCell, const_unless_loom};
use core::fmt;
use core::marker::PhantomData;

/// A lock without content.
///
/// # Safety
/// * Between `lock` and the following `unlock`, no other `lock` returns on another thread; and `unlock`
///   happens before the next `lock` returns. An implementor that is not `Sync` may leave both out.
pub unsafe trait RawLock {
    /// An open lock.
    const NEW: Self;

    /// Whether there can be other threads at all.
    const SHARED: bool;

    /// Waits until the lock is ours.
    fn lock(&self);

    /// Gives it up.
    ///
    /// # Safety
    /// * The lock is held by this thread.
    unsafe fn unlock(&self);
}

/// No lock, for one thread: compiles to nothing and makes its owner `!Sync`.
#[derive(Debug)]
pub struct NoopLock(PhantomData<*mut ()>);

// SAFETY: not `Sync`, so there is no other thread.
unsafe impl RawLock for NoopLock {
    const NEW: NoopLock = NoopLock(PhantomData);
    const SHARED: bool = false;

    fn lock(&self) {}

    unsafe fn unlock(&self) {}
}

/// Content behind a [`RawLock`], reached only through [`with`](Locked::with), whose closures are a few
/// loads and stores: no system call, no user code.
pub struct Locked<L, T> {
    lock: UnsafeCell<L>,
    content: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the content, which may move between threads.
unsafe impl<L: RawLock + Sync, T: Send> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    const_unless_loom! {
        /// Puts `content` behind an open lock.
        pub const fn new(content: T) -> Locked<L, T> {
            Locked { lock: UnsafeCell::new(L::NEW), content: UnsafeCell::new(content) }
        }
    }

    /// Runs `act` with the lock held.
    ///
    /// # Safety
    /// * `act` does not call `with` of the same lock again, and runs no code that could: with
    ///   [`NoopLock`] there would be two references to the content.
    pub unsafe fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        self.lock.with(|lock| {
            // SAFETY: only `renew` writes it, while nobody is here, promised by its caller.
            let _guard = Guard::lock(unsafe { &*lock });
            let _critical = Critical::begin();
            // SAFETY: the lock is held until `_guard` drops, also when `act` unwinds; and closures do not
            // nest, promised by the caller.
            self.content.with_mut(|content| act(unsafe { &mut *content }))
        })
    }

    /// Puts `content` behind an open lock again, in a forked child, where the lock may be held by a thread
    /// that is not there. The old content is forgotten: it is the parent's.
    ///
    /// # Safety
    /// * No thread of this process is in `with`, or comes there before this returns: the backend's
    ///   [`Adoption`](crate::fork::Adoption) is not finished.
    #[cfg(feature = "syscall")]
    pub unsafe fn renew(&self, content: T) {
        // SAFETY: nobody else reads or writes it, promised by the caller.
        self.lock.with_mut(|lock| unsafe { lock.write(L::NEW) });
        // SAFETY: as above.
        self.content.with_mut(|old| unsafe { old.write(content) });
    }
}

struct Guard<'l, L: RawLock>(&'l L);

impl<'l, L: RawLock> Guard<'l, L> {
    fn lock(lock: &'l L) -> Self {
        lock.lock();
        Guard(lock)
    }
}

impl<L: RawLock> Drop for Guard<'_, L> {
    fn drop(&mut self) {
        // SAFETY: this guard locked it.
        unsafe { self.0.unlock() }
    }
}

impl<L, T> fmt::Debug for Locked<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}
