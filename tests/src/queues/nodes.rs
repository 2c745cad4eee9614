//! Nodes to put into queues: those of real operations, submitted to a backend that hands them on.
#![allow(unsafe_code, reason = "keeps nodes")]
//! # Safety
//! A node that was submitted lies in `Given` or was taken from there by the one test that owns this, which
//! completes each before it drops the operations.

use crate::keep::{Keep, Kept};
use core::cell::RefCell;
use core::pin::Pin;
use io_core::op::Nop;
use io_core::{IoAwaitable, Node, NodePtr, Op, Phase};

/// Keeps what is submitted, for a test to take.
#[derive(Default)]
pub(super) struct Given(RefCell<Vec<Node>>);

type Here = Kept<Given>;

// SAFETY: who takes the nodes out completes them.
unsafe impl Keep for Given {
    fn take(&self, node: Node) {
        self.0.borrow_mut().push(node);
    }

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: the storage is valid during the call, promised by the caller.
        assert_eq!(unsafe { node.phase() }, Phase::Done, "a node was not completed");
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Operations that were submitted and are not done.
pub(super) struct Operations(Vec<Pin<Box<IoAwaitable<Here>>>>);

impl Operations {
    /// So many operations, and their nodes, which must be completed before the operations are dropped.
    pub(super) fn submitted(count: usize) -> (Operations, Vec<Node>) {
        let here = Here::new(Given::default());
        let mut operations: Vec<_> = (0..count)
            .map(|_| {
                // SAFETY: a nop has no pointers and no descriptor.
                Box::pin(unsafe { IoAwaitable::new(here.clone(), Op::Nop(Nop)) })
            })
            .collect();
        for operation in &mut operations {
            operation.as_mut().submit().expect("an idle operation is accepted");
        }
        let nodes = here.get().0.take();
        (Operations(operations), nodes)
    }

    /// Whether all are done.
    pub(super) fn are_done(&self) -> bool {
        self.0.iter().all(|operation| operation.phase() == Phase::Done)
    }

    /// They stay for ever: after a mismatch nobody knows who has their nodes.
    pub(super) fn forget(self) {
        core::mem::forget(self.0);
    }
}

/// Takes a node that was pushed out of a list by its address.
///
/// # Safety
/// * As [`Node`]'s `into_node`: nobody else has the right to it.
pub(super) unsafe fn claim(address: NodePtr) -> Node {
    // SAFETY: promised by the caller.
    unsafe { address.into_node() }
}

/// Takes a node out of the list that it is in.
///
/// # Safety
/// * The node is in this list.
pub(super) unsafe fn remove(list: &mut io_core::queue::Fifo, address: NodePtr) -> Node {
    // SAFETY: promised by the caller.
    unsafe { list.remove(address) }
}
