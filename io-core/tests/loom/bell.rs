//! A waker that a thread of a model can wait for.
#![allow(unreachable_pub, reason = "included by several test targets")]

use loom::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

/// What a waker of the tests does: it lets its caller go on.
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    times: AtomicUsize,
}

impl Bell {
    /// Not rung.
    pub fn new() -> Arc<Bell> {
        Arc::new(Bell {
            rung: Mutex::new(false),
            changed: Condvar::new(),
            times: AtomicUsize::new(0),
        })
    }

    /// Waits until it was rung since the last wait. A wake-up that is lost is a deadlock, which loom finds.
    pub fn wait(&self) {
        let mut rung = self.rung.lock().expect("no panic");
        while !*rung {
            rung = self.changed.wait(rung).expect("no panic");
        }
        *rung = false;
    }

    /// How often it was rung.
    #[allow(dead_code, reason = "not each target asks")]
    pub fn times(&self) -> usize {
        self.times.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        self.times.fetch_add(1, Ordering::Relaxed);
        *self.rung.lock().expect("no panic") = true;
        self.changed.notify_all();
    }
}
