//! A doubly linked intrusive list with one owner: push, pop and unlink in a few loads and stores.
#![allow(unsafe_code, reason = "follows links between nodes")]
//! # Safety
//! A listed node's right ([`Node`]) belongs to the list, so its storage is valid (I1), its links are
//! the list's alone (I4), and `&mut self` keeps other users of the list away.

use crate::context::{Node, NodePtr, SubmitContext};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};

/// First in, first out; any node can be taken out of the middle.
pub struct Fifo {
    head: *mut SubmitContext,
    tail: *mut SubmitContext,
    len: usize,
}

// SAFETY: a list is a set of `Node`s, and those are `Send`.
unsafe impl Send for Fifo {}

impl Default for Fifo {
    fn default() -> Self {
        Self::new()
    }
}

/// The node behind this one.
///
/// # Safety
/// * The node's links are the caller's (I4).
#[inline]
pub(super) unsafe fn next(node: NonNull<SubmitContext>) -> *mut SubmitContext {
    // SAFETY: a listed node's storage is valid (I1).
    let link = unsafe { &node.as_ref().link };
    // SAFETY: I4, promised by the caller.
    link.next.with(|next| unsafe { *next })
}

/// Puts a node behind this one.
///
/// # Safety
/// * As [`next`].
#[inline]
pub(super) unsafe fn set_next(node: NonNull<SubmitContext>, to: *mut SubmitContext) {
    // SAFETY: a listed node's storage is valid (I1).
    let link = unsafe { &node.as_ref().link };
    // SAFETY: I4, promised by the caller.
    link.next.with_mut(|next| unsafe { *next = to });
}

/// The node before this one.
///
/// # Safety
/// * As [`next`].
#[inline]
unsafe fn prev(node: NonNull<SubmitContext>) -> *mut SubmitContext {
    // SAFETY: a listed node's storage is valid (I1).
    let link = unsafe { &node.as_ref().link };
    // SAFETY: I4, promised by the caller.
    link.prev.with(|prev| unsafe { *prev })
}

/// Puts a node before this one.
///
/// # Safety
/// * As [`next`].
#[inline]
unsafe fn set_prev(node: NonNull<SubmitContext>, to: *mut SubmitContext) {
    // SAFETY: a listed node's storage is valid (I1).
    let link = unsafe { &node.as_ref().link };
    // SAFETY: I4, promised by the caller.
    link.prev.with_mut(|prev| unsafe { *prev = to });
}

impl Fifo {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Fifo {
        Fifo { head: ptr::null_mut(), tail: ptr::null_mut(), len: 0 }
    }

    /// How many nodes are in it.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Appends.
    #[inline]
    pub fn push(&mut self, node: Node) {
        let new = node.into_ptr().0;
        // SAFETY: I4, the node came by value, so its links are ours.
        unsafe { set_next(new, ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { set_prev(new, self.tail) };
        match NonNull::new(self.tail) {
            // SAFETY: I4, the tail is in this list.
            Some(tail) => unsafe { set_next(tail, new.as_ptr()) },
            None => self.head = new.as_ptr(),
        }
        self.tail = new.as_ptr();
        self.len += 1;
    }

    /// Puts a node that was just popped back to the front.
    #[inline]
    pub fn push_front(&mut self, node: Node) {
        let new = node.into_ptr().0;
        // SAFETY: I4, the node came by value, so its links are ours.
        unsafe { set_prev(new, ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { set_next(new, self.head) };
        match NonNull::new(self.head) {
            // SAFETY: I4, the head is in this list.
            Some(head) => unsafe { set_prev(head, new.as_ptr()) },
            None => self.tail = new.as_ptr(),
        }
        self.head = new.as_ptr();
        self.len += 1;
    }

    /// The oldest node.
    #[inline]
    pub fn pop(&mut self) -> Option<Node> {
        let head = NonNull::new(self.head)?;
        Some(self.unlink(head))
    }

    /// Takes one node out.
    ///
    /// # Safety
    /// * The node is in this list.
    #[inline]
    pub unsafe fn remove(&mut self, node: NodePtr) -> Node {
        debug_assert!(!self.is_empty(), "I4: remove from an empty list");
        self.unlink(node.0)
    }

    /// Takes one node out if it is in this list; looks at each until then.
    pub fn find_remove(&mut self, node: NodePtr) -> Option<Node> {
        let found = self.iter().any(|listed| listed.ptr() == node);
        found.then(|| self.unlink(node.0))
    }

    /// Takes the first node out that `wanted` accepts.
    pub fn take_first(&mut self, mut wanted: impl FnMut(&Node) -> bool) -> Option<Node> {
        let node = self.iter().find(|node| wanted(node)).map(|node| node.ptr().0)?;
        Some(self.unlink(node))
    }

    /// Takes all nodes out that `wanted` accepts, in order, in one pass.
    #[must_use]
    pub fn take_all(&mut self, mut wanted: impl FnMut(&Node) -> bool) -> Fifo {
        let mut taken = Fifo::new();
        let mut at = self.head;
        while let Some(node) = NonNull::new(at) {
            // SAFETY: I4, the node is in this list.
            at = unsafe { next(node) };
            if wanted(&View(Node(node), PhantomData)) {
                taken.push(self.unlink(node));
            }
        }
        taken
    }

    /// Appends all of another list.
    pub fn append(&mut self, mut other: Fifo) {
        while let Some(node) = other.pop() {
            self.push(node);
        }
    }

    /// The nodes, oldest first.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { next: self.head, _list: PhantomData }
    }

    #[inline]
    fn unlink(&mut self, node: NonNull<SubmitContext>) -> Node {
        // SAFETY: I4, the node is in this list, so its links are ours.
        let after = unsafe { next(node) };
        // SAFETY: as above.
        let before = unsafe { prev(node) };
        match NonNull::new(before) {
            // SAFETY: I4, a neighbour is in this list too.
            Some(before) => unsafe { set_next(before, after) },
            None => self.head = after,
        }
        match NonNull::new(after) {
            // SAFETY: as above.
            Some(after) => unsafe { set_prev(after, before) },
            None => self.tail = before,
        }
        self.len -= 1;
        // The list had the right to the node (I5) and gives it up here.
        Node(node)
    }
}

impl<'l> IntoIterator for &'l Fifo {
    type Item = View<'l>;
    type IntoIter = Iter<'l>;

    fn into_iter(self) -> Iter<'l> {
        self.iter()
    }
}

impl fmt::Debug for Fifo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A look at a node that its list keeps.
#[derive(Debug)]
pub struct View<'l>(Node, PhantomData<&'l Fifo>);

impl Deref for View<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

/// Iterator over the nodes of a [`Fifo`].
#[derive(Debug)]
pub struct Iter<'l> {
    next: *mut SubmitContext,
    _list: PhantomData<&'l Fifo>,
}

