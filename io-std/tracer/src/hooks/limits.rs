//! Where the program limits itself: a seccomp filter may forbid what the tracer does, and its answer may be the end of the
//! process. So everything is written before, and afterwards nothing is done that is not allowed.
//!
//! A filter that is set by an instruction of the program's own passes us by. Where it answers with an error, writes fail and
//! are counted; where it ends the process, that happens when a block is full.
#![allow(unsafe_code, reason = "defines functions of the C library")]
//! # Safety
//! Arguments are handed on as they came. Both functions are variadic in C; the arguments that may be missing are in
//! registers, or on the stack above, all the same.

use super::vfork;
use crate::filter::{Program, allows};
use crate::hook::Outcome;
use crate::life::Life;
use crate::local::local;
use crate::real::Real;
use crate::{clock, ours, quiet, record, route, writer};
use core::ffi::{c_int, c_long};
use core::ptr;
use core::sync::atomic::Ordering;

static PRCTL: Real = Real::new("prctl\0");
static SYSCALL: Real = Real::new("syscall\0");

/// Looks up the real functions of this file.
pub(super) fn resolve() {
    PRCTL.resolve();
    SYSCALL.resolve();
}

/// `PR_SET_SECCOMP`, and its modes.
const PR_SET_SECCOMP: c_int = 22;
const STRICT: usize = 1;
/// `PR_SET_TSC`, and that a look at the counter is a signal.
const PR_SET_TSC: c_int = 26;
const TSC_SIGSEGV: usize = 2;
/// `seccomp(2)`, and what it does.
const SECCOMP: c_long = if cfg!(target_arch = "x86_64") { 317 } else { 277 };
const SET_STRICT: usize = 0;
const SET_FILTER: usize = 1;

/// `clone(2)`, `vfork(2)`, `clone3(2)`.
const MAKES_CHILDREN: [c_long; 3] =
    if cfg!(target_arch = "x86_64") { [56, 58, 435] } else { [220, 220, 435] };
/// `io_uring_setup(2)`.
const RING_SETUP: c_long = 425;

/// Runs what sets a filter, between what is to be done before and after. `program` is null for the strict mode.
fn limiting<R: Outcome>(program: *const Program, set: impl FnOnce() -> R) -> R {
    if record::begin() != 0
        && let Some(life) = Life::own()
        && !Life::is_borrowed()
    {
        writer::finish(life);
        // All the room there is, since there may be none later.
        while life.grow() {}
        route::stand_by();
    }
    let result = set();
    if result.outcome() >= 0 && !quiet::is_on() {
        let strict = program.is_null();
        // SAFETY: the kernel has just taken it.
        let (writing, ring) = if strict { (false, false) } else { unsafe { allows(program) } };
        if !writing {
            quiet::begin();
            route::end();
        } else if !ring {
            route::leave_ring();
        }
    }
    result
}

/// `prctl`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    type Function = unsafe extern "C" fn(c_int, usize, usize, usize, usize) -> c_int;
    // SAFETY: that is its type.
    let Some(real) = (unsafe { PRCTL.get::<Function>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let set = || unsafe { real(option, a, b, c, d) };
    if option == PR_SET_TSC && a == TSC_SIGSEGV {
        let set = || {
            clock::stop();
            set()
        };
        // The library asks what time it is too.
        return limiting(ptr::null(), set);
    }
    if option != PR_SET_SECCOMP {
        return set();
    }
    limiting(if a == STRICT { ptr::null() } else { ptr::with_exposed_provenance(b) }, set)
}

/// `syscall`, which is not recorded: only what it may forbid us matters here.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    type Function =
        unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    // SAFETY: that is its type.
    let Some(real) = (unsafe { SYSCALL.get::<Function>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let set = || unsafe { real(number, a, b, c, d, e, f) };
    if MAKES_CHILDREN.contains(&number) {
        vfork::note();
    }
    match a {
        // The ring's own descriptor: the crate that makes it calls this very function.
        _ if number == RING_SETUP && local().own.load(Ordering::Relaxed) != 0 => {
            ours::lift_made(i32::try_from(set()).unwrap_or(-1)).into()
        }
        SET_STRICT if number == SECCOMP => limiting(ptr::null(), set),
        SET_FILTER if number == SECCOMP => limiting(ptr::with_exposed_provenance(c), set),
        _ => set(),
    }
}
