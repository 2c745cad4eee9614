//! The simulated backend: what it promises of itself.

use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::time::Duration;
use io_conformance::choices::{Choices, Trace};
use io_conformance::explore::{self, Failure};
use io_conformance::sim::{self, Bogus, Coverage, Plan, Sim};
use io_conformance::watchdog::rounds;
use io_core::ops::{How, Ops};
use io_core::{Deadline, Errno, Handle, IoBackend, Phase};
use std::rc::Rc;

/// Fewer where each step is slow.
const fn few(count: u32) -> u32 {
    if cfg!(miri) { count.div_ceil(250) } else { count }
}

/// Some bytes through a pipe and back through a stream, with deadlines and cancels. What was read.
fn traffic(sim: &Sim) -> Vec<u8> {
    let (reader, writer) = sim.pipe();
    let seen = RefCell::new(Vec::new());
    let backend = sim.backend();
    sim.join(vec![
        Box::pin(async {
            for round in 0..6_u8 {
                let deadline = sim.deadline_in(Duration::from_micros(20));
                let write = backend.write(writer.clone(), [round; 10]).with_deadline(deadline);
                let (_result, _) = write.await;
            }
            drop(writer);
        }),
        Box::pin(async {
            loop {
                let mut read = pin!(backend.read(reader.clone(), [0; 7]));
                if sim.choices().chance(4) {
                    read.as_mut().submit().expect("a submit");
                    read.as_mut().cancel();
                }
                match read.await {
                    (Ok(0), _) => break,
                    (Ok(count), buffer) => seen.borrow_mut().extend_from_slice(&buffer[..count]),
                    (Err(_), _) => {}
                }
            }
        }),
    ]);
    seen.into_inner()
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let choices = Choices::seed(seed);
        let sim = Sim::new(&choices, Plan::legal());
        let seen = traffic(&sim);
        sim.finish();
        (seen, sim.log(), choices.trace())
    };
    let mut logs = Vec::new();
    for seed in 0..u64::from(few(40).max(2)) {
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
        let choices = Choices::replay(&first.2.0);
        let sim = Sim::new(&choices, Plan::legal());
        assert_eq!(traffic(&sim), first.0, "the trace of seed {seed}");
        logs.push(first.1);
    }
    logs.sort();
    logs.dedup();
    assert!(logs.len() > usize::from(cfg!(miri)) + 35 * usize::from(!cfg!(miri)), "{}", logs.len());
}

#[test]
fn traffic_under_many_schedules() {
    sim::check(few(1000), |sim| {
        let seen = traffic(sim);
        assert!(seen.len() <= 60);
        // One write at a time: what was read is in order, whatever was lost to errors.
        assert!(seen.is_sorted(), "{seen:?}");
    });
}

#[test]
fn the_tame_plan_is_a_kernel_on_a_good_day() {
    sim::check_with(Plan::tame(), 10, |sim| {
        let (a, b) = sim.pair();
        sim.block_on(async {
            let backend = sim.backend();
            assert_eq!(backend.write(a.clone(), *b"hello").await.0, Ok(5));
            let (result, buffer) = backend.read(b, [0; 9]).await;
            assert_eq!((result, &buffer[..5]), (Ok(5), &b"hello"[..]));
            let file = sim.file(b"content");
            let (result, buffer) = backend.pread(file, [0; 4], 3).await;
            assert_eq!((result, &buffer), (Ok(4), b"tent"));
            let before = sim.now().as_nanos();
            sim.sleep(Duration::from_secs(3600)).await;
            assert!(sim.now().as_nanos() >= before + 3_600_000_000_000);
        });
    });
}

/// The message of a run that is to fail.
fn fails(test: impl Fn(&Choices)) -> Failure {
    explore::run(&Choices::replay(&[]), &test).expect_err("a failure")
}

