//! Runs a closure under loom in every interleaving within a bound, and prints how many there were.
#![allow(unreachable_pub, reason = "included by several test targets")]

use loom::model::Builder;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "not each target uses all")]
pub enum Bound {
    /// Every interleaving.
    All,
    /// Those with at most so many preemptions; more with a larger `IO_TEST_ROUNDS`.
    Preemptions(usize),
    /// Those with at most so many, and never more: where two threads give way to each other, the checker lets a third one
    /// starve, and takes that for a search without end.
    Fixed(usize),
}

/// One more preemption for each power of ten in `IO_TEST_ROUNDS`.
fn deeper() -> usize {
    let rounds = std::env::var("IO_TEST_ROUNDS").ok().and_then(|text| text.parse::<f64>().ok());
    let mut left = rounds.unwrap_or(1.0);
    let mut more = 0;
    while left >= 10.0 {
        left /= 10.0;
        more += 1;
    }
    more
}

/// Explores what the closure's threads can do. The variables of loom's own (`LOOM_MAX_PREEMPTIONS`,
/// `LOOM_LOG`, `LOOM_LOCATION`, `LOOM_CHECKPOINT_FILE`) work as always.
///
/// # Panics
/// If an interleaving fails, or deadlocks: the checker says which.
pub fn explore(bound: Bound, act: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = builder.max_branches.max(20_000);
    let preemptions = match bound {
        Bound::All => None,
        Bound::Preemptions(count) => Some(count + deeper()),
        Bound::Fixed(count) => Some(count),
    };
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    // A search that does not end is a failure, and not a hang.
    let limit = Duration::from_secs(3600);
    builder.max_duration = Some(limit);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let begin = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        act();
    });
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let reach = match builder.preemption_bound {
        None => String::from("all of them"),
        Some(bound) => format!("at most {bound} preemptions"),
    };
    let runs = runs.load(Ordering::Relaxed);
    println!("loom: {name}: {runs} interleavings, {reach}, {:.1} s", begin.elapsed().as_secs_f64());
    assert!(begin.elapsed() < limit, "the search was cut off");
    assert!(runs > 1, "one run is no search");
}
