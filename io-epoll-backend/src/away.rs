//! What the offload backend has: how a node gets there, comes home, and is asked for.
//!
//! A node at the offload backend is in none of our lists, and its scratch word is not ours; we know only how
//! many there are. Its timer stays in our heap.
#![allow(unsafe_code, reason = "asks the offload backend for a node by address")]
//! # Safety
//! While a thread asks for a node whose deadline has passed, what comes home is kept in `late` and not
//! completed, so the node's storage stays valid.

use crate::backend::EpollBackend;
use crate::note::{Place, Stage, set};
use crate::run::Turn;
use io_core::readiness::give_way;
use io_core::{Fd, Node, NodePtr, Offload, OffloadHandle, Op, RawLock, Scope, Way, op};

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// The offload backend, if there is one with somebody to perform what it is given: a pool without workers
    /// would keep it until somebody polls the pool.
    pub(crate) fn helper(&self) -> Option<&dyn Offload> {
        const BLOCKS: Op = Op::Fsync(op::Fsync { fd: Fd::new(-1) });
        self.offload.offload().filter(|offload| offload.route(&BLOCKS).way == Way::Offload)
    }

    /// Gives a new operation to the offload backend.
    pub(crate) fn hand_over(&self, node: Node) {
        let admitted = self.queues(|queues| {
            let node = queues.admit(node)?;
            if queues.is_behind(&node) {
                queues.push_work(node, Stage::Block);
                return Ok(None);
            }
            queues.go_away();
            Ok(Some(node))
        });
        match admitted {
            Ok(node) => node.into_iter().for_each(|node| self.accept(node)),
            Err(node) => {
                self.refuse(node, Turn::Reap);
            }
        }
    }

    /// Brings a node to the offload backend that is counted as away.
    pub(crate) fn accept(&self, node: Node) {
        match self.offload.offload() {
            Some(offload) => offload.accept(node),
            None => debug_assert!(false, "nothing goes away without an offload"),
        }
        self.queues(|queues| queues.handing -= 1);
    }

    /// The contract's `take_back`, on a thread of the offload's. Once the last touch is done, which is the
    /// opening of the lock, the backend may be gone.
    pub(crate) fn come_home(&self, node: Node) {
        if self.is_forked() {
            return;
        }
        let node = self.queues(|queues| {
            queues.away -= 1;
            queues.bringing += 1;
            queues.timers.disarm(&node);
            if queues.recalling == 0 {
                set(&node, Place::Nowhere, Stage::Fresh);
                return Some(node);
            }
            set(&node, Place::Ready, Stage::Fresh);
            queues.late.push(node);
            None
        });
        if let Some(node) = node {
            self.count.way(Way::Offload);
            let result = node.result();
            self.finish(node, result, Turn::Reap);
        }
        self.queues(|queues| queues.bringing -= 1);
    }

    /// Waits until no thread is on its way to the offload backend: from then on it knows what is away.
    pub(crate) fn await_handing(&self) {
        while self.queues(|queues| queues.handing) > 0 {
            give_way();
        }
    }

    /// Asks the offload backend for a node by the address its caller vouches for.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn recall(&self, node: NodePtr) {
        self.await_handing();
        if let Some(offload) = self.offload.offload() {
            // SAFETY: promised by the caller.
            unsafe { offload.recall(node) };
        }
    }

    /// Asks for a node whose deadline has passed; `recalling` was raised under the lock that found it.
    ///
    /// # Safety
    /// * The node was away at that moment.
    pub(crate) unsafe fn recall_overdue(&self, node: NodePtr) {
        // SAFETY: it cannot complete before `recalling` is lowered, see the top.
        unsafe { self.recall(node) };
        self.queues(|queues| {
            queues.recalling -= 1;
            while queues.recalling == 0
                && let Some(node) = queues.late.pop()
            {
                queues.push_ready(node);
            }
        });
        self.park.notify_others();
    }

    /// Asks the offload backend for everything of ours in `scope`; how many were asked.
    pub(crate) fn recall_all(&self, scope: Scope) -> usize {
        let Some(offload) = self.offload.offload() else { return 0 };
        self.await_handing();
        if self.queues(|queues| queues.away) == 0 {
            return 0;
        }
        offload.recall_all(self.address(), scope)
    }

    /// Ends what waits on this descriptor: it is about to be closed. What is queued to be tried is done before,
    /// and what waits at the offload ends when that performs the close.
    pub(crate) fn end_waiting(&self, fd: Fd) {
        let mut withdrawn = self.queues(|queues| queues.withdraw_waiting(fd));
        while let Some(node) = withdrawn.pop() {
            self.refuse(node, Turn::Reap);
        }
    }
}
