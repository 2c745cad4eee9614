//! Running one test under many [`Choices`]: random ones, all up to a depth, all that are tame but for a few, or those
//! of an earlier run; and making a run that fails small before it is reported.
//!
//! A failure prints its seed, its shrunk trace, what the test [attached](attach) (a simulation its log), and
//! what to set to run exactly that again: `IO_SIM_SEED=…` or `IO_SIM_TRACE=…`, with the same test. What is
//! run again is run once, and not made smaller. With `IO_SIM_LOG=1` runs that pass print what they attach.

mod deviations;
mod labels;
mod shrink;

pub use deviations::deviations;
pub use labels::{must_reach, reached};
pub use shrink::shrink;

use crate::choices::{Choices, Trace};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use labels::Many;
use std::panic;
use std::sync::{Once, OnceLock};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
    static ATTACHED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Adds to what a failure of the current run prints. A run that does not fail throws it away.
pub fn attach(text: impl Into<String>) {
    let text = text.into();
    ATTACHED.with_borrow_mut(|attached| attached.push_str(&text));
}

/// Whether a run that passes prints what it attaches: `IO_SIM_LOG` is set, and not to 0.
#[must_use]
pub fn is_logged() -> bool {
    static LOGGED: OnceLock<bool> = OnceLock::new();
    *LOGGED.get_or_init(|| setting("IO_SIM_LOG").is_some_and(|text| text != "0"))
}

/// How one run went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its choices.
    pub trace: Trace,
    /// What the panic said, and where.
    pub message: String,
    /// Where it panicked: file, line and column.
    pub place: String,
    /// What was attached.
    pub attached: String,
}

/// Runs the test once. What it panics with is in the result, and not printed.
///
/// # Errors
/// If it panics.
pub fn run(choices: &Choices, test: &impl Fn(&Choices)) -> Result<(), Failure> {
    hush();
    labels::next_run();
    ATTACHED.with_borrow_mut(String::clear);
    MESSAGE.with_borrow_mut(String::clear);
    PLACE.with_borrow_mut(String::clear);
    let was = QUIET.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(choices)));
    QUIET.set(was);
    outcome.map_err(|_payload| Failure {
        trace: choices.trace(),
        message: MESSAGE.take(),
        place: PLACE.take(),
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
                    let place = info.location().map_or(String::new(), ToString::to_string);
                    PLACE.set(place);
                }
            });
        }));
    });
}

/// Shrinks a failure and panics with all there is to say about it.
fn report(first: Failure, origin: &str, test: &impl Fn(&Choices)) -> ! {
    let before = first.trace.clone();
    let shrunk = shrink::shrunk(first, test);
    let (small, count) = (&shrunk.best, Trace::wild);
    let elsewhere = shrunk.elsewhere.as_ref().map_or(String::new(), |other| {
        let line = other.message.lines().nth(1).unwrap_or_default();
        format!("smaller runs panic at {}: {line}: IO_SIM_TRACE='{}'\n", other.place, other.trace)
    });
    panic!(
        "{}\n\nfails with {origin}; wild choices: {} of {} (was {} of {}).\n{elsewhere}{}\nreplay: \
         IO_SIM_TRACE='{}' and this test alone\n",
        small.message,
        count(&small.trace),
        small.trace.0.len(),
        count(&before),
        before.0.len(),
        small.attached,
        small.trace,
    );
}

fn run_or_report(choices: &Choices, origin: &str, test: &impl Fn(&Choices)) {
    match run(choices, test) {
        Ok(()) => print_passed(origin),
        Err(failure) => report(failure, origin, test),
    }
}

/// Runs it once. A failure is reported as it is; that a recorded run is another by now is one too.
fn run_once(choices: &Choices, origin: &str, test: &impl Fn(&Choices)) {
    let Err(failure) = run(choices, test) else {
        print_passed(origin);
        let Some(at) = choices.misfit() else { return };
        panic!(
            "the run passes, but {origin} is not of this program under this plan: its choice {at}, counted from 0, was not \
             there to be made"
        );
    };
    let Failure { trace, message, attached, .. } = failure;
    let (wild, all) = (trace.wild(), trace.0.len());
    panic!(
        "{message}\n\nreplay of {origin}; wild choices: {wild} of {all}: IO_SIM_TRACE='{trace}'\n{attached}"
    );
}

fn print_passed(origin: &str) {
    if is_logged() {
        println!("{origin} passes\n{}", ATTACHED.take());
    }
}

fn print_reached(text: &str) {
    if is_logged() {
        print!("{text}");
    }
}

