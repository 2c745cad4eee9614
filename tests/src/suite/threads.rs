//! Backends that threads share: submits and waits from anywhere, one thread that drives.

use super::Case;
use crate::clock::{deadline_in, now_ns};
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::raw;
use crate::rig::{Note, Rig};
use crate::watchdog::{rounds, tell};
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::Nop;
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, Op};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread::{self, Thread};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture<Backend: Sync>>() -> Vec<Case<F>> {
    vec![
        Case::of(four_threads_await::<F>),
        Case::of(four_threads_call_back::<F>),
        Case::of(a_submitter_may_exit_at_once::<F>),
        Case::of(an_operation_moves_between_threads::<F>),
        Case::of(sync_forms_from_four_threads::<F>),
        Case::of(another_threads_submit_ends_poll::<F>),
        Case::of(ping_pong_loses_no_wake::<F>),
        Case::of(wakes_from_four_threads::<F>),
        Case::of(poll_from_another_thread::<F>),
        Case::of(blocked_reads_hold_no_worker::<F>),
        Case::of(wait_on_another_thread_while_the_owner_waits::<F>),
        Case::of(others_sleep_while_the_owner_polls::<F>),
        Case::of(deadlines_of_four_threads::<F>),
        Case::of(tasks_that_move_between_four_threads::<F>),
    ]
}

/// A test with a backend of each flavour that this thread owns: where there is an owner, the first to poll
/// or wait becomes it.
pub(super) fn driven<F: Fixture>(fx: &F, test: impl Fn(&Rig<'_, F::Backend>)) {
    fx.both(|rig| {
        rig.poll(Some(Duration::ZERO));
        test(rig);
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on a thread that does not drive the backend.
pub(super) fn park_on<T: Future>(future: T) -> T::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}

/// Ends the driving also when the thread panics.
pub(super) struct Leave<'a>(pub(super) &'a AtomicUsize, pub(super) &'a crate::rig::Signal);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.raise();
    }
}

/// Runs `body` on `count` threads while this one drives the rig.
pub(super) fn on_threads<'b, B: IoBackend + Sync>(
    rig: &Rig<'b, B>,
    count: usize,
    body: impl Fn(usize, Pin<&'b B>) + Sync,
) {
    let (running, body, backend) = (AtomicUsize::new(count), &body, rig.backend());
    let (running, signal) = (&running, &**rig.signal());
    thread::scope(|scope| {
        for i in 0..count {
            scope.spawn(move || {
                let _leave = Leave(running, signal);
                body(i, backend);
            });
        }
        rig.until(|| running.load(Ordering::SeqCst) == 0);
    });
}

/// Four threads submit and await; the fifth drives.
pub fn four_threads_await<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let file = Desc::file(b"0123456789");
        on_threads(rig, 4, |i, be| {
            for round in 0..rounds(500) {
                assert_eq!(park_on(be.nop()), Ok(()));
                let offset = i64::from(round % 7);
                let (count, buf) = park_on(be.pread(file.clone(), [0_u8; 2], offset));
                let at = (round % 7) as usize;
                assert_eq!((count, &buf[..]), (Ok(2), &b"0123456789"[at..at + 2]), "thread {i}");
                let (reader, writer) = Desc::pipe();
                assert_eq!(park_on(be.write(writer, [7_u8; 3])).0, Ok(3));
                assert_eq!(park_on(be.read(reader, [0_u8; 3])), (Ok(3), [7; 3]));
            }
        });
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Four threads submit with callbacks and wait for them.
pub fn four_threads_call_back<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let signal = Arc::clone(rig.signal());
        on_threads(rig, 4, |_, be| {
            for _ in 0..rounds(100) {
                let notes: Vec<Note> = (0..20).map(|_| Note::new(&signal)).collect();
                let mut raws: Vec<_> = notes.iter().map(|_| raw(be, Op::Nop(Nop), &[])).collect();
                for (raw, note) in raws.iter_mut().zip(&notes) {
                    raw.submit_callback(note.hook()).expect("submit");
                }
                while notes.iter().any(|note| note.calls() == 0) {
                    thread::yield_now();
                }
                assert!(notes.iter().all(|note| note.calls() == 1 && note.result() == 0));
            }
        });
    });
}

