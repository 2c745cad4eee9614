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

#![allow(unsafe_code, reason = "owns a descriptor by its number")]
//! # Safety
//! The number is that of an open eventfd of ours from construction to drop.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use io_core::Errno;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

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
    // take 2^64 wakes that nobody reads. A number, so that a forked child can replace it.
    event: AtomicI32,
}

impl Wake {
    pub(crate) fn new() -> Result<Wake, Errno> {
        let event = AtomicI32::new(Wake::open()?.into_raw_fd());
        Ok(Wake { word: AtomicU32::new(RUNNING), event })
    }

    /// An eventfd (`eventfd(2)`).
    pub(crate) fn open() -> Result<OwnedFd, Errno> {
        let event = eventfd(0, EventfdFlags::CLOEXEC);
        event.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    /// Nobody is parked or woken, in a forked child, with an eventfd of its own.
    pub(crate) fn renew(&self, event: OwnedFd) {
        let old = self.event.swap(event.into_raw_fd(), Ordering::Relaxed);
        // SAFETY: the child's copy, which nobody has any more.
        drop(unsafe { OwnedFd::from_raw_fd(old) });
        self.word.store(RUNNING, Ordering::SeqCst);
    }

    /// The descriptor and memory of the read that ends a park: 8 bytes.
    pub(crate) fn read_target(&self) -> (i32, *mut u8) {
        (self.event.load(Ordering::Relaxed), COUNT.as_ptr().cast())
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

    fn ring_bell(&self) {
        // It cannot fail: the descriptor is ours and open, and the count is nowhere near its end.
        // SAFETY: open for as long as `self`.
        let event = unsafe { BorrowedFd::borrow_raw(self.event.load(Ordering::Relaxed)) };
        let written = rustix::io::write(event, &1_u64.to_ne_bytes());
        debug_assert!(written.is_ok(), "a wake writes an eventfd");
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        drop(unsafe { OwnedFd::from_raw_fd(*self.event.get_mut()) });
    }
}
