//! The lock of backends that threads share: it spins, and yields the processor after a few turns, because on a
//! machine with two cores the holder may be the one that is preempted.
#![allow(unsafe_code, reason = "implements the unsafe lock trait")]
//! # Safety
//! `spin`'s mutex excludes; its guard is forgotten in `lock` and made up for by `force_unlock`.

use crate::lock::RawLock;
use spin::RelaxStrategy;
use spin::mutex::SpinMutex;

/// Spins a little, then gives the processor away (`sched_yield(2)`).
#[derive(Debug)]
struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        give_way();
    }
}

/// Lets another thread go on, which this one waits for a few instructions of.
pub fn give_way() {
    core::hint::spin_loop();
    rustix::thread::sched_yield();
}

/// The lock between threads. Held for a few loads and stores, never across a system call or user code.
#[derive(Debug)]
pub struct SpinLock(SpinMutex<(), Yield>);

// SAFETY: `SpinMutex` excludes, and orders an unlock before the next lock.
unsafe impl RawLock for SpinLock {
    const NEW: SpinLock = SpinLock(SpinMutex::new(()));
    const SHARED: bool = true;

    fn lock(&self) {
        core::mem::forget(self.0.lock());
    }

    unsafe fn unlock(&self) {
        // SAFETY: held by this thread, promised by the caller; its guard was forgotten.
        unsafe { self.0.force_unlock() }
    }
}
