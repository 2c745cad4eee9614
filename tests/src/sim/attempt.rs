//! The kernel's tries: which operation next, how much it moves, what it fails with.
#![allow(unsafe_code, reason = "performs operations, and writes where the kernel may")]
//! # Safety
//! An operation is performed only while its flight is open, so its memory is valid (I1, I2).

use super::errnos::{errnos, is_possible};
use super::flight::{Asked, Flight, Stage};
use super::kernel::Kernel;
use super::log::What;
use crate::world::{FileKind, Outcome};
use io_core::{Errno, Node, Op, OpKind};

/// What came of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tried {
    /// The result.
    Done(i64),
    /// It has moved some, and goes on.
    Partly,
    /// It would block.
    Blocked,
}

impl Kernel {
    /// Tries what may be tried, in the adversary's order, until nothing comes of it.
    pub(super) fn try_all(&mut self) -> bool {
        let mut any = false;
        loop {
            let may: Vec<u64> = self.candidates();
            if may.is_empty() {
                return any;
            }
            // It may have enough for now.
            if self.plan.few && self.choices.chance(8) {
                self.held_back = true;
                return any;
            }
            let at = if self.plan.reorder { self.choices.index(may.len()) } else { 0 };
            any |= self.try_one(may[at]);
        }
    }

    /// What may be tried now.
    fn candidates(&self) -> Vec<u64> {
        let now = self.now_ns();
        let mut may = Vec::new();
        for (seq, flight) in &self.flights {
            let due = match flight.stage {
                Stage::Running => flight.due_ns <= now,
                Stage::Waiting => self.is_ready(flight),
                Stage::Queued | Stage::Late | Stage::Ready => false,
            };
            if due && !flight.tried && !self.has_before(*seq, flight) {
                may.push(*seq);
                if !self.plan.reorder {
                    break;
                }
            }
        }
        may
    }

    fn is_ready(&self, flight: &Flight) -> bool {
        let Some((fd, interest)) = flight.op.interest() else { return false };
        !self.means_another(flight)
            && self.world.with(|world| !world.ready(fd, interest.events()).is_empty())
    }

    /// Whether its turn has not come in its direction.
    pub(super) fn has_before(&self, seq: u64, flight: &Flight) -> bool {
        self.plan.in_order
            && flight.lane().is_some_and(|lane| {
                let mut before = self.flights.range(..seq).map(|(_, before)| before);
                before.any(|before| before.is_open() && before.lane() == Some(lane))
            })
    }

    /// Whether one of its numbers has become another file's, or nobody's, behind the backend's back.
    fn means_another(&self, flight: &Flight) -> bool {
        let mut stamps = flight.stamps.iter().filter(|(_, stamp)| stamp.is_some());
        self.world.with(|world| stamps.any(|(fd, stamp)| world.stamp(*fd) != *stamp))
    }

