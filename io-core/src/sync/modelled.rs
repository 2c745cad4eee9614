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

/// One atomic type: what all have, with any value of it, and what is given after.
macro_rules! atomic {
    ($name:ident $(<$generic:ident>)?, $value:ty, $any:expr, { $($arithmetic:ident),* }) => {
        /// Loom's, of the same name.
        #[derive(Debug)]
        pub struct $name $(<$generic>)? (loom::sync::atomic::$name $(<$generic>)?);

        #[allow(missing_docs, reason = "as in core")]
        impl $(<$generic>)? $name $(<$generic>)? {
            #[track_caller]
            pub fn new(value: $value) -> Self {
                $name(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                if order != SeqCst {
                    return self.0.load(order);
                }
                // An exchange of nothing that says what it found, whether it was the guess or not.
                let guess: $value = $any;
                self.0.compare_exchange(guess, guess, Acquire, Acquire).unwrap_or_else(|found| found)
            }

            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                if order == Relaxed {
                    self.0.store(value, order);
                } else {
                    self.0.swap(value, order);
                }
            }

            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, order)
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(old, new, success, failure)
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange_weak(old, new, success, failure)
            }

            $(
                #[track_caller]
                pub fn $arithmetic(&self, value: $value, order: Ordering) -> $value {
                    self.0.$arithmetic(value, order)
                }
            )*
        }
    };
}

atomic!(AtomicU32, u32, 0, { fetch_add, fetch_sub, fetch_or, fetch_and });
atomic!(AtomicI32, i32, 0, { fetch_add, fetch_sub, fetch_or, fetch_and });
atomic!(AtomicU64, u64, 0, { fetch_add });
atomic!(AtomicUsize, usize, 0, { fetch_add, fetch_sub, fetch_or, fetch_and });
atomic!(AtomicBool, bool, false, {});
atomic!(AtomicPtr<T>, *mut T, core::ptr::null_mut(), {});

pub use super::plain::Critical;
/// Loom's, which checks that accesses are ordered.
pub use loom::cell::UnsafeCell;
