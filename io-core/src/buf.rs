//! Memory that a typed operation owns while it runs.
//!
//! A buffer lives inside the pinned future, and while the operation is in flight it is reached only
//! through raw pointers: no reference to it, no move of its owner, no `Debug` of its content. That is
//! why these traits take `*mut Self`, and why `&mut [u8]` qualifies only when it is `'static`: a
//! shorter borrow would end under a forgotten future.
#![allow(unsafe_code, reason = "the traits promise what the kernel relies on")]
//! # Safety
//! The implementations create references to the owner only inside the call, before the pointer is
//! handed out.

use core::ffi::{CStr, c_char};

/// A buffer to write from.
///
/// # Safety
/// * `parts` returns an address and a length that stay valid and initialised, wherever the owner does
///   not move, until the owner is next touched or dropped.
/// * Forgetting the owner keeps them valid for ever.
#[diagnostic::on_unimplemented(note = "`Vec<u8>`, `Box<[u8]>` … need io-core's feature `std`")]
pub unsafe trait IoBuf: 'static {
    /// Where the bytes are and how many are initialised.
    ///
    /// # Safety
    /// * `this` is valid, pinned for the time the result is used, and not touched meanwhile.
    unsafe fn parts(this: *mut Self) -> (*const u8, usize);
}

/// A buffer to read into.
///
/// # Safety
/// * `parts_mut` returns an address and a length that stay valid for writes, wherever the owner does
///   not move, until the owner is next touched or dropped.
/// * Forgetting the owner keeps them valid for ever.
#[diagnostic::on_unimplemented(note = "`Vec<u8>`, `Box<[u8]>` … need io-core's feature `std`")]
pub unsafe trait IoBufMut: 'static {
    /// Where the bytes go and how many fit.
    ///
    /// # Safety
    /// * `this` is valid, pinned for the time the result is used, and not touched meanwhile.
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize);

    /// Told after a read that the first `filled` bytes are initialised. Growable buffers set their
    /// length to it; the others do nothing.
    ///
    /// # Safety
    /// * The first `filled` bytes of what `parts_mut` returned were written.
    unsafe fn set_filled(&mut self, filled: usize) {
        let _ = filled;
    }
}

// SAFETY: the bytes are inside the owner.
unsafe impl<const N: usize> IoBuf for [u8; N] {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        (this.cast(), N)
    }
}

// SAFETY: the bytes are inside the owner.
unsafe impl<const N: usize> IoBufMut for [u8; N] {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        (this.cast(), N)
    }
}

// SAFETY: the bytes are elsewhere, for ever.
unsafe impl IoBuf for &'static [u8] {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller.
        let bytes = unsafe { *this };
        (bytes.as_ptr(), bytes.len())
    }
}

// SAFETY: the bytes are elsewhere, for ever.
unsafe impl IoBuf for &'static str {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller.
        let text = unsafe { *this };
        (text.as_ptr(), text.len())
    }
}

// SAFETY: the bytes are elsewhere, for ever, and nobody else has them.
unsafe impl IoBuf for &'static mut [u8] {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller; the reborrow ends with this call.
        let bytes = unsafe { &mut **this };
        (bytes.as_ptr(), bytes.len())
    }
}

// SAFETY: the bytes are elsewhere, for ever, and nobody else has them.
unsafe impl IoBufMut for &'static mut [u8] {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        // SAFETY: valid, promised by the caller; the pointer is derived from this reborrow, and the
        // owner is not touched while it is used.
        let bytes = unsafe { &mut **this };
        (bytes.as_mut_ptr(), bytes.len())
    }
}

#[cfg(feature = "std")]
mod std_impls;

#[cfg(feature = "heapless")]
mod heapless_impls {
    //! `heapless::Vec`.

    use super::{IoBuf, IoBufMut};

    // SAFETY: the bytes are inside the owner, the first `len` initialised.
    unsafe impl<const N: usize> IoBuf for heapless::Vec<u8, N> {
        unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
            // SAFETY: valid, promised by the caller; the borrow ends with this call.
            let owner = unsafe { &mut *this };
            (owner.as_mut_ptr(), owner.len())
        }
    }

    // SAFETY: the bytes are inside the owner.
    unsafe impl<const N: usize> IoBufMut for heapless::Vec<u8, N> {
        unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
            // SAFETY: valid, promised by the caller; the borrow ends with this call.
            let owner = unsafe { &mut *this };
            (owner.as_mut_ptr(), N)
        }

        unsafe fn set_filled(&mut self, filled: usize) {
            // SAFETY: written, promised by the caller, and at most `N`.
            unsafe { self.set_len(filled) }
        }
    }
}

/// A NUL-terminated path that a typed operation owns while it runs.
///
/// # Safety
/// * As [`IoBuf`], for a string that ends with its only NUL.
#[diagnostic::on_unimplemented(note = "`CString` needs io-core's feature `std`")]
pub unsafe trait IoPath: 'static {
    /// Where the string is.
    ///
    /// # Safety
    /// * `this` is valid, pinned for the time the result is used, and not touched meanwhile.
    unsafe fn as_c_ptr(this: *mut Self) -> *const c_char;
}

// SAFETY: the string is elsewhere, for ever.
unsafe impl IoPath for &'static CStr {
    unsafe fn as_c_ptr(this: *mut Self) -> *const c_char {
        // SAFETY: valid, promised by the caller.
        unsafe { *this }.as_ptr()
    }
}

/// A path stored in place: up to `N - 1` bytes and their NUL. `PathBytes<4096>` takes every path the
/// kernel takes.
#[derive(Clone, Copy, Debug)]
pub struct PathBytes<const N: usize>([u8; N]);

impl<const N: usize> PathBytes<N> {
    /// Copies `path`.
    ///
    /// # Errors
    /// `EINVAL` if it has a NUL in it; `ENAMETOOLONG` if it does not fit.
    pub fn new(path: &[u8]) -> Result<PathBytes<N>, crate::Errno> {
        if path.contains(&0) {
            return Err(crate::Errno::INVAL);
        }
        let mut bytes = [0; N];
        match bytes.get_mut(..path.len()) {
            Some(room) if path.len() < N => room.copy_from_slice(path),
            _ => return Err(crate::Errno::NAMETOOLONG),
        }
        Ok(PathBytes(bytes))
    }
}

// SAFETY: the string is inside the owner, and `new` left a NUL behind it.
unsafe impl<const N: usize> IoPath for PathBytes<N> {
    unsafe fn as_c_ptr(this: *mut Self) -> *const c_char {
        this.cast_const().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::{IoPath, PathBytes};
    use crate::Errno;
    use core::ffi::CStr;

    #[test]
    fn stored_paths_end_with_their_only_nul() {
        let mut path = PathBytes::<8>::new(b"abcdefg").expect("seven bytes and a NUL fit in eight");
        // SAFETY: `path` is valid and stays.
        let text = unsafe { PathBytes::as_c_ptr(&raw mut path) };
        // SAFETY: `new` left a NUL.
        assert_eq!(unsafe { CStr::from_ptr(text) }, c"abcdefg");
        assert_eq!(PathBytes::<8>::new(b"abcdefgh").err(), Some(Errno::NAMETOOLONG));
        assert_eq!(PathBytes::<8>::new(b"a\0b").err(), Some(Errno::INVAL));
        assert_eq!(PathBytes::<0>::new(b"").err(), Some(Errno::NAMETOOLONG));
        assert!(PathBytes::<1>::new(b"").is_ok());
    }
}
