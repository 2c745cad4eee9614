//! Running one test under many [`Choices`]: random ones, all up to a depth, or those of an earlier run; and
//! making a run that fails small before it is reported.
//!
//! A failure prints its seed, its shrunk trace, what the test [attached](attach) (a simulation its log), and
//! what to set to run exactly that again: `IO_SIM_SEED=…` or `IO_SIM_TRACE=…`, with the same test.

use crate::choices::{Choices, Trace};
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use std::panic;
use std::sync::Once;

/// So many runs are spent on making one that fails smaller.
const SHRINKING: u32 = 3_000;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static ATTACHED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Adds to what a failure of the current run prints. A run that does not fail throws it away.
pub fn attach(text: impl Into<String>) {
    let text = text.into();
    ATTACHED.with_borrow_mut(|attached| attached.push_str(&text));
}

/// How one run went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its choices.
    pub trace: Trace,
    /// What the panic said, and where.
    pub message: String,
    /// What was attached.
    pub attached: String,
}

/// Runs the test once. What it panics with is in the result, and not printed.
///
/// # Errors
/// If it panics.
pub fn run(choices: &Choices, test: &impl Fn(&Choices)) -> Result<(), Failure> {
    hush();
    ATTACHED.with_borrow_mut(String::clear);
    MESSAGE.with_borrow_mut(String::clear);
    let was = QUIET.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(choices)));
    QUIET.set(was);
    outcome.map_err(|_payload| Failure {
        trace: choices.trace(),
        message: MESSAGE.take(),
        attached: ATTACHED.take(),
    })
}

/// What the current run has panicked with, if it has.
pub(crate) fn first_message() -> String {
    MESSAGE.with_borrow(Clone::clone)
}

/// Panics inside [`run`] are kept, not printed.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                return before(info);
            }
            // The first is the cause; what unwinds may panic again.
            MESSAGE.with_borrow_mut(|message| {
                if message.is_empty() {
                    *message = info.to_string();
                }
            });
        }));
    });
}

/// Makes a failing run smaller: the shortest and lowest trace that was found to fail, whatever its message.
#[must_use]
pub fn shrink(failure: Failure, test: &impl Fn(&Choices)) -> Failure {
    let mut best = failure;
    let mut left = SHRINKING;
    let mut attempt = |best: &mut Failure, answers: Vec<u32>| {
        let smaller = Trace(answers).trimmed();
        if left == 0 || size(&smaller) >= size(&best.trace) {
            return false;
        }
        left -= 1;
        let Err(mut failure) = run(&Choices::replay(&smaller.0), test) else { return false };
        // Not the run's own trace: it may have asked for more, and been answered 0.
        failure.trace = smaller;
        *best = failure;
        true
    };
    loop {
        let before = best.trace.clone();
        drop_chunks(&mut best, &mut attempt);
        clear_chunks(&mut best, &mut attempt);
        lower(&mut best, &mut attempt);
        realign(&mut best, &mut attempt);
        if best.trace == before {
            return best;
        }
    }
}

/// Fewer wild choices are smaller, then shorter, then lower numbers.
fn size(trace: &Trace) -> (usize, usize, u64) {
    let wild = trace.0.iter().filter(|answer| **answer != 0).count();
    (wild, trace.0.len(), trace.0.iter().map(|answer| u64::from(*answer)).sum())
}

type Attempt<'a> = dyn FnMut(&mut Failure, Vec<u32>) -> bool + 'a;

fn drop_chunks(best: &mut Failure, attempt: &mut Attempt<'_>) {
    let mut len = best.trace.0.len();
    while len > 0 {
        let mut at = 0;
        while at < best.trace.0.len() {
            let mut answers = best.trace.0.clone();
            answers.drain(at..(at + len).min(answers.len()));
            if !attempt(best, answers) {
                at += len;
            }
        }
        len /= 2;
    }
}

fn clear_chunks(best: &mut Failure, attempt: &mut Attempt<'_>) {
    let mut len = best.trace.0.len();
    while len > 0 {
        let mut at = 0;
        while at < best.trace.0.len() {
            let mut answers = best.trace.0.clone();
            let end = (at + len).min(answers.len());
            answers[at..end].fill(0);
            let _ = attempt(best, answers);
            at += len;
        }
        len /= 2;
    }
}

