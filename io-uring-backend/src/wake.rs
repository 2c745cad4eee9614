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

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use io_core::Errno;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, OwnedFd};

const RUNNING: u32 = 0;
const PARKED: u32 = 1;
const NUDGED: u32 = 2;
const WOKEN: u32 = 3;

/// Where the kernel puts the eventfd's count. Nobody reads it, so one serves every ring; it is static
/// because the read may outlive the backend by as long as the kernel takes to close a ring.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Wake {
    word: AtomicU32,
    // Blocking, because the ring does not wait on a non-blocking one. A writer cannot block: it would
    // take 2^64 wakes that nobody reads.
    event: OwnedFd,
}

impl Wake {
    pub(crate) fn new() -> Result<Wake, Errno> {
        let event = eventfd(0, EventfdFlags::CLOEXEC);
        let event = event.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        Ok(Wake { word: AtomicU32::new(RUNNING), event })
    }

    /// The descriptor and memory of the read that ends a park: 8 bytes.
    pub(crate) fn read_target(&self) -> (i32, *mut u8) {
        (self.event.as_raw_fd(), COUNT.as_ptr().cast())
    }

    /// Ends the poll that blocks now, or the next that would. Async-signal-safe.
    pub(crate) fn wake(&self) {
        if self.word.swap(WOKEN, Ordering::SeqCst) == PARKED {
            self.ring_bell();
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
            self.ring_bell();
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

    /// Gives a wake back that came to the wrong wait.
    pub(crate) fn keep(&self) {
        self.word.store(WOKEN, Ordering::SeqCst);
    }

    fn ring_bell(&self) {
        // It cannot fail: the descriptor is ours and open, and the count is nowhere near its end.
        let written = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        debug_assert!(written.is_ok(), "a wake writes an eventfd");
    }
}
