//! What the pool writes into a node's scratch word: in which list it is, and how far it has come.
//! It has the low [`BACKEND_BITS`] bits; those above are the waiting table's, or, for an operation that has a
//! source's direction, the source's generation.

use io_core::readiness::BACKEND_BITS;
use io_core::{Node, NodePtr};

/// The list a node is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On its way; in no list.
    Nowhere = 0,
    /// Waits for a worker.
    Work = 1,
    /// Waits for readiness.
    Waiting = 2,
    /// A worker's system call may touch its memory.
    Running = 3,
    /// Done; its waker or callback is to be run.
    Ready = 4,
    /// Waits for nothing but its deadline.
    Sleeping = 5,
    /// A close that waits for a worker to be done with the descriptor.
    Held = 6,
    /// Waits for readiness in a source's line.
    Source = 7,
}

/// What a worker does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Try without waiting first; wait for readiness if it would block.
    Fresh = 0,
    /// Readiness was seen: try, and if it cannot be tried, act.
    Ready = 1,
    /// Nothing to wait for: perform, blocking.
    Block = 2,
    /// As [`Ready`](Self::Ready), and its registration stands.
    Edge = 3,
}

impl Stage {
    /// Whether readiness was seen.
    pub(crate) fn is_ready(self) -> bool {
        matches!(self, Stage::Ready | Stage::Edge)
    }
}

const PLACE: u32 = 0x7;
/// While a thread has it, an event came that its system call may not have seen.
const MISSED: u32 = 1 << 3;

/// Its home wants it back while a worker has it: it must not wait again.
const RECALLED: u32 = 1 << 6;
/// It has its source's direction: nobody else tries meanwhile.
const CLAIM: u32 = 1 << 7;

const _: () = assert!(CLAIM < 1 << BACKEND_BITS);

/// A scratch word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note(u32);

impl Note {
    pub(crate) fn of(node: &Node) -> Note {
        Note(node.scratch())
    }

    pub(crate) fn place(self) -> Place {
        match self.0 & PLACE {
            1 => Place::Work,
            2 => Place::Waiting,
            3 => Place::Running,
            4 => Place::Ready,
            5 => Place::Sleeping,
            6 => Place::Held,
            7 => Place::Source,
            _ => Place::Nowhere,
        }
    }

    pub(crate) fn stage(self) -> Stage {
        match self.0 >> 4 & 0x3 {
            1 => Stage::Ready,
            2 => Stage::Block,
            3 => Stage::Edge,
            _ => Stage::Fresh,
        }
    }

    pub(crate) fn has_missed(self) -> bool {
        self.0 & MISSED != 0
    }

    pub(crate) fn is_recalled(self) -> bool {
        self.0 & RECALLED != 0
    }

    /// The generation of the source whose direction it has.
    pub(crate) fn claim(self) -> Option<u32> {
        (self.0 & CLAIM != 0).then_some(self.0 >> BACKEND_BITS)
    }
}

pub(crate) fn set_place(node: &Node, place: Place) {
    node.set_scratch(node.scratch() & !PLACE | place as u32);
}

pub(crate) fn set_stage(node: &Node, stage: Stage) {
    // A node that moves on is recalled by nobody yet, has no direction, and has missed nothing.
    node.set_scratch(node.scratch() & PLACE | (stage as u32) << 4);
}

/// It has the direction of the source of this generation.
pub(crate) fn set_claim(node: &Node, generation: u32) {
    node.set_scratch(
        node.scratch() & ((1 << BACKEND_BITS) - 1) | CLAIM | generation << BACKEND_BITS,
    );
}

pub(crate) fn set_missed(node: &Node) {
    node.set_scratch(node.scratch() | MISSED);
}

pub(crate) fn set_recalled(node: &Node) {
    node.set_scratch(node.scratch() | RECALLED);
}

/// The list a node is in, by its address.
///
/// # Safety
/// * The node's storage is valid, and the caller has the lock under which lists change.
#[allow(unsafe_code, reason = "reads a node's note by address")]
pub(crate) unsafe fn place_of(node: NodePtr) -> Place {
    // SAFETY: promised by the caller; every list change, and so every write of a note, is under that lock.
    Note(unsafe { node.scratch() }).place()
}
