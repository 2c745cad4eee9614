//! [`Block`]: the memory of one raw operation, without mappings, so that Miri sees each access.
#![allow(unsafe_code, reason = "raw memory, freed by hand")]
//! # Safety
//! The memory is allocated in [`Block::new`] and freed at drop; in between it is reached by raw pointers made
//! from that allocation alone.

use core::ffi::c_char;
use core::ptr::NonNull;
use io_core::Address;
use io_core::op::{IoVec, Stat};

#[repr(C)]
struct Memory {
    before: [u8; 8],
    bytes: [u8; Block::LEN],
    after: [u8; 8],
    address: [u8; 128],
    address_len: u32,
    path: [u8; 8],
    vectors: [IoVec; 2],
    stat: Stat,
}

/// Memory for any one operation.
#[derive(Debug)]
pub(super) struct Block(NonNull<Memory>);

const EDGE: [u8; 8] = [0xed; 8];

impl Block {
    /// The bytes there are to move.
    pub(super) const LEN: usize = 32;
    pub(super) fn new() -> Block {
        let none = IoVec { base: core::ptr::null_mut(), len: 0 };
        let memory = Box::new(Memory {
            before: EDGE,
            bytes: [1; Block::LEN],
            after: EDGE,
            address: [0; 128],
            address_len: 128,
            path: *b"/a-file\0",
            vectors: [none; 2],
            stat: Stat::default(),
        });
        let block = Block(NonNull::from(Box::leak(memory)));
        let (first, second) = (block.bytes(), block.bytes().wrapping_add(10));
        let vectors =
            [IoVec { base: first, len: 10 }, IoVec { base: second, len: Block::LEN - 10 }];
        // SAFETY: the block's own memory, which nobody else knows yet.
        unsafe { (*block.0.as_ptr()).vectors = vectors };
        block
    }

    pub(super) fn bytes(&self) -> *mut u8 {
        // SAFETY: inside the block's allocation.
        unsafe { &raw mut (*self.0.as_ptr()).bytes }.cast()
    }

    pub(super) fn vectors(&self) -> *const IoVec {
        // SAFETY: as above.
        unsafe { &raw const (*self.0.as_ptr()).vectors }.cast()
    }

    pub(super) fn path(&self) -> *const c_char {
        // SAFETY: as above.
        unsafe { &raw const (*self.0.as_ptr()).path }.cast()
    }

    pub(super) fn stat(&self) -> *mut Stat {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0.as_ptr()).stat }
    }

    pub(super) fn address(&self) -> *mut u8 {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0.as_ptr()).address }.cast()
    }

    pub(super) fn address_len(&self) -> *mut u32 {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0.as_ptr()).address_len }
    }

    /// For an operation that is not submitted yet; how long it is, in bytes.
    pub(super) fn set_address(&self, address: &Address) -> u32 {
        let bytes = address.as_bytes();
        // SAFETY: an address has at most 128 bytes, as the field.
        unsafe { self.address().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        u32::try_from(bytes.len()).unwrap_or(0)
    }

    /// Whether the edges of the buffer are what they were. For an operation that is over.
    pub(super) fn check(&self) {
        // SAFETY: the operation is over, and nobody else has the memory.
        let memory = unsafe { self.0.as_ref() };
        assert_eq!((memory.before, memory.after), (EDGE, EDGE), "written outside of its buffer");
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: leaked in `new`, and freed once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
