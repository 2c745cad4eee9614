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
