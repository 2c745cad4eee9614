//! `poll`, `flush` and `wake`: what they wait for, what ends them, what they count, what they cost.

use super::Case;
use crate::clock::Moment;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::rig::Note;
use core::time::Duration;
use io_core::op::Nop;
use io_core::ops::Ops;
use io_core::{IoBackend, Op};
use std::sync::mpsc;
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(an_idle_poll_returns_nothing::<F>),
        Case::of(an_idle_poll_makes_no_system_call::<F>),
        Case::of(poll_waits_as_long_as_it_is_told::<F>),
        Case::of(poll_counts_what_it_delivers::<F>),
        Case::of(poll_does_not_wait_when_there_is_something_to_deliver::<F>),
        Case::of(poll_does_not_wait_for_more_than_one::<F>),
        Case::of(a_wake_before_poll_ends_it::<F>),
        Case::of(a_wake_from_another_thread_ends_poll::<F>).needs(Needs::Threads),
        Case::of(many_wakes_are_one_and_none_is_lost::<F>).needs(Needs::Threads),
        Case::of(a_huge_timeout_is_no_error::<F>),
        Case::of(data_from_another_thread_ends_poll::<F>).needs(Needs::Threads),
        Case::of(poll_with_operations_waiting_obeys_its_timeout::<F>),
    ]
}

const NOP: Op = Op::Nop(Nop);

/// With nothing to do, poll without waiting delivers nothing, and flush hands nothing on.
pub fn an_idle_poll_returns_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..10 {
            assert_eq!(rig.poll(Some(Duration::ZERO)), 0);
            assert_eq!(rig.backend().flush(), Ok(0));
        }
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// An idle poll costs nothing, by the backend's own counter.
pub fn an_idle_poll_makes_no_system_call<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        // The first poll may bind the thread; an operation may leave something to tidy up.
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        for _ in 0..3 {
            rig.poll(Some(Duration::ZERO));
        }
        let before = rig.backend().counters().syscalls;
        for _ in 0..100 {
            assert_eq!(rig.poll(Some(Duration::ZERO)), 0);
        }
        let made = rig.backend().counters().syscalls - before;
        assert_eq!(made, 0, "{made} system calls in 100 idle polls");
    });
}

/// Poll with a timeout and nothing to deliver returns 0 when the time is over, not before.
pub fn poll_waits_as_long_as_it_is_told<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..3 {
            let begin = Moment::now();
            let timeout = Duration::from_millis(20);
            assert_eq!(rig.poll(Some(timeout)), 0);
            let waited = begin.elapsed();
            assert!(waited >= timeout, "only {waited:?} of {timeout:?}");
        }
    });
}

/// The numbers that poll returns add up to the callbacks that ran.
pub fn poll_counts_what_it_delivers<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let notes: Vec<Note> = (0..500).map(|_| Note::new(rig.signal())).collect();
        let mut raws: Vec<_> = notes.iter().map(|_| rig.raw(NOP, &[])).collect();
        for (raw, note) in raws.iter_mut().zip(&notes) {
            raw.submit_callback(note.hook()).expect("submit");
        }
        let mut sum = 0;
        while notes.iter().any(|note| note.calls() == 0) {
            sum += rig.poll(Some(Duration::from_millis(1)));
            let ran: usize = notes.iter().map(Note::calls).sum();
            assert_eq!(sum, ran, "delivered, and ran");
        }
        assert_eq!(sum, 500);
    });
}

/// What was done inside submit is delivered by a poll that may wait for ever.
pub fn poll_does_not_wait_when_there_is_something_to_deliver<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let file = Desc::file(b"x");
        let mem = Mem::zeroed(1);
        for op in [NOP, file.lseek_op(0, 1), file.pread_op(&mem, -1), file.pread_op(&mem, 0)] {
            let note = Note::new(rig.signal());
            let mut raw = rig.raw(op, mem.only());
            raw.submit_callback(note.hook()).expect("submit");
            while note.calls() == 0 {
                // Would hang.
                rig.poll(None);
            }
        }
    });
}

