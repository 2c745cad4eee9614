//! What the tracer asks of the C library by name: nothing of it allocates.
#![allow(unsafe_code, reason = "declares functions of the C library")]
//! # Safety
//! The declarations are those of glibc on 64-bit Linux.

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr;

/// `struct timespec`.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: c_long,
}

/// `sigset_t`.
pub(crate) type Signals = [u64; 16];

/// `stack_t`.
#[repr(C)]
struct Stack {
    base: *mut c_void,
    flags: c_int,
    size: usize,
}

unsafe extern "C" {
    fn abort() -> !;
    fn __errno_location() -> *mut c_int;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn fileno(stream: *mut c_void) -> c_int;
    fn getenv(name: *const c_char) -> *const c_char;
    fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const Signals, old: *mut Signals) -> c_int;
    fn sigaltstack(new: *const Stack, old: *mut Stack) -> c_int;
    fn strnlen(text: *const c_char, most: usize) -> usize;
}

const CLOCK_MONOTONIC: c_int = 1;
const PR_GET_NAME: c_int = 16;
const SIG_SETMASK: c_int = 2;
const SS_ONSTACK: c_int = 1;

/// Ends the process by a signal.
pub(crate) fn end() -> ! {
    // SAFETY: it takes nothing.
    unsafe { abort() }
}

/// `errno`.
#[inline]
pub(crate) fn errno() -> c_int {
    // SAFETY: takes nothing.
    let errno = unsafe { __errno_location() };
    // SAFETY: this thread's, always valid.
    unsafe { *errno }
}

/// Sets `errno`.
#[inline]
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: takes nothing.
    let errno = unsafe { __errno_location() };
    // SAFETY: this thread's, always valid.
    unsafe { *errno = value }
}

/// `CLOCK_MONOTONIC` in nanoseconds, without a system call where the kernel gives it so.
pub(crate) fn now() -> u64 {
    let mut time = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: a clock that exists, and room for it: it cannot fail.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &raw mut time) };
    time.seconds
        .cast_unsigned()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.nanos.cast_unsigned())
}

/// The descriptor of a stream, or -1; `errno` stays what it is.
///
/// # Safety
/// * It is open, or null.
pub(crate) unsafe fn descriptor(stream: *mut c_void) -> c_int {
    if stream.is_null() {
        return -1;
    }
    let before = errno();
    // SAFETY: open, promised by the caller.
    let fd = unsafe { fileno(stream) };
    set_errno(before);
    fd
}

/// A variable of the environment.
pub(crate) fn variable(name: &core::ffi::CStr) -> Option<&'static [u8]> {
    // SAFETY: a string.
    let value = unsafe { getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a string of the environment. Used at once, before the program's own code has a chance to change it.
    Some(unsafe { core::ffi::CStr::from_ptr(value) }.to_bytes())
}

/// The length of a string, at most `most`.
///
/// # Safety
/// * It is readable so far.
#[inline]
pub(crate) unsafe fn length(text: *const c_char, most: usize) -> usize {
    // SAFETY: promised by the caller.
    unsafe { strnlen(text, most) }
}

/// The name of the calling thread.
pub(crate) fn thread_name(room: &mut [u8; 16]) -> &[u8] {
    // SAFETY: it writes at most 16 bytes.
    unsafe { prctl(PR_GET_NAME, room.as_mut_ptr().expose_provenance(), 0, 0, 0) };
    core::ffi::CStr::from_bytes_until_nul(room).map_or(&[], core::ffi::CStr::to_bytes)
}

/// Whether this thread is on its alternate signal stack, which may be small.
pub(crate) fn is_on_signal_stack() -> bool {
    let mut stack = Stack { base: ptr::null_mut(), flags: 0, size: 0 };
    // SAFETY: only asks.
    unsafe { sigaltstack(ptr::null(), &raw mut stack) };
    stack.flags & SS_ONSTACK != 0
}

/// All signals of this thread wait, until it is dropped.
pub(crate) struct Blocked(Signals);

impl Blocked {
    /// `None` if that is not possible.
    pub(crate) fn new() -> Option<Blocked> {
        let (all, mut before): (Signals, Signals) = ([u64::MAX; 16], [0; 16]);
        // SAFETY: both are of that type.
        let refused = unsafe { pthread_sigmask(SIG_SETMASK, &raw const all, &raw mut before) } != 0;
        if refused { None } else { Some(Blocked(before)) }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: what it was.
        unsafe { pthread_sigmask(SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
