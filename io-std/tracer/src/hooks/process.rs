//! Where a life begins or ends: fork, spawn, exec, exit.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came; paths and environments are read after, or as, the real function reads them.

use crate::format::Call;
use crate::hook::{Outcome, path};
use crate::libc::length;
use crate::life::Life;
use crate::real::Real;
use crate::record::{self, Event};
use crate::{quiet, writer};
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::Ordering;

/// `argv`, `envp`.
pub(super) type Strings = *const *const c_char;

static FORK: Real = Real::new("fork\0");
static FORK_PLAIN: Real = Real::new("_Fork\0");
static SPAWN: Real = Real::new("posix_spawn\0");
static SPAWNP: Real = Real::new("posix_spawnp\0");
static EXIT: Real = Real::new("exit\0");
static EXIT_NOW: Real = Real::new("_exit\0");
static EXIT_QUICK: Real = Real::new("quick_exit\0");

/// Looks up the real functions of this file.
pub(super) fn resolve() {
    for real in [&FORK, &FORK_PLAIN, &SPAWN, &SPAWNP, &EXIT, &EXIT_NOW, &EXIT_QUICK] {
        real.resolve();
    }
}

fn fork_by(real: &Real) -> c_int {
    let begin = record::begin();
    // SAFETY: that is the type of both.
    let Some(real) = (unsafe { real.get::<unsafe extern "C" fn() -> c_int>() }) else {
        return Outcome::refused(38);
    };
    // SAFETY: our caller's promise.
    let pid = unsafe { real() };
    if begin != 0 && pid == 0 {
        // Here a life begins.
        Life::begin_child();
    } else if begin != 0 {
        record::record(&Event::of(Call::Fork, begin, pid.outcome()), &[]);
    }
    pid
}

/// `fork`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fork() -> c_int {
    fork_by(&FORK)
}

/// The same, by the C library's own name for it.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fork() -> c_int {
    fork_by(&FORK)
}

/// `_Fork`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn _Fork() -> c_int {
    fork_by(&FORK_PLAIN)
}

type Spawn = unsafe extern "C" fn(
    *mut c_int,
    *const c_char,
    *const c_void,
    *const c_void,
    Strings,
    Strings,
) -> c_int;

/// What both have in common. It returns an error, and leaves `errno` alone.
///
/// # Safety
/// * As the function that is hooked.
unsafe fn spawn_by(
    real: &Real,
    call: Call,
    (pid, name): (*mut c_int, *const c_char),
    actions: *const c_void,
    attributes: *const c_void,
    (arguments, variables): (Strings, Strings),
) -> c_int {
    let begin = record::begin();
    // SAFETY: that is the type of both.
    let Some(real) = (unsafe { real.get::<Spawn>() }) else { return 38 };
    let mut child = 0;
    let room = if pid.is_null() { &raw mut child } else { pid };
    // SAFETY: our caller's promise, and room for a number.
    let error = unsafe { real(room, name, actions, attributes, arguments, variables) };
    if begin != 0 {
        // SAFETY: a call that succeeded has written it.
        let outcome = if error == 0 { i64::from(unsafe { *room }) } else { -i64::from(error) };
        // SAFETY: the real function has read it.
        let text = unsafe { path(name, outcome) };
        record::record(&Event { whose: true, ..Event::of(call, begin, outcome) }, text);
        if error == 0 {
            // SAFETY: as above.
            unsafe { count_untraced(variables) };
        }
    }
    error
}

/// `posix_spawn`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    name: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    variables: Strings,
) -> c_int {
    let what = (pid, name);
    // SAFETY: our caller's promise.
    unsafe { spawn_by(&SPAWN, Call::Spawn, what, actions, attributes, (arguments, variables)) }
}

/// `posix_spawnp`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    name: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    variables: Strings,
) -> c_int {
    let what = (pid, name);
    // SAFETY: our caller's promise.
    unsafe { spawn_by(&SPAWNP, Call::Spawnp, what, actions, attributes, (arguments, variables)) }
}

