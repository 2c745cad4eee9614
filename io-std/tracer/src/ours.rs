//! Which descriptors are the tracer's: the events' file and those of the backend. They are at a documented floor, and
//! hooks treat them as if they were not open.
//!
//! The floor is the program's own limit, where the limit can be raised for the moment that a descriptor is made: numbers
//! beyond it are no numbers to the program. It is at least [`LOWEST`], and [`ROOM`] below a limit that is very high or cannot be
//! raised. There the program may name one of ours as the target of a `dup2`, and ours give way: see `writer.rs`.
#![allow(unsafe_code, reason = "owns a descriptor by its number")]
//! # Safety
//! A number is one that a call of ours has just made, or one that is noted as ours.

use crate::files::{EVENTS, borrow};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use io_core::syscall::keep_fds_from;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many numbers, from the floor on, are looked at.
const ROOM: u16 = 24;
/// So many of them are to be free, or none is taken.
const NEEDED: u32 = 8;
/// The floor is not lower, where there is a choice.
const LOWEST: u16 = 1000;
/// Nor is it higher: the kernel's table of a process is as long as its highest number, and a fork copies it.
const HIGHEST: u16 = 4096;
/// Below so small a limit that cannot be raised the program has all numbers.
const SMALL: u16 = 64;

/// Where our descriptors begin, or -1: there are none.
static FLOOR: AtomicI32 = AtomicI32::new(-1);
/// The floor that was chosen first; they give way to the numbers before it, and come back.
static HOME: AtomicI32 = AtomicI32::new(-1);
/// Which of them are ours, as bits from the floor.
static OURS: AtomicU32 = AtomicU32::new(0);

/// Chooses the floor and tells the library. All that was ours is closed, or somebody else's.
pub(crate) fn choose_floor() {
    let limit = u16::try_from(limit().current.unwrap_or(u64::MAX)).unwrap_or(u16::MAX);
    let beyond = limit.max(LOWEST);
    let below = (limit >= SMALL).then(|| limit.min(HIGHEST) - ROOM);
    let floor = if beyond <= HIGHEST && can_raise(beyond) { Some(beyond) } else { below };
    HOME.store(floor.map_or(-1, i32::from), Ordering::Relaxed);
    set_floor(floor.map_or(-1, i32::from));
}

fn set_floor(floor: i32) {
    FLOOR.store(floor, Ordering::Relaxed);
    OURS.store(0, Ordering::Relaxed);
    keep_fds_from(u16::try_from(floor).unwrap_or(0));
}

fn limit() -> Rlimit {
    getrlimit(Resource::Nofile)
}

fn can_raise(floor: u16) -> bool {
    let before = limit();
    let raised = raise(&before, u64::from(floor + ROOM));
    if raised == Some(true) {
        restore(before);
    }
    raised.is_some()
}

/// Raises the limit if it is less. Whether it was; `None` if that is not allowed.
fn raise(before: &Rlimit, least: u64) -> Option<bool> {
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= least);
    if is_enough(before.current) {
        return Some(false);
    }
    let maximum = if is_enough(before.maximum) { before.maximum } else { Some(least) };
    setrlimit(Resource::Nofile, Rlimit { current: Some(least), maximum }).ok().map(|()| true)
}

fn restore(before: Rlimit) {
    // What it was a moment ago.
    let _: rustix::io::Result<()> = setrlimit(Resource::Nofile, before);
}

/// Runs what makes descriptors of ours with a limit that has room for them. Where another thread of the program asks for the
/// limit or sets it, it may see that: so this is for the begin of a life, when there is no other, and for what is rare.
pub(crate) fn raised<R>(make: impl FnOnce() -> R) -> R {
    let Ok(floor) = u64::try_from(FLOOR.load(Ordering::Relaxed)) else { return make() };
    let before = limit();
    let raised = raise(&before, floor + u64::from(ROOM));
    let made = make();
    if raised == Some(true) {
        restore(before);
    }
    made
}

/// In a forked child: whether there has to be another floor, since the process may not raise its limit any more. What it has
/// of its parent's tracer is closed then.
pub(crate) fn must_choose_again() -> bool {
    let Ok(floor) = u16::try_from(FLOOR.load(Ordering::Relaxed)) else { return false };
    if can_raise(floor) {
        return false;
    }
    EVENTS.forget();
    close_all(floor.into(), OURS.load(Ordering::Relaxed));
    choose_floor();
    true
}

/// Whether there is a floor.
pub(crate) fn has_place() -> bool {
    FLOOR.load(Ordering::Relaxed) >= 0
}

/// Whether the program could have this number, if it were not ours.
pub(crate) fn is_in_reach(fd: i32) -> bool {
    limit().current.is_none_or(|limit| u64::try_from(fd).is_ok_and(|fd| fd < limit))
}

/// Takes the events' file elsewhere and closes what else is ours: the program wants one of the numbers. If there is no room
/// elsewhere either, there is no floor any more.
pub(crate) fn leave() {
    let (floor, home) = (FLOOR.load(Ordering::Relaxed), HOME.load(Ordering::Relaxed));
    let ours = OURS.load(Ordering::Relaxed);
    set_floor(if floor == home { home - i32::from(ROOM) } else { home });
    raised(|| {
        if open().count_ones() + NEEDED > u32::from(ROOM) {
            set_floor(-1);
        }
        noticing(|| EVENTS.move_away());
    });
    close_all(floor, ours);
}

fn close_all(floor: i32, bits: u32) {
    for fd in (floor..).take(ROOM.into()).filter(|fd| bits >> (fd - floor) & 1 != 0) {
        // SAFETY: it was noted as ours; whoever uses it is given another, or is not used any more.
        unsafe { rustix::io::close(fd) };
    }
}

/// A duplicate at the floor or above, or -1 if there is no room.
pub(crate) fn lift(file: impl AsFd) -> i32 {
    let floor = FLOOR.load(Ordering::Relaxed);
    if floor < 0 {
        return -1;
    }
    rustix::io::fcntl_dupfd_cloexec(file.as_fd(), floor).map_or(-1, IntoRawFd::into_raw_fd)
}

/// As [`lift`], for a number that a call of ours has just made, or an error; where there is no room it stays.
pub(crate) fn lift_made(made: i32) -> i32 {
    if made < 0 {
        return made;
    }
    // SAFETY: just made, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(made) };
    let floor = FLOOR.load(Ordering::Relaxed).max(0);
    rustix::io::fcntl_dupfd_cloexec(file.as_fd(), floor).unwrap_or(file).into_raw_fd()
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
    if !has_place() {
        return make();
    }
    raised(|| {
        let others = open() & !OURS.load(Ordering::Relaxed);
        let made = make();
        OURS.store(open() & !others, Ordering::Relaxed);
        made
    })
}

/// The program has closed them behind our back, and the numbers are its own again.
pub(crate) fn forget() {
    OURS.store(0, Ordering::Relaxed);
}

/// Whether a descriptor is ours, and to be left alone.
#[inline]
pub(crate) fn is_protected(fd: i32) -> bool {
    let floor = FLOOR.load(Ordering::Relaxed);
    let at = fd.wrapping_sub(floor);
    floor >= 0 && (0..i32::from(ROOM)).contains(&at) && OURS.load(Ordering::Relaxed) >> at & 1 != 0
}

/// The next one from this number on.
pub(crate) fn next_protected(from: u32) -> Option<u32> {
    let floor = u32::try_from(FLOOR.load(Ordering::Relaxed)).ok()?;
    (floor.max(from)..floor + u32::from(ROOM)).find(|fd| i32::try_from(*fd).is_ok_and(is_protected))
}