#[test]
fn a_hang_says_what_waits_for_what() {
    let failure = fails(|choices| {
        let sim = Sim::new(choices, Plan::tame());
        let (reader, _writer) = sim.pipe();
        let (result, _) = sim.block_on(sim.backend().read(reader, [0; 1]));
        assert_eq!(result, Ok(1));
    });
    assert!(failure.message.contains("nothing can happen any more"), "{}", failure.message);
    assert!(
        failure.message.contains("#1 read on 1000: waits to be Readable"),
        "{}",
        failure.message
    );
    assert!(failure.attached.contains("#1 would block"), "{}", failure.attached);
    // Who waits in the backend is told as well, and a drop on the way out is none: it cancels.
    let failure = fails(|choices| {
        let sim = Sim::new(choices, Plan::legal());
        let (reader, _writer) = sim.pipe();
        let read = pin!(sim.backend().read(reader, [0; 1]));
        let _ = read.wait();
    });
    assert!(failure.message.contains("wait would never return"), "{}", failure.message);
}

#[test]
fn a_wake_ends_a_poll_before_and_while_it_parks() {
    sim::check(few(200), |sim| {
        sim.backend().wake_handle().wake();
        assert_eq!(sim.backend().poll(None), Ok(0), "before");
        let rang = Rc::new(Cell::new(false));
        // The handle borrows the backend, which outlives the hook; a clock is enough of an other thread here.
        let (reader, writer) = sim.pipe();
        let (world, inside) = (sim.world().clone(), Rc::clone(&rang));
        let writes = io_core::IoFd::fd(&writer);
        sim.at(sim.deadline_in(Duration::from_millis(5)), move || {
            inside.set(true);
            assert_eq!(world.with(|world| world.put(writes, b"x")), Ok(1));
        });
        let start = sim.now().as_nanos();
        assert_eq!(sim.block_on(sim.backend().read(reader, [0; 1])).0, Ok(1));
        assert!(rang.get() && sim.now().as_nanos() >= start + 5_000_000);
    });
}

/// A run with the same storage used many times, and completions that are nobody's.
fn misled(choices: &Choices, bogus: Bogus) {
    let plan = Plan { bogus: Some(bogus), inline: false, ..Plan::legal() };
    let sim = Sim::new(choices, plan);
    let backend = sim.backend();
    let mut storage = pin!(None);
    for _ in 0..50 {
        storage.set(Some(backend.nop()));
        let op = storage.as_mut().as_pin_mut().expect("an operation");
        assert_eq!(sim.block_on(op), Ok(()));
    }
}

#[test]
fn each_bogus_completion_is_noticed() {
    for bogus in Bogus::ALL {
        for seed in 0..u64::from(few(20)) {
            let failure =
                explore::run(&Choices::seed(seed), &|choices: &Choices| misled(choices, bogus))
                    .expect_err("a panic");
            let expected = match bogus {
                // The core's own assertion, where it is compiled in; not only that the simulator gives up.
                Bogus::Twice if cfg!(debug_assertions) => {
                    "I5: completion of a node that is not the backend's"
                }
                Bogus::Twice => "I5: the state word has refused",
                Bogus::Again => "bogus completion: what token",
                Bogus::Never => "was never given",
                Bogus::Reused => "its storage is #",
            };
            assert!(failure.message.contains(expected), "{bogus:?}: {}", failure.message);
        }
    }
}

