//! Ending a park from anywhere: one word and one eventfd.
//!
//! | word | meaning | `wake` makes it | `nudge` makes it |
//! |---|---|---|---|
//! | `RUNNING` | the owner is not parked | `WOKEN` | same |
//! | `PARKED` | the owner is in the kernel or about to enter it | `WOKEN`, and writes the eventfd | `NUDGED`, and writes |
//! | `NUDGED` | there is work for the owner, the eventfd is being written | `WOKEN` | same |
//! | `WOKEN` | the poll that blocks now, or would next, ends | same | same |
//!
//! The owner parks with `RUNNING` → `PARKED`, which fails at `WOKEN`, and *then* looks at what other
//! threads push; they push and *then* look at the word. All four accesses are sequentially consistent, so
//! at least one side sees the other.

use crate::threads::Bell;
use io_core::Errno;
use io_core::sync::{AtomicU32, Ordering};
use rustix::fd::OwnedFd;

const RUNNING: u32 = 0;
const PARKED: u32 = 1;
const NUDGED: u32 = 2;
const WOKEN: u32 = 3;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Wake {
    word: AtomicU32,
    pub(crate) bell: Bell,
}

impl Wake {
    pub(crate) fn new() -> Result<Wake, Errno> {
        Ok(Wake { word: AtomicU32::new(RUNNING), bell: Bell::new(Bell::open()?) })
    }

    /// Nobody is parked or woken, in a forked child, with an eventfd of its own.
    pub(crate) fn renew(&self, event: OwnedFd) {
        self.bell.renew(event);
        self.word.store(RUNNING, Ordering::SeqCst);
    }

    /// Ends the poll that blocks now, or the next that would. Async-signal-safe.
    pub(crate) fn wake(&self) {
        if self.word.swap(WOKEN, Ordering::SeqCst) == PARKED {
            self.bell.ring();
        }
    }

    /// Lets a parked owner look at what was pushed. Says whether that took a system call.
    pub(crate) fn nudge(&self) -> bool {
        let parked = self.word.compare_exchange(
            PARKED,
            NUDGED,
            Ordering::SeqCst,
            // Ordering: SeqCst, this look must come after the push.
            Ordering::SeqCst,
        );
        if parked.is_ok() {
            self.bell.ring();
        }
        parked.is_ok()
    }

    /// Announces that the owner will block; `false` if it must not, because of a wake that is used up
    /// now.
    pub(crate) fn park(&self) -> bool {
        let parked =
            self.word.compare_exchange(RUNNING, PARKED, Ordering::SeqCst, Ordering::SeqCst);
        if parked.is_err() {
            self.word.store(RUNNING, Ordering::SeqCst);
        }
        parked.is_ok()
    }

    /// The owner runs again; whether a wake came, which is used up now.
    pub(crate) fn unpark(&self) -> bool {
        self.word.swap(RUNNING, Ordering::SeqCst) == WOKEN
    }

    /// The poll that returns now is the one that a wake has ended.
    pub(crate) fn use_up(&self) {
        if self.word.load(Ordering::Relaxed) == WOKEN {
            // Ordering: SeqCst, what was done before the wake is seen after the poll.
            self.word.swap(RUNNING, Ordering::SeqCst);
        }
    }

    /// Gives a wake back that came to the wrong wait.
    pub(crate) fn keep(&self) {
        self.word.store(WOKEN, Ordering::SeqCst);
    }
}
