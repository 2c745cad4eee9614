//! The early end of many: what a cancel operation means, and what a close ends.
//!
//! A close ends what waits on its descriptor, or is queued to wait for it, before the number can be another
//! file's. What only transfers, such as a read of a file, has its file already and goes on; but it does not
//! go again, because then it would look the number up once more (see [`Seat::again`]).
#![allow(unsafe_code, reason = "looks at nodes in lists")]
//! # Safety
//! What looks at the nodes in flight pushes entries and writes scratch words; it leaves the lists alone.

use crate::inbox::Mode;
use crate::seat::{Cancels, Seat, place};
use crate::submit::Known;
use io_core::{Binding, Errno, Fd, IoBackend, Node, OffloadHandle, Scope};

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Asks everything in `scope` to end; how many that were not asked before.
    pub(crate) fn cancel_scope(&self, scope: Scope, known: Known) -> usize {
        if known == Known::Here {
            // What other threads submitted before counts too. A cancel from their side comes behind it.
            self.intake();
        }
        let mut count = self.end_queued(|node| node.op().is_in(scope));
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
        count + self.recall_scope(scope)
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
        self.recall_scope(Scope::Fd(fd));
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

    /// The same at the offload backend.
    pub(crate) fn recall_scope(&self, scope: Scope) -> usize {
        match self.backend.offload.offload() {
            Some(offload) if self.backend.mode.outside() > 0 => {
                offload.recall_all(Binding::address(&self.backend.binding()), scope)
            }
            _ => 0,
        }
    }
}
