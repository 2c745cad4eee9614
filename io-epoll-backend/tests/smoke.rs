//! The backend by itself: what the conformance suite cannot see from outside, and what Miri can run.
#![allow(unsafe_code, reason = "takes descriptors over")]

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Deadline, Errno, Fd, IoBackend, OwnedFd, Phase, Registered};
use io_epoll_backend::{EpollBackend, LocalEpoll, SpinLock};
use io_pool_backend::{PoolBackend, Worker};
use leaked::leaked;
#[allow(unused_imports, reason = "is std's own if somebody switches rustix's `std` on")]
use rustix::fd::IntoRawFd as _;
use rustix::pipe::PipeFlags;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::thread;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

fn owned(fd: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives the ownership up.
    unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }
}

fn pinned<B>(backend: B) -> Pin<&'static B> {
    Pin::static_ref(leaked(Box::new(backend)))
}

fn drive<B: IoBackend, F: Future>(backend: &B, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        backend.poll(None).expect("poll");
    }
}

#[test]
fn a_local_backend_reads_what_was_written() {
    let backend = pin!(LocalEpoll::new().expect("a backend"));
    let backend = backend.as_ref();
    let (read, write) = std::io::pipe().expect("pipe");
    let (sent, _) = drive(&*backend, backend.write(owned(write), *b"hello"));
    assert_eq!(sent, Ok(5));
    let (got, buf) = drive(&*backend, backend.read(owned(read), [0_u8; 8]));
    assert_eq!((got, &buf[..5]), (Ok(5), &b"hello"[..]));
    assert_eq!((backend.in_flight(), backend.name()), (0, "epoll"));
}

