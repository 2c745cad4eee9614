//! The rest of a buffer ([`Rest`]): what the loops of many transfers hand to each of them.
#![allow(unsafe_code, reason = "implements the unsafe buffer traits")]
//! # Safety
//! The memory is the inner buffer's, which keeps the traits' promises.

use io_core::{IoBuf, IoBufMut};

/// The inner buffer from byte `skip` on.
#[derive(Debug)]
pub(crate) struct Rest<B> {
    pub(crate) inner: B,
    /// At most the inner buffer's length.
    skip: usize,
}

impl<B: IoBuf> Rest<B> {
    /// The rest of a buffer to write from; `skip` is cut to its length.
    pub(crate) fn of(mut inner: B, skip: usize) -> Rest<B> {
        let skip = skip.min(len(&mut inner));
        Rest { inner, skip }
    }
}

/// How many bytes a buffer has to write.
pub(crate) fn len<B: IoBuf>(buf: &mut B) -> usize {
    // SAFETY: a valid buffer, borrowed; the pointer is thrown away.
    unsafe { B::parts(buf) }.1
}

/// How many bytes fit into a buffer.
pub(crate) fn capacity<B: IoBufMut>(buf: &mut B) -> usize {
    // SAFETY: a valid buffer, borrowed; the pointer is thrown away.
    unsafe { B::parts_mut(buf) }.1
}

// SAFETY: a part of the inner buffer, which keeps the promise for the whole.
unsafe impl<B: IoBuf> IoBuf for Rest<B> {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller; only an address is taken.
        let inner = unsafe { &raw mut (*this).inner };
        // SAFETY: as pinned and left alone as the whole, promised by the caller.
        let (start, len) = unsafe { B::parts(inner) };
        // SAFETY: valid, promised by the caller; a plain copy.
        let skip = unsafe { (*this).skip }.min(len);
        // SAFETY: `skip <= len`, inside the buffer or at its end.
        (unsafe { start.add(skip) }, len - skip)
    }
}

/// The rest of a buffer to read into, whose first `skip` bytes are filled already.
#[derive(Debug)]
pub(crate) struct Room<B> {
    pub(crate) inner: B,
    skip: usize,
}

impl<B: IoBufMut> Room<B> {
    /// The room behind the first `filled` bytes.
    ///
    /// # Safety
    /// * The first `filled` bytes of the buffer were written.
    pub(crate) unsafe fn behind(inner: B, filled: usize) -> Room<B> {
        Room { inner, skip: filled }
    }
}

// SAFETY: a part of the inner buffer, which keeps the promise for the whole.
unsafe impl<B: IoBufMut> IoBufMut for Room<B> {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        // SAFETY: valid, promised by the caller; only an address is taken.
        let inner = unsafe { &raw mut (*this).inner };
        // SAFETY: as pinned and left alone as the whole, promised by the caller.
        let (start, len) = unsafe { B::parts_mut(inner) };
        // SAFETY: valid, promised by the caller; a plain copy.
        let skip = unsafe { (*this).skip }.min(len);
        // SAFETY: `skip <= len`, inside the buffer or at its end.
        (unsafe { start.add(skip) }, len - skip)
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: `skip` bytes were written before, promised to `behind`, and `filled` after them,
        // promised by the caller.
        unsafe { self.inner.set_filled(self.skip + filled) }
    }
}
