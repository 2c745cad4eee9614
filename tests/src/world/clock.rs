//! The clock: it stands still until somebody moves it.

use io_core::Deadline;

/// Where the clock of a new world stands, in nanoseconds: not 0, which is the deadline that is always over.
pub(super) const START_NS: u64 = 1_000_000_000;

/// A clock that is moved by hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(u64);

impl Clock {
    pub(super) fn new() -> Clock {
        Clock(START_NS)
    }

    pub(super) fn now_ns(self) -> u64 {
        self.0
    }

    /// Moves it on; never back.
    pub(super) fn advance_to(&mut self, ns: u64) {
        // The last instant is no instant: it means never.
        self.0 = self.0.max(ns.min(Deadline::NEVER.as_nanos() - 1));
    }
}
