//! [`Watch`]: ends the program, and says what is in flight, when nothing advances any more.

use crate::world::World;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use io_core::{Handle, InFlight};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// How long nothing may advance.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Shared {
    steps: AtomicU64,
    over: AtomicBool,
    world: Mutex<Option<Arc<World>>>,
}

/// A thread that looks whether [`step`](Watch::step) is still called.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch; `again` is what to tell the user.
    pub(crate) fn start(again: String) -> Watch {
        let shared = Arc::new(Shared::default());
        let inside = Arc::clone(&shared);
        let thread = thread::spawn(move || watch(&inside, &again));
        Watch { shared, thread: Some(thread) }
    }

    /// Something was brought to its end.
    pub(crate) fn step(&self) {
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Whom to ask what is in flight.
    pub(crate) fn look_at(&self, world: Option<Arc<World>>) {
        *self.shared.world.lock().unwrap_or_else(PoisonError::into_inner) = world;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic; and if it did, its hook has said so.
            let _ = thread.join();
        }
    }
}

/// The limit times the factor in `IO_TEST_SCALE`.
fn limit() -> Duration {
    let factor = std::env::var("IO_TEST_SCALE").ok().and_then(|text| text.parse::<f64>().ok());
    LIMIT.mul_f64(factor.filter(|factor| factor.is_finite() && *factor > 0.0).unwrap_or(1.0))
}

fn watch(shared: &Shared, again: &str) {
    let (limit, mut seen, mut since) = (limit(), 0, Instant::now());
    while !shared.over.load(Ordering::Relaxed) {
        let steps = shared.steps.load(Ordering::Relaxed);
        if steps != seen {
            (seen, since) = (steps, Instant::now());
        } else if since.elapsed() > limit {
            eprintln!("soak: nothing advances for {limit:?}");
            report(shared);
            eprintln!("soak: {again}");
            std::process::exit(1);
        }
        thread::park_timeout(Duration::from_millis(100).min(limit));
    }
}

fn report(shared: &Shared) {
    let Ok(Some(world)) = shared.world.try_lock().map(|world| world.clone()) else {
        return eprintln!("soak: between two epochs");
    };
    eprintln!("soak: on {}", world.io.chosen());
    eprintln!("soak: {:?}", world.io.backend().counters());
    let mut table = [InFlight::EMPTY; 256];
    let count = world.io.backend().dump(&mut table);
    eprintln!("soak: {count} in flight, as far as this thread may know:");
    for op in table.iter().take(count) {
        eprintln!("  {op:?}");
    }
    eprintln!("soak: the sessions are at {:?}", world.doing());
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        eprintln!("  thread {} is at {}", read("comm").trim(), read("syscall").trim());
    }
}
