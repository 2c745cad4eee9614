//! `spin_lock.rs` in front of the model checker: loom's mutex, which lets a waiting thread wait instead of
//! trying every order of its turns.
#![allow(unsafe_code, reason = "implements the unsafe lock trait")]
//! # Safety
//! Loom's mutex excludes; its guard is kept in a cell that only the holder touches.

extern crate std;

use crate::lock::RawLock;
use core::cell::UnsafeCell;
use core::fmt;
use loom::sync::{Mutex, MutexGuard};
use std::boxed::Box;
use std::sync::OnceLock;

/// Lets another thread go on first.
pub fn give_way() {
    loom::thread::yield_now();
}

/// The lock between threads.
pub struct SpinLock {
    // Loom's objects are made at run time, and `NEW` is a constant: so at the first lock, which is
    // right for a mutex that nobody holds. Leaked, so that the guard borrows from nobody.
    mutex: OnceLock<&'static Mutex<()>>,
    guard: UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

// SAFETY: the guard's cell is touched by who holds the mutex, and loom's threads are one real thread.
unsafe impl Send for SpinLock {}
// SAFETY: as above.
unsafe impl Sync for SpinLock {}

impl fmt::Debug for SpinLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinLock")
    }
}

// SAFETY: `Mutex` excludes, and orders an unlock before the next lock.
unsafe impl RawLock for SpinLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "as the real one")]
    const NEW: SpinLock = SpinLock { mutex: OnceLock::new(), guard: UnsafeCell::new(None) };
    const SHARED: bool = true;

    fn lock(&self) {
        let mutex: &'static Mutex<()> = self.mutex.get_or_init(|| Box::leak(Box::default()));
        let guard = match mutex.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        // SAFETY: the mutex is held by this thread.
        unsafe { *self.guard.get() = Some(guard) };
    }

    unsafe fn unlock(&self) {
        // SAFETY: the mutex is held by this thread, promised by the caller.
        drop(unsafe { (*self.guard.get()).take() });
    }
}
