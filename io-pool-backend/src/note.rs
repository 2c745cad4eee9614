//! What the pool writes into a node's scratch word: in which list it is, and how far it has come.

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
}

/// Registered in epoll, so that an event can reach it.
const ARMED: u32 = 1 << 8;
/// Registered for a file whose descriptor number means another file by now.
const ORPHAN: u32 = 1 << 9;

/// Its home wants it back while a worker has it: it must not wait again.
const RECALLED: u32 = 1 << 10;

/// When it was registered: the table's stamp, in the bits above.
const STAMP_SHIFT: u32 = 11;

/// A scratch word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note(u32);

impl Note {
    pub(crate) fn of(node: &Node) -> Note {
        Note(node.scratch())
    }

    pub(crate) fn place(self) -> Place {
        match self.0 & 0xf {
            1 => Place::Work,
            2 => Place::Waiting,
            3 => Place::Running,
            4 => Place::Ready,
            _ => Place::Nowhere,
        }
    }

    pub(crate) fn stage(self) -> Stage {
        match self.0 >> 4 & 0xf {
            1 => Stage::Ready,
            2 => Stage::Block,
            _ => Stage::Fresh,
        }
    }

    /// Whether it was registered before the moment of `stamp`. Stamps wrap; half of their range is past.
    pub(crate) fn armed_before(self, stamp: u32) -> bool {
        let age = stamp.wrapping_sub(self.0 >> STAMP_SHIFT) & (u32::MAX >> STAMP_SHIFT);
        self.is_armed() && age != 0 && age <= u32::MAX >> (STAMP_SHIFT + 1)
    }

    pub(crate) fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    pub(crate) fn is_recalled(self) -> bool {
        self.0 & RECALLED != 0
    }

    pub(crate) fn is_orphan(self) -> bool {
        self.0 & ORPHAN != 0
    }
}

pub(crate) fn set_place(node: &Node, place: Place) {
    node.set_scratch(node.scratch() & !0xf | place as u32);
}

pub(crate) fn set_stage(node: &Node, stage: Stage) {
    // A node that moves on is registered for nothing.
    node.set_scratch(node.scratch() & 0xf | (stage as u32) << 4);
}

pub(crate) fn set_armed(node: &Node, stamp: u32) {
    let rest = node.scratch() & (u32::MAX >> (32 - STAMP_SHIFT));
    node.set_scratch(rest | ARMED | stamp << STAMP_SHIFT);
}

pub(crate) fn set_recalled(node: &Node) {
    node.set_scratch(node.scratch() | RECALLED);
}

pub(crate) fn set_orphan(node: &Node) {
    node.set_scratch(node.scratch() | ORPHAN);
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
