//! The pool itself under loom: `cfg(io_loom)`, run by `.ci/loom`. An operation or a wake-up that is lost is a
//! deadlock, which loom finds.
#![cfg(io_loom)]
#![allow(unsafe_code, reason = "raw operations, and a pool shared by the threads of a model")]

#[path = "../../io-core/tests/loom/bell.rs"]
mod bell;
#[path = "../../io-core/tests/loom/explore.rs"]
mod explore;

use bell::Bell;
use explore::{Bound, explore};
use io_core::op::{Fsync, Read};
use io_core::{Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, Phase};
use io_pool_backend::{PoolBackend, Worker};
use loom::thread::{self, JoinHandle};
use std::cell::UnsafeCell;
use std::future::Future;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Pool = Pin<&'static PoolBackend>;

/// A pool that the threads of one run share, and that is dropped after they were joined.
fn with_pool(act: impl FnOnce(Pool)) {
    let pool = Box::into_raw(Box::new(PoolBackend::new().expect("pool")));
    // SAFETY: freed below, when all threads are joined and all operations dropped.
    act(Pin::static_ref(unsafe { &*pool }));
    // SAFETY: from the box above, and not used after.
    let pool = unsafe { Box::from_raw(pool) };
    assert_eq!(pool.in_flight(), 0);
}

/// Work for a thread that may block: nothing of it is done inside submit, and its result is `EBADF`.
fn work(pool: Pool) -> IoAwaitable<Pool> {
    // SAFETY: no memory, and the error is wanted.
    unsafe { IoAwaitable::new(pool, Op::Fsync(Fsync { fd: Fd::new(-1) })) }
}

/// The same, submitted with nobody to hear of it.
fn submitted(pool: Pool) -> Pin<Box<IoAwaitable<Pool>>> {
    let mut operation = Box::pin(work(pool));
    operation.as_mut().submit().expect("idle");
    operation
}

fn assert_done_or_ended(result: i64) {
    assert!(matches!(result, BADF | CANCELED), "{result}");
}

const BADF: i64 = Errno::BADF.to_result();
const CANCELED: i64 = Errno::CANCELED.to_result();

fn lend(pool: Pool) -> JoinHandle<()> {
    let worker = Worker::new(pool);
    thread::spawn(move || worker.run())
}

/// Awaits it as a task does, on a thread that does not poll the backend.
fn block_on(operation: IoAwaitable<Pool>) -> i64 {
    let bell = Bell::new();
    let waker = Waker::from(Arc::clone(&bell));
    let mut operation = pin!(operation);
    loop {
        if let Poll::Ready(result) = operation.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        bell.wait();
        thread::yield_now();
    }
}

/// Awaits it on a thread that polls the backend.
fn drive(pool: Pool, operation: IoAwaitable<Pool>) -> i64 {
    let mut operation = pin!(operation);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = operation.as_mut().poll(&mut cx) {
            return result;
        }
        pool.poll(None).expect("poll");
    }
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no panic")
}

#[test]
fn a_worker_that_joins_does_what_was_submitted() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            assert_eq!(block_on(work(pool)), BADF);
            pool.release_workers();
            join(worker);
        });
    });
}

#[test]
fn a_submit_of_another_thread_reaches_the_poller() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let other = thread::spawn(move || block_on(work(pool)));
            assert_eq!(pool.poll(None), Ok(1));
            assert_eq!(join(other), BADF);
        });
    });
}

#[test]
fn two_threads_submit_to_one_that_polls() {
    explore(Bound::Preemptions(2), || {
        with_pool(|pool| {
            let others = [(); 2].map(|()| thread::spawn(move || block_on(work(pool))));
            let mut delivered = 0;
            while delivered < 2 {
                delivered += pool.poll(None).expect("poll");
            }
            assert_eq!(others.map(join), [BADF; 2]);
        });
    });
}

#[test]
fn a_thread_that_polls_beside_one_that_waits_for_its_own() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let other = thread::spawn(move || Box::pin(work(pool)).as_mut().wait());
            assert_eq!(drive(pool, work(pool)), BADF);
            assert_eq!(join(other), BADF);
        });
    });
}

#[test]
fn a_wake_ends_a_poll() {
    explore(Bound::Preemptions(5), || {
        with_pool(|pool| {
            let other = thread::spawn(move || pool.wake_handle().wake());
            assert_eq!(pool.poll(None), Ok(0));
            join(other);
        });
    });
}

#[test]
fn a_wait_against_a_worker() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let mut operation = Box::pin(work(pool));
            assert_eq!(operation.as_mut().wait(), BADF);
            drop(operation);
            pool.release_workers();
            join(worker);
        });
    });
}

#[test]
fn a_drop_in_flight_against_a_worker() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let bell = Bell::new();
            let waker = Waker::from(Arc::clone(&bell));
            let mut operation = Box::pin(work(pool));
            let _: Poll<i64> = operation.as_mut().poll(&mut Context::from_waker(&waker));
            drop(waker);
            drop(operation);
            pool.release_workers();
            join(worker);
            assert_eq!(Arc::strong_count(&bell), 1);
        });
    });
}

#[test]
fn a_cancel_against_a_worker() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let mut operation = submitted(pool);
            operation.as_mut().cancel();
            assert_done_or_ended(operation.as_mut().wait());
            drop(operation);
            pool.release_workers();
            join(worker);
        });
    });
}

