//! A lock-free intrusive queue from any thread to one: push is one compare-exchange, taking all is
//! one exchange.
//!
//! The pushed nodes form a stack; who takes them turns it round. Nothing is ever popped singly, so
//! the ABA problem has nothing to bite.
#![allow(unsafe_code, reason = "follows links between nodes")]
//! # Safety
//! A pushed node's right ([`Node`]) belongs to the queue until it is taken; its `next` link is written
//! before the compare-exchange that publishes it and read after the exchange that takes it (I4).

use super::fifo::{Fifo, next, set_next};
use crate::context::{Node, SubmitContext};
use crate::sync::{AtomicPtr, Ordering, const_unless_loom};
use core::fmt;
use core::ptr::{self, NonNull};

/// Many producers, one taker.
pub struct Transfer {
    top: AtomicPtr<SubmitContext>,
}

// SAFETY: a set of `Node`s, which are `Send`, behind an atomic.
unsafe impl Send for Transfer {}
// SAFETY: pushing and taking are atomic, and a taken chain belongs to its taker alone.
unsafe impl Sync for Transfer {}

impl Default for Transfer {
    fn default() -> Self {
        Self::new()
    }
}

impl Transfer {
    const_unless_loom! {
        /// An empty queue.
        #[must_use]
        pub const fn new() -> Transfer {
            Transfer { top: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Whether nothing was pushed since the last take; it may change at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // Ordering: SeqCst, as in `take_all`: a taker about to park may look here first.
        self.top.load(Ordering::SeqCst).is_null()
    }

    /// Pushes; `true` if the queue was empty, so that the taker may need a wake.
    pub fn push(&self, node: Node) -> bool {
        let new = node.into_ptr().0;
        // Ordering: Relaxed, only the pointer's value is compared; the taker's Acquire is what counts.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: I4, the node came by value, so its links are ours.
            unsafe { set_next(new, top) };
            // Ordering: SeqCst (at least Release, which publishes the node to `take_all`): a producer
            // that then finds nobody parked must not have its push ordered after that look.
            match self.top.compare_exchange_weak(
                top,
                new.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return top.is_null(),
                Err(now) => top = now,
            }
        }
    }

    /// Forgets everything pushed so far: in a forked child, where it is the parent's.
    pub fn forget(&self) {
        self.top.store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// Appends everything pushed so far to `list`, oldest first; returns how many.
    pub fn take_all(&self, list: &mut Fifo) -> usize {
        // Ordering: SeqCst (at least Acquire, which sees the nodes): a taker about to park must not
        // have this look ordered before it said so.
        let mut node = self.top.swap(ptr::null_mut(), Ordering::SeqCst);
        let mut oldest = ptr::null_mut();
        while let Some(this) = NonNull::new(node) {
            // SAFETY: I4, the chain is ours since the exchange.
            node = unsafe { next(this) };
            // SAFETY: as above.
            unsafe { set_next(this, oldest) };
            oldest = this.as_ptr();
        }
        let mut count = 0;
        while let Some(this) = NonNull::new(oldest) {
            // SAFETY: as above.
            oldest = unsafe { next(this) };
            // The queue had the right to the node (I5) and gives it up here.
            list.push(Node(this));
            count += 1;
        }
        count
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("empty", &self.is_empty()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fifo, Transfer};
    use crate::context::{Node, SubmitContext};
    use crate::op::{Nop, Op};
    use core::ptr::NonNull;

    #[test]
    fn what_was_pushed_comes_out_in_order() {
        let mut storage: [SubmitContext; 3] =
            core::array::from_fn(|_| SubmitContext::new(Op::Nop(Nop)));
        let queue = Transfer::new();
        let mut list = Fifo::new();
        assert_eq!(queue.take_all(&mut list), 0);
        let ptrs = storage.each_mut().map(|context| {
            // SAFETY: the storage outlives queue and list; each is submitted once.
            let node = unsafe { Node::submitted(NonNull::from(context), 1) };
            let ptr = node.ptr();
            queue.push(node);
            ptr
        });
        assert!(!queue.is_empty());
        assert_eq!(queue.take_all(&mut list), 3);
        assert!(queue.is_empty());
        assert!(list.iter().map(|view| view.ptr()).eq(ptrs));
    }
}
