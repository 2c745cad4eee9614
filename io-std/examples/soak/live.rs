//! How many bytes of heap are in use, exactly: an allocator that counts.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]
//! # Safety
//! Every call is passed on unchanged to [`System`]; counting touches no memory but its own atomic.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

/// The system's allocator behind a counter.
#[derive(Debug)]
pub(crate) struct Live;

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes allocated and not freed, by all threads.
pub(crate) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

// SAFETY: `System` keeps the trait's promises, and each method passes its arguments on unchanged.
unsafe impl GlobalAlloc for Live {
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
