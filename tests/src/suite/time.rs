//! Sleeping: in order, on time, at no cost; and what thousands of armed deadlines cost the rest.

use super::Case;
use crate::clock::{Moment, deadline_in, now_ns};
use crate::desc::Desc;
use crate::fixture::{Blocking, Fixture, Flavour, Needs};
use crate::mem::Mem;
use crate::raw::Hook;
use crate::rig::{Form, Note, Rig};
use crate::skip::skip;
use core::time::Duration;
use io_core::op::{Fsync, Open, OpenFlags, Timeout};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, Fd, IoBackend, Op, Phase};
use std::sync::{Arc, Mutex};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_sleep_ends_on_time_in_every_form::<F>),
        Case::of(sleeps_end_in_the_order_of_their_deadlines::<F>),
        Case::of(a_thousand_sleeps_end::<F>),
        Case::of(a_sleep_costs_no_system_calls::<F>),
        Case::of(a_sleep_that_nobody_polls_for_ends_by_itself::<F>),
        Case::of(a_callback_may_sleep_again::<F>),
        Case::of(no_timer_is_left_behind::<F>),
        Case::of(ten_thousand_deadlines_cost_a_poll_no_more_than_ten::<F>).needs(Needs::Clock),
        Case::of(deadlines_pass_behind_busy_workers::<F>),
    ]
}

const TIMEOUT: Op = Op::Timeout(Timeout);

/// A sleep ends when its time is over, and not before: awaited, with a callback, waited for, typed.
pub fn a_sleep_ends_on_time_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            for ms in [0, 1, 7] {
                let (begin, timeout) = (Moment::now(), Duration::from_millis(ms));
                assert_eq!(rig.run_timed(form, TIMEOUT, &[], deadline_in(timeout)), 0, "{form:?}");
                assert!(begin.elapsed() >= timeout, "{form:?}: only {:?}", begin.elapsed());
                assert!(begin.elapsed() < Duration::from_secs(5), "{form:?}");
            }
        }
        let (begin, timeout) = (Moment::now(), Duration::from_millis(5));
        assert_eq!(rig.block_on(rig.backend().sleep(timeout)), Ok(()));
        assert!(begin.elapsed() >= timeout);
        let deadline = deadline_in(timeout);
        assert_eq!(rig.block_on(rig.backend().sleep_until(deadline)), Ok(()));
        assert!(deadline.is_over(now_ns));
        assert_eq!(rig.block_on(rig.backend().sleep_until(Deadline::NOW)), Ok(()));
    });
}

/// Submitted in any order, they are told in the order of their deadlines.
pub fn sleeps_end_in_the_order_of_their_deadlines<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        // What is overdue at submit is told in the order of submission: with a longer lead, if this thread was
        // held up.
        let told = [5, 50, 500, 5000].into_iter().find_map(|lead_ms| sleep_from(rig, lead_ms));
        assert_eq!(told, Some((0..64).collect::<Vec<_>>()));
    });
}

/// The order in which sleeps that begin to end after `lead_ms` milliseconds are told; `None` if they began to
/// end before all were submitted.
fn sleep_from<B: IoBackend>(rig: &Rig<'_, B>, lead_ms: u64) -> Option<Vec<u64>> {
    let first = now_ns() + lead_ms * 1_000_000;
    let order = Arc::new(Mutex::new(Vec::new()));
    // 31 is odd and 64 a power of two: every number below 64 once.
    let submit = |at: u64| {
        let deadline = Deadline::from_nanos(first + at * 100_000);
        let (order, signal) = (Arc::clone(&order), Arc::clone(rig.signal()));
        let hook = Hook::new(move |result| {
            assert_eq!(result, 0);
            assert!(deadline.is_over(now_ns), "too early");
            order.lock().expect("one thread").push(at);
            signal.raise();
        });
        let mut sleep = rig.timed(TIMEOUT, &[], deadline);
        sleep.submit_callback(&hook).expect("submit");
        (sleep, hook)
    };
    let sleeps: Vec<_> = (0..64_u64).map(|i| submit(i * 31 % 64)).collect();
    let in_time = now_ns() < first;
    rig.until(|| order.lock().expect("one thread").len() == 64);
    drop(sleeps);
    let told = core::mem::take(&mut *order.lock().expect("one thread"));
    in_time.then_some(told)
}

