//! The pool by itself: what the conformance suite cannot see from outside, and what Miri can run.
#![allow(unsafe_code, reason = "raw operations")]

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::Timeout;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{
    Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, OwnedFd, Phase, Registered, StopError,
};
use io_pool_backend::{LocalPool, PoolBackend, Worker};
use leaked::leaked;
#[allow(unused_imports, reason = "is std's own if somebody switches rustix's `std` on")]
use rustix::fd::IntoRawFd as _;
use rustix::pipe::PipeFlags;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::thread;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

fn owned(fd: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives the ownership up.
    unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }
}

fn drive<L: io_core::RawLock, F: Future>(pool: &PoolBackend<L>, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        pool.poll(None).expect("poll");
    }
}

#[test]
fn a_local_pool_reads_what_was_written() {
    let pool = pin!(LocalPool::new().expect("pool"));
    let pool = pool.as_ref();
    let (read, write) = std::io::pipe().expect("pipe");
    let (read, write) = (owned(read), owned(write));
    let (sent, _) = drive(&pool, pool.write(write, *b"hello"));
    assert_eq!(sent, Ok(5));
    let (got, buf) = drive(&pool, pool.read(read, [0_u8; 8]));
    assert_eq!(got, Ok(5));
    assert_eq!(&buf[..5], b"hello");
    assert_eq!(pool.in_flight(), 0);
}

#[test]
fn a_read_in_flight_is_dropped_forgotten_and_stopped() {
    let pool = Pin::static_ref(leaked(Box::new(LocalPool::new().expect("pool"))));
    let (read, mut write) = std::io::pipe().expect("pipe");
    let number = read.as_raw_fd();
    let read: &'static OwnedFd = leaked(Box::new(owned(read)));
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut dropped = Box::pin(pool.read(read, [0_u8; 8]));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert_eq!(pool.in_flight(), 1);
    }
    assert_eq!(pool.in_flight(), 0, "dropping waits for the final completion");
    let forgotten = Pin::static_mut(leaked(Box::new(pool.read(read, vec![0_u8; 8]))));
    assert!(forgotten.poll(&mut cx).is_pending());
    let mut stopped = Box::pin(pool.read(read, [0_u8; 8]));
    assert!(stopped.as_mut().poll(&mut cx).is_pending());
    assert_eq!(pool.stop(Deadline::NEVER), Ok(()));
    let (result, _) = drive(&pool, stopped);
    assert_eq!(result, Err(io_core::Errno::CANCELED));
    write.write_all(b"still there").expect("write");
    assert_eq!(pool.start(), Ok(()));
    let (result, buf) = drive(&pool, pool.read(read, [0_u8; 16]));
    assert_eq!((result, &buf[..11]), (Ok(11), &b"still there"[..]), "fd {number}");
}

#[test]
fn workers_join_serve_and_leave() {
    let pool = pin!(<PoolBackend>::new().expect("pool"));
    let pool = pool.as_ref();
    thread::scope(|scope| {
        for _ in 0..2 {
            let worker = Worker::new(pool);
            scope.spawn(move || worker.run());
        }
        while pool.workers() < 2 {
            thread::yield_now();
        }
        let (read, mut write) = std::io::pipe().expect("pipe");
        let read = owned(read);
        scope.spawn(move || write.write_all(b"x").expect("write"));
        let (got, _) = drive(&pool, pool.read(read, [0_u8; 4]));
        assert_eq!(got, Ok(1));
        let file = tempfile_in_memory();
        assert_eq!(pool.submit_fsync_sync(&file), Ok(()));
        pool.release_workers();
    });
    assert_eq!(pool.workers(), 0);
}

fn tempfile_in_memory() -> OwnedFd {
    owned(std::fs::File::open("Cargo.toml").expect("open"))
}

