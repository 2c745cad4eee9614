//! One operation at a time at a file's own position.
//!
//! `read(2)` and `write(2)` on a regular file lock its position; the ring's opcodes read it at the start and
//! move it at the end, so that two in the ring at once transfer the same bytes. So at most one operation
//! per file is in the ring, and the others wait here in order. Files are told apart by their inode:
//! duplicates of a descriptor share a position. Pipes, sockets and devices have none, as the kernel sees it.

use crate::identity::{mix, stat_of};
use crate::inbox::Mode;
use crate::seat::{Seat, place};
use crate::submit::Known;
use io_core::{Node, OffloadHandle, Op, OpKind, OpSet};
use rustix::fs::FileType;

/// The operations that use a file's own position.
pub(crate) const KINDS: OpSet = OpSet::of(OpKind::Read)
    .union(OpSet::of(OpKind::Readv))
    .union(OpSet::of(OpKind::Write))
    .union(OpSet::of(OpKind::Writev));

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// To the ring if nobody is at the file's position, else into the line.
    pub(crate) fn start_at_position(&self, node: Node, known: Known) {
        self.backend.tally.owner.syscalls.add(1);
        let Some(key) = position_of(node.op()) else { return self.to_ring(node, known) };
        let (busy, bit) = (self.positions.get(), 1 << key);
        if busy & bit != 0 {
            node.set_scratch(place::HELD | (key << place::KEY_SHIFT));
            return self.held.push(node);
        }
        self.positions.set(busy | bit);
        self.take_turn(node, key, known);
    }

    /// An operation that had the turn, with this scratch word, is over: the next in line has it.
    #[cold]
    pub(crate) fn pass_position(&self, word: u32) {
        let key = word >> place::KEY_SHIFT;
        while let Some(next) =
            self.held.take_first(|node| node.scratch() >> place::KEY_SHIFT == key)
        {
            if next.op().kind() != OpKind::Close {
                return self.take_turn(next, key, Known::Elsewhere);
            }
            // Behind all of its descriptor's in line; the others go on.
            next.set_scratch(place::TURN);
            self.turn.push(next);
        }
        self.positions.set(self.positions.get() & !(1 << key));
    }

    fn take_turn(&self, node: Node, key: u32, known: Known) {
        node.set_scratch(place::RING | place::POSITION | (key << place::KEY_SHIFT));
        self.to_ring(node, known);
    }
}

/// Which of 64 positions the operation moves; `None` if its descriptor has none. Files that share a
/// number by chance wait for each other without need.
fn position_of(op: &Op) -> Option<u32> {
    let (fd, _) = op.interest()?;
    let stat = stat_of(fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    u32::try_from(mix(&stat) >> 58).ok()
}