/// Many at once, all at one instant and each at its own; some are taken back.
pub fn a_thousand_sleeps_end<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let now = now_ns();
        let note = |i: u64| {
            let at = now + 10_000_000 + if i.is_multiple_of(2) { 0 } else { i * 10_000 };
            (rig.timed(TIMEOUT, &[], Deadline::from_nanos(at)), Note::new(rig.signal()))
        };
        let mut sleeps: Vec<_> = (0..1000).map(note).collect();
        for (sleep, note) in &mut sleeps {
            sleep.submit_callback(note.hook()).expect("submit");
        }
        for (sleep, _) in sleeps.iter_mut().step_by(3) {
            sleep.cancel();
        }
        rig.until(|| sleeps.iter().all(|(_, note)| note.calls() > 0));
        for (i, (_, note)) in sleeps.iter().enumerate() {
            let taken_back = i % 3 == 0 && note.result() == Errno::CANCELED.to_result();
            assert!(note.result() == 0 || taken_back, "sleep {i}: {}", note.result());
            assert_eq!(note.calls(), 1, "sleep {i}");
        }
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// A sleep waits in the kernel once, not in a loop.
pub fn a_sleep_costs_no_system_calls<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert_eq!(rig.block_on(rig.backend().sleep(Duration::from_millis(1))), Ok(()));
        let before = rig.backend().counters().syscalls;
        for form in Form::ALL {
            let deadline = deadline_in(Duration::from_millis(20));
            assert_eq!(rig.run_timed(form, TIMEOUT, &[], deadline), 0);
        }
        let made = rig.backend().counters().syscalls - before;
        assert!(made < 60, "{made} system calls in three sleeps");
    });
}

/// A backend with threads of its own keeps time while nobody polls.
pub fn a_sleep_that_nobody_polls_for_ends_by_itself<F: Fixture>(fx: &F) {
    if !fx.caps().runs_by_itself {
        skip("this backend runs when it is polled");
    }
    fx.started(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let (one, other) = (Note::new(rig.signal()), Note::new(rig.signal()));
        let deadline = deadline_in(Duration::from_millis(10));
        let mut sleep = rig.timed(TIMEOUT, &[], deadline);
        let mut read = rig.timed(reader.read_op(&mem), mem.only(), deadline);
        sleep.submit_callback(one.hook()).expect("submit");
        read.submit_callback(other.hook()).expect("submit");
        // The watchdog is there for the one that never ends.
        while one.calls() + other.calls() < 2 {
            std::thread::yield_now();
        }
        assert!(deadline.is_over(now_ns));
        assert_eq!((one.result(), other.result()), (0, Errno::TIMEDOUT.to_result()));
    });
}

/// Each sleep's callback submits the next.
pub fn a_callback_may_sleep_again<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        rig.block_on(async {
            for _ in 0..20 {
                assert_eq!(rig.backend().sleep(Duration::from_micros(200)).await, Ok(()));
            }
        });
        let mut sleep = rig.timed(TIMEOUT, &[], deadline_in(Duration::from_millis(1)));
        for round in 0..20 {
            let note = Note::new(rig.signal());
            sleep.submit_callback(note.hook()).expect("submit");
            assert_eq!(note.wait(rig), 0, "round {round}");
            sleep.reset(TIMEOUT).expect("it is done");
        }
    });
}

/// The system calls of a poll that waits `timeout` with nothing to do.
fn idle_calls<B: IoBackend>(rig: &Rig<'_, B>, timeout: Duration) -> u64 {
    let (begin, before) = (Moment::now(), rig.backend().counters().syscalls);
    assert_eq!(rig.poll(Some(timeout)), 0);
    assert!(begin.elapsed() >= timeout, "an idle poll returned after {:?}", begin.elapsed());
    rig.backend().counters().syscalls - before
}

/// Polls until a poll waits for its time: no wake is left over.
fn calm<B: IoBackend>(rig: &Rig<'_, B>) {
    let timeout = Duration::from_micros(100);
    for _ in 0..100 {
        let begin = Moment::now();
        rig.poll(Some(timeout));
        if begin.elapsed() >= timeout {
            return;
        }
    }
    panic!("an idle poll never waits");
}

/// 100 operations of each kind whose deadlines are to pass in the next idle poll end early: by data, by a
/// cancel, by a drop. Nothing stirs when their time comes.
fn end_early<B: IoBackend>(rig: &Rig<'_, B>, idle: Duration) {
    let (reader, writer) = Desc::pipe();
    let mem = Mem::zeroed(1);
    let begin = now_ns() + 8_000_000;
    let step = u64::try_from(idle.as_nanos()).expect("small") / 200;
    for deadline in (1..=100).map(|i| Deadline::from_nanos(begin + i * step)) {
        let mut read = rig.timed(reader.read_op(&mem), mem.only(), deadline);
        let early = rig.poll_once(read.as_mut()).is_ready();
        writer.put(b"x");
        if early || rig.block_on(read.as_mut()) != 1 {
            assert_eq!(reader.get(1), b"x");
        }
        let mut cancelled = rig.timed(TIMEOUT, &[], deadline);
        cancelled.submit().expect("submit");
        cancelled.cancel();
        cancelled.wait();
        let mut dropped = rig.timed(reader.read_op(&mem), mem.only(), deadline);
        dropped.submit().expect("submit");
        drop(dropped);
    }
    calm(rig);
    assert_eq!(rig.backend().in_flight(), 0);
}

