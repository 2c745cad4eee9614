//! [`Pieces`]: the memory that an operation names, gone through byte by byte as the kernel does.
#![allow(unsafe_code, reason = "copies to and from the addresses of raw operations")]
//! # Safety
//! Whoever makes a [`Pieces`] promises that its addresses are valid, or null, for as long as it exists.
//! Nothing here makes a reference to what is at an address: bytes are copied.

use core::marker::PhantomData;
use core::ptr;
use io_core::Errno;
use io_core::op::{IOV_MAX, IoVec, MAX_RW_COUNT};

/// The first addresses are never mapped (`vm.mmap_min_addr`): null is among them.
const UNMAPPED: usize = 4096;
/// The end of what the kernel takes for an address of a program (x86-64).
const ADDRESSES: u64 = (1 << 47) - 4096;

/// Memory in pieces, and how far it was gone through.
#[derive(Debug)]
pub(super) struct Pieces<'m> {
    list: Vec<IoVec>,
    /// The piece that is next.
    at: usize,
    /// How much of it is behind us.
    skip: usize,
    /// How much is before us.
    left: usize,
    is_table: bool,
    _memory: PhantomData<&'m mut [u8]>,
}

impl<'m> Pieces<'m> {
    /// Bytes of our own.
    pub(super) fn of(bytes: &'m mut [u8]) -> Pieces<'m> {
        // SAFETY: borrowed for as long as the value exists.
        unsafe { Pieces::one(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// One piece, cut to what one call moves.
    ///
    /// # Safety
    /// * The memory is valid for writes, or for reads and initialised, whichever it is used for, while the
    ///   value exists. Bytes that nothing is copied to or from need not be there.
    pub(super) unsafe fn one(base: *mut u8, len: usize) -> Pieces<'m> {
        let len = len.min(MAX_RW_COUNT);
        Pieces {
            list: vec![IoVec { base, len }],
            at: 0,
            skip: 0,
            left: len,
            is_table: false,
            _memory: PhantomData,
        }
    }

    /// The pieces of a table, refused as the kernel refuses one.
    ///
    /// # Safety
    /// * The table is null or valid for reads of `count` entries, if these are not too many.
    /// * As [`one`](Self::one) for each piece.
    pub(super) unsafe fn table(iov: *const IoVec, count: usize) -> Result<Pieces<'m>, Errno> {
        if count > IOV_MAX {
            return Err(Errno::INVAL);
        }
        if count > 0 && iov.addr() < UNMAPPED {
            return Err(Errno::FAULT);
        }
        let mut list = Vec::with_capacity(count);
        for i in 0..count {
            // SAFETY: entry `i` of a table of `count`, promised by the caller.
            list.push(unsafe { iov.wrapping_add(i).read() });
        }
        if list.iter().any(|piece| isize::try_from(piece.len).is_err()) {
            return Err(Errno::INVAL);
        }
        let mut left = 0;
        for piece in &mut list {
            if piece.base.addr() as u64 + piece.len as u64 > ADDRESSES {
                return Err(Errno::FAULT);
            }
            piece.len = piece.len.min(MAX_RW_COUNT - left);
            left += piece.len;
        }
        Ok(Pieces { list, at: 0, skip: 0, left, is_table: true, _memory: PhantomData })
    }

    /// How many bytes are before us.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether it is a table that names no byte: nothing is done then, whatever the file is.
    pub(super) fn is_empty_table(&self) -> bool {
        self.is_table && self.left == 0
    }

    /// Goes no further than `len` bytes from here.
    pub(super) fn cut(&mut self, len: usize) {
        self.left = self.left.min(len);
    }

    /// The next bytes that lie side by side, at most `len`; `None` at the end or at an address that nobody
    /// has.
    fn next(&mut self, len: usize) -> Option<(*mut u8, usize)> {
        while self.list.get(self.at).is_some_and(|piece| piece.len == self.skip) {
            (self.at, self.skip) = (self.at + 1, 0);
        }
        let piece = self.list.get(self.at)?;
        let len = len.min(piece.len - self.skip).min(self.left);
        if len == 0 || piece.base.addr() < UNMAPPED {
            return None;
        }
        let start = piece.base.wrapping_add(self.skip);
        self.skip += len;
        self.left -= len;
        Some((start, len))
    }

    /// Copies from the memory until `to` is full, or the end or a bad address is reached; returns how much.
    pub(super) fn take(&mut self, to: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some((from, len)) = self.next(to.len() - done) {
            let room = to[done..].as_mut_ptr();
            // SAFETY: valid and initialised, promised where the value was made; the room is a borrow's, of
            // at least `len` bytes, and elsewhere.
            unsafe { ptr::copy_nonoverlapping(from, room, len) };
            done += len;
        }
        done
    }

    /// Copies to the memory until `from` is over, or the end or a bad address is reached; returns how much.
    pub(super) fn give(&mut self, from: &[u8]) -> usize {
        let mut done = 0;
        while let Some((to, len)) = self.next(from.len() - done) {
            let bytes = from[done..].as_ptr();
            // SAFETY: valid for writes, promised where the value was made; the bytes are a borrow's, at
            // least `len`, and elsewhere.
            unsafe { ptr::copy_nonoverlapping(bytes, to, len) };
            done += len;
        }
        done
    }
}

/// The NUL-terminated bytes at `path`, `None` where nothing is mapped; cut behind `most`.
///
/// # Safety
/// * The address is null or that of a NUL-terminated string.
pub(super) unsafe fn text(path: *const u8, most: usize) -> Option<Vec<u8>> {
    if path.addr() < UNMAPPED {
        return None;
    }
    let mut bytes = Vec::new();
    while bytes.len() < most {
        // SAFETY: not behind the NUL, promised by the caller.
        match unsafe { path.wrapping_add(bytes.len()).read() } {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    Some(bytes)
}

/// The `len` bytes at `from`, `None` where nothing is mapped.
///
/// # Safety
/// * The address is null or valid for reads of `len` initialised bytes.
pub(super) unsafe fn bytes(from: *const u8, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    // SAFETY: promised by the caller; nothing is written to.
    let copied = unsafe { Pieces::one(from.cast_mut(), len) }.take(&mut bytes);
    (copied == len).then_some(bytes)
}
