//! The clock that a test goes by: the kernel's, or that of the simulated world it runs in.

use crate::world::Shared;
use core::time::Duration;
use io_core::Deadline;

/// Nanoseconds of the clock.
#[must_use]
pub fn now_ns() -> u64 {
    match Shared::current() {
        Some(world) => world.with(|world| world.now_ns()),
        None => io_core::syscall::now_ns(),
    }
}

/// The instant `timeout` from now.
#[must_use]
pub fn deadline_in(timeout: Duration) -> Deadline {
    Deadline::after(now_ns(), timeout)
}

/// Lets the time pass until `deadline` is over, with nothing done meanwhile.
pub fn pass_until(deadline: Deadline) {
    match Shared::current() {
        Some(world) => world.with(|world| world.advance_to(deadline.as_nanos())),
        None => {
            while !deadline.is_over(now_ns) {
                std::thread::yield_now();
            }
        }
    }
}

/// An instant of the clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// What the clock shows.
    #[must_use]
    pub fn now() -> Moment {
        Moment(now_ns())
    }

    /// How much time has passed since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(now_ns() - self.0)
    }
}
