//! The parts that need private access, under loom: `cfg(io_loom)`, run by `.ci/loom`.
#![allow(
    unsafe_code,
    clippy::std_instead_of_core,
    reason = "shares nodes between the threads of a model"
)]

#[path = "../tests/loom/bell.rs"]
mod bell;
#[path = "../tests/loom/explore.rs"]
mod explore;
mod queues;
mod sink;
mod state;

use crate::context::{Node, NodePtr, SubmitContext};
use crate::op::{Nop, Op};
use crate::sink::Sink;
use crate::state::Phase;
use bell::Bell;
use core::ptr::NonNull;
use core::task::Waker;
use std::sync::Arc;

/// A submitted operation, shared between its caller and its completer.
struct Shared(SubmitContext);

// SAFETY: what is not atomic in a context is exchanged by the protocol that is under test; loom checks each
// access.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Submits with this sink.
    fn submit(sink: Option<Sink>) -> (Arc<Shared>, Node) {
        let shared = Arc::new(Shared(SubmitContext::new(Op::Nop(Nop))));
        if let Some(sink) = sink {
            // SAFETY: idle and empty.
            unsafe { shared.0.set_sink(sink, false) };
        }
        let node = NonNull::from(&shared.0);
        // SAFETY: the storage stays until the last thread is done, and this is its only submission.
        let node = unsafe { Node::submitted(node, 1) };
        (shared, node)
    }

    fn ptr(&self) -> NodePtr {
        NodePtr(NonNull::from(&self.0))
    }

    /// What the caller does as soon as it sees "done": it takes the result, and uses the storage again. A
    /// completer that still looks at a cell is found by loom.
    fn finish(&self) -> i64 {
        assert_eq!(self.0.phase(), Phase::Done);
        // SAFETY: done was just seen.
        let (result, sink) = unsafe { self.0.take_result() };
        drop(sink);
        // SAFETY: the caller owns the node.
        assert!(unsafe { self.0.reset() }.is_none());
        // SAFETY: idle and empty; a callback needs no drop.
        unsafe { self.0.set_sink(Sink::Callback(|_, _| (), core::ptr::null_mut()), false) };
        result
    }

    /// Polls until it is done.
    fn wait(&self, waker: &Waker, bell: &Bell) {
        while self.0.register(waker).is_pending() {
            bell.wait();
            // It may have rung itself, because the completer is about to be done: let it.
            loom::thread::yield_now();
        }
    }

    /// Polls with one waker until it is done, and takes the result.
    fn poll(&self, bell: &Arc<Bell>) -> i64 {
        let waker = Waker::from(Arc::clone(bell));
        self.wait(&waker, bell);
        self.finish()
    }
}
