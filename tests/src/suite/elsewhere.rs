//! Backends that threads share: operations ended from elsewhere, by drops, cancels and stops, while one
//! thread drives.

use super::Case;
use super::threads::{Leave, driven, on_threads, park_on};
use crate::clock::{deadline_in, now_ns};
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::raw;
use crate::rig::{Note, Rig};
use crate::watchdog::rounds;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use io_core::op::Nop;
use io_core::ops::Ops;
use io_core::{Deadline, Errno, IoBackend, Op, Scope, StopError};
use std::sync::Arc;
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture<Backend: Sync>>() -> Vec<Case<F>> {
    vec![
        Case::of(another_thread_drops_in_flight::<F>),
        Case::of(another_thread_cancels::<F>),
        Case::of(stop_while_others_submit::<F>),
        Case::of(another_thread_cancels_all::<F>),
        Case::of(four_threads_cancel_by_descriptor::<F>),
        Case::of(data_and_a_cancel_from_two_threads::<F>),
        Case::of(another_thread_stops::<F>),
        Case::of(several_threads_stop_at_once::<F>),
        Case::of(another_thread_stops_and_nobody_polls::<F>),
    ]
}

/// Threads drop what they have in flight while the owner drives.
pub fn another_thread_drops_in_flight<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        on_threads(rig, 4, |i, be| {
            for round in 0..rounds(200) {
                let mut read = raw(be, reader.read_op(&mem), mem.only());
                read.submit().expect("submit");
                if (round as usize + i).is_multiple_of(3) {
                    thread::yield_now();
                }
                drop(read);
            }
        });
        assert_eq!(rig.backend().in_flight(), 0);
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    });
}

/// A thread cancels an operation that it has submitted, and awaits it.
pub fn another_thread_cancels<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, _writer) = Desc::pipe();
        on_threads(rig, 4, |_, be| {
            for _ in 0..rounds(200) {
                let mem = Mem::zeroed(1);
                let mut read = raw(be, reader.read_op(&mem), mem.only());
                read.submit().expect("submit");
                read.cancel();
                assert_eq!(park_on(read.as_mut()), Errno::CANCELED.to_result());
            }
        });
    });
}

/// Threads submit while the owner stops and starts: each operation completes, done or cancelled.
pub fn stop_while_others_submit<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (over, running) = (AtomicBool::new(false), AtomicUsize::new(4));
        let (signal, backend) = (Arc::clone(rig.signal()), rig.backend());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _leave = Leave(&running, &signal);
                    let (reader, writer) = Desc::pipe();
                    while !over.load(Ordering::SeqCst) {
                        let nop = park_on(backend.nop());
                        assert!(matches!(nop, Ok(()) | Err(Errno::CANCELED)), "{nop:?}");
                        let (wrote, _) = park_on(backend.write(writer.clone(), [1_u8]));
                        if wrote.is_ok() {
                            let (read, _) = park_on(backend.read(reader.clone(), [0_u8]));
                            assert!(matches!(read, Ok(1) | Err(Errno::CANCELED)), "{read:?}");
                            if read.is_err() {
                                assert_eq!(reader.get(1), [1]);
                            }
                        }
                    }
                });
            }
            for _ in 0..rounds(100) {
                for _ in 0..5 {
                    rig.poll(Some(Duration::from_micros(100)));
                }
                assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
                rig.poll(Some(Duration::ZERO));
                assert_eq!(rig.backend().start(), Ok(()));
            }
            over.store(true, Ordering::SeqCst);
            rig.until(|| running.load(Ordering::SeqCst) == 0);
        });
    });
}

/// What the owner has in flight is cancelled from another thread, which is told how many.
pub fn another_thread_cancels_all<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        for round in 0..20 {
            let (reader, _writer) = Desc::pipe();
            let mem = Mem::zeroed(1);
            let mut reads: Vec<_> =
                (0..50).map(|_| rig.raw(reader.read_op(&mem), mem.only())).collect();
            for read in &mut reads {
                read.submit().expect("submit");
            }
            if round % 2 == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            on_threads(rig, 1, |_, be| {
                let cancelled = match round % 4 {
                    0 | 1 => park_on(be.cancel_all()),
                    _ => park_on(be.cancel_fd(&reader)),
                };
                assert_eq!(cancelled, Ok(50), "round {round}");
            });
            for read in &mut reads {
                assert_eq!(read.wait(), Errno::CANCELED.to_result());
            }
        }
    });
}

