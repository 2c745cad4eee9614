//! Early ends: cancels and deadlines, which the adversary answers as it likes, and closes and stops.

use super::attempt::Tried;
use super::flight::{Asked, Flight, Question, Stage};
use super::kernel::{Kernel, TICK_NS};
use super::log::What;
use io_core::op::Scope;
use io_core::{Errno, Fd, OpKind};

impl Kernel {
    /// A cancel or a deadline asks one to end early.
    pub(super) fn ask(&mut self, seq: u64, deadline: bool) {
        let Some(flight) = self.flights.get(&seq) else { return };
        let deadline_ns = flight.deadline_ns;
        self.note(What::CancelAsked { seq, deadline });
        let due_ns = if self.plan.cancel_races { self.due(deadline_ns) } else { self.now_ns() };
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        if !flight.is_open() || flight.kind.never_cancelled() {
            if flight.asked == Asked::Not {
                flight.asked = Asked::Lost;
            }
            return;
        }
        // What is asked twice is answered at the earlier time.
        let earlier = flight.question.map_or(due_ns, |question| question.due_ns.min(due_ns));
        flight.question = Some(Question { due_ns: earlier, put_off: 0, ours: false });
        self.answer(seq);
    }

    /// A stop asks all.
    pub(super) fn ask_all(&mut self) {
        let open = |(seq, flight): (&u64, &Flight)| {
            (flight.is_open() && !flight.kind.never_cancelled()).then_some(*seq)
        };
        let open: Vec<u64> = self.flights.iter().filter_map(open).collect();
        for seq in open {
            let deadline = self.flights.get(&seq).map_or(u64::MAX, |flight| flight.deadline_ns);
            let due_ns = if self.plan.cancel_races { self.due(deadline) } else { self.now_ns() };
            if let Some(flight) = self.flights.get_mut(&seq)
                && flight.question.is_none()
            {
                flight.question = Some(Question { due_ns, put_off: 0, ours: true });
            }
            self.answer(seq);
        }
    }

    pub(super) fn answer_all(&mut self) -> bool {
        let asked = |(seq, flight): (&u64, &Flight)| flight.question.is_some().then_some(*seq);
        let asked: Vec<u64> = self.flights.iter().filter_map(asked).collect();
        asked.into_iter().fold(false, |any, seq| self.answer(seq) | any)
    }

    /// Answers one question whose time has come.
    fn answer(&mut self, seq: u64) -> bool {
        let now = self.now_ns();
        let Some(flight) = self.flights.get_mut(&seq) else { return false };
        let Some(question) = flight.question.filter(|question| question.due_ns <= now) else {
            return false;
        };
        let choice = if self.plan.cancel_races { self.choices.below(4) } else { 0 };
        match choice {
            2 if question.put_off < 3 => {
                let due_ns = now + TICK_NS * u64::from(1 + self.choices.below(20));
                flight.question =
                    Some(Question { due_ns, put_off: question.put_off + 1, ..question });
                self.note(What::PutOff { seq, due_ns });
                return true;
            }
            // Its own result comes in between, if it has one.
            3 if self.try_now(seq) => return true,
            _ => {}
        }
        self.end_early(seq);
        true
    }

    /// Ends an operation before it is done; with what it has moved, if it has.
    fn end_early(&mut self, seq: u64) {
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        if flight.done > 0 {
            let moved = i64::try_from(flight.done).unwrap_or(i64::MAX);
            return self.land_own(seq, moved);
        }
        match flight.question.take() {
            Some(question) if !question.ours => {
                flight.asked = if question.put_off > 0 { Asked::Late } else { Asked::Won };
                self.note(What::CancelWon { seq });
            }
            _ => {}
        }
        self.land(seq, Errno::CANCELED.to_result());
    }

    /// A close ends what waits on its descriptor; what has not been tried before it is tried now.
    pub(super) fn before_close(&mut self, close: u64, fd: Fd) {
        let uses = |(seq, flight): (&u64, &Flight)| {
            let open = flight.is_open() && flight.kind != OpKind::Close && flight.op.uses(fd);
            open.then_some(*seq)
        };
        let older: Vec<u64> = self.flights.range(..close).filter_map(uses).collect();
        for seq in older {
            let fresh = self.flights.get(&seq).is_some_and(|flight| {
                matches!(flight.stage, Stage::Queued | Stage::Running) && flight.done == 0
            });
            if fresh && let Tried::Done(result) = self.attempt(seq) {
                self.land_own(seq, result);
                continue;
            }
            self.note(What::EndedByClose { seq });
            self.end_early(seq);
        }
    }

    /// `Op::Cancel`: asks what was submitted before it; how many for the first time.
    pub(super) fn cancel_in(&mut self, scope: Scope, before: u64) -> i64 {
        let meant = |(seq, flight): (&u64, &Flight)| flight.op.is_in(scope).then_some(*seq);
        let meant: Vec<u64> = self.flights.range(..before).filter_map(meant).collect();
        let mut asked = 0;
        for seq in meant {
            if self.ask_for_many(seq) {
                asked += 1;
                self.ask(seq, false);
            }
        }
        asked
    }

    /// Sets the bit that a cancel of the one would have set. `false` if it was set before, and for a close.
    fn ask_for_many(&self, seq: u64) -> bool {
        let Some(flight) = self.flights.get(&seq) else { return false };
        let listed = self.nodes().find(|node| node.ptr() == flight.node);
        !flight.kind.never_cancelled() && listed.is_some_and(|node| node.ask_cancel())
    }
}
