//! Deadlines in flight: an intrusive pairing heap. The earliest is known at once, arming costs a few
//! stores, and the storage of each entry is its owner's ([`Timer`]).
//!
//! A backend keeps one heap under its lock (or with its ring's owner), arms a node's timer after the
//! submit and disarms it before the completion (invariant I9 in [`crate::context`]); the earliest deadline
//! bounds its park. Ten thousand that wait cost a park no more than one.
#![allow(unsafe_code, reason = "follows links between timers")]
//! # Safety
//! An armed timer lies in the same pinned storage as its node, whose right the backend has (I1, I9); its
//! links are touched only through `&mut Timers`, which is the exclusion.

use crate::context::{Node, NodePtr, SubmitContext};
use crate::sync::{UnsafeCell, const_unless_loom};
use crate::time::Deadline;
use core::fmt;
use core::marker::PhantomPinned;
use core::ptr::{self, NonNull};

/// The storage of one operation's deadline. Lives in a [`Timed`](crate::Timed) beside the operation.
pub struct Timer {
    deadline: Deadline,
    links: UnsafeCell<Links>,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy)]
struct Links {
    /// Whose deadline it is; null while it is not armed.
    node: *mut SubmitContext,
    /// The first of those that are later than this one.
    child: *const Timer,
    /// The next with the same parent.
    next: *const Timer,
    /// The one before with the same parent, or for the first the parent; null for the root.
    prev: *const Timer,
}

const UNLINKED: Links =
    Links { node: ptr::null_mut(), child: ptr::null(), next: ptr::null(), prev: ptr::null() };

#[cfg(not(io_loom))]
static_assertions::const_assert!(size_of::<Timer>() <= 40);

// SAFETY: the links are touched by who has the heap, under its exclusion; the deadline is read-only.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    const_unless_loom! {
        pub(crate) const fn new(deadline: Deadline) -> Timer {
            Timer { deadline, links: UnsafeCell::new(UNLINKED), _pinned: PhantomPinned }
        }
    }

    pub(crate) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Not armed any more, without a look at the heap: that is the parent's, and only its copy is here.
    ///
    /// # Safety
    /// * Nobody in this process has the heap that the timer is in, or will: the timer's backend is one of
    ///   before a fork, or was made new since.
    pub(crate) unsafe fn abandon(&self) {
        // SAFETY: promised by the caller: the links are nobody else's.
        self.links.with_mut(|links| unsafe { *links = UNLINKED });
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The links may be the backend's right now.
        f.debug_struct("Timer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Whether the node's timer is in a heap. The caller has the right to the node.
pub(crate) fn is_armed(node: &Node) -> bool {
    // I9: who is about to complete the node has its timer too.
    node.timer().is_some_and(|timer| !read(timer.as_ptr()).node.is_null())
}

/// Reads a timer's links.
fn read(timer: *const Timer) -> Links {
    // SAFETY: the caller has the heap or the node, so the storage is valid (I1, I9).
    let links = unsafe { &(*timer).links };
    // SAFETY: the caller has the heap or the node, and so the links.
    links.with(|links| unsafe { *links })
}

/// Changes a timer's links.
fn update(timer: *const Timer, change: impl FnOnce(&mut Links)) {
    // SAFETY: as in `read`.
    let links = unsafe { &(*timer).links };
    // SAFETY: as in `read`; `change` reaches no other timer's.
    links.with_mut(|links| change(unsafe { &mut *links }));
}

fn due(timer: *const Timer) -> Deadline {
    // SAFETY: as in `read`.
    unsafe { &*timer }.deadline
}

/// The armed timers of one backend.
pub struct Timers {
    root: *const Timer,
    len: usize,
}

// SAFETY: armed timers come with the right to their nodes, and that is `Send`.
unsafe impl Send for Timers {}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("len", &self.len).field("next", &self.next()).finish()
    }
}

impl Timers {
    /// None armed.
    #[must_use]
    pub const fn new() -> Timers {
        Timers { root: ptr::null(), len: 0 }
    }

    /// How many are armed.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is armed.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.root.is_null()
    }

    /// The earliest deadline; [`Deadline::NEVER`] if none is armed.
    #[must_use]
    #[inline]
    pub fn next(&self) -> Deadline {
        if self.is_empty() { Deadline::NEVER } else { due(self.root) }
    }

    /// Arms the timer of a node that this backend owns; says whether it is the earliest now. `false` for
    /// a node without deadline, for [`Deadline::NEVER`], and for one that is never cancelled.
    pub fn arm(&mut self, node: &Node) -> bool {
        let Some(timer) = node.timer().filter(|_| node.deadline() != Deadline::NEVER) else {
            return false;
        };
        if node.op().kind().never_cancelled() {
            return false;
        }
        let timer: *const Timer = timer.as_ptr();
        debug_assert!(read(timer).node.is_null(), "I9: armed twice");
        update(timer, |links| *links = Links { node: node.ptr().as_ptr(), ..UNLINKED });
        self.len += 1;
        self.root = if self.is_empty() { timer } else { link(self.root, timer) };
        self.root == timer
    }

    /// Takes the node's timer out, if it is armed. For a node that this backend is about to complete.
    #[inline]
    pub fn disarm(&mut self, node: &Node) {
        if let Some(timer) = node.timer()
            && !read(timer.as_ptr()).node.is_null()
        {
            self.remove(timer.as_ptr());
        }
    }

    /// Takes out one timer that is due, and notes on its node that the deadline has passed, which is also
    /// a cancel asked for. The address is valid while the heap's exclusion lasts.
    pub fn expire(&mut self, now_ns: u64) -> Option<NodePtr> {
        if self.is_empty() || due(self.root).as_nanos() > now_ns {
            return None;
        }
        let timer = self.root;
        let node = NonNull::new(read(timer).node)?;
        self.remove(timer);
        // A look: the right to the node stays where it is.
        Node(node).expire();
        Some(NodePtr(node))
    }

    fn remove(&mut self, timer: *const Timer) {
        let Links { child, next, prev, .. } = read(timer);
        update(timer, |links| *links = UNLINKED);
        self.len -= 1;
        let orphans = merge(child);
        if prev.is_null() {
            debug_assert_eq!(self.root, timer, "I9: the root alone has nobody before it");
            self.root = orphans;
            return;
        }
        if read(prev).child == timer {
            update(prev, |links| links.child = next);
        } else {
            update(prev, |links| links.next = next);
        }
        if !next.is_null() {
            update(next, |links| links.prev = prev);
        }
        if !orphans.is_null() {
            self.root = link(self.root, orphans);
        }
    }
}

