//! Signals: a storm of them, and a process that is stopped and continued.

use crate::load::{Props, batch, works};
use core::time::Duration;
use io_conformance::fault::{Census, Storm, flat, not_here, stopped_and_continued};
use io_conformance::fixture::{Fixture, Flavour};
use io_conformance::mem::Mem;
use io_conformance::rig::Form;
use io_conformance::suite;
use io_conformance::tally;
use io_conformance::watchdog::rounds;
use io_core::Errno;
use io_core::ops::Ops;
use io_core::syscall::{deadline_in, now_ns};
use libtest_mimic::{Arguments, Trial};
use std::io::Read as _;
use std::thread;

/// Two thousand signals a second.
const PERIOD: Duration = Duration::from_micros(500);

/// Cases that count the system calls of waits, or time them: a signal costs both.
const NOT_IN_A_STORM: &[&str] = &[
    "deadline::the_time_limit_of_poll_holds_with_any_deadline",
    "close::a_close_costs_the_same_with_thousands_in_flight",
    "lines::a_number_that_is_reused_behind_our_back_is_another_file",
    "lines::idle_operations_make_no_system_calls",
    "prompt::",
    "time::a_sleep_costs_no_system_calls",
    "time::no_timer_is_left_behind",
    "time::ten_thousand_deadlines_cost_a_poll_no_more_than_ten",
];

/// Cases that leave something behind on purpose: operations that nobody drops, and a writer that must stay.
const LEAVES_BEHIND: &[&str] =
    &["deadline::forgotten_with_a_deadline", "drain::", "time::deadlines_pass_behind_busy_workers"];

/// What the allocator keeps of hundreds of cases. The heap itself is counted to the byte.
const ALLOCATORS_KIB: usize = 32 << 10;

/// The suite under the storm. What it leaves behind is counted, but for the cases that do so on purpose, which
/// come first.
pub(crate) fn suite_in_a_storm<F: Fixture + Clone>(fx: &F) {
    if let Err(why) = fx.available() {
        not_here(why);
    }
    let is_one_of =
        |trial: &Trial, names: &[&str]| names.iter().any(|name| trial.name().contains(name));
    let mut trials: Vec<Trial> = suite::trials(fx.clone(), suite::all());
    for name in [NOT_IN_A_STORM, LEAVES_BEHIND].concat() {
        assert!(trials.iter().any(|trial| is_one_of(trial, &[name])), "there is no case {name}");
    }
    trials.retain(|trial| !is_one_of(trial, NOT_IN_A_STORM));
    let count = trials.len();
    let (first, rest): (Vec<_>, Vec<_>) =
        trials.into_iter().partition(|trial| is_one_of(trial, LEAVES_BEHIND));
    let args = Arguments { test_threads: Some(1), quiet: true, ..Arguments::default() };
    let storm = Storm::every(PERIOD);
    let first = libtest_mimic::run(&args, first);
    // What is filled once is filled: pools that all share, and what the library keeps.
    fx.both(works);
    let before = Census::settled();
    let rest = libtest_mimic::run(&args, rest);
    let seen = storm.seen();
    drop(storm);
    println!("{}: {count} cases, {seen} signals", fx.name());
    assert!(seen > 100, "no storm");
    assert!(!first.has_failed() && !rest.has_failed(), "the suite fails in a storm of signals");
    assert!(rest.num_passed > 10 * rest.num_ignored, "the suite cannot run");
    before.assert_same_within(ALLOCATORS_KIB, "the suite in a storm of signals");
    fx.both(works);
    tally::all_delivered(fx.name()).expect("nothing twice");
}

/// Signals, each of which may end a write that is half done: what the results say is what arrives, in order.
pub(crate) fn cut_short<F: Fixture>(fx: &F) {
    const LEN: usize = 300_000;
    flat(rounds(1), "writes that signals cut short", || {
        fx.started(|rig| {
            let (reader, writer) = io_conformance::Desc::pipe();
            let mem = Mem::zeroed(LEN);
            mem.write(
                0,
                &(0..LEN).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect::<Vec<_>>(),
            );
            let storm = Storm::every(Duration::from_micros(100));
            let mut told = Vec::new();
            let arrived = thread::scope(|scope| {
                let all = scope.spawn(|| drain(reader));
                for form in Form::ALL.into_iter().cycle().take(24) {
                    let count = rig.run_as(form, writer.write_op(&mem), mem.only());
                    let count = usize::try_from(count).expect("a count");
                    assert!((1..=LEN).contains(&count), "{form:?}: {count}");
                    told.extend_from_slice(&mem.bytes(count));
                }
                drop(writer);
                all.join().expect("the reader")
            });
            assert!(storm.seen() > 10, "no storm");
            assert!(told == arrived, "{} bytes told, {} arrived", told.len(), arrived.len());
            works(rig);
        });
    });
}

/// All that comes, a page at a time.
fn drain(reader: io_conformance::Desc) -> Vec<u8> {
    let mut all = Vec::new();
    let mut page = [0_u8; 4096];
    loop {
        match reader.std().read(&mut page) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&page[..count]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}"),
        }
    }
}

/// While another process stops and continues this one: the same results, no wait cut short, no deadline lost.
pub(crate) fn stopped<F: Fixture>(fx: &F) {
    flat(rounds(1), "stops and continuations", || stopped_once(fx));
}

fn stopped_once<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        fx.with(flavour, |rig| {
            let props = Props::new(4);
            stopped_and_continued(rounds(75), |_| {
                batch(rig, &props);
                let (reader, _writer) = io_conformance::Desc::pipe();
                let (begin, wait) = (now_ns(), Duration::from_millis(2));
                let read = rig.backend().read(reader, [0_u8; 4]).with_deadline(deadline_in(wait));
                assert_eq!(rig.block_on(read).0, Err(Errno::TIMEDOUT));
                assert!(now_ns() - begin >= 2_000_000, "a deadline that came early");
            });
            works(rig);
        });
    }
}
