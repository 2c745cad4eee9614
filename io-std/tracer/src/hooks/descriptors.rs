//! Closing and duplicating descriptors. The tracer's own look as if they were not open.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came. `fcntl` is variadic in C; its third argument is in a register all the same.

use crate::format::Call;
use crate::hook::{Outcome, hooks};
use crate::ours::next_protected;
use crate::real::Real;
use crate::record::{self, Event};
use core::ffi::{c_int, c_uint};

hooks! {
    close | __close: (fd: c_int) -> result: c_int = Close { fd: fd, whose: true } protect fd;
    dup: (fd: c_int) -> result: c_int
        = Dup { fd: fd, other: result, whose: true } protect fd;
    dup2 | __dup2: (fd: c_int, to: c_int) -> result: c_int
        = Dup2 { fd: fd, argument: i64::from(to), other: result, whose: true } protect fd replace to;
    dup3: (fd: c_int, to: c_int, flags: c_int) -> result: c_int
        = Dup3 { fd: fd, argument: i64::from(flags), other: result, whose: true } protect fd replace to;
}

/// `F_DUPFD`, `F_DUPFD_CLOEXEC`.
const DUPLICATES: [c_int; 2] = [0, 1030];
/// `CLOSE_RANGE_CLOEXEC`: nothing is closed now, and ours are so anyway.
const CLOEXEC: c_int = 4;

static CLOSE_RANGE: Real = Real::new("close_range\0");
static FCNTL: Real = Real::new("fcntl\0");

/// Looks up the real functions of this file.
pub(super) fn resolve_all() {
    resolve();
    CLOSE_RANGE.resolve();
    FCNTL.resolve();
}

type CloseRange = unsafe extern "C" fn(c_uint, c_uint, c_int) -> c_int;
type Fcntl = unsafe extern "C" fn(c_int, c_int, usize) -> c_int;

/// `close_range`: the range is split around what is ours.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let begin = record::begin();
    // SAFETY: that is its type.
    let Some(real) = (unsafe { CLOSE_RANGE.get::<CloseRange>() }) else {
        return Outcome::refused(38);
    };
    // SAFETY: our caller's promise.
    let result =
        close_ranges(first, last, flags, |first, last| unsafe { real(first, last, flags) });
    if begin != 0 {
        let event = Event {
            fd: first.cast_signed(),
            other: flags,
            argument: i64::from(last),
            whose: true,
            ..Event::of(Call::CloseRange, begin, result.outcome())
        };
        record::record(&event, &[]);
    }
    result
}

fn close_ranges(
    first: c_uint,
    last: c_uint,
    flags: c_int,
    close: impl Fn(c_uint, c_uint) -> c_int,
) -> c_int {
    let mut from = first;
    while flags & CLOEXEC == 0
        && first <= last
        && let Some(ours) = next_protected(from).filter(|ours| *ours <= last)
    {
        // The flags are looked at also where there is nothing to close.
        let result = if ours > from { close(from, ours - 1) } else { 0 };
        if result != 0 {
            return result;
        }
        if ours == last {
            return 0;
        }
        from = ours + 1;
    }
    close(from, last)
}

/// `closefrom`: does what it says by the call above.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn closefrom(first: c_int) {
    let first = c_uint::try_from(first).unwrap_or(0);
    // SAFETY: our caller's promise. It cannot fail but on a kernel without the call.
    unsafe { close_range(first, c_uint::MAX, 0) };
}

/// `fcntl`, which is recorded where it duplicates.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    let duplicates = DUPLICATES.contains(&command);
    let begin = if duplicates { record::begin() } else { 0 };
    if begin != 0 && crate::ours::is_protected(fd) {
        return Outcome::refused(9);
    }
    // SAFETY: that is its type.
    let Some(real) = (unsafe { FCNTL.get::<Fcntl>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(fd, command, argument) };
    if begin != 0 {
        let argument = i64::try_from(argument & 0xffff_ffff).unwrap_or(0);
        let event = Event {
            fd,
            other: result,
            argument,
            whose: true,
            ..Event::of(Call::Fcntl, begin, result.outcome())
        };
        record::record(&event, &[]);
    }
    result
}

/// The same: files are large here anyway.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { fcntl(fd, command, argument) }
}

/// The same, by the C library's own name for it.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { fcntl(fd, command, argument) }
}