/// Reads on one bare number are served in the order of submission, also beside one that is cancelled.
#[test]
fn reads_on_a_bare_number_take_turns() {
    let backend = pinned(LocalEpoll::new().expect("a backend"));
    let (read, mut write) = std::io::pipe().expect("pipe");
    let read: &'static OwnedFd = leaked(Box::new(owned(read)));
    let mut reads: Vec<_> = (0..5).map(|_| Box::pin(backend.read(read, [0_u8; 2]))).collect();
    for one in &mut reads {
        one.as_mut().submit().expect("submit");
    }
    write.write_all(b"aabb").expect("write");
    while reads[1].phase() != Phase::Done {
        backend.poll(None).expect("poll");
    }
    reads[2].as_mut().cancel();
    write.write_all(b"cc").expect("write");
    // Submitted with data there: it does not overtake.
    let mut late = pin!(backend.read(read, [0_u8; 2]));
    late.as_mut().submit().expect("submit");
    write.write_all(b"ddee").expect("write");
    let words: Vec<_> = reads
        .into_iter()
        .map(|one| match drive(&*backend, one) {
            (Ok(2), word) => String::from_utf8_lossy(&word).into_owned(),
            (Err(Errno::CANCELED), _) => "-".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(words, ["aa", "bb", "-", "cc", "dd"]);
    assert_eq!(drive(&*backend, late), (Ok(2), *b"ee"));
}

#[test]
fn a_read_in_flight_is_dropped_forgotten_and_stopped() {
    let backend = pinned(LocalEpoll::new().expect("a backend"));
    let (read, mut write) = std::io::pipe().expect("pipe");
    let read: &'static OwnedFd = leaked(Box::new(owned(read)));
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut dropped = Box::pin(backend.read(read, [0_u8; 8]));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert_eq!(backend.in_flight(), 1);
    }
    assert_eq!(backend.in_flight(), 0, "dropping waits for the final completion");
    let forgotten = Pin::static_mut(leaked(Box::new(backend.read(read, vec![0_u8; 8]))));
    assert!(forgotten.poll(&mut cx).is_pending());
    let mut stopped = Box::pin(backend.read(read, [0_u8; 8]));
    assert!(stopped.as_mut().poll(&mut cx).is_pending());
    assert_eq!(backend.stop(Deadline::NEVER), Ok(()));
    assert_eq!(drive(&*backend, stopped).0, Err(Errno::CANCELED));
    write.write_all(b"still there").expect("write");
    assert_eq!(backend.start(), Ok(()));
    let (result, buf) = drive(&*backend, backend.read(read, [0_u8; 16]));
    assert_eq!((result, &buf[..11]), (Ok(11), &b"still there"[..]));
}

#[test]
fn what_has_no_readiness_is_performed_by_the_offload() {
    let pool: &'static PoolBackend = leaked(Box::new(PoolBackend::new().expect("a pool")));
    let backend = pinned(EpollBackend::<SpinLock, _>::with_offload(pool).expect("a backend"));
    assert_eq!(backend.name(), "epoll+threadpool");
    thread::scope(|scope| {
        for _ in 0..2 {
            let worker = Worker::new(pool);
            scope.spawn(move || worker.run());
        }
        while pool.workers() < 2 {
            thread::yield_now();
        }
        for _ in 0..10 {
            let file = || owned(std::fs::File::open("Cargo.toml").expect("open"));
            assert_eq!(drive(&*backend, backend.fsync(file())), Ok(()));
            assert_eq!(backend.submit_fsync_sync(&file()), Ok(()));
            let mut dropped = Box::pin(backend.fsync(file()));
            dropped.as_mut().submit().expect("submit");
        }
        assert!(backend.counters().way(io_core::Way::Offload) >= 20);
        assert_eq!(backend.stop(Deadline::NEVER), Ok(()));
        pool.release_workers();
    });
}

/// With a pool that nobody has lent a thread, the caller of poll does the work.
#[test]
fn an_offload_without_workers_is_not_waited_for() {
    let pool: &'static PoolBackend = leaked(Box::new(PoolBackend::new().expect("a pool")));
    let backend = pinned(EpollBackend::<SpinLock, _>::with_offload(pool).expect("a backend"));
    let file = owned(std::fs::File::open("Cargo.toml").expect("open"));
    assert_eq!(drive(&*backend, backend.fsync(file)), Ok(()));
}

#[test]
fn deadlines_pass_while_operations_wait() {
    let backend = pinned(LocalEpoll::new().expect("a backend"));
    let (read, _write) = std::io::pipe().expect("pipe");
    let read = backend.read(owned(read), [0_u8; 8]).with_timeout(Duration::from_millis(5));
    assert_eq!(drive(&*backend, read).0, Err(Errno::TIMEDOUT));
    assert_eq!(drive(&*backend, backend.sleep(Duration::from_millis(1))), Ok(()));
}

#[test]
fn callbacks_run_in_poll_and_not_in_submit() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn called(_: *mut (), result: i64) {
        assert_eq!(result, 0);
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let backend = pin!(LocalEpoll::new().expect("a backend"));
    let backend = backend.as_ref();
    let mut nop = pin!(backend.nop());
    nop.as_mut().submit_with_callback(called, core::ptr::null_mut()).expect("submit");
    assert_eq!((CALLS.load(Ordering::Relaxed), backend.in_flight()), (0, 1));
    assert_eq!(backend.flush(), Ok(0));
    assert_eq!(CALLS.load(Ordering::Relaxed), 0, "a flush runs nobody's code");
    assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(1));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

/// A pipe as a source: its record is linked, used and unlinked.
#[test]
fn a_source_is_used_and_given_back() {
    let backend = pinned(LocalEpoll::new().expect("a backend"));
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK).expect("pipe");
    // SAFETY: the number is given up just before.
    let read = unsafe { OwnedFd::from_raw(Fd::new(read.into_raw_fd()), close_fd) };
    let read: &'static OwnedFd = leaked(Box::new(read));
    for _ in 0..2 {
        let source = Box::pin(Registered::new(backend, read));
        source.as_ref().attach();
        for word in [b"one", b"two"] {
            let mut waits = pin!(backend.read(read, [0_u8; 8]));
            waits.as_mut().submit().expect("submit");
            assert_eq!(waits.phase(), Phase::Queued);
            assert_eq!(rustix::io::write(&write, word), Ok(3));
            assert_eq!(drive(&*backend, waits).0, Ok(3));
        }
        let mut ended = pin!(backend.read(read, [0_u8; 8]));
        ended.as_mut().submit().expect("submit");
        drop(source);
        assert_eq!(drive(&*backend, ended).0, Err(Errno::CANCELED));
    }
}
