//! What the backend writes into a node's scratch word: in which list it is, and how far it has come. It has
//! the low [`BACKEND_BITS`] bits; those above are the waiting table's, or, for an operation that has a
//! source's direction, the source's generation.
//!
//! A node at the offload backend has no note of ours: the word is the offload's then.

use io_core::readiness::BACKEND_BITS;
use io_core::{Node, NodePtr};

/// The list a node is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On its way, or at the offload backend; in no list.
    Nowhere = 0,
    /// To be tried by the next turn.
    Work = 1,
    /// Waits for readiness, by its bare number.
    Waiting = 2,
    /// Some thread's system call may touch its memory.
    Running = 3,
    /// Done; its waker or callback is to be run.
    Ready = 4,
    /// Waits for readiness in a source's line.
    Source = 5,
    /// Waits for the clock.
    Idle = 6,
    /// A close that waits until nobody's system call uses its descriptor.
    Held = 7,
}

/// What a turn does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Try without waiting first; wait for readiness if it would block.
    Fresh = 0,
    /// Readiness was seen: try, and if it cannot be tried, act.
    Ready = 1,
    /// Nothing to wait for: perform, blocking, or give it to the offload backend.
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
const STAGE_SHIFT: u32 = 4;
/// It has its source's direction: nobody else tries meanwhile.
const CLAIM: u32 = 1 << 6;

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
            5 => Place::Source,
            6 => Place::Idle,
            7 => Place::Held,
            _ => Place::Nowhere,
        }
    }

    pub(crate) fn stage(self) -> Stage {
        match self.0 >> STAGE_SHIFT & 0x3 {
            1 => Stage::Ready,
            2 => Stage::Block,
            3 => Stage::Edge,
            _ => Stage::Fresh,
        }
    }

    pub(crate) fn has_missed(self) -> bool {
        self.0 & MISSED != 0
    }

    /// The generation of the source whose direction it has.
    pub(crate) fn claim(self) -> Option<u32> {
        (self.0 & CLAIM != 0).then_some(self.0 >> BACKEND_BITS)
    }
}

/// Everything anew: no claim, no marks of the table's.
pub(crate) fn set(node: &Node, place: Place, stage: Stage) {
    node.set_scratch(place as u32 | (stage as u32) << STAGE_SHIFT);
}

/// As [`set`], with the direction of the source of this generation.
pub(crate) fn set_claimed(node: &Node, place: Place, stage: Stage, generation: u32) {
    set(node, place, stage);
    node.set_scratch(node.scratch() | CLAIM | generation << BACKEND_BITS);
}

pub(crate) fn set_missed(node: &Node) {
    node.set_scratch(node.scratch() | MISSED);
}

pub(crate) fn set_place(node: &Node, place: Place) {
    node.set_scratch(node.scratch() & !PLACE | place as u32);
}

/// The list a node is in, by its address.
///
/// # Safety
/// * The node's storage is valid, it is not at the offload backend, and the caller has the lock under
///   which lists change.
#[allow(unsafe_code, reason = "reads a node's note by address")]
pub(crate) unsafe fn place_of(node: NodePtr) -> Place {
    // SAFETY: promised by the caller; every list change, and so every write of a note, is under that lock.
    Note(unsafe { node.scratch() }).place()
}
