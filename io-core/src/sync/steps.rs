//! The real ones, with a call before each access: feature `steps`, for tests.
//!
//! A test sets a hook on its thread and runs one side of a protocol; the hook is called before each
//! access of an atomic or a cell, and may run steps of the other side there, like an interrupt: all nested
//! interleavings of two sides, on one thread, and the same again from the same choices. The hook is called
//! for the accesses of the nested steps too; it keeps count itself, or takes itself away ([`set_hook`]).
//!
//! While a [`Locked`](crate::Locked) is held no hook is called: who came between could not take the lock.

#![cfg_attr(test, allow(unsafe_code, reason = "locks"))]
#![allow(clippy::std_instead_of_core, reason = "thread-locals and shared closures are std's")]

extern crate std;

use super::{Ordering, plain};
use core::cell::{Cell, RefCell};
use core::panic::Location;
use std::rc::Rc;

/// What is about to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// An atomic load.
    Load,
    /// An atomic store.
    Store,
    /// An atomic read-modify-write.
    Exchange,
    /// A look at the content of a cell.
    Read,
    /// A write of the content of a cell.
    Write,
    /// A turn of a wait for another thread: a nested step that gets here waits for the one it interrupted,
    /// and nothing but an unwinding ends that.
    Spin,
}

/// Where the thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// What is about to happen.
    pub access: Access,
    /// The place in the source.
    pub at: &'static Location<'static>,
}

/// What is called before each access.
pub type Hook = Rc<dyn Fn(Site)>;

std::thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Sets or takes away this thread's hook; returns the old one.
pub fn set_hook(hook: Option<Hook>) -> Option<Hook> {
    // A thread that is being torn down has none.
    HOOK.try_with(|place| place.replace(hook)).ok().flatten()
}

#[track_caller]
fn step(access: Access) {
    if HELD.try_with(Cell::get) != Ok(0) {
        return;
    }
    // Cloned, so that the hook may set another one.
    let hook = HOOK.try_with(|place| place.borrow().clone()).ok().flatten();
    if let Some(hook) = hook {
        hook(Site { access, at: Location::caller() });
    }
}

/// A turn of a wait.
#[track_caller]
pub fn spin_loop() {
    step(Access::Spin);
    plain::spin_loop();
}

/// The word that the kernel is told of.
#[must_use]
pub const fn real(word: &AtomicU32) -> &plain::AtomicU32 {
    &word.0
}

/// A stretch of code in which no hook is called.
#[derive(Debug)]
pub struct Critical(());

impl Critical {
    /// Begins it; it ends with the drop.
    #[must_use]
    pub fn begin() -> Critical {
        // A thread that is being torn down has no hook.
        let _ = HELD.try_with(|held| held.set(held.get() + 1));
        Critical(())
    }
}

impl Drop for Critical {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| held.set(held.get() - 1));
    }
}

/// The real one, with a call before each access.
#[derive(Debug)]
#[repr(transparent)]
pub struct UnsafeCell<T>(plain::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell with this content.
    pub const fn new(content: T) -> UnsafeCell<T> {
        UnsafeCell(plain::UnsafeCell::new(content))
    }

    /// Reads: nobody writes meanwhile.
    #[track_caller]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        step(Access::Read);
        self.0.with(read)
    }

    /// Writes: nobody reads or writes meanwhile.
    #[track_caller]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        step(Access::Write);
        self.0.with_mut(write)
    }
}

/// One atomic type: what all have, and what is given after.
macro_rules! atomic {
    ($name:ident $(<$generic:ident>)?, $value:ty, { $($arithmetic:ident),* }) => {
        /// The real one, with a call before each access.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name $(<$generic>)? (plain::$name $(<$generic>)?);

        #[allow(missing_docs, reason = "as in core")]
        impl $(<$generic>)? $name $(<$generic>)? {
            pub const fn new(value: $value) -> Self {
                $name(plain::$name::new(value))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                step(Access::Load);
                self.0.load(order)
            }

            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                step(Access::Store);
                self.0.store(value, order);
            }

            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                step(Access::Exchange);
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
                step(Access::Exchange);
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
                step(Access::Exchange);
                self.0.compare_exchange_weak(old, new, success, failure)
            }

            $(
                #[track_caller]
                pub fn $arithmetic(&self, value: $value, order: Ordering) -> $value {
                    step(Access::Exchange);
                    self.0.$arithmetic(value, order)
                }
            )*
        }
    };
}

atomic!(AtomicU32, u32, { fetch_add, fetch_sub, fetch_or, fetch_and });
atomic!(AtomicI32, i32, { fetch_add, fetch_sub, fetch_or, fetch_and });
#[cfg(target_has_atomic = "64")]
atomic!(AtomicU64, u64, { fetch_add });
atomic!(AtomicUsize, usize, { fetch_add, fetch_sub, fetch_or, fetch_and });
atomic!(AtomicBool, bool, { fetch_or, fetch_and });
atomic!(AtomicPtr<T>, *mut T, {});

#[cfg(test)]
mod tests {
    use super::{Access, AtomicU32, set_hook};
    use crate::sync::Ordering;
    use crate::{Locked, NoopLock};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn the_hook_comes_before_each_access_and_its_own_steps_count_too() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let word = Rc::new(AtomicU32::new(0));
        let (log, inner) = (Rc::clone(&seen), Rc::clone(&word));
        let old = set_hook(Some(Rc::new(move |site| {
            log.borrow_mut().push(site.access);
            if site.access == Access::Exchange {
                // The other side comes in between.
                inner.store(7, Ordering::Relaxed);
            }
        })));
        assert!(old.is_none());
        assert_eq!(word.load(Ordering::Relaxed), 0);
        assert_eq!(word.fetch_add(1, Ordering::Relaxed), 7);
        let locked: Locked<NoopLock, u32> = Locked::new(1);
        // SAFETY: the closures do not nest.
        unsafe { locked.with(|_| word.load(Ordering::Relaxed)) };
        assert!(set_hook(None).is_some());
        word.load(Ordering::Relaxed);
        let wanted = [Access::Load, Access::Exchange, Access::Store, Access::Read];
        assert_eq!(*seen.borrow(), wanted, "the lock's cell is read, and nothing is seen inside");
    }
}
