//! The simulator as a program's tests use it: forks, labels, names, few deviations, parts that go on for ever.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_conformance::choices::Choices;
use io_conformance::explore::{self, Explored, Failure};
use io_conformance::sim::{self, Plan, Sim};
use io_conformance::watchdog::rounds;
use io_core::ops::Ops;
use io_core::{Deadline, Errno, IoBackend, IoFd, StopError};
use std::rc::Rc;

/// Fewer where each step is slow.
const fn few(count: u32) -> u32 {
    if cfg!(miri) { count.div_ceil(100) } else { count }
}

/// The message of a run that is to fail.
fn fails(test: impl Fn(&Choices)) -> Failure {
    explore::run(&Choices::replay(&[]), &test).expect_err("a failure")
}

fn one_run(plan: Plan, body: impl Fn(&Sim)) -> impl Fn(&Choices) {
    move |choices| {
        let sim = Sim::new(choices, plan);
        body(&sim);
        sim.finish();
    }
}

/// What was in flight is dead, nothing runs, and the backend made new is as good as any.
#[test]
fn a_forked_child_finds_everything_dead_until_it_makes_the_backend_new() {
    sim::check_with(Plan::without_errors(), few(300), |sim| {
        let backend = sim.backend();
        assert_eq!(backend.reinit(), Err(Errno::ALREADY), "in the parent");
        let (reader, writer) = sim.pipe();
        let rang = Rc::new(Cell::new(false));
        let bell = Rc::clone(&rang);
        sim.at(sim.deadline_in(Duration::from_millis(1)), move || bell.set(true));
        let mut read = pin!(backend.read(reader.clone(), [0; 4]));
        read.as_mut().submit().expect("a submit");
        if sim.choices().chance(2) {
            let _ = backend.poll(Some(Duration::ZERO));
        }
        sim.fork();
        assert_eq!((backend.generation(), backend.in_flight()), (0, 0));
        assert_eq!(backend.poll(None), Err(Errno::OWNERDEAD));
        assert_eq!(backend.flush(), Err(Errno::OWNERDEAD));
        assert_eq!(backend.start(), Err(Errno::OWNERDEAD));
        let refused = Err(StopError::WrongPlace(Errno::OWNERDEAD));
        assert_eq!(backend.stop(Deadline::NEVER), refused);
        assert_eq!(sim.block_on(read.as_mut()).0, Err(Errno::OWNERDEAD));
        assert_eq!(sim.block_on(backend.nop()), Err(Errno::OWNERDEAD));
        if sim.choices().chance(4) {
            // A child that only goes on to end.
            return;
        }
        assert_eq!(backend.reinit(), Ok(()));
        assert_eq!(backend.reinit(), Err(Errno::ALREADY));
        assert_eq!(backend.start(), Ok(()));
        sim.block_on(async {
            assert_eq!(backend.write(writer.clone(), *b"abcd").await.0, Ok(4));
            assert!(matches!(backend.read(reader.clone(), [0; 4]).await.0, Ok(1..=4)));
            sim.sleep(Duration::from_millis(5)).await;
        });
        assert!(!rang.get(), "the parent's other threads are not in the child");
    });
}

/// Parts that wait are polled again, and those whose operations are dead hear it; one of them forks.
#[test]
#[cfg_attr(miri, ignore = "the wakers of a parent's operations stay for ever, by contract")]
fn who_waits_at_a_fork_hears_of_it() {
    sim::check_with(Plan::without_errors(), few(200), |sim| {
        let (reader, _writer) = sim.pipe();
        let heard = RefCell::new(Vec::new());
        sim.join(vec![
            Box::pin(async {
                let result = sim.backend().read(reader.clone(), [0; 1]).await.0;
                heard.borrow_mut().push(result);
            }),
            Box::pin(async {
                sim.sleep(Duration::from_millis(1)).await;
                sim.fork();
                assert_eq!(sim.backend().reinit(), Ok(()));
                let until = sim.deadline_in(Duration::from_millis(1));
                let read = sim.backend().read(reader.clone(), [0; 1]).with_deadline(until);
                let result = read.await.0;
                heard.borrow_mut().push(result);
            }),
        ]);
        heard.borrow_mut().sort();
        assert_eq!(heard.take(), [Err(Errno::TIMEDOUT), Err(Errno::OWNERDEAD)]);
    });
    // Who forgets to make it new does not hang.
    let failure = fails(one_run(Plan::tame(), |sim| {
        sim.fork();
        sim.block_on(core::future::pending::<()>());
    }));
    assert!(failure.message.contains("the backend's poll fails"), "{}", failure.message);
}

