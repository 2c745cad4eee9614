//! The pattern of every hook, as a macro, and what it says of a call.
//!
//! ```text
//! pread | pread64: (fd: c_int, buf: *mut c_void, count: usize, offset: i64) -> result: isize
//!     = Pread { fd: fd, argument: offset };
//! ```
//!
//! reads: these symbols have these parameters; the call is recorded as `Call::Pread` with these fields of
//! [`Event`](crate::record::Event). A hook takes the time, calls the real function, records, and returns what that
//! returned, with its `errno`. Behind the fields there may be
//!
//! * `path p`: the event's text is the string at `p`;
//! * `paths (p, q)`: two of them; `address (p, len)`: bytes;
//! * `protect fd`: if that is a descriptor of the tracer's, the real function is not called: `EBADF`, as if it were
//!   not open;
//! * `replace fd`: if that is one, it gets out of the way.
//!
//! The macro contains `unsafe`, against the house's rule: what a hook does with its arguments is to hand them on, and a
//! reader of one declaration has seen all of them.
#![allow(unsafe_code, reason = "reads strings that the real function has read")]
//! # Safety
//! A string is read only after the real function has: its result says that it could.

use crate::format::LONGEST_TEXT;
use crate::libc::{errno, length};
use core::ffi::{c_char, c_int, c_void};
use core::slice;

/// Declares hooks; see the top of the file. Names on one line are one function, so one of them is looked up for all.
macro_rules! hooks {
    ($($first:ident $(| $name:ident)*: $parameters:tt -> $result:ident: $returns:ty = $call:ident
        $fields:tt $($kind:ident $what:tt)*;)+) => {
        #[allow(non_camel_case_types, reason = "they are the names of C functions")]
        enum Index { $($first),+ }

        const COUNT: usize = [$(stringify!($first)),+].len();

        static REAL: [$crate::real::Real; COUNT] = [$(
            $crate::real::Real::new(concat!(stringify!($first), "\0"))
        ),+];

        /// Looks up the real functions.
        #[allow(dead_code, reason = "some are looked up when they are first called")]
        pub(super) fn resolve() {
            for real in &REAL {
                real.resolve();
            }
        }

        $($crate::hook::aliases!(
            $first [$first $($name)*] $parameters -> $result: $returns = $call $fields
            ($($kind $what)*)
        );)+
    };
}
pub(crate) use hooks;

/// One hook for each of its names.
macro_rules! aliases {
    ($first:ident [$($name:ident)+] $parameters:tt -> $result:ident: $returns:ty = $call:ident
        $fields:tt $rest:tt) => {
        $($crate::hook::hook!(
            $first $name $parameters -> $result: $returns = $call $fields $rest
        );)+
    };
}
pub(crate) use aliases;

/// One hook.
macro_rules! hook {
    ($first:ident $name:ident ($($argument:ident: $type:ty),*) -> $result:ident: $returns:ty
        = $call:ident {$($field:ident: $value:expr),*} ($($kind:ident $what:tt)*)) => {
        #[doc = concat!("`", stringify!($name), "`, recorded as `", stringify!($call), "`.")]
        ///
        /// # Safety
        /// * As the function of that name.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $returns {
            type Function = unsafe extern "C" fn($($type),*) -> $returns;
            let begin = $crate::record::begin();
            // SAFETY: the type is that of the function, in its own declaration.
            let real = REAL.get(Index::$first as usize).and_then(|real| unsafe { real.get() });
            let real: Option<Function> = real;
            // Not where the tracer itself calls, as the standard library does.
            let refused = begin != 0 && (false $(|| $crate::hook::refuses!($kind $what))*);
            let $result: $returns = match real {
                _ if refused => $crate::hook::Outcome::refused(9),
                None => $crate::hook::Outcome::refused(38),
                // SAFETY: our caller's promise to this very function.
                Some(real) => unsafe { real($($argument),*) },
            };
            if begin != 0 {
                let outcome = $crate::hook::Outcome::outcome(&$result);
                #[allow(clippy::needless_update, reason = "some hooks say everything")]
                let event = $crate::record::Event {
                    $($field: $value,)*
                    ..$crate::record::Event::of($crate::format::Call::$call, begin, outcome)
                };
                $crate::hook::record!(event, outcome, $($kind $what)*);
            }
            $result
        }
    };
}
pub(crate) use hook;

