//! A test that hangs fails by name: the process is aborted when its time is over.

use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// How long one test may take, before [`scale`].
const LIMIT: Duration = Duration::from_secs(60);

fn factor(variable: &str) -> f64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|factor| factor.is_finite() && *factor > 0.0)
        .unwrap_or(1.0)
}

/// The factor on every test's time limit, from `IO_TEST_SCALE`.
#[must_use]
pub fn scale() -> f64 {
    factor("IO_TEST_SCALE")
}

/// `count` times the factor from `IO_TEST_ROUNDS`, and at least 1: for tests that repeat.
#[must_use]
pub fn rounds(count: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let scaled = (f64::from(count) * factor("IO_TEST_ROUNDS")) as u32;
    scaled.max(1)
}

#[derive(Debug)]
struct Shared {
    over: Mutex<bool>,
    changed: Condvar,
}

/// Aborts the process unless it is dropped in time.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Watches over the test of this name. By the time this returns its thread has started, so that what
    /// a thread allocates for itself is not counted as the test's.
    #[must_use]
    pub fn arm(name: &str) -> Watchdog {
        let shared = Arc::new(Shared { over: Mutex::new(false), changed: Condvar::new() });
        let (name, inside) = (name.to_owned(), Arc::clone(&shared));
        let limit = LIMIT.mul_f64(scale());
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            // The other end is there until it has heard of this.
            let _ = started.send(());
            drop(started);
            watch(&name, limit, &inside);
        });
        // Until the thread has dropped its end, so that the channel is freed here.
        while start.recv().is_ok() {}
        Watchdog { shared, thread: Some(thread) }
    }
}

fn watch(name: &str, limit: Duration, shared: &Shared) {
    let over = shared.over.lock().unwrap_or_else(PoisonError::into_inner);
    let (over, timeout) = shared
        .changed
        .wait_timeout_while(over, limit, |over| !*over)
        .unwrap_or_else(PoisonError::into_inner);
    if !*over && timeout.timed_out() {
        eprintln!("test {name} ... HANGS: not over after {limit:?}, aborting");
        for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            eprintln!("  thread {:?} in system call {}", task.file_name(), read("syscall").trim());
        }
        std::process::abort();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked in a way that matters: the test is over.
            let _ = thread.join();
        }
    }
}