#[test]
fn a_flush_starts_what_nobody_else_would() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn called(_: *mut (), result: i64) {
        assert_eq!(result, 0);
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let pool = pin!(LocalPool::new().expect("pool"));
    let pool = pool.as_ref();
    let mut heard = pin!(pool.fsync(tempfile_in_memory()));
    heard.as_mut().submit_with_callback(called, core::ptr::null_mut()).expect("submit");
    let mut unheard = pin!(pool.fsync(tempfile_in_memory()));
    unheard.as_mut().submit().expect("submit");
    assert_eq!(unheard.phase(), Phase::Queued);
    assert_eq!(pool.flush(), Ok(2));
    assert_eq!(unheard.phase(), Phase::Done, "done without a poll");
    assert_eq!(CALLS.load(Ordering::Relaxed), 0, "a flush runs nobody's code");
    assert_eq!(pool.poll(Some(Duration::ZERO)), Ok(1));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

#[test]
fn callbacks_run_in_poll_and_not_in_submit() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn called(_: *mut (), result: i64) {
        assert_eq!(result, 0);
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let pool = pin!(LocalPool::new().expect("pool"));
    let pool = pool.as_ref();
    let mut nop = pin!(pool.nop());
    nop.as_mut().submit_with_callback(called, core::ptr::null_mut()).expect("submit");
    assert_eq!((CALLS.load(Ordering::Relaxed), pool.in_flight()), (0, 1));
    assert_eq!(pool.poll(Some(Duration::ZERO)), Ok(1));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(nop.phase(), Phase::Done);
    assert_eq!(nop.take(), Some(Ok(())));
}

/// Deadlines that pass, that lose, that are dropped or forgotten in flight, and storage that is used again;
/// with one thread, and with two whose expiries and completions race.
#[test]
fn deadlines_pass_lose_and_go_with_their_operations() {
    fn turns<L: io_core::RawLock>(pool: Pin<&PoolBackend<L>>) {
        let (read, mut write) = std::io::pipe().expect("pipe");
        let read: &'static OwnedFd = leaked(Box::new(owned(read)));
        // Passes; and again in the same storage, where it is over from the start.
        // SAFETY: no pointers, no descriptor.
        let op = unsafe { IoAwaitable::new(pool, Op::Timeout(Timeout)) };
        let mut again = pin!(op.with_timeout(Duration::from_micros(300)));
        again.as_mut().op().submit().expect("submit");
        assert_eq!(again.as_mut().op().wait(), 0);
        // SAFETY: as above.
        unsafe { again.as_mut().op().reset(Op::Timeout(Timeout)) }.expect("it is done");
        assert_eq!(drive(&pool, again), 0);
        // Dropped with the timer armed, in the middle of the heap.
        let sleeps = [50, 10, 30].map(|seconds| {
            let mut sleep = Box::pin(pool.sleep(Duration::from_secs(seconds)));
            sleep.as_mut().op().submit().expect("submit");
            sleep
        });
        let mut timed = pin!(pool.read(read, [0_u8; 1]).with_timeout(Duration::from_micros(200)));
        assert_eq!(drive(&pool, timed.as_mut()).0, Err(io_core::Errno::TIMEDOUT));
        drop(sleeps);
        // A race: either has its own result.
        let raced = pool.read(read, [0_u8; 1]);
        let raced = pin!(raced.with_timeout(Duration::from_micros(100)));
        write.write_all(b"x").expect("write");
        let (result, _) = drive(&pool, raced);
        assert!(matches!(result, Ok(1) | Err(io_core::Errno::TIMEDOUT)), "{result:?}");
    }
    let local = pin!(LocalPool::new().expect("pool"));
    turns(local.as_ref());
    let pool = pin!(<PoolBackend>::new().expect("pool"));
    let pool = pool.as_ref();
    thread::scope(|scope| {
        let worker = Worker::new(pool);
        scope.spawn(move || worker.run());
        let others = [(); 2].map(|()| scope.spawn(move || turns(pool)));
        for other in others {
            other.join().expect("no panic");
        }
        pool.release_workers();
    });
    assert_eq!(pool.in_flight(), 0);
    let pool = Pin::static_ref(leaked(Box::new(LocalPool::new().expect("pool"))));
    for _ in 0..2 {
        let forgotten = Pin::static_mut(leaked(Box::new(pool.sleep(Duration::from_secs(9)))));
        forgotten.op().submit().expect("submit");
    }
    assert_eq!(drive(&pool, pool.sleep(Duration::from_micros(50))), Ok(()));
    assert_eq!(pool.stop(Deadline::NEVER), Ok(()));
}

/// Who polls an operation that a callback waits for may look just before it completes elsewhere: what is
/// in the sink then was never a waker. Miri sees it when it is taken for one.
#[test]
fn a_callback_that_runs_elsewhere_is_not_taken_for_a_waker() {
    fn called(_: *mut (), _: i64) {}
    let pool = pin!(<PoolBackend>::new().expect("pool"));
    let pool = pool.as_ref();
    for _ in 0..if cfg!(miri) { 20 } else { 500 } {
        let mut nop = Box::pin(pool.nop());
        nop.as_mut().submit_with_callback(called, core::ptr::null_mut()).expect("submit");
        thread::scope(|scope| {
            scope.spawn(move || while pool.poll(Some(Duration::ZERO)) != Ok(1) {});
            let mut cx = Context::from_waker(Waker::noop());
            while nop.as_mut().poll(&mut cx).is_pending() {
                thread::yield_now();
            }
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no FIFOs")]
fn a_stuck_worker_is_counted_by_a_stop_with_a_deadline() {
    let dir = std::env::temp_dir().join(format!("io-pool-fifo-{}", std::process::id()));
    let path = std::ffi::CString::new(dir.to_str().expect("utf-8")).expect("no NUL");
    let made = std::process::Command::new("mkfifo").arg(&dir).status().expect("mkfifo");
    assert!(made.success());
    let pool = pin!(<PoolBackend>::new().expect("pool"));
    let pool = pool.as_ref();
    thread::scope(|scope| {
        let worker = Worker::new(pool);
        scope.spawn(move || worker.run());
        let path = io_core::PathBytes::<4096>::new(path.as_bytes()).expect("path");
        let mut open = pin!(pool.open(path, io_core::OpenFlags::RDONLY, 0));
        open.as_mut().submit().expect("submit");
        while pool.counters().in_kernel_now == 0 {
            thread::yield_now();
        }
        assert_eq!(pool.stop(Deadline::NOW), Err(StopError::StillOwned(1)));
        assert_eq!(pool.start(), Err(io_core::Errno::BUSY));
        let writer = std::fs::OpenOptions::new().write(true).open(&dir).expect("writer");
        assert_eq!(pool.stop(Deadline::NEVER), Ok(()));
        assert!(open.take().expect("done").is_ok());
        drop(writer);
        pool.release_workers();
    });
    std::fs::remove_file(dir).expect("remove");
}

/// A pipe as a source: its record is linked, used and unlinked.
#[test]
fn a_source_is_used_and_given_back() {
    let pool = Pin::static_ref(leaked(Box::new(LocalPool::new().expect("a pool"))));
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK).expect("pipe");
    // SAFETY: the number is given up just before.
    let read = unsafe { OwnedFd::from_raw(Fd::new(read.into_raw_fd()), close_fd) };
    let read: &'static OwnedFd = leaked(Box::new(read));
    for _ in 0..2 {
        let source = Box::pin(Registered::new(pool, read));
        source.as_ref().attach();
        for word in [b"one", b"two"] {
            let mut waits = pin!(pool.read(read, [0_u8; 8]));
            waits.as_mut().submit().expect("submit");
            assert_eq!(waits.phase(), Phase::Queued);
            assert_eq!(rustix::io::write(&write, word), Ok(3));
            assert_eq!(drive(&*pool, waits).0, Ok(3));
        }
        let mut ended = pin!(pool.read(read, [0_u8; 8]));
        ended.as_mut().submit().expect("submit");
        drop(source);
        assert_eq!(drive(&*pool, ended).0, Err(Errno::CANCELED));
    }
}
