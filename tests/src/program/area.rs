//! [`Area`]: memory that an operation and the program's book hold together, so that the book can look at
//! it when the operation was dropped or forgotten.
#![allow(unsafe_code, reason = "implements the unsafe traits of buffers")]
//! # Safety
//! The bytes are cells on the heap, counted: no exclusive reference to them ever exists, they do not move,
//! and a forgotten owner keeps them for ever. The book looks at them only when no operation has them.

use core::cell::Cell;
use io_core::op::IoVec;
use io_core::{IoBuf, IoBufMut};
use std::rc::Rc;

/// What is in memory that is to be read into; also what the adversary writes to memory in flight. No byte of any
/// [`pattern`] is it.
pub(super) const EMPTY: u8 = 0xa5;
/// What is in memory that no operation has any more.
pub(super) const OVER: u8 = 0xef;

/// Byte `at` of what the write of this number writes: never 0, [`EMPTY`] or [`OVER`].
#[expect(clippy::cast_possible_truncation, reason = "at most 222")]
pub(super) fn pattern(number: u32, at: usize) -> u8 {
    let mixed = (u64::from(number) << 32 | at as u64)
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    match 1 + (mixed >> 33) % 222 {
        165 => 223,
        byte => byte as u8,
    }
}

/// The first `len` bytes of that.
pub(super) fn patterned(number: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| pattern(number, at)).collect()
}

/// A counted piece of memory; clones are the same memory.
#[derive(Clone, Debug)]
pub(super) struct Area(Rc<[Cell<u8>]>);

impl Area {
    /// `len` bytes to read into.
    pub(super) fn empty(len: usize) -> Area {
        Area((0..len).map(|_| Cell::new(EMPTY)).collect())
    }

    /// A copy of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Area {
        Area(bytes.iter().map(|&byte| Cell::new(byte)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ptr(&self) -> *mut u8 {
        // A cell of a byte has the byte's layout, and may be written through a shared reference.
        self.0.as_ptr().cast::<u8>().cast_mut()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(Cell::get).collect()
    }

    /// How many bytes were read into it: what is not [`EMPTY`], as far as that is a prefix.
    pub(super) fn filled(&self) -> Option<usize> {
        let filled = self.0.iter().take_while(|byte| byte.get() != EMPTY).count();
        self.0[filled..].iter().all(|byte| byte.get() == EMPTY).then_some(filled)
    }

    /// Marks it as nobody's.
    pub(super) fn retire(&self) {
        self.0.iter().for_each(|byte| byte.set(OVER));
    }

    /// Whether nobody has written to it since.
    pub(super) fn is_retired(&self) -> bool {
        self.0.iter().all(|byte| byte.get() == OVER)
    }
}

// SAFETY: the bytes are on the heap, initialised, kept by a count that forgetting the owner never gives back.
unsafe impl IoBuf for Area {
    unsafe fn parts(this: *mut Self) -> (*const u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let area = unsafe { &*this };
        (area.ptr().cast_const(), area.len())
    }
}

// SAFETY: as above, and cells may be written.
unsafe impl IoBufMut for Area {
    unsafe fn parts_mut(this: *mut Self) -> (*mut u8, usize) {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let area = unsafe { &*this };
        (area.ptr(), area.len())
    }
}

/// A table of pieces of an area.
#[derive(Clone, Debug)]
pub(super) struct Table(Rc<[IoVec]>);

impl Table {
    /// The area in pieces that end at `cuts` and at its end.
    pub(super) fn of(area: &Area, cuts: &[usize]) -> Table {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (area.len() + 1)).collect();
        ends.push(area.len());
        ends.sort_unstable();
        let mut start = 0;
        let piece = |end| {
            let (base, len) = (area.ptr().wrapping_add(start), end - start);
            start = end;
            IoVec { base, len }
        };
        Table(ends.into_iter().map(piece).collect())
    }

    pub(super) fn ptr(&self) -> *const IoVec {
        self.0.as_ptr()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