/// A thread submits a read that has to wait, and exits; the data comes later.
pub fn a_submitter_may_exit_at_once<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        for _ in 0..50 {
            let (reader, writer) = Desc::pipe();
            let mem = Mem::zeroed(4);
            let backend = rig.backend();
            let mut read = thread::scope(|scope| {
                let submit = scope.spawn(|| {
                    let mut read = raw(backend, reader.read_op(&mem), mem.only());
                    read.submit().expect("submit");
                    read
                });
                submit.join().expect("the submitter")
            });
            rig.poll(Some(Duration::ZERO));
            writer.put(b"late");
            assert_eq!(rig.block_on(read.as_mut()), 4);
            assert_eq!(mem.bytes(4), b"late");
        }
    });
}

/// Submitted on one thread, polled on a second, completed and dropped on a third.
pub fn an_operation_moves_between_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (reader, writer) = Desc::pipe();
        on_threads(rig, 1, |_, be| {
            for _ in 0..50 {
                let mut read = Box::pin(be.read(reader.clone(), [0_u8; 4]));
                let mut read = thread::scope(|scope| {
                    let first = scope.spawn(move || {
                        let mut cx = Context::from_waker(Waker::noop());
                        assert!(read.as_mut().poll(&mut cx).is_pending());
                        read
                    });
                    first.join().expect("the first thread")
                });
                writer.put(b"data");
                assert_eq!(park_on(read.as_mut()), (Ok(4), *b"data"));
            }
        });
    });
}

/// The blocking forms work from threads that neither drive nor await.
pub fn sync_forms_from_four_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        on_threads(rig, 4, |i, be| {
            let file = Desc::file(b"");
            for round in 0..rounds(200) {
                let text = format!("thread {i}, round {round:06}");
                assert_eq!(be.submit_write_sync(&file, text.as_bytes(), 3), Ok(text.len()));
                let mut buf = vec![0; text.len()];
                assert_eq!(be.submit_read_sync(&file, &mut buf, 3), Ok(text.len()));
                assert_eq!(buf, text.as_bytes());
                assert_eq!(
                    be.submit_fstat_sync(&file).map(|stat| stat.size),
                    Ok(3 + text.len() as u64)
                );
                assert_eq!(be.submit_ftruncate_sync(&file, 3), Ok(()));
                assert_eq!(be.submit_fsync_sync(&file), Ok(()));
            }
        });
    });
}

/// A submit from another thread reaches an owner that is in a poll without end.
pub fn another_threads_submit_ends_poll<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        // Nothing but the submits ends the owner's polls, until the thread leaves.
        on_threads(rig, 1, |_, be| {
            let file = Desc::file(b"x");
            for _ in 0..rounds(1000) {
                assert_eq!(park_on(be.pread(file.clone(), [0_u8; 1], 0)), (Ok(1), *b"x"));
            }
        });
    });
}

/// A thread wakes the owner once for each of its polls: 20 000 times, and none is lost. (A million with
/// `IO_TEST_ROUNDS=50`.)
pub fn ping_pong_loses_no_wake<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let rounds = rounds(20_000);
        let (asked, answered) = (AtomicU32::new(0), AtomicU32::new(0));
        let handle = rig.backend().get_ref();
        let handle = IoBackend::wake_handle(handle);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=rounds {
                    while asked.load(Ordering::SeqCst) != round {
                        thread::yield_now();
                    }
                    answered.store(round, Ordering::SeqCst);
                    handle.wake();
                }
            });
            for round in 1..=rounds {
                asked.store(round, Ordering::SeqCst);
                while answered.load(Ordering::SeqCst) != round {
                    // Would hang if the wake were lost.
                    rig.poll(None);
                }
            }
        });
        tell(rounds, "ping-pongs");
    });
}

