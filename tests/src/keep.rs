//! [`Keeper`]: the smallest backend there is. What it is given somebody else keeps, and completes when the test says
//! so; all else of the contract it answers with nothing.
#![allow(unsafe_code, reason = "a backend")]
//! # Safety
//! What completes a node, and when, is its [`Keep`]'s promise; the rest has no effect.

use core::marker::PhantomPinned;
use core::time::Duration;
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, Handle, IoBackend, Node, NodePtr, Op, Route, StopError,
    WakeHandle, Way,
};
use std::rc::Rc;

/// Who keeps the nodes.
///
/// # Safety
/// * Each node that was taken is completed once.
/// * `wait` returns only when the operation is done.
/// * When the keeper is dropped, no node is in here.
pub(crate) unsafe trait Keep {
    /// Takes a node.
    fn take(&self, node: Node);

    /// Asked to end one early.
    fn cancel(&self, node: NodePtr) {
        let _ = node;
    }

    /// Returns when this one is done.
    ///
    /// # Safety
    /// * The node was taken, and its storage is valid during the call.
    unsafe fn wait(&self, node: NodePtr);

    /// An offload gives a node back.
    fn take_back(&self, node: Node) {
        node.complete_stored().run();
    }

    /// What closes a descriptor that nobody has read.
    fn closer(&self) -> unsafe fn(Fd) {
        |_| {}
    }

    /// How many are here.
    fn count(&self) -> usize;

    /// See [`IoBackend::generation`].
    fn generation(&self) -> u32 {
        1
    }
}

/// A backend of what somebody keeps.
pub(crate) struct Keeper<K> {
    kept: K,
    _pinned: PhantomPinned,
}

/// A counted [`Keeper`], which stays as long as one of its operations.
pub(crate) struct Kept<K>(Rc<Keeper<K>>);

impl<K> Kept<K> {
    pub(crate) fn new(kept: K) -> Kept<K> {
        Kept(Rc::new(Keeper { kept, _pinned: PhantomPinned }))
    }

    pub(crate) fn get(&self) -> &K {
        &self.0.kept
    }
}

impl<K> Clone for Kept<K> {
    fn clone(&self) -> Kept<K> {
        Kept(Rc::clone(&self.0))
    }
}

// SAFETY: the reference count keeps the backend in place and alive; it is not `Send`.
unsafe impl<K: Keep> Handle for Kept<K> {
    type Backend = Keeper<K>;

    fn backend(&self) -> &Keeper<K> {
        &self.0
    }
}

// SAFETY: promised by the keeper's `Keep`; the type is `!Unpin`, and the binding is its own.
unsafe impl<K: Keep> IoBackend for Keeper<K> {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        self.kept.take(node);
    }

    unsafe fn cancel(&self, node: NodePtr) {
        self.kept.cancel(node);
    }

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        unsafe { self.kept.wait(node) };
    }

    fn take_back(&self, node: Node) {
        self.kept.take_back(node);
    }

    fn closer(&self) -> unsafe fn(Fd) {
        self.kept.closer()
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
        self.kept.count()
    }

    fn route(&self, _: &Op) -> Route {
        Route { way: Way::Inline, why: "whoever keeps it says when" }
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn generation(&self) -> u32 {
        self.kept.generation()
    }
}
