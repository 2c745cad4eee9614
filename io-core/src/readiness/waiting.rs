//! Operations that wait for readiness: an intrusive table keyed by descriptor, and the epoll instance
//! that watches it. The table has no fixed size: its buckets link the nodes themselves.
//!
//! Each descriptor number is registered once, one-shot, with the union of what its waiting operations
//! want. Registering adds first: `EEXIST` means the file is registered already, so the registration is
//! changed; a plain success beside operations that were registered before means that the number was
//! closed and reused behind our back, and those operations wait for a file the kernel has forgotten:
//! they are orphans, which only a cancel or stop ends, and which never touch the new file.
//!
//! # Readiness that stays
//!
//! A descriptor may be ready and yet have nothing for an operation, for as long as it likes: an unread error queue,
//! data that was peeked at. Registered for one event again, it would bring that event again, and the operation
//! would be tried for ever. So an operation whose event brought nothing asks to be registered for *edges*, and so is
//! then everything else that waits on its descriptor. Such a registration stands: its operations are tried upon
//! an event and put back without another system call. No edge is lost by that, as long as
//!
//! * an event that comes while such an operation is out for a try makes it be tried again: its backend notes it;
//! * nobody registers the descriptor for one event meanwhile. Who has done that without knowing finds it out when
//!   noting it, under the lock, and registers once more ([`Wanted::is_met_by`]).
//!
//! Between the system call and its note other threads may have closed the number and let operations wait on
//! its next file. So a note is about what waited when its thread looked, which stamps tell, and nothing else.

use super::events::{Readiness, Trigger};
use crate::context::{Node, NodePtr};
use crate::fd::Fd;
use crate::op::Interest;
use crate::queue::{Fifo, View};

const BUCKETS: usize = 64;

/// The waiting set.
///
/// A node is pushed, its descriptor registered for what is [`wanted`](Self::wanted) there, and the
/// registration [noted](Self::registered). None of it makes a system call: callers reach the table under
/// their lock, and the kernel outside of it.
#[derive(Debug)]
pub struct Waiting {
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

/// What the table writes into a node's scratch word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark(u32);

/// Bits of the scratch word, from the lowest, that the table leaves to the backend.
pub const BACKEND_BITS: u32 = 8;
/// Registered in epoll, so that an event can reach it.
const ARMED: u32 = 1 << BACKEND_BITS;
/// Registered for a file whose descriptor number means another file by now.
const ORPHAN: u32 = ARMED << 1;
/// An event brought nothing: to be registered for edges; with [`ARMED`], it is.
const EDGES: u32 = ARMED << 2;
/// When it was registered, or pushed if it is not: the table's stamp, in the bits above.
const STAMP_SHIFT: u32 = BACKEND_BITS + 3;

impl Mark {
    fn of(node: &Node) -> Mark {
        Mark(node.scratch())
    }

    fn clear(node: &Node, stamp: u32) {
        node.set_scratch(node.scratch() & (ARMED - 1) | stamp << STAMP_SHIFT);
    }

    fn arm(node: &Node, stamp: u32, trigger: Trigger) {
        let edges = match trigger {
            Trigger::Once => node.scratch() & EDGES,
            Trigger::Edges => EDGES,
        };
        Mark::clear(node, stamp);
        node.set_scratch(node.scratch() | ARMED | edges);
    }

    fn orphan(node: &Node) {
        node.set_scratch(node.scratch() | ORPHAN);
    }

    fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    fn is_orphan(self) -> bool {
        self.0 & ORPHAN != 0
    }

    fn wants_edges(self) -> bool {
        self.0 & EDGES != 0
    }

    fn stands(self) -> bool {
        self.is_armed() && self.wants_edges()
    }

    /// Whether it is as it was at the moment of `stamp`. Stamps wrap; half of their range is past.
    fn is_from(self, stamp: u32) -> bool {
        let age = stamp.wrapping_sub(self.0 >> STAMP_SHIFT) & (u32::MAX >> STAMP_SHIFT);
        age <= u32::MAX >> (STAMP_SHIFT + 1)
    }
}

/// What is to be registered for a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// For those whose registration does not stand: something is to be registered if there are any.
    pub new: Readiness,
    /// For those that have asked for edges, or have them.
    pub edges: Readiness,
}

impl Wanted {
    /// All of it.
    #[must_use]
    pub const fn all(self) -> Readiness {
        self.new.union(self.edges)
    }

    /// How it is to be registered.
    #[must_use]
    pub const fn trigger(self) -> Trigger {
        if self.edges.is_empty() { Trigger::Once } else { Trigger::Edges }
    }

    /// Whether this registration, which was just made and noted, is as good as this one.
    #[must_use]
    pub fn is_met_by(self, made: Wanted) -> bool {
        let all = made.all();
        all.contains(self.new) && !self.is_spoilt_by(made)
    }

    /// Whether this registration, which was just made, has put an end to one that must stand.
    #[must_use]
    pub fn is_spoilt_by(self, made: Wanted) -> bool {
        let lasts = made.trigger() == Trigger::Edges && made.all().contains(self.edges);
        !self.edges.is_empty() && !lasts
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new()
    }
}