/// Four threads wake as fast as they can; the owner's polls all return.
pub fn wakes_from_four_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let over = AtomicBool::new(false);
        let handle = IoBackend::wake_handle(rig.backend().get_ref());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        handle.wake();
                        thread::yield_now();
                    }
                });
            }
            for _ in 0..rounds(2000) {
                rig.poll(None);
                assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            }
            over.store(true, Ordering::SeqCst);
        });
    });
}

/// `poll` from a thread that does not own the ring is `EEXIST`; without an owner it is a poll.
pub fn poll_from_another_thread<F: Fixture<Backend: Sync>>(fx: &F) {
    let one_owner = fx.caps().one_owner;
    fx.started(|rig| {
        let backend = rig.backend();
        let there = thread::scope(|scope| {
            let poll = scope.spawn(|| (backend.poll(Some(Duration::ZERO)), backend.flush()));
            poll.join().expect("the other thread")
        });
        let expected = if one_owner { Err(Errno::EXIST) } else { Ok(0) };
        assert_eq!(there, (expected, expected));
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// Four reads that wait for ever do not keep four workers from a file read.
pub fn blocked_reads_hold_no_worker<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let pipes: Vec<_> = (0..4).map(|_| Desc::pipe()).collect();
        let pairs: Vec<_> = (0..8).map(|_| Desc::pair()).collect();
        let mem = Mem::zeroed(1);
        let mut reads = Vec::new();
        for desc in pipes.iter().map(|(out, _)| out).chain(pairs.iter().map(|(near, _)| near)) {
            let mut read = rig.raw(desc.read_op(&mem), mem.only());
            read.submit().expect("submit");
            reads.push(read);
        }
        let file = Desc::file(&vec![b'f'; 1 << 20]);
        for _ in 0..10 {
            let (count, _) = rig.block_on(rig.backend().pread(file.clone(), vec![0; 1 << 20], 0));
            assert_eq!(count, Ok(1 << 20));
        }
        for (_, writer) in pipes.iter().chain(&pairs) {
            writer.put(b"x");
        }
        for read in &mut reads {
            assert_eq!(rig.block_on(read.as_mut()), 1);
        }
    });
}

/// Another thread's blocking wait and the owner's end each in their own time.
pub fn wait_on_another_thread_while_the_owner_waits<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let backend = rig.backend();
        for _ in 0..rounds(100) {
            let (near, far) = Desc::pipe();
            let (own, other) = Desc::pipe();
            thread::scope(|scope| {
                let there = scope.spawn(|| {
                    let mem = Mem::zeroed(1);
                    let mut read = raw(backend, near.read_op(&mem), mem.only());
                    let result = read.wait();
                    other.put(b"y");
                    result
                });
                scope.spawn(|| far.put(b"x"));
                let mem = Mem::zeroed(1);
                let mut read = rig.raw(own.read_op(&mem), mem.only());
                // Ends only after the other thread's wait: this one must reap for both.
                assert_eq!(read.wait(), 1);
                assert_eq!(there.join().expect("the other thread"), 1);
            });
        }
    });
}

