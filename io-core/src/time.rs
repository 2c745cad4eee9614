//! Instants and the waits that end at them.

use core::time::Duration;

/// An absolute instant of `CLOCK_MONOTONIC` (`clock_gettime(2)`), in nanoseconds, or never.
///
/// [`after`](Deadline::after) makes one from a reading of the clock and a duration.
#[cfg_attr(
    feature = "syscall",
    doc = "[`deadline_in`](crate::syscall::deadline_in) reads the clock for that, as [`now_ns`](crate::syscall::now_ns) does alone."
)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// No deadline: wait as long as it takes.
    pub const NEVER: Deadline = Deadline(u64::MAX);
    /// Already over: look, do not wait.
    pub const NOW: Deadline = Deadline(0);

    /// The instant `ns` nanoseconds after the clock's epoch (usually boot).
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Deadline {
        Deadline(ns)
    }

    /// Nanoseconds after the clock's epoch; `u64::MAX` for [`Deadline::NEVER`].
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant `timeout` after `now_ns`; saturates to [`Deadline::NEVER`] (584 years).
    #[must_use]
    pub const fn after(now_ns: u64, timeout: Duration) -> Deadline {
        let ns = timeout.as_nanos();
        if ns >= u64::MAX as u128 {
            return Deadline::NEVER;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        Deadline(now_ns.saturating_add(ns as u64))
    }

    /// Whether it has passed; asks for the time only if that matters.
    #[must_use]
    pub fn is_over(self, now_ns: impl FnOnce() -> u64) -> bool {
        match self {
            Deadline::NEVER => false,
            Deadline::NOW => true,
            Deadline(ns) => now_ns() >= ns,
        }
    }

    /// How long until this instant, seen from `now_ns`: `None` for never, zero if it is over.
    #[must_use]
    pub const fn remaining(self, now_ns: u64) -> Option<Duration> {
        if self.0 == u64::MAX {
            None
        } else {
            Some(Duration::from_nanos(self.0.saturating_sub(now_ns)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;
    use core::time::Duration;

    #[test]
    fn deadlines_saturate_instead_of_wrapping() {
        assert_eq!(Deadline::after(u64::MAX - 1, Duration::from_secs(1)), Deadline::NEVER);
        assert_eq!(Deadline::after(5, Duration::MAX), Deadline::NEVER);
        assert_eq!(Deadline::after(5, Duration::from_nanos(7)).as_nanos(), 12);
        assert_eq!(Deadline::NOW.remaining(9), Some(Duration::ZERO));
        assert_eq!(Deadline::NEVER.remaining(9), None);
    }
}
