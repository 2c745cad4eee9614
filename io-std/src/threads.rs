//! Threads the library makes: named, with every signal blocked, and deaf to panics of user code.
#![allow(unsafe_code, reason = "sets the signal mask")]
//! # Safety
//! The signal sets are plain data on the stack; the calls read and write nothing else.

use core::mem::MaybeUninit;
use core::panic::AssertUnwindSafe;
use core::ptr;
use core::time::Duration;
use std::io;
use std::panic::catch_unwind;
use std::thread::{self, JoinHandle, ThreadId};

/// Between two calls that end a thread.
const PAUSE: Duration = Duration::from_micros(100);

/// Starts a thread with every signal blocked from its first instruction on.
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    // The new thread inherits the mask; blocking inside it would leave a window.
    let _blocked = BlockedSignals::new();
    thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// Calls `turn`, which may run wakers and callbacks, and outlives their panics. The panic hook has
/// reported it by then; `None` says that it happened.
pub(crate) fn outlive_panics<T>(turn: impl FnOnce() -> T) -> Option<T> {
    // The backends' state is consistent when user code runs, so looking at it afterwards is fine.
    catch_unwind(AssertUnwindSafe(turn)).ok()
}

/// Joins all but the calling thread itself, which would wait for ever: it ends by itself. Until they
/// have ended, calls `end` again and again: a thread on its way into the loop that `end` ends would
/// miss a single call.
pub(crate) fn end_and_join(threads: impl IntoIterator<Item = JoinHandle<()>>, end: impl Fn()) {
    let this: ThreadId = thread::current().id();
    end();
    for thread in threads {
        if thread.thread().id() == this {
            continue;
        }
        while !thread.is_finished() {
            end();
            thread::sleep(PAUSE);
        }
        // An `Err` is a panic that the thread's hook has reported.
        let _: thread::Result<()> = thread.join();
    }
}

/// While it exists, the calling thread takes no signals.
struct BlockedSignals(MaybeUninit<libc::sigset_t>);

impl BlockedSignals {
    fn new() -> BlockedSignals {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut old = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `all` is writable; filling a set cannot fail.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` was just filled and `old` is writable; `SIG_SETMASK` is a valid `how`, so it
        // cannot fail, and `old` is filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) };
        BlockedSignals(old)
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `new` filled the set; null means that the old one is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, self.0.as_ptr(), ptr::null_mut()) };
    }
}
