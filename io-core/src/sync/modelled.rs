//! Loom's atomics and cells behind the names of the real ones: `cfg(io_loom)`.
//!
//! Loom knows `SeqCst` of fences only, and takes an access with it for `AcqRel`: two threads that each
//! store one word and then load the other's may both miss. The real one forbids that, and parking relies on
//! it. So a `SeqCst` load is made an exchange of nothing here, which sees the newest value, as does a
//! `SeqCst` store. It acquires, and does not release more than what it read; so what is ordered
//! through the loaded word is ordered by the real load too.
//!
//! A store that releases is an exchange as well: loom lets a plain store come before an exchange of another thread
//! that did not see it, as no machine does, and "done" would be overwritten by a cancel for ever. The price:
//! who reads such a store is also ordered after what earlier exchanges released.

pub use loom::hint::spin_loop;

use super::Ordering::{self, Acquire, Relaxed, SeqCst};

/// One integer type.
macro_rules! integer {
    ($name:ident, $int:ty) => {
        /// Loom's, of the same name.
        #[derive(Debug)]
        pub struct $name(loom::sync::atomic::$name);

        #[allow(missing_docs, reason = "as in core")]
        impl $name {
            #[track_caller]
            pub fn new(value: $int) -> $name {
                $name(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $int {
                if order == SeqCst { self.0.fetch_or(0, Acquire) } else { self.0.load(order) }
            }

            #[track_caller]
            pub fn store(&self, value: $int, order: Ordering) {
                if order == Relaxed {
                    self.0.store(value, order);
                } else {
                    self.0.swap(value, order);
                }
            }

            #[track_caller]
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                self.0.swap(value, order)
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.0.compare_exchange(old, new, success, failure)
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.0.compare_exchange_weak(old, new, success, failure)
            }

            #[track_caller]
            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_add(value, order)
            }

            #[track_caller]
            pub fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_sub(value, order)
            }

            #[track_caller]
            pub fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_or(value, order)
            }

            #[track_caller]
            pub fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_and(value, order)
            }
        }
    };
}

integer!(AtomicU32, u32);
integer!(AtomicI32, i32);
integer!(AtomicUsize, usize);

/// Loom's, of the same name.
#[derive(Debug)]
pub struct AtomicBool(AtomicU32);

#[allow(missing_docs, reason = "as in core")]
impl AtomicBool {
    #[track_caller]
    pub fn new(value: bool) -> AtomicBool {
        AtomicBool(AtomicU32::new(value.into()))
    }

    #[track_caller]
    pub fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    #[track_caller]
    pub fn store(&self, value: bool, order: Ordering) {
        self.0.store(value.into(), order);
    }

    #[track_caller]
    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value.into(), order) != 0
    }
}

/// Loom's, of the same name.
#[derive(Debug)]
pub struct AtomicPtr<T>(loom::sync::atomic::AtomicPtr<T>);

#[allow(missing_docs, reason = "as in core")]
impl<T> AtomicPtr<T> {
    #[track_caller]
    pub fn new(value: *mut T) -> AtomicPtr<T> {
        AtomicPtr(loom::sync::atomic::AtomicPtr::new(value))
    }

    #[track_caller]
    pub fn load(&self, order: Ordering) -> *mut T {
        if order != SeqCst {
            return self.0.load(order);
        }
        // An exchange of nothing that says what it found, whether it was the guess or not.
        let guess = core::ptr::null_mut();
        self.0.compare_exchange(guess, guess, Acquire, Acquire).unwrap_or_else(|found| found)
    }

    #[track_caller]
    pub fn store(&self, value: *mut T, order: Ordering) {
        if order == Relaxed {
            self.0.store(value, order);
        } else {
            self.0.swap(value, order);
        }
    }

    #[track_caller]
    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        self.0.swap(value, order)
    }

    #[track_caller]
    pub fn compare_exchange(
        &self,
        old: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.0.compare_exchange(old, new, success, failure)
    }

    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        old: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.0.compare_exchange_weak(old, new, success, failure)
    }
}

pub use super::plain::Critical;
/// Loom's, which checks that accesses are ordered.
pub use loom::cell::UnsafeCell;
