//! Times of a life, in nanoseconds of `CLOCK_MONOTONIC`: what the processor's counter said is between two moments at
//! which both clocks were read, before the program began and after it.

use crate::counter::ticks;
use crate::format::TICKS;
use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// What the kernel keeps time by.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// What it calls the counter.
const COUNTER: &str = if cfg!(target_arch = "x86_64") { "tsc" } else { "arch_sys_counter" };
/// So many times both clocks are read; the reading that took the least time counts.
const READINGS: usize = 16;
/// Bits behind the point of what a tick is worth.
const SHIFT: u32 = 48;

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    ticks: u64,
    nanos: u64,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Moment {
        let reading = || {
            let before = ticks();
            let nanos = nanos();
            let after = ticks();
            let took = after.wrapping_sub(before);
            (took, Moment { ticks: before.wrapping_add(took / 2), nanos })
        };
        let (mut least, mut moment) = reading();
        for _ in 1..READINGS {
            let (took, next) = reading();
            if took < least {
                (least, moment) = (took, next);
            }
        }
        moment
    }
}

fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Whether the kernel trusts the counter to be the same on all processors and always of one speed.
pub(crate) fn counter_is_trusted() -> bool {
    fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == COUNTER)
}

/// Makes nanoseconds of the times of one life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// `None` if they are nanoseconds already.
    scale: Option<Scale>,
}

#[derive(Clone, Copy, Debug)]
struct Scale {
    first: Moment,
    /// What a tick is worth, in parts of a nanosecond.
    worth: u64,
}

impl Clock {
    /// For a life with this in its header that was lived between these two.
    pub(crate) fn of(kind: u32, first: Moment, last: Moment) -> Clock {
        if kind != TICKS {
            return Clock { scale: None };
        }
        let ticks = u128::from(last.ticks.wrapping_sub(first.ticks).max(1));
        let nanos = u128::from(last.nanos.saturating_sub(first.nanos));
        let worth = u64::try_from((nanos << SHIFT) / ticks).unwrap_or(u64::MAX);
        Clock { scale: Some(Scale { first, worth }) }
    }

    /// A moment.
    pub(crate) fn at(&self, time: u64) -> u64 {
        let Some(Scale { first, worth }) = self.scale else { return time };
        // Before the first, in a life that is not to be believed.
        let since = time.saturating_sub(first.ticks);
        first.nanos.saturating_add(scaled(since, worth))
    }

    /// A stretch of time.
    pub(crate) fn span(&self, time: u64) -> u64 {
        self.scale.map_or(time, |scale| scaled(time, scale.worth))
    }
}

fn scaled(ticks: u64, worth: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(worth)) >> SHIFT).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Clock, Moment};
    use crate::format::{NANOSECONDS, TICKS};
    use core::time::Duration;

    #[test]
    fn ticks_become_nanoseconds() {
        let first = Moment { ticks: 1_000, nanos: 50 };
        let last = Moment { ticks: 4_000_001_000, nanos: 2_000_000_050 };
        let clock = Clock::of(TICKS, first, last);
        assert_eq!(clock.at(1_000), 50);
        assert_eq!(clock.at(4_000_001_000), 2_000_000_050);
        assert_eq!(clock.span(200), 100);
        assert_eq!(clock.at(0), 50, "before the first");
        // A day of it is right to the microsecond.
        let day = 2 * 86_400_000_000_000;
        assert!(clock.span(day).abs_diff(day / 2) < 1_000, "{}", clock.span(day));
        assert_eq!(clock.at(u64::MAX), clock.at(u64::MAX));
        let plain = Clock::of(NANOSECONDS, first, last);
        assert_eq!((plain.at(7), plain.span(8)), (7, 8));
        // Both at once, and backwards: no panic.
        for (a, b) in [(first, first), (last, first)] {
            Clock::of(TICKS, a, b).at(5_000);
        }
    }

    #[test]
    fn the_counter_goes_as_the_clock_does() {
        let first = Moment::now();
        std::thread::sleep(Duration::from_millis(20));
        let middle = Moment::now();
        std::thread::sleep(Duration::from_millis(20));
        let clock = Clock::of(TICKS, first, Moment::now());
        let off = clock.at(middle.ticks).abs_diff(middle.nanos);
        assert!(off < 1_000_000, "{off} ns");
    }
}
