//! [`PerProcess`]: what belongs to one process and is made anew in a forked child.
//!
//! Threads, and locks that threads of the parent may hold, do not survive a fork. A child that finds them
//! here leaves them alone: it does not drop them, does not take the locks, and gets new ones only by
//! [`replace`](PerProcess::replace).
#![allow(unsafe_code, reason = "replaces a value that shared references lead to")]
//! # Safety
//! The pointer is of a `Box` that is freed only by the drop of the `PerProcess`, in the process that made
//! it; a value that is replaced is leaked, so references to it stay valid.

use core::sync::atomic::{AtomicPtr, Ordering};
use io_core::Errno;
use io_core::fork::Lineage;

/// A value and the process it is of.
pub(crate) struct PerProcess<T> {
    lineage: Lineage,
    value: AtomicPtr<T>,
}

impl<T> PerProcess<T> {
    /// Of this process.
    ///
    /// # Errors
    /// Those of [`Lineage::new`].
    pub(crate) fn new(value: T) -> Result<PerProcess<T>, Errno> {
        let lineage = Lineage::new()?;
        Ok(PerProcess { lineage, value: AtomicPtr::new(Box::into_raw(Box::new(value))) })
    }

    /// The value; `None` in a forked child that has not replaced it.
    pub(crate) fn get(&self) -> Option<&T> {
        if self.lineage.is_forked() {
            return None;
        }
        // SAFETY: ours, and freed only by the drop of `self`. Ordering: `is_forked` acquires what
        // `finish` releases.
        Some(unsafe { &*self.value.load(Ordering::Relaxed) })
    }

    /// The value whosever it is: to be read, and no more.
    pub(crate) fn of_any_process(&self) -> &T {
        // SAFETY: as in `get`; a child has a copy of the parent's memory.
        unsafe { &*self.value.load(Ordering::Relaxed) }
    }

    /// In a forked child, puts `make`'s value in the place of the parent's, which is leaked.
    ///
    /// # Errors
    /// `EALREADY` if the value is this process's, `EBUSY` if another thread is at it, or `make`'s error.
    pub(crate) fn replace<E: From<Errno>>(
        &self,
        make: impl FnOnce(&T) -> Result<T, E>,
    ) -> Result<(), E> {
        let adoption = self.lineage.adopt()?;
        let new = make(self.of_any_process())?;
        self.value.store(Box::into_raw(Box::new(new)), Ordering::Relaxed);
        adoption.finish();
        Ok(())
    }
}

// SAFETY: it owns a `T`, and gives out shared references to it.
unsafe impl<T: Send> Send for PerProcess<T> {}
// SAFETY: as above; `replace` is one thread's at a time, and drops nothing.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if !self.lineage.is_forked() {
            // SAFETY: made by `Box::into_raw` in this process, and freed only here.
            drop(unsafe { Box::from_raw(*self.value.get_mut()) });
        }
    }
}