impl<'l> Iterator for Iter<'l> {
    type Item = View<'l>;

    #[inline]
    fn next(&mut self) -> Option<View<'l>> {
        let node = NonNull::new(self.next)?;
        // SAFETY: I4, the node is in the list, which `'l` keeps from changing.
        self.next = unsafe { next(node) };
        // Not a second right to the node: a view gives it out by reference only.
        Some(View(Node(node), PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::Fifo;
    use crate::context::{Node, SubmitContext};
    use crate::op::{Nop, Op};
    use core::ptr::NonNull;

    fn node(context: &mut SubmitContext) -> Node {
        // SAFETY: each test keeps its contexts in place for as long as the list, and submits once.
        unsafe { Node::submitted(NonNull::from(context), 1) }
    }

    fn contexts() -> [SubmitContext; 4] {
        core::array::from_fn(|_| SubmitContext::new(Op::Nop(Nop)))
    }

    #[test]
    fn order_is_kept_through_push_pop_and_unlink() {
        let mut storage = contexts();
        let mut list = Fifo::new();
        let ptrs = storage.each_mut().map(|context| {
            let node = node(context);
            let ptr = node.ptr();
            list.push(node);
            ptr
        });
        assert_eq!(list.len(), 4);
        assert!(list.iter().map(|view| view.ptr()).eq(ptrs));
        // SAFETY: the second node is in the list.
        let second = unsafe { list.remove(ptrs[1]) };
        assert!(list.find_remove(ptrs[1]).is_none());
        assert_eq!(list.pop().map(|node| node.ptr()), Some(ptrs[0]));
        assert_eq!(list.find_remove(ptrs[3]).map(|node| node.ptr()), Some(ptrs[3]));
        list.push_front(second);
        assert_eq!(list.len(), 2);
        assert_eq!(list.pop().map(|node| node.ptr()), Some(ptrs[1]));
        assert_eq!(list.take_first(|_| true).map(|node| node.ptr()), Some(ptrs[2]));
        assert!(list.is_empty() && list.pop().is_none());
    }

    #[test]
    fn taking_all_keeps_the_order_of_both() {
        let mut storage = contexts();
        let mut list = Fifo::new();
        let ptrs = storage.each_mut().map(|context| {
            let node = node(context);
            let ptr = node.ptr();
            list.push(node);
            ptr
        });
        let mut turn = false;
        let taken = list.take_all(|_| {
            turn = !turn;
            turn
        });
        assert!(taken.iter().map(|view| view.ptr()).eq([ptrs[0], ptrs[2]]));
        assert!(list.iter().map(|view| view.ptr()).eq([ptrs[1], ptrs[3]]));
        list.append(taken);
        assert_eq!(list.len(), 4);
        assert_eq!(list.take_all(|_| true).len(), 4);
        assert!(list.is_empty() && list.pop().is_none());
    }
}
