//! [`Child`]: a forked copy of the test process that runs one function and ends.
#![allow(unsafe_code, reason = "forks, and waits for the child")]
//! # Safety
//! The child has one thread, which never returns from [`fork`] or [`ending_in_the_child`]: it runs the
//! function, and ends without exit handlers.

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

/// How long a child may live, in seconds: whoever hangs there dies of `SIGALRM`.
const LIMIT: u32 = 20;

/// The exit code of a child whose function panicked.
const PANICKED: i32 = 101;

/// A forked process that was not waited for.
#[derive(Debug)]
#[must_use = "a child is waited for"]
pub struct Child(libc::pid_t);

/// Forks; the child runs `body` and ends.
///
/// Other threads of this process do not exist in the child, and what they have locked stays locked.
///
/// # Panics
/// If there is no room for another process.
pub fn fork(body: impl FnOnce()) -> Child {
    split().unwrap_or_else(|| end_with(body))
}

/// Runs `body`, which [`split`]s once, and lets its child end there, also when it panics.
///
/// # Panics
/// As `body` in the parent.
pub fn ending_in_the_child(body: impl FnOnce()) {
    let parent = process();
    let ended = catch_unwind(AssertUnwindSafe(body));
    if process() != parent {
        end_with(|| ended.unwrap_or_else(|payload| resume_unwind(payload)));
    }
    ended.unwrap_or_else(|payload| resume_unwind(payload));
}

/// Forks; `None` in the child, which must not outlive the caller's [`ending_in_the_child`].
///
/// # Panics
/// As [`fork`].
#[must_use]
pub fn split() -> Option<Child> {
    // SAFETY: the child goes on with what this function's callers let it do, and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Some(Child(pid));
    }
    // SAFETY: takes a number.
    unsafe { libc::alarm(LIMIT) };
    None
}

/// Runs `body` and ends this process at once.
fn end_with(body: impl FnOnce()) -> ! {
    let code = if catch_unwind(AssertUnwindSafe(body)).is_ok() { 0 } else { PANICKED };
    // SAFETY: takes a number; nothing of this process is used after it.
    unsafe { libc::_exit(code) }
}

fn process() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::getpid() }
}

impl Child {
    /// Waits for the child's end.
    ///
    /// # Panics
    /// If it did not end well; `what` says what it did.
    pub fn join(self, what: &str) {
        let mut status = 0;
        loop {
            // SAFETY: the status is a local.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            if pid == self.0 {
                break;
            }
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "waitpid");
        }
        if libc::WIFSIGNALED(status) {
            match libc::WTERMSIG(status) {
                libc::SIGALRM => panic!("the child hangs: {what}"),
                signal => panic!("the child died of signal {signal}: {what}"),
            }
        }
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed, see above: {what}");
    }
}