/// Whether the real function is not called.
macro_rules! refuses {
    (protect $fd:tt) => {
        $crate::ours::is_protected($fd)
    };
    (replace $fd:tt) => {
        $crate::ours::is_protected($fd) && !$crate::writer::give_way($fd)
    };
    ($kind:ident $what:tt) => {
        false
    };
}
pub(crate) use refuses;

/// Records an event with its text.
macro_rules! record {
    ($event:ident, $outcome:ident, $(protect $fd:tt)* $(replace $to:tt)*) => {
        $crate::record::record(&$event, &[])
    };
    ($event:ident, $outcome:ident, path $path:tt $(protect $fd:tt)*) => {
        // SAFETY: the real function has read it, which `outcome` says.
        let text = unsafe { $crate::hook::path($path, $outcome) };
        $crate::record::record(&$event, text)
    };
    ($event:ident, $outcome:ident, paths ($one:expr, $two:expr)) => {
        // SAFETY: the real function has read both, which `outcome` says.
        let one = unsafe { $crate::hook::path($one, $outcome) };
        // SAFETY: as above.
        let two = unsafe { $crate::hook::path($two, $outcome) };
        $crate::record::record_two(&$event, one, two)
    };
    ($event:ident, $outcome:ident, address ($address:expr, $len:expr)) => {
        // SAFETY: the real function has read it, which `outcome` says.
        let text = unsafe { $crate::hook::address($address, $len, $outcome) };
        $crate::record::record_bytes(&$event, text)
    };
}
pub(crate) use record;

/// What a function returned, as an event says it.
pub(crate) trait Outcome {
    /// The value, or `-errno`.
    fn outcome(&self) -> i64;
    /// An error, and `errno`.
    fn refused(errno: c_int) -> Self;
}

macro_rules! outcomes {
    ($($number:ty),+) => {$(
        impl Outcome for $number {
            #[inline]
            fn outcome(&self) -> i64 {
                if *self < 0 { -i64::from(errno()) } else { *self as i64 }
            }

            fn refused(errno: c_int) -> Self {
                crate::libc::set_errno(errno);
                -1
            }
        }
    )+};
}
outcomes!(c_int, isize, i64);

impl Outcome for usize {
    fn outcome(&self) -> i64 {
        *self as i64
    }

    fn refused(errno: c_int) -> usize {
        crate::libc::set_errno(errno);
        0
    }
}

impl Outcome for *mut c_void {
    fn outcome(&self) -> i64 {
        if self.is_null() { -i64::from(errno()) } else { 0 }
    }

    fn refused(errno: c_int) -> *mut c_void {
        crate::libc::set_errno(errno);
        core::ptr::null_mut()
    }
}

impl Outcome for *mut c_char {
    fn outcome(&self) -> i64 {
        if self.is_null() { -1 } else { 0 }
    }

    fn refused(errno: c_int) -> *mut c_char {
        crate::libc::set_errno(errno);
        core::ptr::null_mut()
    }
}

impl Outcome for () {
    fn outcome(&self) -> i64 {
        0
    }

    fn refused(_: c_int) {}
}

/// Errors that come before a path is read, or because it cannot be: `EPERM`, `EBADF`, `EFAULT`, `EINVAL`, `ENOSYS`.
fn was_read(outcome: i64) -> bool {
    !matches!(outcome, -1 | -9 | -14 | -22 | -38)
}

/// The string at `path`, if the call has read it.
///
/// # Safety
/// * The real function was called with it, and `outcome` is what came of it.
#[inline]
pub(crate) unsafe fn path<'a>(path: *const c_char, outcome: i64) -> &'a [u8] {
    if path.is_null() || !was_read(outcome) {
        return &[];
    }
    // SAFETY: a string that was read, promised by the caller.
    let len = unsafe { length(path, LONGEST_TEXT) };
    // SAFETY: as above.
    unsafe { slice::from_raw_parts(path.cast(), len) }
}

/// The bytes of a socket's address, if the call has read them.
///
/// # Safety
/// * As [`path`].
pub(crate) unsafe fn address<'a>(address: *const c_void, len: u32, outcome: i64) -> &'a [u8] {
    if address.is_null() || len > 128 || !was_read(outcome) {
        return &[];
    }
    // SAFETY: as many bytes as were read, promised by the caller.
    unsafe { slice::from_raw_parts(address.cast(), len as usize) }
}