/// A parent's storage is not touched by the child's new backend, wherever the nodes were.
#[test]
fn what_was_in_flight_at_a_fork_is_not_touched() {
    let deadlines = [None, Some(1), Some(1_000)];
    sim::check(few(500), |sim| {
        let (near, far) = sim.pair();
        let mut old = Vec::new();
        for _ in 0..1 + sim.choices().below(6) {
            let until = sim.choices().pick(&deadlines).map(Duration::from_micros);
            let until = until.map_or(Deadline::NEVER, |until| sim.deadline_in(until));
            let read = sim.backend().read(near.clone(), [0; 3]).with_deadline(until);
            old.push(Box::pin(read));
            let read: &mut Pin<Box<_>> = old.last_mut().expect("just pushed");
            let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if sim.choices().chance(3) {
                let _ = sim.world().with(|world| world.put(far.fd(), b"xyz"));
                let _ = sim.backend().poll(Some(Duration::ZERO));
            }
        }
        sim.fork();
        if sim.choices().chance(2) {
            old.clear();
        }
        assert_eq!(sim.backend().reinit(), Ok(()));
        let mut new = pin!(sim.backend().read(near.clone(), [0; 3]));
        new.as_mut().submit().expect("a submit");
        let _ = sim.backend().poll(Some(Duration::ZERO));
        drop(old);
        new.as_mut().cancel();
        let (_result, _) = sim.block_on(new);
    });
}

/// A bug that needs two things that are far from each other, late in the run.
fn two_things(choices: &Choices) {
    let answers: Vec<bool> = (0..60).map(|_| choices.chance(2)).collect();
    assert!(!(answers[17] && answers[52]), "both");
}

#[test]
#[cfg_attr(miri, ignore = "thousands of runs")]
fn few_deviations_find_what_depth_does_not() {
    if explore::is_replay() {
        return;
    }
    let count = |most| {
        let runs = Cell::new(0);
        let explored = explore::deviations(most, 10_000, |choices| {
            runs.set(runs.get() + 1);
            let wild = (0..10).filter(|_| choices.chance(2)).count();
            assert!(wild <= most);
        });
        assert_eq!(explored.runs, runs.get());
        explored.assert_complete();
        explored.runs
    };
    assert_eq!([count(0), count(1), count(2), count(3)], [1, 11, 56, 176]);
    let failure = fails(|_| {
        let _: Explored = explore::deviations(2, 10_000, two_things);
    });
    assert!(failure.message.contains("wild choices: 2 of 53"), "{}", failure.message);
    let deep = explore::exhaustive(usize::MAX, 10_000, two_things);
    assert!(!deep.complete, "{deep}");
    let cut = explore::deviations(2, 100, |choices| {
        assert!((0..60).all(|_| choices.below(3) < 3));
    });
    assert_eq!(
        (cut.runs, cut.complete, cut.to_string().as_str()),
        (100, false, "100 runs, not all")
    );
}

/// Every schedule of a copy with at most two deviations from the good day.
#[test]
fn a_copy_under_all_schedules_with_two_deviations() {
    let plan = Plan { errno_one_in: 0, ..Plan::legal() };
    let limit = if cfg!(miri) { 20 } else { 20_000 };
    let explored = sim::deviations(plan, 2, limit, |sim| {
        let (reader, writer) = sim.pipe();
        let mut read = pin!(sim.backend().read(reader, [0; 4]));
        read.as_mut().submit().expect("a submit");
        assert_eq!(sim.block_on(sim.backend().write(writer, *b"abcd")).0, Ok(4));
        read.as_mut().cancel();
        let (got, buffer) = sim.block_on(read);
        sim.sometimes("the cancel wins", got == Err(Errno::CANCELED));
        sim.sometimes("all is read", (got, buffer) == (Ok(4), *b"abcd"));
    });
    println!("{explored}");
    assert!(explored.complete || explored.replayed || cfg!(miri), "{explored}");
}

