//! The real thing.

pub use core::hint::spin_loop;
#[cfg(target_has_atomic = "64")]
pub use core::sync::atomic::AtomicU64;
pub use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize};

/// `core::cell::UnsafeCell`, where each access says whether it writes.
#[derive(Debug)]
#[repr(transparent)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell with this content.
    pub const fn new(content: T) -> UnsafeCell<T> {
        UnsafeCell(core::cell::UnsafeCell::new(content))
    }

    /// Reads: nobody writes meanwhile.
    #[inline(always)]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Writes: nobody reads or writes meanwhile.
    #[inline(always)]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// A stretch of code that no other step comes between: a lock is held.
#[derive(Debug)]
pub struct Critical;

impl Critical {
    /// Begins it; it ends with the drop.
    #[inline(always)]
    #[must_use]
    pub const fn begin() -> Critical {
        Critical
    }
}

/// The word that the kernel is told of.
#[inline(always)]
#[must_use]
pub const fn real(word: &AtomicU32) -> &AtomicU32 {
    word
}
