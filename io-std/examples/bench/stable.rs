//! A heap array whose elements never move: what nodes, wakers and buffers live in.
#![allow(unsafe_code, reason = "owns memory that others reach by raw pointers")]
//! # Safety
//! The array is reached by raw pointers made from one allocation, never through a `Box` or slice that
//! would claim it for itself.

use core::ptr;

/// An owned array with a fixed address.
pub(crate) struct Stable<T> {
    first: *mut T,
    len: usize,
}

impl<T> Stable<T> {
    /// Makes `len` elements; `make` gets the index and the element's final address.
    pub(crate) fn new(len: usize, mut make: impl FnMut(usize, *mut T) -> T) -> Stable<T> {
        let mut storage = Vec::with_capacity(len);
        let first: *mut T = storage.as_mut_ptr();
        for index in 0..len {
            // Within capacity, so nothing is reallocated and the address is final.
            storage.push(make(index, first.wrapping_add(index)));
        }
        let first = Box::into_raw(storage.into_boxed_slice()).cast::<T>();
        Stable { first, len }
    }

    /// How many elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The address of one element.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        debug_assert!(index < self.len, "an index within the array");
        self.first.wrapping_add(index)
    }
}

impl<T> Drop for Stable<T> {
    fn drop(&mut self) {
        let array = ptr::slice_from_raw_parts_mut(self.first, self.len);
        // SAFETY: `new` took it out of a `Box` of this length, and nobody else frees it.
        drop(unsafe { Box::from_raw(array) });
    }
}
