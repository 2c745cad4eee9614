//! The clock of events: the processor's counter where the launcher says that the kernel keeps time by it, which costs
//! half of what the kernel's clock does; else that one. The launcher makes nanoseconds of it.

use crate::format::{NANOSECONDS, TICKS};
use crate::{counter, libc};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What it is: [`NANOSECONDS`], [`TICKS`] or [`STILL`].
static KIND: AtomicU32 = AtomicU32::new(NANOSECONDS);
/// It does not go any more.
const STILL: u32 = 2;
/// What it said last.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Chooses, once, before anything is timed.
pub(crate) fn choose(ticks: bool) {
    KIND.store(if ticks { TICKS } else { NANOSECONDS }, Ordering::Relaxed);
}

/// Which one it is, for the header.
pub(crate) fn kind() -> u32 {
    KIND.load(Ordering::Relaxed)
}

/// The program is about to forbid itself the counter, which the C library's clock reads as well: from here on it stands still.
pub(crate) fn stop() {
    LAST.store(now(), Ordering::Relaxed);
    KIND.store(STILL, Ordering::Relaxed);
}

/// What it says.
#[inline]
pub(crate) fn now() -> u64 {
    match KIND.load(Ordering::Relaxed) {
        TICKS => counter::ticks(),
        NANOSECONDS => libc::now(),
        _ => LAST.load(Ordering::Relaxed),
    }
}
