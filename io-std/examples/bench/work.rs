//! What one slot does, operation after operation: the same sequence for every contender.

use io_core::op::{Nop, Op, Pread};
use io_core::{Fd, Seekable};
use io_uring::squeue::Entry;
use io_uring::{opcode, types};

/// Bytes of one read, and of one page.
pub(crate) const PAGE: usize = 4096;
const PAGE_U32: u32 = 4096;

/// A source of operations.
pub(crate) trait Work: Clone {
    /// The result word of each.
    const RESULT: i64;

    /// The next operation, for a backend.
    fn op(&mut self) -> Op;

    /// The next operation, for a hand-written ring loop.
    fn entry(&mut self) -> Entry;
}

/// Nothing, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Nops;

impl Work for Nops {
    const RESULT: i64 = 0;

    #[inline]
    fn op(&mut self) -> Op {
        Op::Nop(Nop)
    }

    #[inline]
    fn entry(&mut self) -> Entry {
        opcode::Nop::new().build()
    }
}

/// Reads of one page at pseudo-random pages of a file.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    pub(crate) fd: Fd,
    pub(crate) seekable: Seekable,
    /// Room for [`PAGE`] bytes, of this slot alone.
    pub(crate) buf: *mut u8,
    /// The span in pages, a power of two, less one.
    pub(crate) mask: u64,
    pub(crate) random: u64,
}

impl Reads {
    /// The next page's offset in bytes. Knuth's linear congruential generator: one multiplication, and
    /// the same sequence for everybody.
    #[inline]
    pub(crate) fn next_offset(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) & self.mask) * u64::from(PAGE_U32)
    }
}

impl Work for Reads {
    const RESULT: i64 = 4096;

    #[inline]
    fn op(&mut self) -> Op {
        let offset = self.next_offset().cast_signed();
        let Reads { fd, seekable, buf, .. } = *self;
        Op::Pread(Pread { fd, seekable, buf, len: PAGE, offset })
    }

    #[inline]
    fn entry(&mut self) -> Entry {
        let offset = self.next_offset();
        opcode::Read::new(types::Fd(self.fd.raw()), self.buf, PAGE_U32).offset(offset).build()
    }
}
