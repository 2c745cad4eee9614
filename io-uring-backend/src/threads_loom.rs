//! `threads.rs` in front of the model checker: loom's threads, and its condition variables for the futex and the
//! bell.

use io_core::sync::plain::AtomicUsize;
use io_core::sync::{AtomicU32, Ordering};
use io_core::{Deadline, Errno};
use loom::sync::{Condvar, Mutex};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

static NEXT: AtomicUsize = AtomicUsize::new(1);

loom::thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

loom::lazy_static! {
    /// One for all words: who sleeps on another looks again.
    static ref FUTEX: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

pub(crate) fn this_thread() -> usize {
    NUMBER.with(|number| *number)
}

pub(crate) fn give_way() {
    loom::thread::yield_now();
}

/// Compares and sleeps in one step with respect to a wake, and never ends by itself.
pub(crate) fn sleep_while(word: &AtomicU32, value: u32, _: Deadline) {
    let guard = FUTEX.0.lock().expect("no thread of a model panics and goes on");
    if word.load(Ordering::SeqCst) == value {
        drop(FUTEX.1.wait(guard));
    }
}

pub(crate) fn wake_all(_: &AtomicU32) {
    drop(FUTEX.0.lock());
    FUTEX.1.notify_all();
}

#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn new(_: OwnedFd) -> Bell {
        Bell { rung: Mutex::new(false), changed: Condvar::new() }
    }

    pub(crate) fn open() -> Result<OwnedFd, Errno> {
        let event = eventfd(0, EventfdFlags::CLOEXEC);
        event.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    pub(crate) fn renew(&self, _: OwnedFd) {}

    pub(crate) fn read_target(&self) -> (i32, *mut u8) {
        (-1, core::ptr::null_mut())
    }

    pub(crate) fn ring(&self) {
        *self.rung.lock().expect("as above") = true;
        self.changed.notify_all();
    }

    /// What the ring does with its read, while its owner is parked.
    #[cfg(test)]
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().expect("as above");
        while !*rung {
            rung = self.changed.wait(rung).expect("as above");
        }
        *rung = false;
    }
}