#[test]
fn a_cancel_against_a_poller() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let other = thread::spawn(move || {
                let mut operation = submitted(pool);
                operation.as_mut().cancel();
                operation.as_mut().wait()
            });
            pool.poll(Some(Duration::ZERO)).expect("poll");
            assert_done_or_ended(join(other));
        });
    });
}

#[test]
fn a_stop_against_a_submit() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let other = thread::spawn(move || {
                let mut operation = submitted(pool);
                operation.as_mut().wait()
            });
            assert_eq!(pool.stop(Deadline::NEVER), Ok(()));
            assert_done_or_ended(join(other));
            let mut late = submitted(pool);
            assert_eq!((late.phase(), late.as_mut().result()), (Phase::Done, Some(CANCELED)));
        });
    });
}

#[test]
fn a_stop_against_a_worker() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let mut operation = submitted(pool);
            assert_eq!(pool.stop(Deadline::NEVER), Ok(()));
            assert_eq!(operation.phase(), Phase::Done);
            assert_done_or_ended(operation.as_mut().wait());
            pool.release_workers();
            join(worker);
        });
    });
}

#[test]
fn a_worker_that_leaves_leaves_no_work_behind() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let mut operation = submitted(pool);
            pool.release_workers();
            // The worker, or this thread for want of one.
            assert_eq!(operation.as_mut().wait(), BADF);
            join(worker);
            assert_eq!(pool.workers(), 0);
        });
    });
}

#[test]
fn a_worker_leaves_while_another_thread_submits_and_polls() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let other = thread::spawn(move || drive(pool, work(pool)));
            pool.release_workers();
            assert_eq!(join(other), BADF);
            join(worker);
        });
    });
}

#[test]
fn two_workers_and_two_pieces_of_work() {
    explore(Bound::Preemptions(2), || {
        with_pool(|pool| {
            let workers = [(); 2].map(|()| lend(pool));
            let mut operations = [(); 2].map(|()| Box::pin(work(pool)));
            for operation in &mut operations {
                operation.as_mut().submit().expect("idle");
            }
            let results = operations.each_mut().map(|operation| operation.as_mut().wait());
            assert_eq!(results, [BADF; 2]);
            drop(operations);
            pool.release_workers();
            workers.into_iter().for_each(join);
        });
    });
}

/// An empty pipe, and a read of one byte of it that waits until [`Pipe::write`].
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    byte: Box<UnsafeCell<u8>>,
}

impl Pipe {
    fn new() -> Pipe {
        let (reader, writer) = std::io::pipe().expect("pipe");
        Pipe { reader, writer, byte: Box::new(UnsafeCell::new(0)) }
    }

    fn fd(&self) -> Fd {
        Fd::new(self.reader.as_raw_fd())
    }

    fn read(&self, pool: Pool) -> Pin<Box<IoAwaitable<Pool>>> {
        let op = Op::Read(Read { fd: self.fd(), buf: self.byte.get(), len: 1 });
        // SAFETY: each test drops the operation before the pipe.
        Box::pin(unsafe { IoAwaitable::new(pool, op) })
    }

    /// Makes it ready, on another thread. To be called when the first try is over: loom does not see the
    /// system calls, and would not try the other order.
    fn write(&self, pool: Pool) -> JoinHandle<()> {
        let (mut writer, fd) = (self.writer.try_clone().expect("dup"), self.fd());
        thread::spawn(move || {
            writer.write_all(b"x").expect("room");
            pool.park().arrive(fd);
        })
    }

    /// Nothing is lost: the byte was read by who says so, or is still there.
    fn check(mut self, result: i64) {
        drop(self.writer);
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("pipe");
        match result {
            1 => assert!(rest.is_empty()),
            CANCELED => assert_eq!(rest, b"x"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_event_for_a_poller() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let pipe = Pipe::new();
            let mut operation = pipe.read(pool);
            operation.as_mut().submit().expect("idle");
            let writer = pipe.write(pool);
            while operation.phase() != Phase::Done {
                pool.poll(None).expect("poll");
            }
            join(writer);
            assert_eq!(operation.as_mut().result(), Some(1));
            drop(operation);
            pipe.check(1);
        });
    });
}

#[test]
fn an_event_for_a_thread_that_waits() {
    explore(Bound::Preemptions(3), || {
        with_pool(|pool| {
            let pipe = Pipe::new();
            let mut operation = pipe.read(pool);
            operation.as_mut().submit().expect("idle");
            let writer = pipe.write(pool);
            assert_eq!(operation.as_mut().wait(), 1);
            join(writer);
            drop(operation);
            pipe.check(1);
        });
    });
}

#[test]
fn an_event_for_a_worker_against_a_cancel() {
    explore(Bound::Preemptions(2), || {
        with_pool(|pool| {
            let worker = lend(pool);
            let pipe = Pipe::new();
            let mut operation = pipe.read(pool);
            operation.as_mut().submit().expect("idle");
            let writer = pipe.write(pool);
            operation.as_mut().cancel();
            let result = operation.as_mut().wait();
            join(writer);
            drop(operation);
            pool.release_workers();
            join(worker);
            pipe.check(result);
        });
    });
}
