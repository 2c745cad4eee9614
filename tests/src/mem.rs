//! [`Mem`]: test memory that shows when somebody touches it out of bounds or too late.
//!
//! Each piece is a mapping of its own that ends at a page nobody may touch, and is unmapped when its last
//! owner goes: a kernel that writes late gets `EFAULT`, a thread that does gets a signal. Sanitizers do
//! not see writes of the kernel; this does.
#![allow(unsafe_code, reason = "maps memory and reads it by address")]
//! # Safety
//! No Rust reference into a mapping exists: bytes are copied in and out by address, inside bounds that
//! were checked, while the mapping is kept by a counted owner.

use core::ptr;
use io_core::op::IoVec;
use std::sync::Arc;

/// The size of a page on every machine this runs on, or a multiple of it.
pub const PAGE: usize = 65536;

struct Mapping {
    base: *mut u8,
    total: usize,
    closed: bool,
}

// SAFETY: an address and a length; the bytes are copied by address and belong to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize, protection: i32) -> Mapping {
        let pages = len.div_ceil(PAGE) * PAGE;
        let total = pages + PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED, "mmap of {total} bytes");
        // SAFETY: the front of the mapping just made; its last page stays closed.
        let opened = unsafe { libc::mprotect(base, pages, protection) };
        assert_eq!(opened, 0, "mprotect");
        Mapping { base: base.cast(), total, closed: protection == libc::PROT_NONE }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and nobody else unmaps it; no reference points into it.
        let gone = unsafe { libc::munmap(self.base.cast(), self.total) };
        debug_assert_eq!(gone, 0, "munmap");
    }
}

/// A counted piece of guarded memory; clones are the same memory.
#[derive(Clone)]
pub struct Mem {
    mapping: Arc<Mapping>,
    start: *mut u8,
    len: usize,
}

// SAFETY: as `Mapping`: the address is used for copies only.
unsafe impl Send for Mem {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mem {}

impl core::fmt::Debug for Mem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mem({:p}, {} bytes)", self.start, self.len)
    }
}

impl Mem {
    fn map(len: usize, protection: i32) -> Mem {
        let mapping = Mapping::new(len, protection);
        let usable = mapping.total - PAGE;
        // The last byte is the one before the guard page.
        let start = mapping.base.wrapping_add(usable - len);
        Mem { mapping: Arc::new(mapping), start, len }
    }

    /// `len` zero bytes that end at the guard page.
    #[must_use]
    pub fn zeroed(len: usize) -> Mem {
        Mem::map(len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// `len` times `byte`.
    #[must_use]
    pub fn filled(len: usize, byte: u8) -> Mem {
        let mem = Mem::zeroed(len);
        mem.fill(byte);
        mem
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Mem {
        let mem = Mem::zeroed(bytes.len());
        mem.write(0, bytes);
        mem
    }

    /// A copy of `bytes` that nobody may write to.
    #[must_use]
    pub fn read_only(bytes: &[u8]) -> Mem {
        let mem = Mem::copy_of(bytes);
        let pages = mem.mapping.total - PAGE;
        // SAFETY: the mapping's own front pages; no reference points into it.
        let closed = unsafe { libc::mprotect(mem.mapping.base.cast(), pages, libc::PROT_READ) };
        assert_eq!(closed, 0, "mprotect");
        mem
    }

    /// `len` bytes of address space that nobody may touch: every use is `EFAULT`.
    #[must_use]
    pub fn no_access(len: usize) -> Mem {
        Mem::map(len, libc::PROT_NONE)
    }

    /// `text` and a NUL behind it.
    #[must_use]
    pub fn path(text: &[u8]) -> Mem {
        let mut bytes = text.to_vec();
        bytes.push(0);
        Mem::copy_of(&bytes)
    }

    /// A table of pieces of memory.
    #[must_use]
    pub fn iovecs(parts: &[(*mut u8, usize)]) -> Mem {
        let mem = Mem::zeroed(size_of_val(parts).max(1));
        for (i, &(base, len)) in parts.iter().enumerate() {
            // SAFETY: entry `i` of a mapping of that many entries, whose start is aligned: the end is
            // a page's, and the length a multiple of the entry's size.
            unsafe { mem.start.cast::<IoVec>().wrapping_add(i).write(IoVec { base, len }) };
        }
        mem
    }

    /// A table of these pieces.
    #[must_use]
    pub fn table(parts: &[Mem]) -> Mem {
        let parts: Vec<_> = parts.iter().map(|part| (part.ptr(), part.len())).collect();
        Mem::iovecs(&parts)
    }

    /// This memory alone, as what an operation keeps.
    #[must_use]
    pub fn only(&self) -> &[Mem] {
        core::slice::from_ref(self)
    }

    /// Where it starts.
    #[must_use]
    pub fn ptr(&self) -> *mut u8 {
        self.start
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `address` is in this mapping or its guard page.
    #[must_use]
    pub fn covers(&self, address: *const u8) -> bool {
        let base = self.mapping.base.addr();
        (base..base + self.mapping.total).contains(&address.addr())
    }

    /// Whether nobody may touch it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.mapping.closed
    }

    /// Entry `i` of a table of pieces.
    #[must_use]
    pub fn iovec(&self, i: usize) -> IoVec {
        assert!((i + 1) * size_of::<IoVec>() <= self.len, "entry {i} of {self:?}");
        // SAFETY: inside the mapping, as just checked, and any bytes are an `IoVec`.
        unsafe { self.start.cast::<IoVec>().wrapping_add(i).read_unaligned() }
    }

    /// Copies `bytes` to position `at`.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len, "write past {self:?}");
        let to = self.start.wrapping_add(at);
        // SAFETY: inside the mapping, as just checked; `bytes` is Rust memory, elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Sets every byte.
    pub fn fill(&self, byte: u8) {
        // SAFETY: exactly the mapping's usable bytes.
        unsafe { ptr::write_bytes(self.start, byte, self.len) };
    }

    /// Sets every `step`th byte.
    pub fn mark(&self, step: usize, byte: u8) {
        for at in (0..self.len).step_by(step) {
            self.write(at, &[byte]);
        }
    }

    /// A copy of every `step`th byte.
    #[must_use]
    pub fn sample(&self, step: usize) -> Vec<u8> {
        // SAFETY: inside the mapping; a byte is copied.
        let byte = |at| unsafe { self.start.wrapping_add(at).read_volatile() };
        (0..self.len).step_by(step).map(byte).collect()
    }

    /// A copy of the first `len` bytes.
    #[must_use]
    pub fn bytes(&self, len: usize) -> Vec<u8> {
        assert!(len <= self.len, "read past {self:?}");
        let mut out = vec![0; len];
        // SAFETY: inside the mapping, as just checked; `out` is Rust memory, elsewhere.
        unsafe { ptr::copy_nonoverlapping(self.start, out.as_mut_ptr(), len) };
        out
    }

    /// Whether every byte is `byte`.
    #[must_use]
    pub fn all(&self, byte: u8) -> bool {
        self.bytes(self.len).iter().all(|&b| b == byte)
    }

    /// A copy of a plain value at the start.
    #[must_use]
    pub fn stat(&self) -> io_core::Stat {
        assert!(self.len >= size_of::<io_core::Stat>(), "no room for a Stat in {self:?}");
        // SAFETY: inside the mapping, as just checked, and any bytes are a `Stat`.
        unsafe { self.start.cast::<io_core::Stat>().read_unaligned() }
    }
}
