//! The clock of events: the processor's counter where the launcher says that the kernel keeps time by it, which costs
//! half of what the kernel's clock does; else that one. The launcher makes nanoseconds of it.

use crate::format::{NANOSECONDS, TICKS};
use crate::{counter, libc};
use core::sync::atomic::{AtomicBool, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);

/// Chooses, once, before anything is timed.
pub(crate) fn choose(ticks: bool) {
    COUNTS.store(ticks, Ordering::Relaxed);
}

/// Which one it is, for the header.
pub(crate) fn kind() -> u32 {
    if COUNTS.load(Ordering::Relaxed) { TICKS } else { NANOSECONDS }
}

/// What it says.
#[inline]
pub(crate) fn now() -> u64 {
    if COUNTS.load(Ordering::Relaxed) { counter::ticks() } else { libc::now() }
}
