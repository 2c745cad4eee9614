//! Nodes to put into queues: those of real operations, submitted to a backend that hands them on.
#![allow(unsafe_code, reason = "a backend")]
//! # Safety
//! A node that was submitted lies in `given` or was taken from there by the one test that owns this, which
//! completes each before it drops the operations.

use core::cell::RefCell;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::time::Duration;
use io_core::op::Nop;
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, Handle, IoAwaitable, IoBackend, Node, NodePtr, Op,
    Phase, Route, StopError, WakeHandle, Way,
};
use std::rc::Rc;

/// A backend that keeps what is submitted to it.
#[derive(Default)]
pub(super) struct Giver {
    given: RefCell<Vec<Node>>,
    _pinned: PhantomPinned,
}

#[derive(Clone)]
pub(super) struct Here(Rc<Giver>);

// SAFETY: the reference count keeps the backend in place and alive; it is not `Send`.
unsafe impl Handle for Here {
    type Backend = Giver;

    fn backend(&self) -> &Giver {
        &self.0
    }
}

// SAFETY: who takes the nodes completes them; the type is `!Unpin`, and the binding is its own.
unsafe impl IoBackend for Giver {
    fn name(&self) -> &'static str {
        "giver"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        self.given.borrow_mut().push(node);
    }

    unsafe fn cancel(&self, _: NodePtr) {}

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: the storage is valid during the call, promised by the caller.
        assert_eq!(unsafe { node.phase() }, Phase::Done, "a node was not completed");
    }

    fn closer(&self) -> unsafe fn(Fd) {
        |_| {}
    }

    fn start(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn stop(&self, _: Deadline) -> Result<(), StopError> {
        Ok(())
    }

    fn poll(&self, _: Option<Duration>) -> Result<usize, Errno> {
        Ok(0)
    }

    fn flush(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        // SAFETY: the function does nothing.
        unsafe { WakeHandle::new(core::ptr::null(), |_| {}) }
    }

    fn in_flight(&self) -> usize {
        self.given.borrow().len()
    }

    fn route(&self, _: &Op) -> Route {
        Route { way: Way::Inline, why: "given to a test" }
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Operations that were submitted and are not done.
pub(super) struct Operations(Vec<Pin<Box<IoAwaitable<Here>>>>);

impl Operations {
    /// So many operations, and their nodes, which must be completed before the operations are dropped.
    pub(super) fn submitted(count: usize) -> (Operations, Vec<Node>) {
        let here = Here(Rc::new(Giver::default()));
        let mut operations: Vec<_> = (0..count)
            .map(|_| {
                // SAFETY: a nop has no pointers and no descriptor.
                Box::pin(unsafe { IoAwaitable::new(here.clone(), Op::Nop(Nop)) })
            })
            .collect();
        for operation in &mut operations {
            operation.as_mut().submit().expect("an idle operation is accepted");
        }
        let nodes = here.0.given.take();
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
