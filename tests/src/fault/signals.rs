//! Signals as a fault: [`Storm`], [`stopped_and_continued`].
#![allow(unsafe_code, reason = "installs signal handlers and timers, and sends signals")]
//! # Safety
//! The handler only counts, in an atomic; the rest takes numbers and locals.

use crate::child;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{ErrorKind, Read as _, pipe};
use std::os::fd::AsRawFd as _;
use std::thread;

static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// Blocks every signal on this thread.
pub(super) fn block_all() {
    // SAFETY: all zeroes is a set of signals.
    let mut all: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: fills a local.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: reads a local.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, core::ptr::null_mut()) };
}

/// A timer of the process that ends whatever system call one of its threads waits in, again and again, without
/// `SA_RESTART`; until it is dropped.
#[derive(Debug)]
pub struct Storm {
    before: u64,
}

impl Storm {
    /// A signal each `period`.
    ///
    /// # Panics
    /// If there can be no handler or no timer.
    #[must_use]
    pub fn every(period: Duration) -> Storm {
        // SAFETY: all zeroes is a sigaction: no flags (so without SA_RESTART), an empty mask.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int) = count;
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: a handler that is async-signal-safe, and a local.
        let set =
            unsafe { libc::sigaction(libc::SIGALRM, &raw const action, core::ptr::null_mut()) };
        assert_eq!(set, 0, "sigaction");
        arm(period);
        Storm { before: SEEN.load(Ordering::Relaxed) }
    }

    /// How many signals came.
    #[must_use]
    pub fn seen(&self) -> u64 {
        SEEN.load(Ordering::Relaxed) - self.before
    }
}

fn arm(period: Duration) {
    let tv_usec = libc::suseconds_t::from(period.subsec_micros());
    let each = libc::timeval { tv_sec: 0, tv_usec };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: reads a local.
    let set =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut()) };
    assert_eq!(set, 0, "setitimer");
}

impl Drop for Storm {
    fn drop(&mut self) {
        // The handler stays: a signal may be on its way.
        arm(Duration::ZERO);
    }
}

/// Calls `body` with the number of the round, from 0, for as long as another process stops and continues this
/// one, `count` times.
///
/// # Panics
/// If there is no room for another process, or `body` does.
pub fn stopped_and_continued(count: u32, mut body: impl FnMut(u32)) {
    let (mut over, alive) = pipe().expect("a pipe");
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(over.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    // SAFETY: takes nothing.
    let parent = unsafe { libc::getpid() };
    let other = child::fork(|| {
        for _ in 0..count {
            for signal in [libc::SIGSTOP, libc::SIGCONT] {
                // SAFETY: takes numbers.
                unsafe { libc::kill(parent, signal) };
                thread::sleep(Duration::from_micros(300));
            }
        }
    });
    drop(alive);
    for round in 0.. {
        body(round);
        // The end of the other process closes its end.
        match over.read(&mut [0]) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("reading the pipe: {error}"),
        }
    }
    other.join("stopping and continuing");
}