/// Deadlines of operations that ended early cost nothing later. (A thread of the backend's own that sleeps
/// until one may wake up once, and finds nothing.)
pub fn no_timer_is_left_behind<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        let by_itself = flavour == Flavour::Started && fx.caps().runs_by_itself;
        let allowed = if by_itself { 20 } else { 0 };
        fx.with(flavour, |rig| {
            let idle = Duration::from_millis(20);
            calm(rig);
            let mut seen = Vec::new();
            // A signal or a stray wake-up may disturb: one quiet round is the proof.
            for _ in 0..3 {
                let wanted = idle_calls(rig, idle);
                end_early(rig, idle);
                let made = idle_calls(rig, idle);
                if made <= wanted + allowed {
                    return;
                }
                seen.push((wanted, made));
            }
            panic!("system calls of an idle poll, before and after: {seen:?}");
        });
    }
}

/// The middle of 501 measurements of one idle poll and one nop, in nanoseconds, and the system calls of
/// all of them.
fn cost<B: IoBackend>(rig: &Rig<'_, B>) -> (u64, u64) {
    let before = rig.backend().counters().syscalls;
    let mut times: Vec<u64> = (0..501)
        .map(|_| {
            let begin = now_ns();
            rig.poll(Some(Duration::ZERO));
            assert_eq!(rig.run(Op::Nop(io_core::op::Nop), &[]), 0);
            now_ns() - begin
        })
        .collect();
    times.sort_unstable();
    (times[250], rig.backend().counters().syscalls - before)
}

/// The deadlines that are armed cost nothing until they pass: neither time nor system calls.
pub fn ten_thousand_deadlines_cost_a_poll_no_more_than_ten<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let far = now_ns() + 3_600_000_000_000;
        let armed = |count: u64| -> Vec<_> {
            let mut sleeps: Vec<_> = (0..count)
                .map(|i| rig.timed(TIMEOUT, &[], Deadline::from_nanos(far + i * 7919 % count)))
                .collect();
            for sleep in &mut sleeps {
                sleep.submit().expect("submit");
            }
            rig.poll(Some(Duration::ZERO));
            sleeps
        };
        let few = armed(10);
        let (few_ns, few_calls) = cost(rig);
        let many = armed(9_990);
        // The least of some: another thread may have a part in it, and the machine other work.
        let (many_ns, many_calls) = (0..3).map(|_| cost(rig)).min().expect("three");
        assert_eq!(rig.backend().in_flight(), 10_000);
        drop((few, many));
        // One more now and then, where other threads have a part in it.
        assert!(
            many_calls <= few_calls + few_calls / 10 + 5,
            "{many_calls}, not {few_calls} calls"
        );
        assert!(many_ns <= few_ns * 4 + 2_000, "{many_ns} ns with 10 000, {few_ns} ns with 10");
    });
}

/// Opens the writing end of a FIFO, at the latest when it is dropped.
struct Release<'p>(&'p std::path::Path);

impl Release<'_> {
    fn writer(&self) -> std::fs::File {
        std::fs::File::options().read(true).write(true).open(self.0).expect("a writer")
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        // Whoever comes later waits for another writer: this one stays.
        core::mem::forget(self.writer());
    }
}

/// Where every worker is held by a system call, what still queues expires.
pub fn deadlines_pass_behind_busy_workers<F: Fixture>(fx: &F) {
    if fx.caps().blocking != Blocking::HoldsWorker || fx.caps().opens_fifo_at_once {
        skip("no operation holds a worker here");
    }
    fx.started(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&place).status().expect("mkfifo");
        assert!(made.success());
        let path = Mem::path(place.to_str().expect("text").as_bytes());
        let flags = OpenFlags::RDONLY | OpenFlags::CLOEXEC;
        let open = Op::Open(Open { dir: Fd::CWD, path: path.ptr().cast(), flags, mode: 0 });
        let mut opens: Vec<_> = (0..8).map(|_| rig.raw(open, path.only())).collect();
        // Dropped before the opens, which wait for a writer: also when this test fails.
        let release = Release(&place);
        for open in &mut opens {
            open.submit().expect("submit");
        }
        rig.until_seen(|| opens.iter().any(|open| open.phase() == Phase::InFlight));
        rig.poll(Some(Duration::from_millis(5)));
        let file = Desc::file(b"");
        let fsync = Op::Fsync(Fsync { fd: file.raw() });
        // Who waits for it may do it, so that form says nothing.
        for form in [Form::Future, Form::Callback] {
            let deadline = deadline_in(Duration::from_millis(10));
            let result = rig.run_timed(form, fsync, &[], deadline);
            assert_eq!(result, Errno::TIMEDOUT.to_result(), "{form:?}");
            assert!(deadline.is_over(now_ns));
        }
        // Those that wait for a worker are cancelled, those that have one end when the writer comes.
        for open in &mut opens {
            open.cancel();
        }
        let _writer = release.writer();
        rig.until_seen(|| opens.iter().all(|open| open.phase() == Phase::Done));
        for open in &mut opens {
            match open.result() {
                Some(fd) if fd >= 0 => drop(Desc::adopt(fd)),
                other => assert_eq!(other, Some(Errno::CANCELED.to_result())),
            }
        }
    });
}
