//! From a node to the place where it waits or runs. Nothing here blocks, enters the ring, or runs a waker
//! or callback.
#![allow(unsafe_code, reason = "describes memory to the kernel")]
//! # Safety
//! What is pushed on the ring for a node points to what its descriptor points to, which is valid until the
//! node is completed, and that happens after the CQE.

use crate::UringBackend;
use crate::checks::{check, is_proven};
use crate::encode::{encode, readiness};
use crate::identity::{awaited_file, keep};
use crate::inbox::Mode;
use crate::position;
use crate::probe::{Plan, own_way, turn_way};
use crate::reap::note_stale;
use crate::ring::Sqe;
use crate::seat::{Seat, place};
use crate::token::Token;
use io_core::syscall::{now_ns, perform};
use io_core::{Errno, Node, NodePtr, OffloadHandle, Op, OpKind, Way};

/// Whether other threads may know a node already, so that its state needs an atomic exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Inside its own submit.
    Here,
    /// Its caller may cancel it or look for it.
    Elsewhere,
}

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The contract's `submit`.
    #[inline]
    pub(crate) fn accept(&self, node: Node) {
        match self.seat() {
            Some(seat) => seat.accept(node),
            None => self.accept_elsewhere(node),
        }
    }

    /// On another thread than the owner's: what needs the ring goes to the inbox.
    fn accept_elsewhere(&self, node: Node) {
        // A stop that began waits until we have left, and then looks into the inbox.
        let _visit = self.mode.visit();
        self.tally.anybody.submitted.add_shared(1);
        let kind = node.op().kind();
        if let Some(result) = self.at_once(&node) {
            if !node.has_callback() {
                self.tally.anybody.delivered.add_shared(1);
                return node.complete_inline(result);
            }
            node.set_result(result);
            node.set_scratch(place::DONE);
        } else if self.plans.of(kind) == Plan::Offload && !node.is_timed() && kind != OpKind::Close
        {
            // The owner keeps the deadlines, and ends what waits on a descriptor before its close.
            self.tally.anybody.way(Way::Offload).add_shared(1);
            return self.send_out(node);
        } else {
            if let Op::Cancel(cancel) = node.op() {
                let recalled = self.recall_scope(cancel.scope);
                node.set_result(i64::try_from(recalled).unwrap_or(i64::MAX));
            }
            node.set_scratch(place::FRESH);
        }
        self.mode.push(node);
        self.nudge();
    }

    /// Lets the owner look into the inbox.
    pub(crate) fn nudge(&self) {
        if self.wake.nudge() {
            self.tally.anybody.syscalls.add_shared(1);
        }
    }

    /// Hands an operation to the offload backend.
    fn send_out(&self, node: Node) {
        match self.offload.offload() {
            Some(offload) => {
                self.mode.went_out();
                offload.accept(node);
            }
            // `OffloadHandle` gives the same answer for ever, and the plan was made from it.
            None => debug_assert!(false, "an offload plan without an offload"),
        }
    }

    /// The result of an operation that ends inside submit: refused, wrong, or never blocking.
    #[inline]
    fn at_once(&self, node: &Node) -> Option<i64> {
        let op = node.op();
        if self.gate.refuses() {
            return Some(self.refuse(node));
        }
        if node.overdue(now_ns) {
            return Some(Errno::CANCELED.to_result());
        }
        match self.plans.of(op.kind()) {
            // SAFETY: the operation of a node that is not completed.
            Plan::Ring => unsafe { check(op, &self.tally.anybody.syscalls) },
            Plan::Inline => Some(self.perform_inline(node)),
            Plan::Offload | Plan::Turn | Plan::Own => None,
        }
    }

    /// A stopped backend cancels everything but a close, which would leak its descriptor.
    pub(crate) fn refuse(&self, node: &Node) -> i64 {
        if node.op().kind().never_cancelled() {
            self.perform_inline(node)
        } else {
            Errno::CANCELED.to_result()
        }
    }

    fn perform_inline(&self, node: &Node) -> i64 {
        let side = &self.tally.anybody;
        side.way(Way::Inline).add_shared(1);
        side.syscalls.add_shared(u64::from(node.op().kind() != OpKind::Nop));
        // SAFETY: the operation of a node that is not completed.
        unsafe { perform(node.op()) }
    }
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    #[inline]
    fn accept(&self, node: Node) {
        let backend = self.backend;
        backend.tally.owner.submitted.add(1);
        let kind = node.op().kind();
        if node.is_timed() || backend.gate.refuses_owner() || !self.overflow.is_empty() {
            return self.accept_slowly(node);
        }
        let straight = backend.plans.goes_straight(kind)
            || is_proven(node.op()) && backend.plans.of(kind) == Plan::Ring;
        if straight {
            return self.start_straight(node, kind);
        }
        self.accept_slowly(node);
    }

    #[cold]
    fn accept_slowly(&self, node: Node) {
        match self.backend.at_once(&node) {
            Some(result) => self.finish_inline(node, result),
            None => self.place(node, Known::Here),
        }
    }

    /// [`start`](Self::start) for the common case: inside submit, nothing to check, nobody waiting for
    /// room.
    #[inline(always)]
    fn start_straight(&self, node: Node, kind: OpKind) {
        self.backend.tally.on_ring(kind);
        let number = self.pushed.get();
        let sqe = encode(node.op());
        let fd = sqe.fd();
        // SAFETY: as in `push_node`.
        if !unsafe { self.push_sqe(sqe, token_of(node.ptr(), fd)) } {
            return self.let_wait(node);
        }
        node.set_result(number.cast_signed());
        node.begin_unshared();
        if fd < 0 {
            node.set_scratch(place::RING);
            self.in_flight.push(node);
        } else {
            self.in_flight.file(node, fd, place::RING);
        }
    }

    /// Keeps a node whose entry was pushed with this descriptor.
    fn enlist(&self, node: Node, fd: i32) {
        let word = node.scratch() & !(place::BUCKET | place::FILED);
        if fd < 0 {
            node.set_scratch(word);
            self.in_flight.push(node);
        } else if word & place::WAITS != 0 {
            self.in_flight.file_wait(node, fd, word);
        } else {
            self.in_flight.file(node, fd, word);
        }
    }

    /// Begins the way of an operation through the ring.
    fn start(&self, node: Node, kind: OpKind, known: Known) {
        self.backend.tally.on_ring(kind);
        node.set_scratch(place::RING);
        if position::KINDS.has(kind) {
            return self.start_at_position(node, known);
        }
        if kind == OpKind::Poll {
            node.set_scratch(place::RING | place::WAITS);
        }
        self.to_ring(node, known);
    }

    /// An operation that ends inside its own submit.
    fn finish_inline(&self, node: Node, result: i64) {
        if node.has_callback() {
            node.set_result(result);
            node.set_scratch(place::READY);
            self.ready.push(node);
        } else {
            self.backend.tally.owner.delivered.add(1);
            node.complete_inline(result);
        }
    }

    /// Puts an operation that other threads may know where its plan says.
    pub(crate) fn place_known(&self, node: Node) {
        self.place(node, Known::Elsewhere);
    }

    fn place(&self, node: Node, known: Known) {
        let backend = self.backend;
        let kind = node.op().kind();
        let plan = backend.plans.of(kind);
        if plan == Plan::Own {
            return self.run_own(node, known);
        }
        if let Op::Close(close) = *node.op() {
            return self.start_close(node, close.fd, known);
        }
        if node.is_timed() {
            self.clock.arm(&node);
        }
        match plan {
            Plan::Ring => self.start(node, kind, known),
            Plan::Offload => self.place_out(node),
            Plan::Turn | Plan::Inline | Plan::Own => {
                backend.tally.owner.way(turn_way(node.op())).add(1);
                node.set_scratch(place::TURN);
                self.turn.push(node);
            }
        }
    }

    /// To the offload backend, from the owner's hands.
    pub(crate) fn place_out(&self, node: Node) {
        let backend = self.backend;
        if self.is_cancelled_behind(&node) {
            return self.finish(node, Errno::CANCELED.to_result());
        }
        backend.tally.owner.way(Way::Offload).add(1);
        let ptr = node.ptr();
        let _visit = backend.mode.visit();
        backend.send_out(node);
        // A cancel from another thread may have looked for it there before it was.
        // SAFETY: it comes home by way of this thread, so it is not done, and its storage valid.
        let view = unsafe { ptr.into_node() };
        let cancelled = view.cancel_asked();
        let _: NodePtr = view.into_ptr();
        if let Some(offload) = backend.offload.offload().filter(|_| cancelled) {
            // SAFETY: accepted just before, and valid as argued above.
            unsafe { offload.recall(ptr) };
        }
    }

    /// Ends an operation that the ring does not see.
    pub(crate) fn end_at_once(&self, node: Node, result: i64, known: Known) {
        match known {
            Known::Here => {
                if node.is_timed() {
                    self.clock.disarm(&node);
                }
                self.finish_inline(node, result);
            }
            Known::Elsewhere => self.finish(node, result),
        }
    }

    /// What the owner does itself.
    fn run_own(&self, node: Node, known: Known) {
        self.backend.tally.owner.way(own_way(node.op().kind())).add(1);
        match *node.op() {
            Op::Cancel(cancel) => {
                let count = self.cancel_scope(cancel.scope, known);
                // And what its submitter has asked.
                let result = node.result() + i64::try_from(count).unwrap_or(i64::MAX);
                self.end_at_once(node, result, known);
            }
            _ => self.fall_asleep(node, known),
        }
    }

    fn fall_asleep(&self, node: Node, known: Known) {
        self.clock.arm(&node);
        begin(&node, known);
        node.set_scratch(place::ASLEEP);
        self.asleep.push(node);
    }

    /// Pushes a node's entry, or lets it wait for room, behind those that wait already. The node is
    /// queued, and its scratch word says with its flags what the entry is to be.
    #[inline]
    pub(crate) fn to_ring(&self, node: Node, known: Known) {
        if !self.overflow.is_empty() {
            return self.let_wait(node);
        }
        let Some(fd) = self.push_node(&node) else { return self.let_wait(node) };
        begin(&node, known);
        self.enlist(node, fd);
    }

    #[cold]
    fn let_wait(&self, node: Node) {
        node.set_scratch((node.scratch() & !place::MASK) | place::OVERFLOW);
        self.overflow.push(node);
        let high_water = &self.backend.tally.overflow_high_water;
        if self.overflow.len() as u64 > high_water.get() {
            high_water.set(self.overflow.len());
        }
    }

    /// As [`to_ring`](Self::to_ring), for a node that is in flight and has to go again. If it is to end, it
    /// does: also because its descriptor's number may be another file's by now, see
    /// [`end_users`](Self::end_users).
    pub(crate) fn again(&self, node: Node, flags: u32) {
        if self.unwanted(&node) {
            return self.finish(node, Errno::CANCELED.to_result());
        }
        let word = node.scratch();
        if word & place::CANCELS != 0 {
            self.end_cancelling();
        }
        node.set_scratch(place::RING | flags | (word & place::KEPT));
        node.requeue();
        self.to_ring(node, Known::Elsewhere);
    }

    /// Waits in the ring until a queued operation's descriptor is ready.
    pub(crate) fn await_readiness(&self, node: Node) {
        if self.unwanted(&node) {
            return self.finish(node, Errno::CANCELED.to_result());
        }
        let wait = note_stale(&node);
        node.set_scratch(place::RING | wait | (node.scratch() & place::KEPT));
        self.to_ring(node, Known::Elsewhere);
    }

    /// Moves what waits for room to the ring, while there is room.
    pub(crate) fn drain_overflow(&self) {
        while let Some(node) = self.overflow.pop() {
            let flags = node.scratch() & !place::MASK;
            let Some(fd) = self.push_node(&node) else { return self.overflow.push_front(node) };
            node.set_scratch(flags | place::RING);
            node.begin();
            self.enlist(node, fd);
        }
    }

    /// Pushes a node's entry. The descriptor to [enlist](Self::enlist) it under; `None` if there is no room.
    fn push_node(&self, node: &Node) -> Option<i32> {
        let number = self.pushed.get();
        let (sqe, token, fd) = if node.scratch() & (place::WAITS | place::BLOCKS) == 0 {
            let sqe = encode(node.op());
            (sqe, token_of(node.ptr(), sqe.fd()), sqe.fd())
        } else {
            slow_entry(node)
        };
        // SAFETY: what the entry points to is valid until the node is completed (I1, I2), which is after
        // its CQE.
        if !unsafe { self.push_sqe(sqe, token) } {
            return None;
        }
        // Until the real result comes: which entry this is, to know whether the kernel has it.
        node.set_result(number.cast_signed());
        if matches!(token, Token::Ready(_)) {
            self.backend.tally.owner.syscalls.add(1);
            node.set_result(keep(awaited_file(node.op()), number));
        }
        Some(fd)
    }

    /// Pushes an entry of the ring's own or of a node.
    ///
    /// # Safety
    /// * What it points to stays valid until its CQE came back.
    #[inline]
    pub(crate) unsafe fn push_sqe(&self, sqe: Sqe, token: Token) -> bool {
        // SAFETY: promised by the caller.
        let room = unsafe { self.ring.push(sqe, token.encode()) };
        self.pushed.set(self.pushed.get() + u64::from(room));
        room
    }

    /// A result is known: tells nobody if there is nobody, else leaves it for the next delivery.
    pub(crate) fn finish(&self, node: Node, result: i64) {
        self.finish_reaped(node, result);
    }

    /// What an operation with this scratch word leaves behind when it is done.
    #[cold]
    pub(crate) fn leave(&self, word: u32) {
        if word & place::CANCELS != 0 {
            self.end_cancelling();
        }
        if word & place::AWAITED != 0 {
            self.go_on_closing();
        }
        if word & place::POSITION != 0 {
            self.pass_position(word);
        }
    }

    /// Out of the way of the many that have nothing to leave.
    #[cold]
    fn leave_mended(&self, node: &Node, word: u32, result: i64) {
        self.mend_position(node, result);
        self.leave(word);
    }

    /// [`finish`](Self::finish), inline for the one place where it matters.
    #[inline(always)]
    pub(crate) fn finish_reaped(&self, node: Node, result: i64) {
        let word = node.scratch();
        if word & (place::POSITION | place::CANCELS | place::AWAITED) != 0 {
            self.leave_mended(&node, word, result);
        }
        if node.is_timed() {
            self.clock.disarm(&node);
        }
        match node.complete_quiet(result) {
            Ok(waiter) => {
                self.backend.tally.owner.delivered.add(1);
                self.quiet.set(self.quiet.get() + 1);
                if waiter {
                    self.announce();
                }
            }
            Err(node) => {
                node.set_scratch(place::READY);
                self.ready.push(node);
            }
        }
    }

    /// Tells threads that block for an operation to look at it again.
    pub(crate) fn announce(&self) {
        self.backend.mode.announce();
        self.backend.tally.owner.syscalls.add(1);
    }
}

/// Queued → in flight.
fn begin(node: &Node, known: Known) {
    match known {
        Known::Here => node.begin_unshared(),
        Known::Elsewhere => node.begin(),
    }
}

/// The token of a node whose entry has this descriptor.
#[inline]
pub(crate) fn token_of(node: NodePtr, fd: i32) -> Token {
    if fd < 0 { Token::Op(node) } else { Token::Filed(node) }
}

/// The entry of a node that waits for readiness, or goes to a kernel worker.
#[cold]
fn slow_entry(node: &Node) -> (Sqe, Token, i32) {
    if node.scratch() & place::WAITS == 0 {
        let sqe = encode(node.op()).blocking();
        return (sqe, token_of(node.ptr(), sqe.fd()), sqe.fd());
    }
    let wait = readiness(node.op());
    let sqe = if node.scratch() & place::WAS_READY != 0 { Sqe::pause() } else { wait };
    // Its token does not say whether it is filed: it always is, under its descriptor.
    (sqe, Token::Ready(node.ptr()), wait.fd().max(0))
}
