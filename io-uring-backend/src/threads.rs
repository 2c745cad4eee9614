//! What threads ask of the kernel to find each other: their numbers, a futex, and a bell.
//! `threads_loom.rs` stands in its place in front of the model checker.
#![allow(unsafe_code, reason = "owns a descriptor by its number")]
//! # Safety
//! The number is that of an open eventfd of ours from construction to drop.

use core::cell::Cell;
use core::num::NonZeroU32;
use io_core::sync::plain::{AtomicI32, AtomicU64, AtomicUsize};
use io_core::sync::{AtomicU32, Ordering, real};
use io_core::syscall::{close_fd, lift_fd};
use io_core::{Deadline, Errno, Fd};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::thread::futex;
use rustix::time::Timespec;

/// The number for the next thread that asks for its own.
static NEXT: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread, by a number that no other thread of this process ever has.
#[inline]
pub(crate) fn this_thread() -> usize {
    NUMBER.with(|number| match number.get() {
        0 => number_thread(number),
        known => known,
    })
}

#[cold]
fn number_thread(number: &Cell<usize>) -> usize {
    // Ordering: Relaxed, only that each number is given once matters.
    let new = NEXT.fetch_add(1, Ordering::Relaxed);
    number.set(new);
    new
}

/// Another thread is a few instructions from what this one waits for.
pub(crate) fn give_way() {
    rustix::thread::sched_yield();
}

/// Blocks until the word is no longer `value` and somebody said so, until `deadline`, or for no reason.
pub(crate) fn sleep_while(word: &AtomicU32, value: u32, deadline: Deadline) {
    let until = (deadline != Deadline::NEVER).then(|| timespec(deadline));
    // EAGAIN: it has changed; EINTR, ETIMEDOUT: the caller looks again. All are what was asked for.
    let private = futex::Flags::PRIVATE;
    let _: Result<(), _> =
        futex::wait_bitset(real(word), private, value, until.as_ref(), NonZeroU32::MAX);
}

/// Ends the sleep of all that sleep on the word.
pub(crate) fn wake_all(word: &AtomicU32) {
    // A wake of a valid word cannot fail.
    let _: Result<usize, _> = futex::wake(real(word), futex::Flags::PRIVATE, i32::MAX as u32);
}

fn timespec(deadline: Deadline) -> Timespec {
    let ns = deadline.as_nanos();
    Timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        // Less than a second.
        tv_nsec: i64::try_from(ns % 1_000_000_000).unwrap_or(0),
    }
}

/// Where the kernel puts the eventfd's count. Nobody reads it, so one serves every ring; it is static
/// because the read may outlive the backend by as long as the kernel takes to close a ring.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// An eventfd that the ring reads while its owner is parked.
#[derive(Debug)]
pub(crate) struct Bell {
    // Blocking, because the ring does not wait on a non-blocking one. A writer cannot block: it would
    // take 2^64 wakes that nobody reads. A number, so that a forked child can replace it.
    event: AtomicI32,
}

impl Bell {
    /// With a descriptor of [`open`](Self::open).
    pub(crate) fn new(event: OwnedFd) -> Bell {
        Bell { event: AtomicI32::new(event.into_raw_fd()) }
    }

    /// An eventfd (`eventfd(2)`).
    pub(crate) fn open() -> Result<OwnedFd, Errno> {
        let event = eventfd(0, EventfdFlags::CLOEXEC);
        let event = event.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        // SAFETY: just made, and given up here.
        let fd = unsafe { lift_fd(Fd::new(event.into_raw_fd())) };
        // SAFETY: ours, as the one before it was.
        Ok(unsafe { OwnedFd::from_raw_fd(fd.raw()) })
    }

    /// With an eventfd of a forked child's own.
    pub(crate) fn renew(&self, event: OwnedFd) {
        let old = self.event.swap(event.into_raw_fd(), Ordering::Relaxed);
        // SAFETY: the child's copy, which nobody has any more.
        drop(unsafe { OwnedFd::from_raw_fd(old) });
    }

    /// The descriptor and memory of the read that ends a park: 8 bytes.
    pub(crate) fn read_target(&self) -> (i32, *mut u8) {
        (self.event.load(Ordering::Relaxed), COUNT.as_ptr().cast())
    }

    /// Ends the read, this one or the next.
    pub(crate) fn ring(&self) {
        // The count is nowhere near its end. Where somebody has closed the descriptor it fails, and the owner hears of
        // that when it next reads.
        // SAFETY: open for as long as `self`.
        let event = unsafe { BorrowedFd::borrow_raw(self.event.load(Ordering::Relaxed)) };
        let _: rustix::io::Result<usize> = rustix::io::write(event, &1_u64.to_ne_bytes());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again. Not as a value of the standard library, which ends the process if somebody
        // has closed it.
        unsafe { close_fd(Fd::new(*self.event.get_mut())) };
    }
}