impl Waiting {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Waiting {
        Waiting { buckets: [const { Fifo::new() }; BUCKETS], len: 0, stamp: 1 }
    }

    /// How many operations wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds an operation that has an interest; it is not registered yet.
    pub fn push(&mut self, fd: Fd, node: Node) {
        let stamp = self.next_stamp();
        Mark::clear(&node, stamp);
        self.buckets[bucket(fd)].push(node);
        self.len += 1;
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an operation back that was taken out and tried: before those that came later.
    pub fn push_front(&mut self, fd: Fd, node: Node) {
        let stamp = self.next_stamp();
        Mark::clear(&node, stamp);
        self.buckets[bucket(fd)].push_front(node);
        self.len += 1;
    }

    /// [`push_front`](Self::push_front) of an operation that an event has brought nothing. If its registration
    /// `stands`, it is good for its next wait too.
    pub fn push_stale(&mut self, fd: Fd, node: Node, stands: bool) {
        let stamp = self.next_stamp();
        Mark::clear(&node, stamp);
        node.set_scratch(node.scratch() | EDGES | if stands { ARMED } else { 0 });
        self.buckets[bucket(fd)].push_front(node);
        self.len += 1;
    }

    /// Whether the registration stands of an operation that was just taken out.
    #[must_use]
    pub fn stood(node: &Node) -> bool {
        Mark::of(node).stands()
    }

    /// Whether an event has brought nothing to an operation that was just taken out.
    #[must_use]
    pub fn was_stale(node: &Node) -> bool {
        Mark::of(node).wants_edges()
    }

    /// Whether an operation waits on `fd` whose interest `which` accepts.
    #[must_use]
    pub fn any_of(&self, fd: Fd, which: impl Fn(Interest) -> bool) -> bool {
        self.buckets[bucket(fd)].iter().any(|node| {
            descriptor(&node).is_some_and(|(its, interest)| {
                its == fd && which(interest) && !Mark::of(&node).is_orphan()
            })
        })
    }

    /// What the operations on `fd` want whose interest `which` accepts. `out` is for those whose registration
    /// stands, and which are not in here because they are tried.
    #[must_use]
    pub fn wanted(&self, fd: Fd, which: impl Fn(Interest) -> bool, out: Readiness) -> Wanted {
        let mut wanted = Wanted { new: Readiness::empty(), edges: out };
        for node in &self.buckets[bucket(fd)] {
            let Some((its, interest)) = descriptor(&node) else { continue };
            let mark = Mark::of(&node);
            if its != fd || mark.is_orphan() {
                continue;
            }
            if mark.wants_edges() {
                wanted.edges |= Readiness::wanted(interest);
            }
            if !mark.stands() && which(interest) {
                wanted.new |= Readiness::wanted(interest);
            }
        }
        wanted
    }

    /// The moment, to tell what was registered before it from what was registered after.
    #[must_use]
    pub fn stamp(&self) -> u32 {
        self.stamp
    }

    fn next_stamp(&mut self) -> u32 {
        self.stamp = self.stamp.wrapping_add(1);
        self.stamp
    }

    /// Marks that `fd` is registered for `made`: those that waited in the moment `since`, when `made` was
    /// asked for, and were not registered by anybody in between. If it is `fresh`, not registered before, then
    /// what was registered by that moment waits for another file.
    pub fn registered(&mut self, fd: Fd, made: Wanted, since: u32, fresh: bool) {
        let (stamp, wanted) = (self.next_stamp(), made.all());
        for node in &self.buckets[bucket(fd)] {
            let Some((its, interest)) = descriptor(&node) else { continue };
            let mark = Mark::of(&node);
            if its != fd || mark.is_orphan() || !mark.is_from(since) {
                continue;
            }
            if fresh && mark.is_armed() {
                Mark::orphan(&node);
            } else if wanted.contains(Readiness::wanted(interest)) {
                Mark::arm(&node, stamp, made.trigger());
            }
        }
    }

    /// Takes one operation out that an event on `fd` concerns.
    pub fn take(&mut self, fd: Fd, events: Readiness) -> Option<Node> {
        self.take_where(fd, |interest, mark| !mark.is_orphan() && events.concerns(interest))
    }

    /// Takes the first operation on `fd` out whose interest `which` accepts, registered or not.
    pub fn take_of(&mut self, fd: Fd, which: impl Fn(Interest) -> bool) -> Option<Node> {
        if self.len == 0 {
            return None;
        }
        self.take_where(fd, |interest, mark| !mark.is_orphan() && which(interest))
    }

    /// Takes one operation out that could not be registered.
    pub fn take_unarmed(&mut self, fd: Fd) -> Option<Node> {
        self.take_where(fd, |_, mark| !mark.is_armed())
    }

    fn take_where(&mut self, fd: Fd, which: impl Fn(Interest, Mark) -> bool) -> Option<Node> {
        let node = self.buckets[bucket(fd)].take_first(|node| {
            descriptor(node)
                .is_some_and(|(its, interest)| its == fd && which(interest, Mark::of(node)))
        })?;
        self.len -= 1;
        Some(node)
    }

    /// Takes all operations out that `which` accepts.
    #[must_use]
    pub fn take_all(&mut self, mut which: impl FnMut(&Node) -> bool) -> Fifo {
        let mut taken = Fifo::new();
        if self.len > 0 {
            for bucket in &mut self.buckets {
                taken.append(bucket.take_all(&mut which));
            }
            self.len -= taken.len();
        }
        taken
    }

    /// Takes all operations out that wait on this descriptor, because it is about to be closed. Not those
    /// that wait for a file that the number meant before.
    #[must_use]
    pub fn take_fd(&mut self, fd: Fd) -> Fifo {
        self.take_fd_of(fd, |_| true)
    }

    /// [`take_fd`](Self::take_fd) of those that `which` accepts.
    #[must_use]
    pub fn take_fd_of(&mut self, fd: Fd, which: impl Fn(&Node) -> bool) -> Fifo {
        let taken = self.buckets[bucket(fd)].take_all(|node| {
            let same = descriptor(node).is_some_and(|(its, _)| its == fd);
            same && !Mark::of(node).is_orphan() && which(node)
        });
        self.len -= taken.len();
        taken
    }

    /// All operations that wait, those of one descriptor in order.
    pub fn iter(&self) -> impl Iterator<Item = View<'_>> {
        self.buckets.iter().flatten()
    }