/// Sleeps submitted elsewhere end an owner's poll that has no end, each in its own time, though longer ones
/// were there first.
pub fn others_sleep_while_the_owner_polls<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let hour = deadline_in(Duration::from_secs(3600));
        let mut long = rig.timed(Op::Timeout(io_core::op::Timeout), &[], hour);
        long.submit().expect("submit");
        on_threads(rig, 4, |i, be| {
            for round in 0..rounds(20) {
                let us = 1000 - u64::from(round % 4) * 200 + 10 * u64::try_from(i).expect("small");
                let deadline = deadline_in(Duration::from_micros(us));
                assert_eq!(park_on(be.sleep_until(deadline)), Ok(()));
                assert!(deadline.is_over(now_ns), "too early");
                assert_eq!(park_on(be.sleep(Duration::ZERO)), Ok(()));
            }
        });
        drop(long);
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Reads of four threads that time out, and reads that do not.
pub fn deadlines_of_four_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        on_threads(rig, 4, |_, be| {
            let (reader, writer) = Desc::pipe();
            for round in 0..rounds(50) {
                let timeout = Duration::from_micros(500);
                let read = be.read(reader.clone(), [7_u8; 4]).with_timeout(timeout);
                assert_eq!(park_on(read), (Err(Errno::TIMEDOUT), [7; 4]));
                let mut read = pin!(be.read(reader.clone(), [7_u8; 4]).with_timeout(timeout * 2));
                let mut cx = Context::from_waker(Waker::noop());
                let early = read.as_mut().poll(&mut cx).is_ready();
                assert_eq!(park_on(be.write(writer.clone(), round.to_le_bytes())).0, Ok(4));
                if early {
                    assert_eq!(reader.get(4), round.to_le_bytes());
                    continue;
                }
                match park_on(read) {
                    (Ok(count), buf) => assert_eq!((count, buf), (4, round.to_le_bytes())),
                    (error, _) => {
                        assert_eq!(error, Err(Errno::TIMEDOUT));
                        assert_eq!(reader.get(4), round.to_le_bytes());
                    }
                }
            }
        });
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

type Task<'t> = Pin<Box<dyn Future<Output = ()> + Send + 't>>;

/// The smallest executor that many threads share: woken tasks in a queue, each in one thread at a time.
#[derive(Default)]
struct Executor<'t> {
    tasks: Vec<Mutex<Option<Task<'t>>>>,
    queue: Arc<Mutex<VecDeque<usize>>>,
    left: AtomicUsize,
}

struct Enqueue(Arc<Mutex<VecDeque<usize>>>, usize);

impl Wake for Enqueue {
    fn wake(self: Arc<Self>) {
        self.0.lock().expect("no panic inside").push_back(self.1);
    }
}

impl Executor<'_> {
    /// Polls a task that was woken. `false` if there was none.
    fn turn(&self) -> bool {
        let Some(index) = self.queue.lock().expect("no panic inside").pop_front() else {
            return false;
        };
        let mut slot = self.tasks[index].lock().expect("no panic inside");
        let Some(task) = slot.as_mut() else { return true };
        let waker = Waker::from(Arc::new(Enqueue(Arc::clone(&self.queue), index)));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *slot = None;
            self.left.fetch_sub(1, Ordering::SeqCst);
        }
        true
    }
}

/// 200 tasks on four threads, each polled by whichever is free: every operation may be submitted by one
/// thread, polled by a second and dropped by a third.
pub fn tasks_that_move_between_four_threads<F: Fixture<Backend: Sync>>(fx: &F) {
    driven(fx, |rig| {
        let (be, file) = (rig.backend(), Desc::file(b"0123456789"));
        let mut executor = Executor::default();
        for number in 0..200_u32 {
            let file = file.clone();
            executor.tasks.push(Mutex::new(Some(Box::pin(async move {
                let (reader, writer) = Desc::pipe();
                for _ in 0..5 {
                    let late = be.read(reader.clone(), [0_u8; 4]);
                    let late = late.with_timeout(Duration::from_micros(300));
                    assert_eq!(late.await.0, Err(Errno::TIMEDOUT));
                    assert_eq!(be.write(writer.clone(), number.to_le_bytes()).await.0, Ok(4));
                    let read = be.read(reader.clone(), [0_u8; 4]).await;
                    assert_eq!(read, (Ok(4), number.to_le_bytes()));
                    assert_eq!(be.pread(file.clone(), [0; 2], 3).await, (Ok(2), *b"34"));
                    assert_eq!(be.sleep(Duration::from_micros(100)).await, Ok(()));
                    assert_eq!(be.nop().await, Ok(()));
                }
            }))));
            executor.queue.lock().expect("no panic").push_back(number as usize);
        }
        executor.left = AtomicUsize::new(executor.tasks.len());
        on_threads(rig, 4, |_, _| {
            while executor.left.load(Ordering::SeqCst) > 0 {
                if !executor.turn() {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(rig.backend().in_flight(), 0);
    });
}
