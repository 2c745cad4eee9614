//! What disturbs a whole epoch from a thread of its own: signals, and a limit on descriptors.
#![allow(unsafe_code, reason = "installs a signal handler and sends signals to threads")]
//! # Safety
//! The handler does nothing. A thread's number leaves [`Targets`] before the thread ends, under the lock that is
//! held while signals are sent.

use crate::process;
use crate::random::Random;
use crate::world::{World, count};
use core::sync::atomic::Ordering;
use core::time::Duration;
use core::{mem, ptr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads to send signals to.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<Vec<libc::pthread_t>>);

impl Targets {
    fn change(&self, change: impl FnOnce(&mut Vec<libc::pthread_t>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The calling thread may be disturbed.
    pub(crate) fn add_this_thread(&self) {
        // SAFETY: always succeeds.
        let this = unsafe { libc::pthread_self() };
        self.change(|threads| threads.push(this));
    }

    /// It may no longer.
    pub(crate) fn remove_this_thread(&self) {
        // SAFETY: always succeeds.
        let this = unsafe { libc::pthread_self() };
        self.change(|threads| threads.retain(|&thread| thread != this));
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// Makes `SIGUSR1` interrupt system calls, without `SA_RESTART`, and do nothing else.
pub(crate) fn prepare() {
    // SAFETY: plain data, for which zeros are a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the action is valid and its handler does nothing; null: the old one is not wanted.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
}

/// Disturbs until all sessions are over.
pub(crate) fn disturb(world: &World, targets: &Targets, mut random: Random) {
    // How long to wait between two signals, at most.
    let pause_us = 1 << random.below(13);
    while world.busy.load(Ordering::SeqCst) > 0 {
        targets.change(|threads| {
            if threads.is_empty() {
                return;
            }
            let thread = threads[random.below(threads.len())];
            // SAFETY: the thread is in the list, so it has not ended, and does not while this is locked.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
            count(&world.counts.signals);
        });
        if world.squeezed && random.once_in(8) {
            squeeze(world, &mut random);
        }
        thread::sleep(Duration::from_micros(random.below(pause_us) as u64));
    }
}

/// For a moment there are hardly any descriptors left, or none.
fn squeeze(world: &World, random: &mut Random) {
    let usual = getrlimit(Resource::Nofile);
    let open = process::descriptors();
    let current = Some((open / 2 + random.below(open)) as u64);
    // A soft limit up to the hard one is always allowed; and if not, nothing is squeezed.
    if setrlimit(Resource::Nofile, Rlimit { current, maximum: usual.maximum }).is_ok() {
        count(&world.counts.squeezes);
        thread::sleep(Duration::from_micros(random.below(3000) as u64));
        // As above: it was the limit before.
        let _ = setrlimit(Resource::Nofile, usual);
    }
}
