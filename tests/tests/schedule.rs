//! Random programs of operations over the simulated backend: many seeds, all small ones to a depth, and those
//! that once failed.

use core::cell::Cell;
use io_conformance::choices::{Choices, Trace};
use io_conformance::explore;
use io_conformance::program::{Limits, Summary, describe, run};
use io_conformance::sim::Plan;
use io_conformance::watchdog::{rounds, scale};
use std::fs;
use std::time::Instant;

/// So many by default, without optimisation; `.ci/run` runs ten times as many with it.
const SEEDS: u32 = if cfg!(miri) { 4 } else { 10_000 };

/// Adds up what programs did, and says how long they took.
struct Total {
    name: &'static str,
    sum: Cell<Summary>,
    begin: Instant,
}

impl Total {
    fn new(name: &'static str) -> Total {
        Total { name, sum: Cell::new(Summary::default()), begin: Instant::now() }
    }

    fn run(&self, choices: &Choices, limits: Limits) {
        let mut sum = self.sum.get();
        sum += run(choices, limits);
        self.sum.set(sum);
    }

    fn report(self) -> Summary {
        let seconds = self.begin.elapsed().as_secs_f64();
        println!("{}, {seconds:.1} s: {}", self.name, self.sum.get());
        self.sum.get()
    }
}

/// Whatever the adversary does, the contract holds.
#[test]
fn random_programs_keep_the_contract() {
    let total = Total::new("random programs");
    let limits = if cfg!(miri) { Limits::small() } else { Limits::usual() };
    explore::seeds(SEEDS, |choices| total.run(choices, limits));
    let sum = total.report();
    let took = processor_seconds();
    println!("{took:.1} s of a processor");
    assert!(took < 300.0 * scale(), "{} programs took {took} s of a processor", sum.programs);
    if sum.programs >= 1000 {
        assert_eq!(sum.missing(), [""; 0], "kinds that no program submits");
        assert!(sum.undecided * 1000 <= sum.programs, "{} streams not judged", sum.undecided);
    }
}

/// What this thread has had of a processor: what it took, whoever else is there. Under Miri nothing.
fn processor_seconds() -> f64 {
    let text =
        if cfg!(miri) { None } else { fs::read_to_string("/proc/thread-self/schedstat").ok() };
    let first = text.as_deref().and_then(|text| text.split_whitespace().next());
    first.and_then(|nanos| nanos.parse::<f64>().ok()).map_or(0.0, |nanos| nanos / 1e9)
}

/// On a good day of the kernel nothing fails that need not, in the same programs.
#[test]
fn programs_on_a_good_day_keep_the_contract() {
    let total = Total::new("on a good day");
    let usual = if cfg!(miri) { Limits::small() } else { Limits::usual() };
    let limits = Limits { plan: Plan::tame(), ..usual };
    explore::seeds(SEEDS / 20 + 1, |choices| total.run(choices, limits));
    total.report();
}

/// The same choices are the same program, and the same story of it.
#[test]
fn a_program_is_its_choices() {
    let usual = if cfg!(miri) { Limits::small() } else { Limits::usual() };
    let limits = Limits { forget: false, ..usual };
    for seed in 0..if cfg!(miri) { 1 } else { 50 } {
        let first = Choices::seed(seed);
        let story = describe(&first, limits);
        assert!(story.lines().count() > 3, "{story}");
        assert_eq!(story, describe(&Choices::seed(seed), limits), "seed {seed}");
        assert_eq!(story, describe(&Choices::replay(&first.trace().0), limits), "seed {seed}");
    }
}

/// Every program of two operations and a step on a good day; and as many as there is time for with an adversary
/// that may do one kind of thing.
#[test]
#[cfg_attr(miri, ignore = "hundreds of thousands of programs")]
fn all_small_programs_keep_the_contract() {
    let tame = Plan::tame();
    let plans = [
        ("tame", tame),
        ("inline", Plan { inline: true, ..tame }),
        ("races", Plan { cancel_races: true, ..tame }),
        ("reorder", Plan { reorder: true, ..tame }),
        ("delay", Plan { delay: true, ..tame }),
    ];
    for (name, plan) in plans {
        let total = Total::new(name);
        let all = plan == tame;
        let most = if all { 500_000 } else { u64::from(rounds(20_000)) };
        let explored = explore::exhaustive(usize::MAX, most, |choices| {
            total.run(choices, Limits::tiny(STEPS, plan));
        });
        println!("{name}: {explored:?}");
        total.report();
        assert!(explored.complete || !all, "all programs on a good day, not some");
    }
}

/// So many steps have the programs of which all are run.
const STEPS: u32 = 1;

/// Programs that once failed, by their traces.
const REGRESSIONS: [&str; 0] = [];

/// What once failed does not any more.
#[test]
fn what_once_failed_does_not() {
    for text in REGRESSIONS {
        let Trace(answers) = text.parse().expect("a trace");
        run(&Choices::replay(&answers), Limits::usual());
    }
}
