//! `kernel.rs` in front of the model checker: a futex and the wake token of epoll as a mutex and condition
//! variables of loom's. No descriptors, and time stands still: a deadline that is not over never is.
//!
//! What it keeps of the real ones: a futex compares and goes to sleep in one step with respect to its
//! wakes, which go to the longest sleeper first; the token is an edge, taken by whoever waits or looks
//! next, also if somebody else was woken by it.

extern crate std;

use super::events::{Events, Readiness};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::sync::{AtomicU32, Ordering};
use crate::time::Deadline;
use core::num::NonZeroU32;
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::vec::Vec;

#[derive(Debug)]
pub(super) struct Kernel {
    state: Mutex<State>,
    token: Condvar,
    futex: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A wake token that nobody has taken.
    token: bool,
    /// Who sleeps on the futex, the longest first: a number of its own, and its bits.
    sleepers: Vec<(u32, u32)>,
    next: u32,
}

impl Kernel {
    pub(super) fn open() -> Result<Kernel, Errno> {
        let state = Mutex::new(State::default());
        Ok(Kernel { state, token: Condvar::new(), futex: Condvar::new() })
    }

    /// Nobody forks in a model.
    pub(super) fn renew(&self, _: &Kernel) {}

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of a model panics and goes on")
    }

    pub(super) fn sleep(&self, word: &AtomicU32, seen: u32, _: Deadline, bits: NonZeroU32) {
        let mut state = self.state();
        if word.load(Ordering::SeqCst) != seen {
            return;
        }
        let this = state.next;
        state.next += 1;
        state.sleepers.push((this, bits.get()));
        while state.sleepers.iter().any(|&(other, _)| other == this) {
            state = self.futex.wait(state).expect("as in `state`");
        }
    }

    pub(super) fn wake_sleepers(&self, _: &AtomicU32, count: u32, bits: NonZeroU32) -> bool {
        let mut state = self.state();
        let mut woken = 0;
        state.sleepers.retain(|&(_, its)| {
            let wakes = its & bits.get() != 0 && woken < count;
            woken += u32::from(wakes);
            !wakes
        });
        if woken > 0 {
            self.futex.notify_all();
        }
        woken > 0
    }

    pub(super) fn wake(&self) {
        self.state().token = true;
        self.token.notify_all();
    }

    pub(super) fn watch(&self, deadline: Deadline) -> (Events, bool) {
        let mut state = self.state();
        while !state.token && deadline != Deadline::NOW {
            state = self.token.wait(state).expect("as in `state`");
        }
        (Events::new(), core::mem::take(&mut state.token))
    }

    pub(super) fn register(&self, _: Fd, _: Readiness) -> Result<bool, Errno> {
        Ok(true)
    }

    pub(super) fn register_edges(&self, _: Fd, _: u32) -> Result<bool, Errno> {
        Ok(true)
    }
}
