//! Seccomp filters: these system calls are asked about, or denied ([`denied`]); all others pass.
#![allow(unsafe_code, reason = "installs a filter")]
//! # Safety
//! The program is a local that the kernel copies.

use super::not_here;
use io_core::Errno;
use libc::sock_filter;
use std::io::Error;
use std::panic::resume_unwind;
use std::thread;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where `struct seccomp_data` has the number and the architecture.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
/// And the low half of its second argument.
const SECOND_AT: u32 = 24;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Goes on with the next step if equal, else past it.
const fn unless(k: u32) -> sock_filter {
    sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k }
}

const fn jump(k: u32, equal: u8, other: u8) -> sock_filter {
    sock_filter { code: JUMP_IF_EQUAL, jt: equal, jf: other, k }
}

/// A wake of a futex passes: the supervisor may wait for it itself, in a lock of the C library's.
fn wakes() -> [sock_filter; 7] {
    let futex = u32::try_from(libc::SYS_futex).expect("the number of a system call");
    let (wake, wake_bitset) =
        (libc::FUTEX_WAKE.cast_unsigned(), libc::FUTEX_WAKE_BITSET.cast_unsigned());
    [
        jump(futex, 0, 5),
        step(LOAD, SECOND_AT),
        // Without the flags.
        step(AND, 0x7f),
        jump(wake, 1, 0),
        jump(wake_bitset, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ALLOW),
        step(LOAD, NUMBER_AT),
    ]
}

/// What becomes of these calls; all others pass.
fn program(calls: &[i64], action: u32) -> Vec<sock_filter> {
    let mut program = vec![
        step(LOAD, ARCHITECTURE_AT),
        sock_filter { code: JUMP_IF_EQUAL, jt: 1, jf: 0, k: ARCHITECTURE },
        step(RETURN, libc::SECCOMP_RET_ALLOW),
        step(LOAD, NUMBER_AT),
    ];
    program.extend(wakes());
    for &call in calls {
        program.push(unless(u32::try_from(call).expect("the number of a system call")));
        program.push(step(RETURN, action));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW));
    program
}

/// Filters the calling thread, and those it will start; returns what the kernel does.
fn apply(mut program: Vec<sock_filter>, flags: libc::c_ulong) -> Result<i64, Error> {
    let len = u16::try_from(program.len()).expect("a short program");
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if promised != 0 {
        return Err(Error::last_os_error());
    }
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program is a local, and so are its steps.
    let applied = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if applied < 0 { Err(Error::last_os_error()) } else { Ok(applied) }
}

/// Filters the calling thread, and those it will start; returns the descriptor that is asked.
///
/// # Errors
/// What the kernel says: no seccomp, or there is a supervisor already.
pub(super) fn install(calls: &[i64]) -> Result<i32, Error> {
    let ask = program(calls, libc::SECCOMP_RET_USER_NOTIF);
    let listener = apply(ask, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    Ok(i32::try_from(listener).expect("a descriptor"))
}

/// Runs `body` on a thread for which this system call fails with `errno`, as where a sandbox denies it; also
/// for the threads that it starts.
///
/// # Panics
/// As `body`.
pub fn denied(call: i64, errno: Errno, body: impl FnOnce() + Send) {
    let errno = errno.raw().unsigned_abs();
    let ended = thread::scope(|scope| {
        let filtered = scope.spawn(move || {
            let deny = program(&[call], libc::SECCOMP_RET_ERRNO | errno);
            match apply(deny, 0) {
                Ok(_) => body(),
                Err(error) => not_here(format!("no filter of system calls: {error}")),
            }
        });
        filtered.join()
    });
    ended.unwrap_or_else(|payload| resume_unwind(payload));
}
