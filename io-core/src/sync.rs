//! The one door to atomics and cells, so that a model checker can be put behind it.
//!
//! Nothing else in this crate names `core::sync::atomic` or `core::cell`.

pub(crate) use core::cell::UnsafeCell;
pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
