//! Whether the tracer still makes system calls of its own. Where the program has forbidden itself one of them, it makes
//! none: it records into the mapping, as long as there is room, and counts what it drops.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);
static THREADS: AtomicU32 = AtomicU32::new(0);

/// From here on.
pub(crate) fn begin() {
    QUIET.store(true, Ordering::SeqCst);
}

/// Whether it is so.
#[inline]
pub(crate) fn is_on() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A number for a thread that cannot be asked for its own; no thread of the system has it.
pub(crate) fn next_thread() -> u32 {
    0x8000_0000 | THREADS.fetch_add(1, Ordering::Relaxed)
}