fn lower(best: &mut Failure, attempt: &mut Attempt<'_>) {
    let mut at = 0;
    while at < best.trace.0.len() {
        let mut step = best.trace.0[at];
        while step > 0 && at < best.trace.0.len() {
            let mut answers = best.trace.0.clone();
            answers[at] = answers[at].saturating_sub(step);
            if !attempt(best, answers) {
                step /= 2;
            }
        }
        at += 1;
    }
}

/// A wild choice may have led to others: without it the ones behind it move up, or down.
fn realign(best: &mut Failure, attempt: &mut Attempt<'_>) {
    let mut at = 0;
    while at < best.trace.0.len() {
        let wild = best.trace.0[at] != 0;
        let mut found = false;
        for shift in 1..=4 {
            if !wild || found {
                break;
            }
            let mut fewer = best.trace.0.clone();
            fewer[at] = 0;
            let mut more = fewer.clone();
            fewer.drain(at + 1..(at + 1 + shift).min(fewer.len()));
            more.splice(at..at, core::iter::repeat_n(0, shift));
            found = attempt(best, fewer) || attempt(best, more);
        }
        at += usize::from(!found);
    }
}

/// Shrinks a failure and panics with all there is to say about it.
fn report(first: Failure, origin: &str, test: &impl Fn(&Choices)) -> ! {
    let choices = first.trace.0.len();
    let small = shrink(first, test);
    panic!(
        "{}\n\nfails with {origin}, {choices} choices, shrunk to {}.\n{}\nreplay: IO_SIM_TRACE='{}' and this \
         test alone\n",
        small.message,
        small.trace.0.len(),
        small.attached,
        small.trace,
    );
}

fn run_or_report(choices: &Choices, origin: &str, test: &impl Fn(&Choices)) {
    if let Err(failure) = run(choices, test) {
        report(failure, origin, test);
    }
}

/// Runs the test with the seeds 0 to `count`, or, if `IO_SIM_SEED` or `IO_SIM_TRACE` is set, with that one
/// alone. `count` is scaled by `IO_TEST_ROUNDS`.
///
/// # Panics
/// If a run does: with the seed, the shrunk trace, and how to replay it.
pub fn seeds(count: u32, test: impl Fn(&Choices)) {
    seeds_in(0..u64::from(crate::watchdog::rounds(count)), test);
}

/// [`seeds`] from a range, which is not scaled. Whether those were run, and not the one that is set.
///
/// # Panics
/// As [`seeds`].
pub fn seeds_in(range: Range<u64>, test: impl Fn(&Choices)) -> bool {
    if let Ok(text) = std::env::var("IO_SIM_TRACE") {
        replay(&text, test);
        return false;
    }
    if let Ok(text) = std::env::var("IO_SIM_SEED") {
        let seed: u64 = text.trim().parse().expect("IO_SIM_SEED is a number");
        run_or_report(&Choices::seed(seed), &format!("IO_SIM_SEED={seed}"), &test);
        return false;
    }
    for seed in range {
        run_or_report(&Choices::seed(seed), &format!("IO_SIM_SEED={seed}"), &test);
    }
    true
}

/// What [`exhaustive`] has run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explored {
    /// How many runs.
    pub runs: u64,
    /// Whether those were all.
    pub complete: bool,
}

/// Runs the test with every combination of its first `depth` choices, the later ones being tame, but no
/// more than `limit` runs; or, if `IO_SIM_TRACE` is set, with that one alone.
///
/// # Panics
/// As [`seeds`].
pub fn exhaustive(depth: usize, limit: u64, test: impl Fn(&Choices)) -> Explored {
    if let Ok(text) = std::env::var("IO_SIM_TRACE") {
        replay(&text, test);
        return Explored { runs: 1, complete: false };
    }
    let mut trace = Trace::default();
    for runs in 1..=limit {
        let choices = Choices::replay(&trace.0);
        run_or_report(&choices, &format!("run {runs} of all to depth {depth}"), &test);
        match choices.successor(depth) {
            Some(next) => trace = next,
            None => return Explored { runs, complete: true },
        }
    }
    Explored { runs: limit, complete: false }
}

/// Runs the test with the choices of an earlier run, as a failure prints them.
///
/// # Panics
/// If the text is no trace, and as [`seeds`].
pub fn replay(text: &str, test: impl Fn(&Choices)) {
    let trace: Trace = text.parse().expect("a trace, such as `1.0*3.7`");
    run_or_report(&Choices::replay(&trace.0), "this trace", &test);
}
