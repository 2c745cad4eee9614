//! The executable model of one operation's life: its own rules, and the real code held against it.
//!
//! Without the feature `steps` what comes between comes inside user code; with it, before each access.

use core::mem::discriminant;
use core::panic::AssertUnwindSafe;
use io_conformance::choices::Choices;
use io_conformance::model::harness::Log;
use io_conformance::model::{Event, Theme, Walk, Windows, bytes, themes, tour};
use io_conformance::watchdog::{Watchdog, rounds};
use std::collections::HashSet;
use std::panic::catch_unwind;

/// Miri's clock is not the machine's, and its tests have a limit of their own.
fn watchdog(name: &str) -> Option<Watchdog> {
    (!cfg!(miri)).then(|| Watchdog::arm(name))
}

/// How many events from the start: to everything there is, or as far as a shorter run goes.
fn depth() -> usize {
    let depth = rounds(100);
    if depth < 100 { depth.clamp(4, 10) as usize } else { usize::MAX }
}

fn walk(theme: &Theme, windows: Windows) -> Walk {
    let walk = Walk::new(theme, windows, depth());
    walk.unwrap_or_else(|broken| {
        panic!("{}: {}, after {:?}", broken.rule.number, broken.rule.says, broken.path)
    })
}

#[test]
#[cfg_attr(miri, ignore = "the model alone: safe code")]
fn every_step_of_the_model_keeps_the_invariants_and_no_life_gets_stuck() {
    let _watchdog = watchdog("model rules");
    for theme in themes() {
        let walk = walk(&theme, Windows::All);
        println!(
            "{}: all within {} events, {:.1e} sequences, {} states, {} transitions",
            theme.name,
            walk.depth,
            walk.sequences,
            walk.states.len(),
            walk.edges.len()
        );
        if depth() < usize::MAX {
            continue;
        }
        assert!(walk.edges.len() > 5_000, "a theme that reaches nothing proves nothing");
        if let Some(state) = walk.dead_end() {
            panic!("{}: no way to the end of the life from {state}", theme.name);
        }
    }
}

#[test]
fn the_themes_have_every_event() {
    let kind = |event: &Event| match event {
        Event::Call(call) => (0, Some(discriminant(call)), None),
        Event::Act(act) => (1, None, Some(discriminant(act))),
        Event::Resume => (2, None, None),
        Event::Fork => (3, None, None),
        Event::Reinit => (4, None, None),
    };
    let of_themes: HashSet<_> =
        themes().iter().flat_map(|theme| theme.alphabet.iter().map(kind)).collect();
    let resume = [Event::Resume];
    let all: HashSet<_> = bytes::EVENTS.iter().chain(&resume).map(kind).collect();
    assert_eq!(of_themes, all);
}

/// Every step that this build can stop at, made by the real code.
fn code_makes_every_step(name: &str) {
    let _watchdog = watchdog(name);
    let theme = themes().into_iter().find(|theme| theme.name == name).expect("a theme");
    let walk = walk(&theme, Windows::HERE);
    let tour = tour(&theme, &walk).unwrap_or_else(|mismatch| panic!("{name}: {mismatch}"));
    println!(
        "{name}: {:?} windows, depth {}, {:.1e} sequences, {} states, {} of {} transitions by {} lives",
        Windows::HERE,
        walk.depth,
        walk.sequences,
        walk.states.len(),
        tour.covered,
        walk.edges.len(),
        tour.lives
    );
    if let Some((state, event)) = tour.missing.first() {
        panic!("{} transitions not reached, such as {event} in {state}", tour.missing.len());
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_wakers() {
    code_makes_every_step("wakers");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_phases() {
    code_makes_every_step("phases");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_callback() {
    code_makes_every_step("callback");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_results() {
    code_makes_every_step("results");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_deadline() {
    code_makes_every_step("deadline");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_descriptor() {
    code_makes_every_step("descriptor");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_ready() {
    code_makes_every_step("ready");
}

#[test]
#[cfg_attr(miri, ignore = "too slow there: the random lives make the same code's steps")]
fn code_follows_fork() {
    code_makes_every_step("fork");
}

/// Seeds whose lives bring most events into most windows, by a greedy choice among 6000: Miri has time for
/// the first four, with [`LENGTH`] bytes each.
const CHOSEN: [u64; 8] = [2867, 4933, 5368, 3263, 977, 3052, 5508, 3770];

/// How many bytes describe the lives of one seed.
const LENGTH: usize = if cfg!(miri) { 60 } else { 200 };

#[test]
fn code_follows_long_random_lives() {
    let _watchdog = watchdog("random lives");
    let seeds: Vec<u64> = if cfg!(miri) {
        CHOSEN.into_iter().take(rounds(4) as usize).collect()
    } else {
        (0..u64::from(rounds(1_000))).collect()
    };
    let (mut steps, mut seen) = (0, HashSet::new());
    for &first in &seeds {
        let choices = Choices::seed(first);
        let data: Vec<u8> = (0..LENGTH).map(|_| byte(&choices)).collect();
        let report = bytes::live(&data, None);
        if let Some(mismatch) = report.mismatch {
            let log = Log::default();
            // The same again, in words; a panic on the way is part of it.
            let _ = catch_unwind(AssertUnwindSafe(|| bytes::live(&data, Some(&log))));
            panic!("seed {first}: {mismatch}\n{}", log.borrow().join("\n"));
        }
        steps += report.steps.len();
        seen.extend(report.steps);
    }
    println!("{} inputs, {steps} steps, {} different ones", seeds.len(), seen.len());
    assert!(seen.len() > seeds.len().min(8) * 10, "lives in which nothing happens prove nothing");
}

/// A byte, mostly tame: half of the places are passed.
fn byte(choices: &Choices) -> u8 {
    if choices.chance(2) { choices.below(256).to_le_bytes()[0] } else { 0 }
}
