//! The smallest real backend: what it is given it keeps, until an event says what becomes of it.
#![allow(unsafe_code, reason = "keeps a node")]
//! # Safety
//! A node is completed once, because completing takes it out of the slot; `wait` returns when it is done;
//! the harness ends every life before it goes.

use super::inner::{Inner, closed};
use crate::keep::Keep;
use crate::model::event::{Act, Event};
use crate::model::state::At;
use io_core::{Errno, Fd, Node, NodePtr, Phase};
use std::rc::Rc;

// SAFETY: see the top of the file.
unsafe impl Keep for Rc<Inner> {
    fn take(&self, node: Node) {
        self.address.set(Some(node.ptr()));
        let old = self.node.borrow_mut().replace(node);
        if let Some(old) = old {
            let _: NodePtr = old.into_ptr();
            self.fail(format_args!("I5: submitted twice"));
        }
        self.user_window(|at| at == At::Submit);
    }

    fn cancel(&self, node: NodePtr) {
        if Some(node) != self.address.get() {
            self.fail(format_args!("I8: cancel of another node"));
        }
        self.user_window(|at| matches!(at, At::Cancel(_)));
    }

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: the storage is valid during the call, promised by the caller.
        if self.muted(|| unsafe { node.phase() }) == Phase::Done {
            return;
        }
        self.user_window(|at| matches!(at, At::Wait(_)));
        while !self.failed() && !self.is_done() {
            let canceled = Errno::CANCELED.to_result();
            let armed = self.model.get().armed;
            let act = if armed { Act::Disarm } else { Act::CompleteQuiet(canceled) };
            self.must(Event::Act(act));
        }
        self.leaves_wait();
        // After a mismatch nothing is offered any more, and the wait must end all the same.
        self.muted(|| self.completes_at_last());
    }

    fn take_back(&self, node: Node) {
        *self.node.borrow_mut() = Some(node);
    }

    fn closer(&self) -> unsafe fn(Fd) {
        closed
    }

    fn count(&self) -> usize {
        usize::from(self.node.borrow().is_some())
    }

    fn generation(&self) -> u32 {
        self.generation.get()
    }
}

impl Inner {
    /// Completes what is still there, without a word to anybody.
    fn completes_at_last(&self) {
        if let Some(node) = self.node.take() {
            self.timers.borrow_mut().disarm(&node);
            node.complete(Errno::CANCELED.to_result()).run();
        }
    }
}
