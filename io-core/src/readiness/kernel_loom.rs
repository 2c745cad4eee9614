//! `kernel.rs` in front of the model checker: a futex and the wake token of epoll as a mutex and condition
//! variables of loom's. Time stands still: a deadline that is not over never is; and a descriptor is ready when
//! the test says so.
//!
//! What it keeps of the real ones: a futex compares and goes to sleep in one step with respect to its
//! wakes, which go to the longest sleeper first; the token is an edge, taken by whoever waits or looks
//! next, also if somebody else was woken by it.

extern crate std;

use super::events::{Event, Events, Readiness, Trigger};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::sync::{AtomicU32, Ordering};
use crate::time::Deadline;
use core::num::{NonZeroI32, NonZeroU32};
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::AtomicI32;
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
    /// Descriptors that are ready, as a test has said; those that are registered, and whether for one event; and
    /// events that nobody has taken.
    ready: Vec<Fd>,
    armed: Vec<(Fd, Trigger)>,
    events: Vec<Fd>,
}

impl Kernel {
    pub(super) fn open() -> Result<Kernel, Errno> {
        let state = Mutex::new(State::default());
        Ok(Kernel { state, token: Condvar::new(), futex: Condvar::new() })
    }

    /// Nobody forks in a model.
    pub(super) fn renew(&self, _: &Kernel) {}

    /// Nobody closes it in a model.
    #[allow(clippy::unused_self, reason = "as the real one")]
    pub(super) fn is_lost(&self) -> bool {
        false
    }

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
        while !state.token && state.events.is_empty() && deadline != Deadline::NOW {
            state = self.token.wait(state).expect("as in `state`");
        }
        let mut events = Events::new();
        let readiness = Readiness::READABLE | Readiness::WRITABLE;
        for fd in state.events.drain(..) {
            events.push(Event { fd, generation: 0, readiness });
        }
        (events, core::mem::take(&mut state.token))
    }

    /// The descriptor is ready from here on.
    pub(super) fn arrive(&self, fd: Fd) {
        let mut state = self.state();
        state.ready.push(fd);
        if let Some(at) = state.armed.iter().position(|&(armed, _)| armed == fd) {
            if state.armed[at].1 == Trigger::Once {
                state.armed.remove(at);
            }
            state.events.push(fd);
            self.token.notify_all();
        }
    }

    pub(super) fn register(&self, fd: Fd, _: Readiness, trigger: Trigger) -> Result<bool, Errno> {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|&(armed, _)| armed != fd);
        let fresh = state.armed.len() == before;
        let ready = state.ready.contains(&fd);
        if ready {
            state.events.push(fd);
            self.token.notify_all();
        }
        if !ready || trigger == Trigger::Edges {
            state.armed.push((fd, trigger));
        }
        Ok(fresh)
    }

    pub(super) fn register_edges(&self, _: Fd, _: u32) -> Result<bool, Errno> {
        Ok(true)
    }
}

static THREADS: AtomicI32 = AtomicI32::new(1);

loom::thread_local! {
    static NUMBER: NonZeroI32 = NonZeroI32::new(THREADS.fetch_add(1, Ordering::Relaxed) | 1 << 30)
        .unwrap_or(NonZeroI32::MIN);
}

/// The threads of a model are one thread of the kernel's, so they are numbered here.
pub(super) fn this_thread() -> NonZeroI32 {
    NUMBER.with(|number| *number)
}
