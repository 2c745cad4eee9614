//! The early end of many: what a cancel operation means, and what a close ends.
//!
//! A close ends what waits on its descriptor, or is queued to wait for it, before the number can be another
//! file's. What only transfers, such as a read of a file, has its file already and goes on; but it does not
//! go again, because then it would look the number up once more (see [`Seat::again`]).
#![allow(unsafe_code, reason = "looks at nodes in lists")]
//! # Safety
//! What looks at the nodes in flight pushes entries and writes scratch words; it leaves the lists alone.

use crate::UringBackend;
use crate::inbox::Mode;
use crate::probe::Plan;
use crate::seat::{Cancels, Seat, place};
use crate::submit::Known;
use io_core::{Binding, Errno, Fd, IoBackend, Node, OffloadHandle, Op, OpKind, Scope};

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Asks everything in `scope` to end; how many that were not asked before. A cancel from another thread
    /// has asked at the offload backend before it was pushed: what came there since is not meant.
    pub(crate) fn cancel_scope(&self, scope: Scope, known: Known) -> usize {
        let mut count = 0;
        if known == Known::Here {
            // What other threads submitted before counts too. A cancel from their side comes behind it.
            self.intake();
            count = self.backend.recall_scope(scope);
        }
        count += self.end_queued(|node| node.op().is_in(scope));
        let ask = |node: &Node| {
            let meant = !node.op().kind().never_cancelled() && node.op().is_in(scope);
            if meant && node.ask_cancel() {
                count += 1;
                self.send_cancel(node);
            }
            true
        };
        // SAFETY: as the top of the file says.
        unsafe { self.in_flight.for_each(ask) };
        count
    }

    /// Ends what waits on a descriptor, or is queued to, before it is closed. Looks at those in flight only
    /// that share its bucket.
    pub(crate) fn end_users(&self, fd: Fd) {
        self.end_queued(|node| node.op().interest().is_some() && node.op().uses(fd));
        let end = |node: &Node| {
            let op = node.op();
            // At a file's position nothing waits.
            let waits = op.interest().is_some() && node.scratch() & place::POSITION == 0;
            if op.uses(fd) && !op.kind().never_cancelled() && node.ask_cancel() && waits {
                self.send_cancel(node);
            }
        };
        // SAFETY: as the top of the file says.
        unsafe { self.in_flight.for_each_on(fd, end) };
        // Where the offload backend performs the close, it does the same.
        if self.backend.plans.of(OpKind::Close) == Plan::Ring {
            self.backend.recall_scope(Scope::Fd(fd));
        }
    }

    /// Whether a cancel that was pushed behind this operation, by another thread, means it: that one counts
    /// it then.
    pub(crate) fn is_cancelled_behind(&self, node: &Node) -> bool {
        let mut found = false;
        let look = |other: &Node| {
            if let Op::Cancel(cancel) = other.op() {
                found |= node.op().is_in(cancel.scope);
                if found && node.ask_cancel() {
                    other.set_result(other.result() + 1);
                }
            }
            !found
        };
        // SAFETY: as the top of the file says.
        unsafe { self.taken.for_each(look) };
        found
    }

    fn send_cancel(&self, node: &Node) {
        if !self.try_cancel(node, 1) {
            self.want_cancels(Cancels::First);
        }
    }

    /// Ends what waits in our own lists and is `wanted` to; how many of them were not asked before.
    pub(crate) fn end_queued(&self, wanted: impl Fn(&Node) -> bool) -> usize {
        let wanted = |node: &Node| !node.op().kind().never_cancelled() && wanted(node);
        let mut count = 0;
        // Who is in line first, so that none of them gets the turn of one that ends here.
        for list in [&self.held, &self.overflow, &self.turn, &self.asleep] {
            let mut ended = list.take_all(wanted);
            while let Some(node) = ended.pop() {
                count += usize::from(node.ask_cancel());
                self.finish(node, Errno::CANCELED.to_result());
            }
        }
        count
    }
}

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The same at the offload backend, from any thread.
    pub(crate) fn recall_scope(&self, scope: Scope) -> usize {
        match self.offload.offload() {
            Some(offload) if self.mode.outside() > 0 => {
                offload.recall_all(Binding::address(&self.binding()), scope)
            }
            _ => 0,
        }
    }
}