    /// Whether this operation is in here; looks at each on its descriptor until then.
    #[must_use]
    pub fn has(&self, node: NodePtr, fd: Fd) -> bool {
        self.buckets[bucket(fd)].iter().any(|listed| listed.ptr() == node)
    }

    /// Takes this operation out if it is in here; looks at each on its descriptor until then.
    pub fn find_remove(&mut self, node: NodePtr, fd: Fd) -> Option<Node> {
        let node = self.buckets[bucket(fd)].find_remove(node)?;
        self.len -= 1;
        Some(node)
    }

    /// Takes this operation out.
    ///
    /// # Safety
    /// * The node is in this table, and `fd` is its descriptor.
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub unsafe fn remove(&mut self, node: NodePtr, fd: Fd) -> Node {
        self.len -= 1;
        // SAFETY: in the table, promised by the caller, and only its descriptor's bucket can have it.
        unsafe { self.buckets[bucket(fd)].remove(node) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Waiting, Wanted};
    use crate::context::{Node, SubmitContext};
    use crate::fd::Fd;
    use crate::op::{Op, Read};
    use crate::readiness::Readiness;
    use core::ptr::NonNull;

    const FD: Fd = Fd::new(7);
    const ALL: Wanted = Wanted { new: Readiness::all(), edges: Readiness::empty() };

    fn wanted(waiting: &Waiting) -> Wanted {
        waiting.wanted(FD, |_| true, Readiness::empty())
    }

    fn read() -> SubmitContext {
        SubmitContext::new(Op::Read(Read { fd: FD, buf: core::ptr::null_mut(), len: 0 }))
    }

    fn node(context: &mut SubmitContext) -> Node {
        #[allow(unsafe_code, reason = "makes a node without a backend")]
        // SAFETY: each test keeps its contexts in place for as long as the table, and submits once.
        unsafe {
            Node::submitted(NonNull::from(context), 1)
        }
    }

    fn empty(waiting: &mut Waiting) -> usize {
        waiting.take_all(|_| true).len()
    }

    #[test]
    fn what_was_registered_before_a_fresh_registration_is_an_orphan() {
        let (mut old, mut new) = (read(), read());
        let mut waiting = Waiting::new();
        waiting.push(FD, node(&mut old));
        let since = waiting.stamp();
        waiting.registered(FD, ALL, since, true);
        waiting.push(FD, node(&mut new));
        let since = waiting.stamp();
        waiting.registered(FD, ALL, since, true);
        // Again, as for one more that waits: an orphan stays one.
        let since = waiting.stamp();
        waiting.registered(FD, ALL, since, false);
        assert_eq!(waiting.take_fd(FD).len(), 1, "the new one");
        assert_eq!((waiting.len(), wanted(&waiting)), (1, Wanted::default()));
        assert_eq!(empty(&mut waiting), 1);
    }

    /// A thread registers, and notes it only when the number was closed and another operation waits on its
    /// next file: that one is not registered by it, and so no orphan when it is.
    #[test]
    fn a_late_note_is_not_about_what_came_since() {
        let (mut old, mut new) = (read(), read());
        let mut waiting = Waiting::new();
        waiting.push(FD, node(&mut old));
        let late = waiting.stamp();
        assert_eq!(waiting.take_fd(FD).len(), 1, "closed");
        waiting.push(FD, node(&mut new));
        waiting.registered(FD, ALL, late, false);
        let since = waiting.stamp();
        waiting.registered(FD, ALL, since, true);
        assert_eq!(waiting.take_fd(FD).len(), 1, "it waits for the file that the number means");
    }
}
