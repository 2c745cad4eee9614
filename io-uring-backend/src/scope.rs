//! The early end of many: what a cancel operation means, and what a close ends.
//!
//! A close ends what waits on its descriptor, or is queued to wait for it, before the number can be another
//! file's. What only transfers, such as a read of a file, goes before it: in the order of the entries, of the
//! line at a position, of the turns. What has its file already goes on, but does not go again, because then it
//! would look the number up once more (see [`Seat::again`]).
#![allow(unsafe_code, reason = "looks at nodes in lists")]
//! # Safety
//! What looks at the nodes in flight pushes entries and writes scratch words; it leaves the lists alone.

use crate::UringBackend;
use crate::inbox::Mode;
use crate::list::List;
use crate::probe::Plan;
use crate::seat::{Cancels, Seat, place};
use crate::submit::Known;
use io_core::syscall::perform;
use io_core::{Binding, Errno, Fd, IoBackend, Node, OffloadHandle, Op, OpKind, Scope, Way};

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
        // At a file's position nothing waits; and what has a turn inside poll will see.
        let waits =
            |node: &Node| node.op().interest().is_some() && node.scratch() & place::POSITION == 0;
        self.end_in(&[&self.overflow], |node| waits(node) && node.op().uses(fd));
        let end = |node: &Node| {
            let (op, waits) = (node.op(), waits(node));
            // An open of a FIFO waits for the other side.
            let waits = waits || op.kind() == OpKind::Open && node.scratch() & place::BLOCKS != 0;
            let goes_on = op.kind().never_cancelled() || !waits && is_late(node);
            if op.uses(fd) && !goes_on && node.ask_cancel() && waits {
                self.send_cancel(node);
            }
        };
        // SAFETY: as the top of the file says.
        unsafe { self.in_flight.for_each_on(fd, end) };
        let backend = self.backend;
        // Where the offload backend performs the close, it does this itself.
        if backend.plans.of(OpKind::Close) != Plan::Offload
            && backend.mode.outside() > 0
            && let Some(offload) = backend.offload.offload()
        {
            offload.closing(Binding::address(&backend.binding()), fd);
        }
    }

    /// Begins a close: behind what is in line at its file's position or has its turn before it.
    pub(crate) fn start_close(&self, node: Node, fd: Fd, known: Known) {
        self.end_users(fd);
        if self.awaits_late(fd) {
            node.set_scratch(place::CLOSING);
            return self.closing.push(node);
        }
        let mut line = None;
        let mut turns = self.backend.mode.outside() > 0;
        let in_line = |other: &Node| {
            if other.op().uses(fd) {
                line = Some(other.scratch() >> place::KEY_SHIFT);
            }
            true
        };
        // SAFETY: as the top of the file says.
        unsafe { self.held.for_each(in_line) };
        if let Some(key) = line {
            node.set_scratch(place::HELD | (key << place::KEY_SHIFT));
            return self.held.push(node);
        }
        let has_turn = |other: &Node| {
            turns |= other.op().uses(fd);
            !turns
        };
        // SAFETY: as above.
        unsafe { self.turn.for_each(has_turn) };
        if !turns && self.backend.plans.of(OpKind::Close) == Plan::Ring {
            self.backend.tally.on_ring(OpKind::Close);
            node.set_scratch(place::RING);
            return self.to_ring(node, known);
        }
        node.set_scratch(place::TURN);
        self.turn.push(node);
    }

    /// Whether the ring has, or is about to get, what looks this descriptor up late; their ends let the close
    /// go on.
    fn awaits_late(&self, fd: Fd) -> bool {
        let mut found = false;
        let mut mark = |node: &Node| {
            if node.op().uses(fd) && is_late(node) {
                node.set_scratch(node.scratch() | place::AWAITED);
                found = true;
            }
        };
        // SAFETY: as the top of the file says.
        unsafe { self.in_flight.for_each_on(fd, &mut mark) };
        let mut mark_queued = |node: &Node| {
            mark(node);
            true
        };
        // SAFETY: as above.
        unsafe { self.overflow.for_each(&mut mark_queued) };
        found
    }

    /// One that a close waits for is over: each close looks again, in its turn.
    pub(crate) fn go_on_closing(&self) {
        while let Some(node) = self.closing.pop() {
            node.set_scratch(place::TURN);
            self.turn.push(node);
        }
    }

    /// A close inside poll: when the kernel has every entry that names the descriptor, because one that is
    /// sent later would mean whatever the number means then.
    pub(crate) fn close_in_turn(&self, node: Node, fd: Fd) {
        // Some may have come to wait since.
        self.end_users(fd);
        if self.ring.unsent() > 0 || !self.overflow.is_empty() {
            // An error: the ring is dead, and what was not sent is given up.
            let _: Result<(), Errno> = self.push_out();
            if self.has_unsent(fd) && self.dead.get().is_none() {
                // The kernel is short of something: next time.
                node.set_scratch(place::TURN);
                return self.turn.push(node);
            }
        }
        if self.awaits_late(fd) {
            node.set_scratch(place::CLOSING);
            return self.closing.push(node);
        }
        match self.backend.plans.of(OpKind::Close) {
            // It may have some of the descriptor's, and lets them go first.
            Plan::Ring | Plan::Offload if self.backend.mode.outside() > 0 => self.place_out(node),
            Plan::Ring => {
                self.backend.tally.on_ring(OpKind::Close);
                node.set_scratch(place::RING);
                self.to_ring(node, Known::Elsewhere);
            }
            Plan::Offload => self.place_out(node),
            _ => {
                self.backend.tally.owner.way(Way::Inline).add(1);
                self.backend.tally.owner.syscalls.add(1);
                // SAFETY: the operation of a node that is not completed, in this thread's hands.
                let result = unsafe { perform(node.op()) };
                self.finish(node, result);
            }
        }
    }

    /// Whether an entry that names the descriptor is still to be taken by the kernel.
    fn has_unsent(&self, fd: Fd) -> bool {
        let mut found = false;
        // SAFETY: as the top of the file says.
        unsafe {
            self.in_flight
                .for_each_on(fd, |node| found |= node.op().uses(fd) && self.is_unsent(node));
        }
        let queued = |node: &Node| {
            found |= node.op().uses(fd);
            !found
        };
        // SAFETY: as above.
        unsafe { self.overflow.for_each(queued) };
        found
    }

    /// Whether a cancel that was pushed behind this operation, by another thread, means it: that one counts
    /// it then.
    pub(crate) fn is_cancelled_behind(&self, node: &Node) -> bool {
        if node.op().kind().never_cancelled() {
            return false;
        }
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
        // Who is in line first, so that none of them gets the turn of one that ends here.
        self.end_in(&[&self.held, &self.overflow, &self.turn, &self.asleep], wanted)
    }

    fn end_in(&self, lists: &[&List], wanted: impl Fn(&Node) -> bool) -> usize {
        let wanted = |node: &Node| !node.op().kind().never_cancelled() && wanted(node);
        let mut count = 0;
        for list in lists {
            let mut ended = list.take_all(&wanted);
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

/// Whether a kernel worker runs it from the start, which then looks its descriptor up: after entries that were
/// pushed later. An open looks its directory up wherever it is run.
fn is_late(node: &Node) -> bool {
    let late = matches!(node.op().kind(), OpKind::Fsync | OpKind::Fdatasync | OpKind::Open);
    late || node.scratch() & place::BLOCKS != 0
}
