//! A test that hangs fails by name: the process is aborted when its time is over.

use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// Says how many repetitions there were, where `IO_TEST_ROUNDS` is set.
pub fn tell(count: u32, what: &str) {
    if std::env::var_os("IO_TEST_ROUNDS").is_some() {
        println!("    {count} {what}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The watching thread is not there yet.
    Starting,
    /// It waits.
    Watching,
    /// The test is over.
    Over,
}

#[derive(Debug)]
struct Shared {
    stage: Mutex<Stage>,
    changed: Condvar,
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage) {
        *self.stage() = stage;
        self.changed.notify_all();
    }
}

/// Aborts the process unless it is dropped in time.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Watches over the test of this name. By the time this returns its thread waits, so that what a
    /// thread allocates and frees for itself is not counted as the test's.
    #[must_use]
    pub fn arm(name: &str) -> Watchdog {
        let shared =
            Arc::new(Shared { stage: Mutex::new(Stage::Starting), changed: Condvar::new() });
        let (name, inside) = (name.to_owned(), Arc::clone(&shared));
        let limit = LIMIT.mul_f64(scale());
        let thread = thread::spawn(move || watch(&name, limit, &inside));
        let started = shared.changed.wait_while(shared.stage(), |stage| *stage == Stage::Starting);
        drop(started);
        Watchdog { shared, thread: Some(thread) }
    }
}

fn watch(name: &str, limit: Duration, shared: &Shared) {
    shared.enter(Stage::Watching);
    let (stage, timeout) = shared
        .changed
        .wait_timeout_while(shared.stage(), limit, |stage| *stage != Stage::Over)
        .unwrap_or_else(PoisonError::into_inner);
    if *stage != Stage::Over && timeout.timed_out() {
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
        self.shared.enter(Stage::Over);
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked in a way that matters: the test is over.
            let _ = thread.join();
        }
    }
}
