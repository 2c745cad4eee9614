//! Early ends: cancel of one operation and of many, and deadlines that pass.
#![allow(unsafe_code, reason = "looks at nodes by address")]
//! # Safety
//! The caller of `cancel` keeps the node's storage valid; a node whose timer is armed is owned by this
//! backend, and its storage valid while the lock is held.

use crate::backend::EpollBackend;
use crate::early::Found;
use crate::run::Turn;
use io_core::sync::Ordering;
use io_core::syscall::now_ns;
use io_core::{InFlight, IoBackend, NodePtr, OffloadHandle, RawLock, Scope};

/// What became of an operation whose deadline has passed.
enum Due {
    Found(Found),
    /// The offload backend is to be asked.
    Away(NodePtr),
}

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// The contract's `cancel`.
    ///
    /// # Safety
    /// * The node was submitted here, and its storage is valid during the call.
    pub(crate) unsafe fn ask_cancel(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        if self.is_forked() || unsafe { node.kind() }.never_cancelled() {
            return;
        }
        // SAFETY: promised by the caller; what is done is in no list, or held.
        match self.queues(|queues| unsafe { queues.withdraw(node) }) {
            Found::Here(node) => {
                self.refuse(node, Turn::Reap);
            }
            Found::Held => {}
            // SAFETY: promised by the caller.
            Found::Away => unsafe { self.recall(node) },
        }
    }

    /// Asks everything in `scope` to end early; how many were asked.
    pub(crate) fn cancel_in(&self, scope: Scope) -> usize {
        let (mut withdrawn, asked) = self.queues(|queues| queues.cancel_all(scope));
        while let Some(node) = withdrawn.pop() {
            self.refuse(node, Turn::Reap);
        }
        asked + self.recall_all(scope)
    }

    /// Ends what is overdue; what a thread has ends when the thread is done with it.
    pub(crate) fn expire(&self) {
        // Ordering: SeqCst, as the epoch of the parking place: who arms stores first and then raises it.
        if self.timed.load(Ordering::SeqCst) == 0 {
            return;
        }
        let now = now_ns();
        while let Some(due) = self.queues(|queues| {
            let node = queues.timers.expire(now)?;
            // SAFETY: its timer was armed, so it is owned and not done.
            Some(match unsafe { queues.withdraw(node) } {
                Found::Away => {
                    queues.recalling += 1;
                    Due::Away(node)
                }
                found => Due::Found(found),
            })
        }) {
            match due {
                Due::Found(Found::Here(node)) => {
                    self.refuse(node, Turn::Reap);
                }
                Due::Found(_) => {}
                // SAFETY: found away under the lock that raised `recalling`.
                Due::Away(node) => unsafe { self.recall_overdue(node) },
            }
        }
    }

    /// The contract's `dump`.
    pub(crate) fn list(&self, out: &mut [InFlight]) -> usize {
        if self.is_forked() {
            return 0;
        }
        self.queues(|queues| queues.dump(out, |node| self.route(node.op()).way))
    }
}