/// Makes the later of two heaps the first child of the earlier, which is the result.
fn link(one: *const Timer, other: *const Timer) -> *const Timer {
    let (parent, child) = if due(other) < due(one) { (other, one) } else { (one, other) };
    let first = read(parent).child;
    if !first.is_null() {
        update(first, |links| links.prev = child);
    }
    update(child, |links| {
        links.prev = parent;
        links.next = first;
    });
    update(parent, |links| {
        links.child = child;
        links.next = ptr::null();
        links.prev = ptr::null();
    });
    parent
}

/// Makes one heap of a list of siblings: in pairs from the left, then all from the right.
fn merge(mut list: *const Timer) -> *const Timer {
    let mut pairs: *const Timer = ptr::null();
    while !list.is_null() {
        let one = list;
        let other = read(one).next;
        list = if other.is_null() { other } else { read(other).next };
        let pair = if other.is_null() { alone(one) } else { link(alone(one), alone(other)) };
        update(pair, |links| links.next = pairs);
        pairs = pair;
    }
    let mut root: *const Timer = ptr::null();
    while !pairs.is_null() {
        let pair = pairs;
        pairs = read(pair).next;
        let pair = alone(pair);
        root = if root.is_null() { pair } else { link(root, pair) };
    }
    root
}

/// A heap of its own, with its children.
fn alone(timer: *const Timer) -> *const Timer {
    update(timer, |links| {
        links.next = ptr::null();
        links.prev = ptr::null();
    });
    timer
}

#[cfg(test)]
mod tests {
    use super::{Timer, Timers};
    use crate::context::{Node, SubmitContext};
    use crate::op::{Nop, Op};
    use crate::time::Deadline;
    use core::ptr::NonNull;

    struct Timed {
        context: SubmitContext,
        timer: Timer,
    }

    #[allow(clippy::vec_box, reason = "addresses stay when the vector moves")]
    fn timed(ns: &[u64]) -> Vec<Box<Timed>> {
        let one = |&ns| {
            let mut timed = Box::new(Timed {
                context: SubmitContext::new(Op::Nop(Nop)),
                timer: Timer::new(Deadline::from_nanos(ns)),
            });
            timed.context.timer = &raw const timed.timer;
            timed
        };
        ns.iter().map(one).collect()
    }

    fn submit(timed: &mut Timed) -> Node {
        // SAFETY: boxed until the end of the test, and submitted once.
        unsafe { Node::submitted(NonNull::from(&mut timed.context), 1) }
    }

    /// A step of a simple generator of numbers, the same on every run.
    fn step(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *seed >> 33
    }

    #[test]
    fn what_is_armed_expires_in_order_and_not_before_its_time() {
        let mut seed = 7;
        let times: Vec<u64> =
            (0..if cfg!(miri) { 50 } else { 1000 }).map(|_| 1 + step(&mut seed) % 500).collect();
        let mut storage = timed(&times);
        let mut timers = Timers::new();
        let nodes: Vec<Node> = storage.iter_mut().map(|timed| submit(timed)).collect();
        for node in &nodes {
            let earliest = node.deadline() < timers.next();
            assert_eq!(timers.arm(node), earliest);
        }
        // Every third is taken out again.
        for node in nodes.iter().step_by(3) {
            timers.disarm(node);
            timers.disarm(node);
        }
        let mut wanted: Vec<u64> =
            times.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, &ns)| ns).collect();
        wanted.sort_unstable();
        assert_eq!(timers.len(), wanted.len());
        for ns in wanted {
            assert_eq!(timers.next(), Deadline::from_nanos(ns));
            assert!(timers.expire(ns - 1).is_none(), "not before its time");
            assert!(timers.expire(ns).is_some());
        }
        assert!(timers.is_empty() && timers.expire(u64::MAX).is_none());
        let expired = nodes.iter().filter(|node| node.cancel_asked()).count();
        assert_eq!(expired, nodes.len() - nodes.len().div_ceil(3));
    }

    #[test]
    fn never_is_not_armed_and_expiry_is_told() {
        let mut storage = timed(&[u64::MAX, 5]);
        let mut timers = Timers::new();
        let mut nodes = storage.iter_mut().map(|timed| submit(timed));
        let (never, five) = (nodes.next().expect("one"), nodes.next().expect("two"));
        drop(nodes);
        assert!(!timers.arm(&never) && timers.is_empty());
        assert!(timers.arm(&five));
        assert_eq!(timers.expire(9), Some(five.ptr()));
        let canceled = crate::Errno::CANCELED.to_result();
        five.complete(canceled).run();
        never.complete(canceled).run();
        // SAFETY: both are done.
        let results = storage.iter().map(|timed| unsafe { timed.context.take_result() }.0);
        assert!(results.eq([canceled, crate::Errno::TIMEDOUT.to_result()]));
    }
}
