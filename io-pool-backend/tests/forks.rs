//! Forks that the conformance suite does not make: what lies in memory from before, and forks in the middle
//! of something.
#![cfg(not(miri))]
#![allow(unsafe_code, reason = "forks, and raw operations")]

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicI32, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::{Close, MsgFlags, Timeout};
use io_core::ops::Ops;
use io_core::syscall::{close_fd, deadline_in};
use io_core::{
    CompletionFn, Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, OwnedFd, Registered, StopError,
};
use io_pool_backend::{LocalPool, PoolBackend, Worker};
use leaked::leaked;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

unsafe extern "C" {
    fn fork() -> i32;
    fn alarm(seconds: u32) -> u32;
    fn _exit(code: i32) -> !;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
}

/// Runs `body` in a forked child, which is given some seconds.
fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs `body` and ends.
    let child = unsafe { fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: takes a number.
        unsafe { alarm(10) };
        let end = std::panic::catch_unwind(core::panic::AssertUnwindSafe(body));
        // SAFETY: ends this process.
        unsafe { _exit(i32::from(end.is_err())) }
    }
    assert_eq!(wait_for(child), 0, "the child's status");
}

fn wait_for(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: writes the local.
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    status
}

fn pinned<T>(pool: T) -> Pin<&'static T> {
    Pin::static_ref(leaked(Box::new(pool)))
}

/// What a callback that forks leaves behind.
struct Forker {
    pool: Pin<&'static PoolBackend>,
    renews: bool,
    calls: AtomicI32,
    child: AtomicI32,
    result: Mutex<Option<Result<(), StopError>>>,
}

impl Forker {
    fn new(renews: bool) -> &'static Forker {
        let pool = pinned(PoolBackend::new().expect("a pool"));
        let (calls, child) = (AtomicI32::new(0), AtomicI32::new(-1));
        leaked(Box::new(Forker { pool, renews, calls, child, result: Mutex::new(None) }))
    }

    fn submit(&'static self, function: CompletionFn) {
        let nop = Pin::static_mut(leaked(Box::new(self.pool.nop())));
        nop.submit_with_callback(function, core::ptr::from_ref(self).cast_mut().cast())
            .expect("submit");
    }

    /// In both processes.
    fn of(context: *mut ()) -> &'static Forker {
        // SAFETY: leaked, and only shared.
        unsafe { &*context.cast::<Forker>() }
    }

    fn is_child(&self) -> bool {
        self.child.load(Ordering::SeqCst) == 0
    }

    /// Ends the child, if this is one, and waits for it, if not.
    fn join(&self, child: impl FnOnce()) {
        if self.is_child() {
            let end = std::panic::catch_unwind(core::panic::AssertUnwindSafe(child));
            // SAFETY: ends this process.
            unsafe { _exit(i32::from(end.is_err())) }
        }
        assert_eq!(wait_for(self.child.load(Ordering::SeqCst)), 0, "the child's status");
    }
}

fn forks(context: *mut (), _: i64) {
    let this = Forker::of(context);
    // SAFETY: the child comes to `join` and ends there.
    this.child.store(unsafe { fork() }, Ordering::SeqCst);
    if this.is_child() {
        // SAFETY: takes a number.
        unsafe { alarm(10) };
        if this.renews {
            this.pool.reinit().expect("a new pool");
        }
    }
}

fn counts(context: *mut (), _: i64) {
    Forker::of(context).calls.fetch_add(1, Ordering::SeqCst);
}

fn stops(context: *mut (), _: i64) {
    let this = Forker::of(context);
    *this.result.lock().expect("not poisoned") = Some(this.pool.stop(Deadline::NOW));
}

/// A callback forks, and the child comes back from it into the poll of its parent: which leaves alone what is
/// the parent's.
#[test]
fn a_poll_that_comes_back_in_a_child_touches_nothing() {
    let this = Forker::new(false);
    this.submit(forks);
    this.submit(counts);
    let polled = this.pool.poll(Some(Duration::ZERO));
    let calls = this.calls.load(Ordering::SeqCst);
    this.join(|| assert_eq!((polled, calls), (Err(Errno::OWNERDEAD), 0)));
    assert_eq!((polled, calls), (Ok(2), 1));
}