/// Counts a program that will start without the tracer: its environment has lost it.
///
/// # Safety
/// * The strings are those of an environment, or null.
pub(super) unsafe fn count_untraced(variables: Strings) {
    const NAMES: [&[u8]; 2] = [b"LD_PRELOAD=", b"IO_TRACE_DIR="];
    let mut found = [variables.is_null(); 2];
    for at in 0.. {
        if found == [true; 2] {
            return;
        }
        // SAFETY: up to the null pointer at the end, promised by the caller.
        let variable = unsafe { *variables.wrapping_add(at) };
        if variable.is_null() {
            break;
        }
        for (found, name) in found.iter_mut().zip(NAMES) {
            // SAFETY: a string, promised by the caller.
            let len = unsafe { length(variable, name.len()) };
            // SAFETY: as above.
            *found |= unsafe { core::slice::from_raw_parts(variable.cast::<u8>(), len) } == name;
        }
    }
    if let Some(life) = Life::own() {
        life.header().untraced.fetch_add(1, Ordering::Relaxed);
    }
}

/// Before an exec: the event, and all that was recorded to the file. 0 if it is not to be recorded.
///
/// # Safety
/// * `name` is a string, or nothing reads it.
pub(super) unsafe fn begin_exec(name: *const c_char, fd: c_int, variables: Strings) -> u64 {
    let begin = record::begin();
    if begin == 0 {
        return 0;
    }
    // SAFETY: promised by the caller: the real function reads it next.
    let text = unsafe { path(name, 0) };
    record::record(&Event { fd, whose: true, ..Event::of(Call::Exec, begin, 0) }, text);
    // SAFETY: as above.
    unsafe { count_untraced(variables) };
    finish();
    begin
}

/// After an exec that came back.
///
/// # Safety
/// * As [`begin_exec`], for the same.
pub(super) unsafe fn end_exec(begin: u64, name: *const c_char, fd: c_int, result: c_int) -> c_int {
    if begin != 0 {
        let outcome = result.outcome();
        // SAFETY: promised by the caller.
        let text = unsafe { path(name, outcome) };
        record::record(&Event { fd, whose: true, ..Event::of(Call::Exec, begin, outcome) }, text);
    }
    result
}

/// The life of this process, not that of a parent whose memory this borrows, is over, or may be.
fn finish() {
    if let Some(life) = Life::own()
        && (quiet::is_on() || !Life::is_borrowed())
    {
        life.end();
        writer::finish(life);
    }
}

type Exit = unsafe extern "C" fn(c_int) -> !;

/// # Safety
/// * As the function that is hooked.
unsafe fn exit_by(real: &Real, call: Call, code: c_int) -> ! {
    let begin = record::begin();
    if begin != 0 {
        let base = Event::of(call, begin, 0);
        record::record(&Event { argument: i64::from(code), whose: true, ..base }, &[]);
        if call == Call::ExitNow {
            finish();
        }
    }
    // SAFETY: that is the type of all three.
    if let Some(real) = unsafe { real.get::<Exit>() } {
        // SAFETY: our caller's promise.
        unsafe { real(code) }
    }
    // There is a C library without it?
    crate::libc::end()
}

/// `exit`: what comes after it is recorded too, and written when the loader calls us for the last time.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn exit(code: c_int) -> ! {
    // SAFETY: our caller's promise.
    unsafe { exit_by(&EXIT, Call::Exit, code) }
}

/// `_exit`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn _exit(code: c_int) -> ! {
    // SAFETY: our caller's promise.
    unsafe { exit_by(&EXIT_NOW, Call::ExitNow, code) }
}

/// `_Exit`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn _Exit(code: c_int) -> ! {
    // SAFETY: our caller's promise.
    unsafe { exit_by(&EXIT_NOW, Call::ExitNow, code) }
}

/// `quick_exit`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn quick_exit(code: c_int) -> ! {
    // SAFETY: our caller's promise.
    unsafe { exit_by(&EXIT_QUICK, Call::ExitNow, code) }
}
