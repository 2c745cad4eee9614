//! [`Heap`]: the system's allocator, and how many bytes of it are in use. io-std's example `soak` reads this file as a module
//! of its own.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]
//! # Safety
//! Every call is passed on unchanged to [`System`]; counting touches no memory but its own atomic.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

/// For a program to install as its global allocator, so that a [`Census`](super::Census) knows the heap to the
/// byte.
#[derive(Debug)]
pub struct Heap;

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes allocated and not freed, by all threads; 0 where [`Heap`] is not the allocator.
pub(super) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

// SAFETY: `System` keeps the trait's promises, and each method passes its arguments on unchanged.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }
}
