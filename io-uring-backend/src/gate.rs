//! Whether the backend takes operations: one word, set by who stops and who starts.
//!
//! | word | submits | the owner's rounds | who leaves it, to |
//! |---|---|---|---|
//! | `OPEN` | taken | as always | a stop on any thread, to `STOPPING` |
//! | `STOPPING` | refused | end what is owned | the owner, or a thread with a claim, that finds that nothing is owned, to `STOPPED` |
//! | `STOPPED` | refused | nothing is owned | a start, to `OPEN` |
//!
//! So a thread that made it `STOPPING` and finds another word knows that everything was ended since.

use io_core::sync::{AtomicU32, Ordering};

const OPEN: u32 = 0;
const STOPPING: u32 = 1;
const STOPPED: u32 = 2;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU32);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(AtomicU32::new(OPEN))
    }

    /// Whether new operations are refused.
    #[inline]
    pub(crate) fn refuses(&self) -> bool {
        // Ordering: SeqCst pairs with `close`; see `Inbox::visit`.
        self.0.load(Ordering::SeqCst) != OPEN
    }

    /// The same, as the owner sees it, who ends in its next round what it has taken in ignorance.
    #[inline]
    pub(crate) fn refuses_owner(&self) -> bool {
        // Ordering: Relaxed, see above.
        self.0.load(Ordering::Relaxed) != OPEN
    }

    /// Whether what is owned is to be ended.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        // Ordering: SeqCst, after the owner's announcement that it parks.
        self.0.load(Ordering::SeqCst) == STOPPING
    }

    /// Refuses from here on.
    pub(crate) fn close(&self) {
        // Ordering: SeqCst, before the look at who visits and who is parked. If it is refusing already,
        // it stays as it is.
        let _: Result<u32, u32> =
            self.0.compare_exchange(OPEN, STOPPING, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Nothing is owned any more.
    pub(crate) fn settle(&self) {
        self.0.store(STOPPED, Ordering::SeqCst);
    }

    /// Takes operations again; `false` if what was taken before is not ended yet.
    pub(crate) fn open(&self) -> bool {
        let opened = self.0.compare_exchange(STOPPED, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        !matches!(opened, Err(STOPPING))
    }

    /// Takes operations, in a forked child.
    pub(crate) fn open_new(&self) {
        self.0.store(OPEN, Ordering::SeqCst);
    }
}