/// One of many is enough to end a poll that waits.
pub fn poll_does_not_wait_for_more_than_one<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let pipes: Vec<_> = (0..10).map(|_| Desc::pipe()).collect();
        let mem = Mem::zeroed(1);
        let mut reads = Vec::new();
        for (reader, _) in &pipes {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            reads.push(read);
        }
        for (read, (_, writer)) in reads.iter_mut().zip(&pipes) {
            writer.put(b"x");
            assert_eq!(rig.block_on(read.as_mut()), 1);
        }
    });
}

/// A wake is not lost when nobody polls yet.
pub fn a_wake_before_poll_ends_it<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..100 {
            rig.backend().get_ref().wake_handle().wake();
            // Would hang.
            assert_eq!(rig.poll(None), 0);
        }
    });
}

/// A wake from another thread ends a poll that waits for ever, on single-threaded backends too.
pub fn a_wake_from_another_thread_ends_poll<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (ask, asked) = mpsc::channel();
        let handle = rig.backend().get_ref().wake_handle();
        thread::scope(|scope| {
            scope.spawn(move || {
                while asked.recv().is_ok() {
                    handle.wake();
                }
            });
            for _ in 0..1000 {
                ask.send(()).expect("the other thread");
                assert_eq!(rig.poll(None), 0);
            }
            drop(ask);
        });
    });
}

/// A thousand wakes in a row neither block nor leave anything behind that disturbs.
pub fn many_wakes_are_one_and_none_is_lost<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..1000 {
            rig.backend().get_ref().wake_handle().wake();
        }
        rig.poll(None);
        // However many polls the wakes end, they come to an end.
        let quiet = |_: &u32| {
            let begin = Moment::now();
            rig.poll(Some(Duration::from_millis(5)));
            begin.elapsed() >= Duration::from_millis(5)
        };
        let rounds = (0..1000).find(quiet).expect("an end of the wakes");
        assert!(rounds < 10, "{rounds} polls ended early");
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        rig.backend().get_ref().wake_handle().wake();
        rig.poll(None);
    });
}

/// Timeouts that no clock can hold are waited for, or cut: not refused.
pub fn a_huge_timeout_is_no_error<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for timeout in
            [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_nanos(u64::MAX)]
        {
            rig.backend().get_ref().wake_handle().wake();
            assert_eq!(rig.backend().poll(Some(timeout)), Ok(0), "{timeout:?}");
        }
        assert_eq!(rig.backend().poll(Some(Duration::from_nanos(1))), Ok(0));
    });
}

/// Data that another thread writes ends the poll that waits for it, every time.
pub fn data_from_another_thread_ends_poll<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (there_out, there_in) = Desc::pipe();
        let (back_out, back_in) = Desc::pipe();
        let rounds = crate::watchdog::rounds(2000);
        let echo = thread::spawn(move || {
            for _ in 0..rounds {
                back_in.put(&there_out.get(1));
            }
        });
        rig.block_on(async {
            for round in 0..rounds {
                let byte = [round.to_le_bytes()[0]];
                assert_eq!(rig.backend().write(there_in.clone(), byte).await.0, Ok(1));
                assert_eq!(rig.backend().read(back_out.clone(), [0]).await, (Ok(1), byte));
            }
        });
        echo.join().expect("the echo");
    });
}

/// Operations that wait for ever do not keep a poll from returning in time, nor make it spin.
pub fn poll_with_operations_waiting_obeys_its_timeout<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let pipes: Vec<_> = (0..50).map(|_| Desc::pipe()).collect();
        let mem = Mem::zeroed(1);
        let mut reads = Vec::new();
        for (reader, _) in &pipes {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            read.submit().expect("submit");
            reads.push(read);
        }
        rig.poll(Some(Duration::ZERO));
        let (begin, before) = (Moment::now(), rig.backend().counters().syscalls);
        rig.poll(Some(Duration::from_millis(30)));
        assert!(begin.elapsed() >= Duration::from_millis(30), "{:?}", begin.elapsed());
        let made = rig.backend().counters().syscalls - before;
        assert!(made < 200, "{made} system calls while nothing happened");
    });
}
