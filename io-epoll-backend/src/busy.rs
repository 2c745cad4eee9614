//! How many operations on a descriptor are being tried, or about to be: counted by a few bits of the
//! number, so that the usual answer, none, costs one load.

use io_core::{Fd, Op};

const COUNTERS: usize = 256;

#[derive(Debug)]
pub(crate) struct Busy {
    counts: [u32; COUNTERS],
    all: usize,
}

fn at(fd: Fd) -> usize {
    fd.raw().unsigned_abs() as usize % COUNTERS
}

/// Every descriptor that the operation [uses](Op::uses).
fn used_by(op: &Op) -> impl Iterator<Item = Fd> {
    let other = match op {
        Op::Sendfile(op) => Some(op.in_fd),
        Op::Open(op) => Some(op.dir),
        _ => None,
    };
    op.fd().into_iter().chain(other)
}

impl Busy {
    pub(crate) const fn new() -> Busy {
        Busy { counts: [0; COUNTERS], all: 0 }
    }

    pub(crate) fn enter(&mut self, op: &Op) {
        for fd in used_by(op) {
            self.counts[at(fd)] += 1;
            self.all += 1;
        }
    }

    pub(crate) fn leave(&mut self, op: &Op) {
        for fd in used_by(op) {
            debug_assert!(self.counts[at(fd)] > 0, "left without having entered");
            self.counts[at(fd)] = self.counts[at(fd)].saturating_sub(1);
            self.all = self.all.saturating_sub(1);
        }
    }

    /// Whether there may be any on this descriptor; `false` is certain.
    pub(crate) fn maybe(&self, fd: Fd) -> bool {
        self.counts[at(fd)] > 0
    }

    /// How many there are on all descriptors.
    pub(crate) fn all(&self) -> usize {
        self.all
    }
}
