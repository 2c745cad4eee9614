//! Which descriptors are the tracer's: the events' file and those of the backend. They are at a documented floor, and
//! hooks treat them as if they were not open.
#![allow(unsafe_code, reason = "owns a descriptor by its number")]
//! # Safety
//! A number is one that a call of ours has just made.

use crate::files::borrow;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use io_core::syscall::keep_fds_from;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::process::{Resource, getrlimit};

/// So many numbers, from the floor on, are looked at.
const ROOM: u16 = 24;

/// Where our descriptors begin: [`ROOM`] below what the program may have, or below 1024.
static FLOOR: AtomicI32 = AtomicI32::new(-1);
/// Which of them are ours, as bits from the floor.
static OURS: AtomicU32 = AtomicU32::new(0);

/// Chooses the floor, once, and tells the library.
pub(crate) fn choose_floor() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(1024).min(1024);
    let floor = u16::try_from(limit).unwrap_or(1024).saturating_sub(ROOM);
    FLOOR.store(i32::from(floor), Ordering::Relaxed);
    keep_fds_from(floor);
}

/// Moves a descriptor to the floor or above, if there is room; its number.
pub(crate) fn lift(file: OwnedFd) -> i32 {
    let floor = FLOOR.load(Ordering::Relaxed);
    let lifted = rustix::io::fcntl_dupfd_cloexec(file.as_fd(), floor).unwrap_or(file);
    lifted.into_raw_fd()
}

/// As [`lift`], for a number that a call of ours has just made, or an error.
pub(crate) fn lift_made(made: i32) -> i32 {
    if made < 0 {
        return made;
    }
    // SAFETY: just made, and nobody else's.
    lift(unsafe { OwnedFd::from_raw_fd(made) })
}

/// The numbers from the floor on that are open, as bits.
fn open() -> u32 {
    let floor = FLOOR.load(Ordering::Relaxed);
    // All at once: one that is not open is an answer too.
    let mut asked = [const { None }; ROOM as usize];
    for (at, place) in (floor..).zip(&mut asked) {
        *place = borrow(at);
    }
    let Some(first) = borrow(floor) else { return 0 };
    let ask = |fd: Option<BorrowedFd<'static>>| {
        PollFd::from_borrowed_fd(fd.unwrap_or(first), PollFlags::empty())
    };
    let mut asked = asked.map(ask);
    if rustix::event::poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
        return 0;
    }
    (0_u32..).zip(&asked).fold(0, |bits, (at, answer)| {
        bits | u32::from(!answer.revents().contains(PollFlags::NVAL)) << at
    })
}

/// Runs what opens or closes descriptors of ours, and remembers which they are.
pub(crate) fn noticing<R>(make: impl FnOnce() -> R) -> R {
    let others = open() & !OURS.load(Ordering::Relaxed);
    let made = make();
    OURS.store(open() & !others, Ordering::Relaxed);
    made
}

/// The program has closed them behind our back, and the numbers are its own again.
pub(crate) fn forget() {
    OURS.store(0, Ordering::Relaxed);
}

/// Whether a descriptor is ours, and to be left alone.
#[inline]
pub(crate) fn is_protected(fd: i32) -> bool {
    let at = fd.wrapping_sub(FLOOR.load(Ordering::Relaxed));
    (0..i32::from(ROOM)).contains(&at) && OURS.load(Ordering::Relaxed) >> at & 1 != 0
}

/// The next one from this number on.
pub(crate) fn next_protected(from: u32) -> Option<u32> {
    let floor = u32::try_from(FLOOR.load(Ordering::Relaxed)).ok()?;
    (floor.max(from)..floor + u32::from(ROOM)).find(|fd| i32::try_from(*fd).is_ok_and(is_protected))
}
