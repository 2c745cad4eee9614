//! The one door to atomics and cells, so that a model checker can be put behind it.
//!
//! What stands behind it is chosen here: the real ones (`plain.rs`); those of loom under `cfg(io_loom)`
//! (`modelled.rs`); or, under the feature `steps`, the real ones with a call before each access
//! (`steps.rs`). What a model says nothing about (statistics, a fork's generation) names
//! [`plain`] itself. Nothing else in this library names `core::sync::atomic` or `core::cell::UnsafeCell`.
//!
//! Public for the backends of this repository, and no part of the crate's promise.

#[cfg(io_loom)]
mod modelled;
pub mod plain;
#[cfg(all(feature = "steps", not(io_loom)))]
pub mod steps;

pub use core::sync::atomic::Ordering;

#[cfg(io_loom)]
pub use modelled::AtomicU64;
#[cfg(io_loom)]
pub use modelled::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Critical, UnsafeCell, spin_loop,
};
#[cfg(all(target_has_atomic = "64", not(any(io_loom, feature = "steps"))))]
pub use plain::AtomicU64;
#[cfg(not(any(io_loom, feature = "steps")))]
pub use plain::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Critical, UnsafeCell, real, spin_loop,
};
#[cfg(all(target_has_atomic = "64", feature = "steps", not(io_loom)))]
pub use steps::AtomicU64;
#[cfg(all(feature = "steps", not(io_loom)))]
pub use steps::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Critical, UnsafeCell, real, spin_loop,
};

/// Functions that are `const`, unless loom's types stand behind the door: those are made at run time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const $($rest:tt)*) => {
        #[cfg(not(io_loom))]
        $(#[$meta])* $vis const $($rest)*
        #[cfg(io_loom)]
        $(#[$meta])* $vis $($rest)*
    };
}
pub(crate) use const_unless_loom;