#[test]
fn a_label_that_is_never_reached_is_a_failure() {
    if explore::is_replay() {
        return;
    }
    let runs = |body: fn(&Sim)| {
        move |_: &Choices| sim::check_with(Plan { errno_one_in: 0, ..Plan::legal() }, 50, body)
    };
    let failure = fails(runs(|sim| {
        sim.must_reach(&["here", "there"]);
        sim.reached("here");
        sim.reached("here");
        sim.reached("by the way");
    }));
    let n = rounds(50);
    for part in [
        format!("never reached in {n} runs: there\n"),
        format!("reached in {n} of {n} runs: here\n"),
    ] {
        assert!(failure.message.contains(&part), "{part} in {}", failure.message);
    }
    let failure = fails(runs(|sim| sim.sometimes("a miracle", false)));
    assert!(failure.message.contains("a miracle"), "{}", failure.message);
    let half = |sim: &Sim| sim.sometimes("half of them", sim.choices().chance(2));
    assert!(explore::run(&Choices::replay(&[]), &runs(half)).is_ok());
    // What one exploration was to reach is not another's.
    explore::must_reach("outside");
    assert!(explore::run(&Choices::replay(&[]), &runs(half)).is_ok());
}

#[test]
fn descriptors_have_names_in_logs_and_reports() {
    let failure = fails(one_run(Plan::tame(), |sim| {
        let (near, far) = sim.pair();
        sim.name(&near, "server");
        sim.block_on(async { assert_eq!(sim.backend().write(near.clone(), *b"x").await.0, Ok(1)) });
        let _ = sim.block_on(sim.backend().read(near, [0; 1]));
        drop(far);
    }));
    assert!(failure.message.contains("#2 read on server (1000): waits"), "{}", failure.message);
    assert!(
        failure.attached.contains("#1 write on server (1000): submitted"),
        "{}",
        failure.attached
    );
    // A number that is used again has another name, or none.
    let failure = fails(one_run(Plan::tame(), |sim| {
        let (near, far) = sim.pair();
        sim.name(&near, "gone");
        drop((near, far));
        let (reader, _writer) = sim.pipe();
        let _ = sim.block_on(sim.backend().read(reader, [0; 1]));
    }));
    assert!(failure.message.contains("#1 read on 1000: waits"), "{}", failure.message);
}

#[test]
#[cfg_attr(miri, ignore = "forgets on purpose")]
fn what_is_forgotten_is_named_at_the_end() {
    let failure = fails(one_run(Plan::tame(), |sim| {
        let (reader, _writer) = sim.pipe();
        sim.name(&reader, "inbox");
        let mut read = Box::pin(sim.backend().read(reader, [0; 1]));
        sim.block_on(poll_fn(|cx| {
            assert!(read.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        core::mem::forget(read);
    }));
    let expected =
        "in flight at the end of the run, with nobody to hear of it:\n  #1 read on inbox (1000)";
    assert!(failure.message.contains(expected), "{}", failure.message);
    let failure = fails(one_run(Plan::tame(), |sim| {
        let file = sim.file(b"abc");
        sim.name(&file, "config");
        assert_eq!(sim.block_on(sim.backend().read(file.clone(), [0; 3])).0, Ok(3));
        core::mem::forget(file);
    }));
    let expected = "open at the end of the run: config (1000), last used by #1 read";
    assert!(failure.message.contains(expected), "{}", failure.message);
}

#[test]
fn a_server_that_never_ends_is_left_when_its_clients_are_done() {
    sim::check_with(Plan::without_errors(), few(200), |sim| {
        let (near, far) = sim.pair();
        let (served, done) = (Cell::new(0), Cell::new(false));
        let left = sim.join_until(
            vec![
                Box::pin(async {
                    while let (Ok(1), [byte]) = sim.backend().read(near.clone(), [0; 1]).await {
                        let _ = sim.backend().write(near.clone(), [byte + 1]).await;
                        served.set(served.get() + 1);
                    }
                }),
                Box::pin(async {
                    for byte in 0..3 {
                        assert_eq!(sim.backend().write(far.clone(), [byte]).await.0, Ok(1));
                        assert_eq!(
                            sim.backend().read(far.clone(), [0; 1]).await,
                            (Ok(1), [byte + 1])
                        );
                    }
                    done.set(true);
                }),
            ],
            || done.get(),
        );
        assert!((2..=3).contains(&served.get()) && left.len() == 1);
    });
    // Without futures.
    sim::check(few(50), |sim| {
        let rang = Rc::new(Cell::new(false));
        let bell = Rc::clone(&rang);
        sim.at(sim.deadline_in(Duration::from_secs(3)), move || bell.set(true));
        sim.run_until(|| rang.get());
    });
    let failure = fails(one_run(Plan::tame(), |sim| sim.run_until(|| false)));
    assert!(failure.message.contains("nothing can happen any more"), "{}", failure.message);
}
