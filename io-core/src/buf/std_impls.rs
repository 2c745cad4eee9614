//! Feature `std`: the heap's buffers and paths.
#![allow(clippy::std_instead_of_core, reason = "the standard library's own types")]

extern crate std;

use super::{IoBuf, IoBufMut, IoPath};
use core::ffi::c_char;
use std::boxed::Box;
use std::ffi::CString;
use std::vec::Vec;

// SAFETY: the bytes are on the heap, owned, the first `len` initialised; moving the owner is ruled
// out while the pointer is used.
unsafe impl IoBuf for Vec<u8> {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let owner = unsafe { &mut *this };
        (owner.as_ptr(), owner.len())
    }
}

// SAFETY: as above; the whole capacity is writable.
unsafe impl IoBufMut for Vec<u8> {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let owner = unsafe { &mut *this };
        (owner.as_mut_ptr(), owner.capacity())
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: written, promised by the caller, and at most the capacity.
        unsafe { self.set_len(filled) }
    }
}

// SAFETY: the bytes are on the heap, owned and initialised.
unsafe impl IoBuf for Box<[u8]> {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let owner = unsafe { &mut *this };
        (owner.as_ptr(), owner.len())
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Box<[u8]> {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let owner = unsafe { &mut *this };
        (owner.as_mut_ptr(), owner.len())
    }
}

// SAFETY: the string is on the heap, owned, and ends with its only NUL.
unsafe impl IoPath for CString {
    unsafe fn as_c_ptr(this: *mut Self) -> *const c_char {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        unsafe { &*this }.as_ptr()
    }
}