/// Each thread cancels its own descriptor's operations, and no other's.
pub fn four_threads_cancel_by_descriptor<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        on_threads(rig, 4, |i, be| {
            let (reader, _writer) = Desc::pipe();
            let mem = Mem::zeroed(1);
            for round in 0..rounds(100) {
                let mut reads: Vec<_> =
                    (0..3).map(|_| raw(be, reader.read_op(&mem), mem.only())).collect();
                for read in &mut reads {
                    read.submit().expect("submit");
                }
                let scope = Scope::Fd(io_core::IoFd::fd(&reader));
                let op = Op::Cancel(io_core::op::Cancel { scope });
                let asked = park_on(raw(be, op, &[]).as_mut());
                assert_eq!(asked, 3, "thread {i}, round {round}");
                for read in &mut reads {
                    assert_eq!(park_on(read.as_mut()), Errno::CANCELED.to_result());
                }
            }
        });
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// One thread writes while another cancels the read: the byte is read once, by the read or afterwards.
pub fn data_and_a_cancel_from_two_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, writer) = Desc::pipe();
        let rounds = rounds(500);
        let turn = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=rounds {
                    while turn.load(Ordering::SeqCst) < round {
                        core::hint::spin_loop();
                        thread::yield_now();
                    }
                    writer.put(&[round.to_le_bytes()[0]]);
                }
            });
            let mem = Mem::zeroed(1);
            for round in 1..=rounds {
                let byte = round.to_le_bytes()[0];
                let mut read = rig.raw(reader.read_op(&mem), mem.only());
                assert!(rig.poll_once(read.as_mut()).is_pending());
                if round % 2 == 0 {
                    rig.poll(Some(Duration::ZERO));
                }
                turn.store(round, Ordering::SeqCst);
                for _ in 0..round % 50 {
                    core::hint::spin_loop();
                }
                if round % 5 == 0 {
                    rig.poll(Some(Duration::ZERO));
                }
                read.cancel();
                match rig.block_on(read.as_mut()) {
                    1 => assert_eq!(mem.bytes(1), [byte], "round {round}"),
                    result => {
                        assert_eq!(result, Errno::CANCELED.to_result(), "round {round}");
                        assert_eq!(reader.get(1), [byte], "round {round}");
                    }
                }
            }
        });
    });
}

/// Reads that wait for ever, of the thread that drives.
fn waiting_reads<'b, B: IoBackend>(
    rig: &Rig<'b, B>,
    reader: &Desc,
    count: usize,
) -> Vec<Pin<Box<crate::raw::Raw<Pin<&'b B>>>>> {
    let mem = Mem::zeroed(1);
    let submit = |_| {
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        read
    };
    (0..count).map(submit).collect()
}

/// A stop from a thread that does not drive: it returns when all is over, and then everything is refused.
pub fn another_thread_stops<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, _writer) = Desc::pipe();
        for round in 0..20 {
            let mut reads = waiting_reads(rig, &reader, 50);
            let note = Note::new(rig.signal());
            let mut called = rig.raw(Op::Nop(Nop), &[]);
            called.submit_callback(note.hook()).expect("submit");
            on_threads(rig, 1, |_, be| {
                let deadline = if round % 2 == 0 {
                    Deadline::NEVER
                } else {
                    deadline_in(Duration::from_secs(30))
                };
                assert_eq!(be.stop(deadline), Ok(()), "round {round}");
                assert_eq!(be.stop(deadline), Ok(()), "twice");
                assert_eq!(park_on(be.nop()), Err(Errno::CANCELED), "round {round}");
            });
            for read in &mut reads {
                assert_eq!(read.wait(), Errno::CANCELED.to_result());
            }
            let _: i64 = note.wait(rig);
            assert_eq!(rig.backend().start(), Ok(()));
            assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        }
    });
}

/// Several stops at once all return, and the backend can be started again.
pub fn several_threads_stop_at_once<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, _writer) = Desc::pipe();
        for _ in 0..20 {
            let mut reads = waiting_reads(rig, &reader, 20);
            on_threads(rig, 3, |_, be| assert_eq!(be.stop(Deadline::NEVER), Ok(())));
            assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
            for read in &mut reads {
                assert_eq!(read.wait(), Errno::CANCELED.to_result());
            }
            assert_eq!(rig.backend().start(), Ok(()));
        }
    });
}

/// With an owner that does not come, a stop from elsewhere keeps its deadline and says how many are left;
/// without an owner it needs nobody.
pub fn another_thread_stops_and_nobody_polls<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, _writer) = Desc::pipe();
        let mut reads = waiting_reads(rig, &reader, 20);
        rig.poll(Some(Duration::ZERO));
        let backend = rig.backend();
        let stop = || {
            let deadline = deadline_in(Duration::from_millis(20));
            (backend.stop(deadline), deadline.is_over(now_ns))
        };
        let (stopped, over) =
            thread::scope(|scope| scope.spawn(stop).join().expect("the other thread"));
        match stopped {
            Ok(()) => {}
            Err(StopError::StillOwned(owned)) => {
                assert_eq!(owned, 20);
                assert!(over, "it gave up early");
                assert!(fx.caps().one_owner, "nobody is needed here");
                // An offload's threads may have brought the last one home since.
                match backend.start() {
                    Ok(()) => {}
                    refused => {
                        assert_eq!(refused, Err(Errno::BUSY));
                        assert_eq!(rig.run(Op::Nop(Nop), &[]), Errno::CANCELED.to_result());
                    }
                }
            }
            Err(other) => panic!("{other}"),
        }
        assert_eq!(backend.stop(Deadline::NEVER), Ok(()));
        for read in &mut reads {
            assert_eq!(read.wait(), Errno::CANCELED.to_result());
        }
        assert_eq!(backend.start(), Ok(()));
        assert_eq!(rig.block_on(backend.nop()), Ok(()));
    });
}
