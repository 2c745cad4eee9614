//! A [`Fifo`] behind a shared reference, for one thread.
#![allow(unsafe_code, reason = "gives out the content of a cell")]
//! # Safety
//! A `List` is not `Sync`; each method borrows the content for its own length only and, but for
//! [`List::for_each`], calls nothing of others while it does: there is never a second borrow.

use core::cell::UnsafeCell;
use io_core::queue::Fifo;
use io_core::{Node, NodePtr};

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct List(UnsafeCell<Fifo>);

impl List {
    pub(crate) const fn new() -> List {
        List(UnsafeCell::new(Fifo::new()))
    }

    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut Fifo) -> R) -> R {
        // SAFETY: the only borrow; see the top of the file.
        act(unsafe { &mut *self.0.get() })
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.with(|list| list.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|list| list.is_empty())
    }

    #[inline]
    pub(crate) fn push(&self, node: Node) {
        self.with(|list| list.push(node));
    }

    pub(crate) fn push_front(&self, node: Node) {
        self.with(|list| list.push_front(node));
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Node> {
        self.with(Fifo::pop)
    }

    /// Takes one node out.
    ///
    /// # Safety
    /// * The node is in this list.
    #[inline]
    pub(crate) unsafe fn remove(&self, node: NodePtr) -> Node {
        // SAFETY: promised by the caller.
        self.with(|list| unsafe { list.remove(node) })
    }

    /// Takes one node out if it is in here; looks at each until then.
    pub(crate) fn find_remove(&self, node: NodePtr) -> Option<Node> {
        self.with(|list| list.find_remove(node))
    }

    /// Takes the first node out that `wanted` accepts, which only looks at it.
    pub(crate) fn take_first(&self, wanted: impl FnMut(&Node) -> bool) -> Option<Node> {
        self.with(|list| list.take_first(wanted))
    }

    /// Takes all nodes out that `wanted` accepts, which only looks at them.
    pub(crate) fn take_all(&self, wanted: impl FnMut(&Node) -> bool) -> Fifo {
        self.with(|list| list.take_all(wanted))
    }

    /// Shows each node, oldest first, until `act` says `false`.
    ///
    /// # Safety
    /// * `act` does not touch this list.
    pub(crate) unsafe fn for_each(&self, mut act: impl FnMut(&Node) -> bool) {
        self.with(|list| {
            let _: bool = list.iter().all(|view| act(&view));
        });
    }

    /// Fills the list by way of a function that only pushes.
    pub(crate) fn fill(&self, fill: impl FnOnce(&mut Fifo)) {
        self.with(fill);
    }
}