/// The same when the callback has made the pool new in the child: nobody is in a callback of the new one.
#[test]
fn a_pool_made_new_inside_a_callback_knows_who_is_in_one() {
    let this = Forker::new(true);
    this.submit(forks);
    assert_eq!(this.pool.poll(Some(Duration::ZERO)), Ok(1));
    let stop_inside = || {
        this.submit(stops);
        assert_eq!(this.pool.poll(Some(Duration::ZERO)), Ok(1));
        let result = *this.result.lock().expect("not poisoned");
        assert_eq!(result, Some(Err(StopError::WrongPlace(Errno::DEADLK))));
        assert_eq!(this.pool.stop(Deadline::NEVER), Ok(()));
    };
    this.join(stop_inside);
    stop_inside();
}

/// The same on a lent thread: it goes home in the child, and the new pool does not count it.
#[test]
fn a_worker_that_comes_back_in_a_child_goes_home() {
    for renews in [false, true] {
        let this = Forker::new(renews);
        this.submit(forks);
        let worker = std::thread::spawn(move || {
            Worker::new(this.pool).run();
            if this.is_child() {
                this.join(|| assert_eq!(this.pool.workers(), usize::from(!renews)));
            }
        });
        while this.child.load(Ordering::SeqCst) == -1 {
            std::thread::yield_now();
        }
        this.join(|| {});
        this.pool.release_workers();
        worker.join().expect("it went home");
        assert_eq!(this.pool.workers(), 0);
    }
}

/// Storage that was in flight with a deadline at the fork is used again in the child: its timer is in no heap
/// there, whatever it still says.
#[test]
fn a_deadline_of_before_the_fork_is_forgotten() {
    let pool = pinned(LocalPool::new().expect("a pool"));
    let mut timed = [100, 50, 70].map(|seconds| {
        // SAFETY: no pointers, no descriptor.
        let op = unsafe { IoAwaitable::new(pool, Op::Timeout(Timeout)) };
        let mut timed = Box::pin(op.with_deadline(deadline_in(Duration::from_secs(seconds))));
        timed.as_mut().op().submit().expect("submit");
        timed
    });
    let ops = [
        (Op::Timeout(Timeout), Errno::CANCELED),
        // Never armed.
        (Op::Close(Close { fd: Fd::new(-1) }), Errno::BADF),
    ];
    for (op, errno) in ops {
        in_child(|| {
            pool.reinit().expect("a new pool");
            let mut op_again = timed[0].as_mut().op();
            assert_eq!(op_again.as_mut().wait(), Errno::OWNERDEAD.to_result());
            // SAFETY: as above; -1 is nobody's.
            unsafe { op_again.as_mut().reset(op) }.expect("it is done");
            op_again.as_mut().submit().expect("submit");
            op_again.as_mut().cancel();
            assert_eq!(op_again.wait(), errno.to_result());
        });
    }
    for timed in &mut timed {
        timed.as_mut().op().cancel();
        assert_eq!(timed.as_mut().op().wait(), Errno::CANCELED.to_result());
    }
}

/// Sends a byte, and drives the pool until this receive has it.
fn serve(
    pool: Pin<&LocalPool>,
    mut recv: Pin<&mut impl Future<Output = (Result<usize, Errno>, [u8; 1])>>,
    far: &mut &UnixStream,
) {
    far.write_all(b"x").expect("write");
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready((got, byte)) = recv.as_mut().poll(&mut cx) {
            return assert_eq!((got, byte), (Ok(1), *b"x"));
        }
        pool.poll(None).expect("poll");
    }
}

/// A source of the parent's, with operations in its line, is nothing to the pool that is made new in the
/// child; its descriptor can be a source there too, and the parent's waits on.
#[test]
fn a_source_of_before_the_fork_is_the_parents() {
    let pool = pinned(LocalPool::new().expect("a pool"));
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    // SAFETY: `into_raw_fd` gives the ownership up.
    let near = unsafe { OwnedFd::from_raw(Fd::new(near.into_raw_fd()), close_fd) };
    let near: &'static OwnedFd = leaked(Box::new(near));
    let source = Box::pin(Registered::new(pool, near));
    source.as_ref().attach();
    let recv = || Box::pin(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
    let mut line = [recv(), recv()];
    line.iter_mut().for_each(|recv| recv.as_mut().submit().expect("submit"));
    in_child(|| {
        pool.reinit().expect("made new");
        assert_eq!(pool.in_flight(), 0);
        let mine = Box::pin(Registered::new(pool, near));
        mine.as_ref().attach();
        let mut recv = recv();
        recv.as_mut().submit().expect("submit");
        serve(pool, recv.as_mut(), &mut &far);
    });
    line.iter_mut().for_each(|recv| serve(pool, recv.as_mut(), &mut &far));
    drop(source);
}