    /// Tries one. Whether it has a result or has moved something.
    fn try_one(&mut self, seq: u64) -> bool {
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.tried = true;
        }
        match self.attempt(seq) {
            Tried::Done(result) => {
                self.land_own(seq, result);
                true
            }
            Tried::Partly => true,
            Tried::Blocked => {
                self.wait(seq);
                false
            }
        }
    }

    /// Tries one that is asked to end early. Whether it has its own result.
    pub(super) fn try_now(&mut self, seq: u64) -> bool {
        let Some(flight) = self.flights.get(&seq) else { return false };
        if flight.kind == OpKind::Timeout || self.has_before(seq, flight) {
            return false;
        }
        if let Tried::Done(result) = self.attempt(seq) {
            self.land_own(seq, result);
            return true;
        }
        false
    }

    /// Its own result, whoever asked for its end meanwhile.
    pub(super) fn land_own(&mut self, seq: u64, result: i64) {
        self.lose(seq);
        self.land(seq, result);
    }

    /// A cancel comes too late.
    pub(super) fn lose(&mut self, seq: u64) {
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        if flight.question.take().is_some_and(|question| !question.ours) {
            flight.asked = Asked::Lost;
            self.note(What::CancelLost { seq });
        }
    }

    /// It would block.
    pub(super) fn wait(&mut self, seq: u64) {
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        flight.waited = true;
        if flight.stage == Stage::Running {
            flight.stage = Stage::Waiting;
            self.note(What::WouldBlock { seq });
        }
        // Some backends wait with what they have not given to the kernel.
        if self.plan.inline && self.choices.chance(2) {
            self.view(seq, Node::requeue);
            if let Some(flight) = self.flights.get_mut(&seq) {
                flight.parked = true;
            }
        }
    }

    /// One try: the system call, as far as the adversary lets it come.
    pub(super) fn attempt(&mut self, seq: u64) -> Tried {
        self.begin_this(seq);
        let Some(flight) = self.flights.get(&seq) else { return Tried::Blocked };
        let op = flight.op;
        match &op {
            Op::Nop(_) => return Tried::Done(0),
            Op::Timeout(_) => return Tried::Blocked,
            Op::Cancel(cancel) => return Tried::Done(self.cancel_in(cancel.scope, seq)),
            Op::Close(close) => self.before_close(seq, close.fd),
            _ if self.means_another(flight) => {
                return self.bare(seq);
            }
            _ => {}
        }
        if let Some(errno) = self.failure(seq, &op) {
            self.note(What::Injected { seq, errno });
            if op.kind() == OpKind::Close {
                // The number is free all the same. It was open, or this would not be its error.
                let closed = self.call(seq, usize::MAX);
                debug_assert_eq!(closed, Outcome::Done(0));
            }
            return Tried::Done(errno.to_result());
        }
        self.scribble(seq);
        let limit = self.limit(seq, &op);
        match self.call(seq, limit) {
            Outcome::Wait => self.blocked(seq),
            Outcome::Done(result) => self.moved(seq, result),
        }
    }

    /// Its number was closed behind the backend's back. It belongs to the file that the number meant at submit: what
    /// can wait waits for that, which nobody can see any more, and what cannot has come too late.
    fn bare(&self, seq: u64) -> Tried {
        let Some(flight) = self.flights.get(&seq) else { return Tried::Blocked };
        match i64::try_from(flight.done) {
            Ok(done) if done > 0 => Tried::Done(done),
            _ if flight.op.interest().is_some() => Tried::Blocked,
            _ => Tried::Done(Errno::BADF.to_result()),
        }
    }

    /// The call itself.
    fn call(&mut self, seq: u64, limit: usize) -> Outcome {
        let Some(flight) = self.flights.get(&seq) else { return Outcome::Wait };
        let mut vectors = Vec::new();
        let rest = flight.rest(&mut vectors);
        let again = flight.waited;
        self.world.with(|world| {
            if again {
                // SAFETY: the flight is open, so the submitter's promise about its memory holds; `vectors`
                // outlives the call.
                unsafe { world.perform_again(&rest, limit) }
            } else {
                // SAFETY: as above.
                unsafe { world.perform(&rest, limit) }
            }
        })
    }

    /// What has moved something does not wait to move more, unless it was told to.
    fn blocked(&self, seq: u64) -> Tried {
        match self.flights.get(&seq) {
            Some(flight) if flight.done > 0 && !flight.waits_for_all() => {
                Tried::Done(i64::try_from(flight.done).unwrap_or(i64::MAX))
            }
            _ => Tried::Blocked,
        }
    }

    /// What becomes of a result: the end, or some of it.
    fn moved(&mut self, seq: u64, result: i64) -> Tried {
        let Some(flight) = self.flights.get_mut(&seq) else { return Tried::Blocked };
        let before = flight.done;
        let (Some(left), Ok(bytes)) = (flight.left(), usize::try_from(result)) else {
            // An error behind some bytes: those are the result.
            let done = i64::try_from(before).unwrap_or(i64::MAX);
            return Tried::Done(if result < 0 && before > 0 { done } else { result });
        };
        let all = before + bytes;
        let total = i64::try_from(all).unwrap_or(i64::MAX);
        let stream = self.world.with(|world| world.is_stream(flight.stamps[0].0));
        let more = stream && bytes > 0 && bytes < left && flight.consumes();
        // A read that has something is over: another one in flight may not come in between.
        let goes_on =
            matches!(flight.op, Op::Write(_) | Op::Writev(_) | Op::Send(_) | Op::Sendfile(_));
        let goes_on = goes_on && self.plan.shorten && self.choices.chance(3);
        if !more || !(flight.waits_for_all() || goes_on) {
            return Tried::Done(total);
        }
        flight.done = all;
        flight.stage = Stage::Running;
        flight.tried = false;
        let (now, deadline) = (flight.due_ns, flight.deadline_ns);
        let due_ns = self.due(deadline).max(now);
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.due_ns = due_ns;
        }
        self.note(What::Moved { seq, bytes });
        Tried::Partly
    }

    /// What the call is made to fail with.
    fn failure(&self, seq: u64, op: &Op) -> Option<Errno> {
        let one_in = self.plan.errno_one_in;
        let on = op.fd().and_then(|fd| self.world.with(|world| world.kind(fd)));
        let all = errnos(op.kind(), on);
        let flight = self.flights.get(&seq)?;
        if one_in == 0 || all.is_empty() || flight.done > 0 || !self.choices.chance(one_in) {
            return None;
        }
        // The network's are not looked at: they have no names.
        let path = on == Some(FileKind::Local) && flight.names_path();
        let possible = |errno: &Errno| is_possible(op, on, *errno, path);
        let may: Vec<Errno> = all.iter().copied().filter(possible).collect();
        may.get(self.choices.index(may.len())).copied()
    }

    fn is_stream(&self, op: &Op) -> bool {
        op.fd().is_some_and(|fd| self.world.with(|world| world.is_stream(fd)))
    }

    /// How many bytes it may move.
    fn limit(&self, seq: u64, op: &Op) -> usize {
        let may = if self.is_stream(op) { self.plan.shorten } else { self.plan.short_files };
        if !may {
            return usize::MAX;
        }
        let left = self.flights.get(&seq).and_then(Flight::left).unwrap_or(0);
        match self.choices.below(4) {
            1 => 1,
            2 => 1 + self.choices.index(left.clamp(1, 0x1_0000)),
            3 => left.div_ceil(2).max(1),
            _ => usize::MAX,
        }
    }

    /// The kernel may write what it will fill at any time before the result.
    fn scribble(&self, seq: u64) {
        if !self.plan.scribble {
            return;
        }
        let Some((at, len)) = self.flights.get(&seq).and_then(Flight::writable) else { return };
        // SAFETY: the flight is open: its memory is valid for writes, and nobody else reads it.
        unsafe { at.write_bytes(0xa5, len) };
    }
}