/// A bug that needs two things to happen: a short read, and another that fails.
fn planted(choices: &Choices) {
    let sim = Sim::new(choices, Plan::legal());
    let (a, b) = sim.pair();
    let mut short = false;
    for _ in 0..20 {
        let sent = sim.block_on(sim.backend().write(a.clone(), [1; 16])).0;
        if sent.is_ok() {
            let got = sim.block_on(sim.backend().read(b.clone(), [0; 16])).0;
            assert!(!(short && got.is_err()), "planted");
            short |= got == Ok(1);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of runs")]
fn a_failing_schedule_shrinks_and_replays() {
    let failing = |seed| explore::run(&Choices::seed(seed), &planted).err();
    let first = (0..1000).find_map(failing).expect("a seed that finds it");
    let before = first.trace.0.len();
    let small = explore::shrink(first, &planted);
    println!("{before} choices shrink to {}: {}", small.trace.0.len(), small.trace);
    let text = small.trace.to_string();
    let trace: Trace = text.parse().expect("a trace");
    let wild = trace.0.iter().filter(|answer| **answer != 0).count();
    assert!(small.trace.0.len() < before && wild <= 6, "{text}");
    let again = explore::run(&Choices::replay(&trace.0), &planted).expect_err("the same");
    assert_eq!((again.message, again.attached), (small.message, small.attached));
}

#[test]
#[cfg_attr(miri, ignore = "thousands of runs")]
fn a_report_says_how_to_replay() {
    if explore::is_replay() {
        return;
    }
    let failure = fails(|_| explore::seeds(1000, planted));
    for part in [
        "planted",
        "IO_SIM_SEED=",
        "wild choices: ",
        " (was ",
        "replay: IO_SIM_TRACE='",
        "#1 write on 1000: submitted",
    ] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
}

/// Two bugs, the smaller one behind the larger.
fn planted_twice(choices: &Choices) {
    let number = choices.below(1000);
    assert!(number < 2, "the larger");
    assert!(number < 1, "the smaller");
}

#[test]
fn a_failure_shrinks_to_the_same_place() {
    if explore::is_replay() {
        return;
    }
    let first = explore::run(&Choices::replay(&[700]), &planted_twice).expect_err("a failure");
    let small = explore::shrink(first.clone(), &planted_twice);
    assert_eq!((small.trace.0, &small.place), (vec![2], &first.place));
    let failure = fails(|_| explore::seeds(3, planted_twice));
    for part in
        ["the larger", "(was 1 of 1)", "smaller runs panic at ", "the smaller: IO_SIM_TRACE='1'"]
    {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
}

#[test]
fn a_replay_is_one_run() {
    let runs = Cell::new(0);
    let failure = fails(|_| {
        explore::replay("700", |choices| {
            runs.set(runs.get() + 1);
            planted_twice(choices);
        });
    });
    assert_eq!(runs.get(), 1);
    for part in ["the larger", "replay of '700'; wild choices: 1 of 1: IO_SIM_TRACE='700'"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
    let failure = fails(|_| explore::replay("1.x", planted_twice));
    assert!(failure.message.contains("a trace is a line such as"), "{}", failure.message);
    let failure = fails(|_| sim::replay(Plan::tame(), "-", |_| panic!("in the body")));
    assert!(failure.message.contains("in the body"), "{}", failure.message);
}

#[test]
fn a_trace_that_is_not_of_this_program_is_told() {
    let two = |choices: &Choices| assert!(choices.below(3) + choices.below(3) <= 4);
    explore::replay("2.2", two);
    explore::replay("2.2.0*7", two);
    for (trace, at) in [("3", 0), ("0.9", 1), ("1.1.0.1", 3), ("3.1.1", 0)] {
        let failure = fails(|_| explore::replay(trace, two));
        let words = format!("its choice {at}, ");
        assert!(failure.message.contains(&words), "{trace}: {}", failure.message);
    }
}

#[test]
fn the_log_is_what_the_program_saw() {
    let failure = fails(|choices| {
        let sim = Sim::new(choices, Plan::tame());
        let (reader, _writer) = sim.pipe();
        sim.note("before");
        let until = sim.deadline_in(Duration::from_millis(1));
        let read = sim.backend().read(reader.clone(), [0; 1]).with_deadline(until);
        assert_eq!(sim.block_on(read).0, Err(Errno::TIMEDOUT));
        sim.note("between");
        let mut read = pin!(sim.backend().read(reader, [0; 1]));
        read.as_mut().submit().expect("a submit");
        panic!("with an operation in flight");
    });
    let mut rest = failure.attached.as_str();
    for part in [
        "µs  before",
        "#1 read on 1000: submitted",
        "#1 result ETIMEDOUT",
        "#1 done, and told: ETIMEDOUT",
        "µs  between",
        "#2 read on 1000: submitted",
        "--- panic; what follows is unwinding ---",
        "#2 asked to end early",
        "#2 done: ECANCELED",
    ] {
        let at = rest.find(part);
        assert!(at.is_some(), "{part} in its place in {}", failure.attached);
        rest = &rest[at.unwrap_or(0)..];
    }
}

/// Nothing of a tame backend is a choice; one switch alone leaves few enough schedules to run them all.
#[test]
fn a_tame_plan_has_one_schedule() {
    if explore::is_replay() {
        return;
    }
    let body = |sim: &Sim| {
        let (reader, writer) = sim.pipe();
        sim.block_on(async {
            assert_eq!(sim.backend().write(writer, *b"hello").await.0, Ok(5));
            assert_eq!(sim.backend().read(reader, [0; 5]).await, (Ok(5), *b"hello"));
        });
    };
    let explored = sim::exhaustive(Plan::tame(), usize::MAX, 10, body);
    explored.assert_complete();
    assert_eq!(explored.runs, 1);
    let inline = Plan { inline: true, ..Plan::tame() };
    let explored = sim::exhaustive(inline, usize::MAX, 100, body);
    explored.assert_complete();
    assert!(explored.runs > 1);
    let stops = fails(|_| sim::exhaustive(Plan::legal(), 3, 5, body).assert_complete());
    assert!(stops.message.contains("5 runs are not all"), "{}", stops.message);
}

#[test]
fn all_schedules_to_a_depth() {
    let depth = if cfg!(miri) { 3 } else { 7 };
    let explored = explore::exhaustive(depth, 100_000, |choices| {
        let plan = Plan { delay: false, ..Plan::legal() };
        let sim = Sim::new(choices, plan);
        let (reader, writer) = sim.pipe();
        let mut read = pin!(sim.backend().read(reader, [0; 4]));
        read.as_mut().submit().expect("a submit");
        let (sent, _) = sim.block_on(sim.backend().write(writer, *b"abcd"));
        read.as_mut().cancel();
        let (got, buffer) = sim.block_on(read);
        match got {
            Ok(count) => assert_eq!(buffer[..count], b"abcd"[..count]),
            Err(errno) => assert_eq!(errno, Errno::CANCELED, "{sent:?}"),
        }
        sim.finish();
    });
    println!("{explored:?}");
    explored.assert_complete();
    assert!(explored.replayed || explored.runs > 10);
}

#[test]
fn a_stop_with_a_deadline_counts_what_is_owned() {
    let still = Cell::new(0);
    let plan = Plan { inline: false, ..Plan::without_errors() };
    sim::check_with(plan, few(300), |sim| {
        let (reader, _writer) = sim.pipe();
        let mut read = pin!(sim.backend().read(reader, [0; 4]));
        read.as_mut().submit().expect("a submit");
        let _ = sim.backend().flush();
        match sim.backend().stop(Deadline::NOW) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.to_string(), "1 operations still owned at the deadline");
                assert_eq!(sim.backend().start(), Err(Errno::BUSY));
                still.set(still.get() + 1);
            }
        }
        assert_eq!(sim.backend().stop(Deadline::NEVER), Ok(()));
        while read.as_ref().get_ref().phase() != Phase::Done {
            let _ = sim.backend().poll(None);
        }
        assert_eq!(read.take().map(|(result, _)| result), Some(Err(Errno::CANCELED)));
    });
    let all = !cfg!(miri) && !explore::is_replay();
    assert!(!all || still.get() > 10, "the adversary keeps some: {}", still.get());
}

/// Each operation in each form, over memory whose bounds are known.
#[test]
fn every_operation_in_every_form() {
    sim::check(few(1000), sim::exercise);
}

/// Everything that the default adversary claims is reached; the table is printed.
#[test]
#[cfg_attr(miri, ignore = "tens of thousands of seeds")]
fn the_adversary_reaches_what_it_claims() {
    let coverage = RefCell::new(Coverage::new());
    let mut seeds = 0;
    while seeds < 400_000 && !coverage.borrow().missing().is_empty() {
        let ran = explore::seeds_in(seeds..seeds + BATCH, |choices| {
            let sim = Sim::new(choices, Plan::legal());
            sim::exercise(&sim);
            sim.finish();
            coverage.borrow_mut().merge(&sim.backend().coverage());
        });
        if !ran {
            return;
        }
        seeds += BATCH;
    }
    let (claimed, missing) = (sim::claimed().len(), coverage.borrow().missing());
    let reached = claimed - missing.len();
    println!("{}{reached} of {claimed} claimed are reached, in {seeds} seeds", coverage.borrow());
    assert!(missing.is_empty(), "not reached: {missing:?}");
    assert!(claimed > 600, "an adversary that claims next to nothing: {claimed}");
}

/// Where every call fails that can, those are left that cannot.
#[test]
fn what_cannot_fail_does_not() {
    let plan = Plan { errno_one_in: 1, ..Plan::tame() };
    sim::check_with(plan, few(10), |sim| {
        let backend = sim.backend();
        let (reader, writer) = sim.pipe();
        assert_eq!(sim.world().with(|world| world.put(io_core::IoFd::fd(&writer), b"ab")), Ok(2));
        let (read, _) = sim.block_on(backend.read(reader, [0; 2]));
        assert_eq!(read, Ok(2), "a pipe has no disk");
        let (written, _) = sim.block_on(backend.write(writer, *b"ab"));
        assert_eq!(written, Err(Errno::NOMEM));
        let (near, far) = sim.pair();
        let (read, _) = sim.block_on(backend.read(near.clone(), [0; 2]));
        assert_eq!(read, Err(Errno::NOMEM), "nor has a socket");
        assert_eq!(sim.block_on(backend.shutdown(near, How::Both)), Ok(()));
        let (read, _) = sim.block_on(backend.pread(sim.file(b"abc"), [0; 2], 0));
        assert_eq!(read, Err(Errno::IO));
        drop(far);
    });
}

/// A file comes short on request alone.
#[test]
fn files_are_short_on_request() {
    let short = Cell::new(0);
    let body = |sim: &Sim| {
        let file = sim.file(&[7; 100]);
        let (got, bytes) = sim.block_on(sim.backend().pread(file.clone(), [0; 60], 10));
        let got = got.expect("no errors");
        assert!(got > 0 && bytes[..got].iter().all(|byte| *byte == 7));
        let pieces = [[1; 5], [2; 5]];
        let (put, _) = sim.block_on(sim.backend().pwritev(file.clone(), pieces, 0));
        let put = put.expect("no errors");
        let content = sim.world().with(|world| world.content(io_core::IoFd::fd(&file)));
        let expected = [[1; 5], [2; 5]].concat();
        assert_eq!((&content[..put], content[put]), (&expected[..put], 7));
        short.set(short.get() + u32::from(got < 60) + u32::from(put < 10));
    };
    sim::check_with(Plan::without_errors(), few(200), body);
    assert_eq!(short.get(), 0);
    sim::check_with(Plan { short_files: true, ..Plan::without_errors() }, few(200), body);
    assert!(
        short.get() > rounds(few(200)) / 4 || explore::is_replay() || cfg!(miri),
        "{}",
        short.get()
    );
}

/// So many seeds, then a look whether that is enough.
const BATCH: u64 = 5_000;

#[test]
fn any_handle_will_do_and_tokens_wrap_around() {
    async fn many<H: Handle>(handle: H) {
        for _ in 0..20 {
            assert_eq!(handle.nop().await, Ok(()));
        }
    }
    sim::check(few(100), |sim| {
        sim.join(vec![Box::pin(many(sim.backend())), Box::pin(many(sim.any_backend()))]);
        let counters = sim.backend().counters();
        assert_eq!((counters.submitted, counters.delivered), (40, 40));
    });
}
