//! The same random programs of real operations on this repository's backends and as plain system calls.

mod support;

use io_conformance::choices::Choices;
use io_conformance::differential::{self, Driven, Place, Subject};
use io_conformance::explore;
use io_conformance::fixture::Fixture;
use io_conformance::watchdog::Watchdog;
use io_conformance::{count_fds, fixture::Flavour};
use support::epoll::{LocalEpoll, offloaded};
use support::pool::{LocalPool, Pool};
use support::uring;

/// So many programs.
const SEEDS: u32 = 400;

/// Runs `test` with one more subject.
fn with<F: Fixture>(fixture: &F, others: &[&dyn Subject], test: impl FnOnce(&[&dyn Subject])) {
    if let Err(reason) = fixture.available() {
        println!("{} does not run: {reason}", fixture.name());
        return test(others);
    }
    fixture.with(Flavour::Started, |rig| {
        let subject = Driven::new(fixture.name(), rig.backend());
        let mut all = others.to_vec();
        all.push(&subject);
        test(&all);
    });
}

/// One after the other, with a watchdog that says which it was. `IO_SIM_SEED` chooses one.
fn run_seeds(subjects: &[&dyn Subject]) {
    let place = Place::new();
    let seeds = explore::seed_range(SEEDS);
    let (mut steps, mut before) = (0, count_fds());
    for seed in seeds.clone() {
        // Shown if it fails.
        println!("IO_SIM_SEED={seed}");
        let watchdog = Watchdog::arm(&format!("differential, IO_SIM_SEED={seed}"));
        let script = differential::run(&Choices::seed(seed), &place, subjects);
        drop(watchdog);
        steps += script.steps.len();
        let after = count_fds();
        assert_eq!(after, core::mem::replace(&mut before, after), "descriptors\n{script}");
    }
    // The ring may be missing, with its reason; epoll and the pool never are.
    assert!(subjects.len() >= 4, "held against nothing");
    let names: Vec<_> = subjects.iter().map(|subject| subject.name()).collect();
    println!("{} programs of {steps} steps in all, on {}", seeds.count(), names.join(", "));
}

/// The same results, the same bytes, and the same is left at the end.
#[test]
fn random_programs_do_what_the_system_calls_do() {
    let [shared, .., masked] = uring::shared();
    let [local, _] = uring::local();
    let [offloaded, _] = offloaded();
    let pool = Pool { name: "pool_4_workers", workers: 4 };
    with(&local, &[], |subjects| {
        with(&shared, subjects, |subjects| {
            with(&masked, subjects, |subjects| {
                with(&LocalEpoll, subjects, |subjects| {
                    with(&offloaded, subjects, |subjects| {
                        with(&LocalPool, subjects, |subjects| with(&pool, subjects, run_seeds));
                    });
                });
            });
        });
    });
}
