//! Threads the library makes: named, with every signal blocked, and deaf to panics of user code.
#![allow(unsafe_code, reason = "sets the signal mask")]
//! # Safety
//! The signal sets are plain data on the stack; the calls read and write nothing else.

use core::mem::MaybeUninit;
use core::panic::AssertUnwindSafe;
use core::ptr;
use std::io;
use std::panic::catch_unwind;
use std::thread::{self, JoinHandle, ThreadId};

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

/// Joins all but the calling thread itself, which would wait for ever: it ends by itself.
pub(crate) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let this: ThreadId = thread::current().id();
    for thread in threads {
        if thread.thread().id() != this {
            // An `Err` is a panic that the thread's hook has reported.
            let _: thread::Result<()> = thread.join();
        }
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
