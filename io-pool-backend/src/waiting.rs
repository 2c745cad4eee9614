//! Operations that wait for readiness: an intrusive table keyed by descriptor, and the epoll instance
//! that watches it. The table has no fixed size: its buckets link the nodes themselves.
//!
//! Each descriptor number is registered once, one-shot, with the union of what its waiting operations
//! want. Registering adds first: `EEXIST` means the file is registered already, so the registration is
//! changed; a plain success beside operations that were registered before means that the number was
//! closed and reused behind our back, and those operations wait for a file the kernel has forgotten:
//! they are orphans, which only a cancel or stop ends, and which never touch the new file.

use crate::note::{Note, Place, Stage, set_armed, set_orphan, set_place, set_stage};
use io_core::queue::Fifo;
use io_core::{Fd, Interest, Node, NodePtr};
use rustix::event::epoll::EventFlags;

const BUCKETS: usize = 64;

/// The waiting set.
#[derive(Debug)]
pub(crate) struct Waiting {
    buckets: [Fifo; BUCKETS],
    len: usize,
    stamp: u32,
}

fn bucket(fd: Fd) -> usize {
    fd.raw().unsigned_abs() as usize % BUCKETS
}

fn descriptor(node: &Node) -> Option<(Fd, Interest)> {
    node.op().interest()
}

fn wanted(interest: Interest) -> EventFlags {
    match interest {
        Interest::Readable => EventFlags::IN | EventFlags::RDHUP,
        Interest::Writable => EventFlags::OUT,
        // Never empty: who asks for nothing hears of errors and hang-ups.
        Interest::Events(events) => {
            let events = EventFlags::from_bits_retain(u32::from(events.bits()));
            events | EventFlags::ERR | EventFlags::HUP
        }
    }
}

/// Whether an event on its descriptor concerns an operation. Errors and hang-ups concern all.
fn concerns(events: EventFlags, interest: Interest) -> bool {
    events.intersects(wanted(interest) | EventFlags::ERR | EventFlags::HUP)
}

impl Waiting {
    pub(crate) const fn new() -> Waiting {
        Waiting { buckets: [const { Fifo::new() }; BUCKETS], len: 0, stamp: 1 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an operation that has an interest; it is not registered yet.
    pub(crate) fn push(&mut self, fd: Fd, node: Node) {
        set_stage(&node, Stage::Fresh);
        set_place(&node, Place::Waiting);
        self.buckets[bucket(fd)].push(node);
        self.len += 1;
    }

    /// Everything the operations on `fd` want; empty if there is none to register.
    pub(crate) fn union(&self, fd: Fd) -> EventFlags {
        let mut union = EventFlags::empty();
        for node in &self.buckets[bucket(fd)] {
            if let Some((its, interest)) = descriptor(&node)
                && its == fd
                && !Note::of(&node).is_orphan()
            {
                union |= wanted(interest);
            }
        }
        union
    }

    /// The moment, to tell what was registered before it from what was registered after.
    pub(crate) fn stamp(&self) -> u32 {
        self.stamp
    }

    /// Notes that `fd` is registered for `wanted`. `fresh` if it was not registered before, with the moment
    /// before the kernel was asked: what was registered before *that* waits for another file.
    pub(crate) fn registered(&mut self, fd: Fd, wanted: EventFlags, fresh: Option<u32>) {
        self.stamp = self.stamp.wrapping_add(1);
        for node in &self.buckets[bucket(fd)] {
            let Some((its, interest)) = descriptor(&node) else { continue };
            if its != fd {
                continue;
            }
            let note = Note::of(&node);
            if fresh.is_some_and(|since| note.armed_before(since)) {
                set_orphan(&node);
            } else if wanted.contains(self::wanted(interest)) {
                set_armed(&node, self.stamp);
            }
        }
    }

    /// Takes one operation out that an event on `fd` concerns.
    pub(crate) fn take(&mut self, fd: Fd, events: EventFlags) -> Option<Node> {
        self.take_where(fd, |interest, note| !note.is_orphan() && concerns(events, interest))
    }

    /// Takes one operation out that could not be registered.
    pub(crate) fn take_unarmed(&mut self, fd: Fd) -> Option<Node> {
        self.take_where(fd, |_, note| !note.is_armed())
    }

    fn take_where(&mut self, fd: Fd, which: impl Fn(Interest, Note) -> bool) -> Option<Node> {
        let node = self.buckets[bucket(fd)].take_first(|node| {
            descriptor(node)
                .is_some_and(|(its, interest)| its == fd && which(interest, Note::of(node)))
        })?;
        self.len -= 1;
        Some(node)
    }

    /// Takes any operation out that `which` accepts.
    pub(crate) fn take_any(&mut self, mut which: impl FnMut(&Node) -> bool) -> Option<Node> {
        if self.len == 0 {
            return None;
        }
        let node = self.buckets.iter_mut().find_map(|bucket| bucket.take_first(&mut which))?;
        self.len -= 1;
        Some(node)
    }

    /// Takes this operation out if it is in here; looks at each on its descriptor until then.
    pub(crate) fn find_remove(&mut self, node: NodePtr, fd: Fd) -> Option<Node> {
        let node = self.buckets[bucket(fd)].find_remove(node)?;
        self.len -= 1;
        Some(node)
    }

    /// Takes this operation out.
    ///
    /// # Safety
    /// * The node's place is [`Place::Waiting`].
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn remove(&mut self, node: NodePtr, fd: Fd) -> Node {
        self.len -= 1;
        // SAFETY: its place says that it is in the table, and only its descriptor's bucket can have it.
        unsafe { self.buckets[bucket(fd)].remove(node) }
    }
}