/// What this variable is set to. Nothing is as good as not set.
fn setting(name: &str) -> Option<String> {
    let text = std::env::var(name).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether one run is asked for: what a test counts over many runs is then not to be looked at.
#[must_use]
pub fn is_replay() -> bool {
    setting("IO_SIM_SEED").is_some() || setting("IO_SIM_TRACE").is_some()
}

/// The seed that `IO_SIM_SEED` asks for.
fn chosen_seed() -> Option<u64> {
    let text = setting("IO_SIM_SEED")?;
    let Ok(seed) = text.parse() else { panic!("IO_SIM_SEED is a number, not '{text}'") };
    Some(seed)
}

/// The trace that `IO_SIM_TRACE` asks for.
fn chosen_trace() -> Option<(String, Trace)> {
    let text = setting("IO_SIM_TRACE")?;
    let trace = parse(&text, "IO_SIM_TRACE");
    Some((format!("IO_SIM_TRACE='{text}'"), trace))
}

fn parse(text: &str, what: &str) -> Trace {
    text.parse().unwrap_or_else(|_| panic!("{what} is a line such as 1.0*3.7, not '{text}'"))
}

/// The seeds of a test that runs its own programs and does not shrink them: 0 to `count`, scaled by `IO_TEST_ROUNDS`,
/// or that of `IO_SIM_SEED` alone.
///
/// # Panics
/// If that is set to something else than a number.
#[must_use]
pub fn seed_range(count: u32) -> Range<u64> {
    let all = 0..u64::from(crate::watchdog::rounds(count));
    chosen_seed().map_or(all, |seed| seed..seed.saturating_add(1))
}

/// Runs the test with the seeds 0 to `count`, or, if `IO_SIM_SEED` or `IO_SIM_TRACE` is set, with that one
/// alone. `count` is scaled by `IO_TEST_ROUNDS`.
///
/// # Panics
/// If a run does: with the seed, the shrunk trace, and how to replay it. If none does and a place was not reached that
/// [must be](must_reach).
pub fn seeds(count: u32, test: impl Fn(&Choices)) {
    seeds_in(0..u64::from(crate::watchdog::rounds(count)), test);
}

/// [`seeds`] from a range, which is not scaled. Whether those were run, and not the one that is set.
///
/// # Panics
/// As [`seeds`].
pub fn seeds_in(range: Range<u64>, test: impl Fn(&Choices)) -> bool {
    if let Some((origin, trace)) = chosen_trace() {
        run_once(&Choices::replay(&trace.0), &origin, &test);
        return false;
    }
    if let Some(seed) = chosen_seed() {
        run_once(&Choices::seed(seed), &format!("IO_SIM_SEED={seed}"), &test);
        return false;
    }
    let (many, runs) = (Many::begin(), range.end.saturating_sub(range.start));
    for seed in range {
        run_or_report(&Choices::seed(seed), &format!("IO_SIM_SEED={seed}"), &test);
    }
    print_reached(&many.end(runs));
    true
}

/// What [`exhaustive`] or [`deviations`] has run.
#[must_use = "the runs may not have been all: see `assert_complete`"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explored {
    /// How many runs.
    pub runs: u64,
    /// Whether those were all.
    pub complete: bool,
    /// `IO_SIM_TRACE` asked for that one run.
    pub replayed: bool,
}

impl Explored {
    /// That it was all; or the one run that was asked for.
    ///
    /// # Panics
    /// If runs are left out.
    #[track_caller]
    pub fn assert_complete(&self) {
        let runs = self.runs;
        assert!(
            self.complete || self.replayed,
            "{runs} runs are not all: raise the limit, lower the depth, or switch off more of the plan"
        );
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.complete { "all there are" } else { "not all" };
        write!(f, "{} runs, {all}", self.runs)
    }
}

/// Runs the test with every combination of its first `depth` choices, the later ones being tame, but no
/// more than `limit` runs; or, if `IO_SIM_TRACE` is set, with that one alone.
///
/// Use it on programs of two or three operations with most of the plan off; runs multiply by the alternatives at
/// each choice.
///
/// # Panics
/// As [`seeds`].
pub fn exhaustive(depth: usize, limit: u64, test: impl Fn(&Choices)) -> Explored {
    if let Some((origin, trace)) = chosen_trace() {
        run_once(&Choices::replay(&trace.0), &origin, &test);
        return Explored { runs: 1, complete: false, replayed: true };
    }
    let many = Many::begin();
    let mut trace = Trace::default();
    for runs in 1..=limit {
        let choices = Choices::replay(&trace.0);
        run_or_report(&choices, &format!("run {runs} of all to depth {depth}"), &test);
        match choices.successor(depth) {
            Some(next) => trace = next,
            None => {
                print_reached(&many.end(runs));
                return Explored { runs, complete: true, replayed: false };
            }
        }
    }
    print_reached(&many.end(limit));
    Explored { runs: limit, complete: false, replayed: false }
}

/// Runs the test once with the choices of an earlier run, as a failure prints them.
///
/// # Panics
/// If the text is no trace, or the run does, or passes without making the choices of the earlier one.
pub fn replay(text: &str, test: impl Fn(&Choices)) {
    run_once(&Choices::replay(&parse(text, "a trace").0), &format!("'{text}'"), &test);
}
