//! A forked child: it does not touch the parent's ring, and can have its own.
//!
//! No test harness: a child that is forked while other tests run on other threads finds their locks held.
#![allow(unsafe_code, reason = "forks")]
#![allow(clippy::unwrap_used, clippy::std_instead_of_core, reason = "tests")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "tests"
)]

use io_core::op::{Cancel, Nop, Read, Scope, Timeout};
use io_core::{Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, Phase, StopError};
use io_uring_backend::{Config, Local, Mode, Shared, UringBackend};
use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const OWNERDEAD: i64 = Errno::OWNERDEAD.to_result();

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
    fn alarm(seconds: u32) -> u32;
}

/// Counts what is allocated while it is told to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATED.fetch_add(1, Ordering::Relaxed);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ends the child with the number of the line that is not true.
macro_rules! check {
    ($true:expr) => {
        if !$true {
            unsafe { _exit((line!() % 251 + 1).cast_signed()) };
        }
    };
}

/// Runs `act` in a child, which must end by itself.
fn in_child(act: impl FnOnce()) {
    // SAFETY: no other thread of this process holds a lock.
    let pid = unsafe { fork() };
    assert!(pid >= 0);
    if pid == 0 {
        unsafe { alarm(20) };
        act();
        unsafe { _exit(0) };
    }
    let mut status = 0;
    assert_eq!(unsafe { waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "exit status in the second byte is a line's number modulo 251, plus 1");
}

fn awaitable<B: IoBackend>(backend: &B, op: Op) -> IoAwaitable<Pin<&B>> {
    // SAFETY: the memory and descriptors outlive the operations, and the backend stays in place.
    unsafe { IoAwaitable::new(Pin::new_unchecked(backend), op) }
}

fn read(file: &impl AsRawFd, buf: &mut [u8]) -> Op {
    Op::Read(Read { fd: Fd::new(file.as_raw_fd()), buf: buf.as_mut_ptr(), len: buf.len() })
}

static CALLED: AtomicUsize = AtomicUsize::new(0);

fn call(_: *mut (), _: i64) {
    CALLED.fetch_add(1, Ordering::SeqCst);
}

/// What a child may ask of a backend that is the parent's.
fn check_parents<M: Mode>(backend: &UringBackend<M>) {
    check!(backend.generation() == 0);
    check!(backend.poll(None) == Err(Errno::OWNERDEAD));
    check!(backend.flush() == Err(Errno::OWNERDEAD));
    check!(backend.start() == Err(Errno::OWNERDEAD));
    let wrong = Err(StopError::WrongPlace(Errno::OWNERDEAD));
    check!(backend.stop(Deadline::NEVER) == wrong);
    check!(backend.dump(&mut []) == 0);
    backend.wake_handle().wake();
    let _: (usize, io_core::Counters) = (backend.in_flight(), backend.counters());
    let mut op = pin!(awaitable(backend, Op::Nop(Nop)));
    check!(op.as_mut().submit() == Err(Errno::OWNERDEAD));
    check!(op.as_mut().result() == Some(OWNERDEAD));
}

/// A backend that is this process's does I/O.
fn check_works<M: Mode>(backend: &UringBackend<M>) {
    check!(backend.start().is_ok());
    check!(pin!(awaitable(backend, Op::Nop(Nop))).as_mut().wait() == 0);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut byte = [0];
    let mut op = pin!(awaitable(backend, read(&reader, &mut byte)));
    let mut cx = Context::from_waker(Waker::noop());
    check!(op.as_mut().poll(&mut cx).is_pending());
    check!(writer.write_all(b"x").is_ok());
    check!(backend.poll(None) == Ok(1));
    check!(op.as_mut().poll(&mut cx) == Poll::Ready(1));
    let sleep = awaitable(backend, Op::Timeout(Timeout)).with_timeout(Duration::from_millis(2));
    check!(pin!(sleep).op().wait() == 0);
    let mut waits = pin!(awaitable(backend, read(&reader, &mut byte)));
    check!(waits.as_mut().submit().is_ok());
    let cancel = Op::Cancel(Cancel { scope: Scope::All });
    check!(pin!(awaitable(backend, cancel)).as_mut().wait() == 1);
    check!(waits.as_mut().wait() == Errno::CANCELED.to_result());
    check!(backend.in_flight() == 0);
    check!(backend.stop(Deadline::NEVER).is_ok());
    check!(backend.start().is_ok());
}

/// The child tries everything; the parent notices nothing.
fn child_and_parent<M: Mode>(backend: UringBackend<M>) {
    backend.start().unwrap();
    let pipes: Vec<_> = (0..40).map(|_| std::io::pipe().unwrap()).collect();
    let mut bufs = vec![[0_u8; 4]; pipes.len()];
    let mut ops: Vec<_> = pipes
        .iter()
        .zip(&mut bufs)
        .map(|((reader, _), buf)| Some(Box::pin(awaitable(&backend, read(reader, buf)))))
        .collect();
    for (n, op) in ops.iter_mut().flatten().enumerate() {
        if n % 2 == 0 {
            op.as_mut().submit().unwrap();
        } else {
            op.as_mut().submit_with_callback(call, std::ptr::null_mut()).unwrap();
        }
    }
    let sleep = awaitable(&backend, Op::Timeout(Timeout)).with_timeout(Duration::from_secs(3600));
    let mut sleep = Box::pin(sleep);
    sleep.as_mut().op().submit().unwrap();
    // Some are with the kernel, some are not sent yet.
    backend.poll(Some(Duration::ZERO)).unwrap();
    let mut unsent = Box::pin(awaitable(&backend, Op::Nop(Nop)));
    unsent.as_mut().submit().unwrap();
    let called = CALLED.load(Ordering::SeqCst);
    in_child(|| {
        check_parents(&backend);
        let mut cx = Context::from_waker(Waker::noop());
        for (n, op) in ops.iter_mut().enumerate().take(30) {
            let Some(held) = op else { continue };
            match n % 4 {
                0 => check!(held.as_mut().poll(&mut cx) == Poll::Ready(OWNERDEAD)),
                1 => held.as_mut().cancel(),
                2 => check!(held.as_mut().wait() == OWNERDEAD),
                _ => *op = None,
            }
        }
        COUNTS.store(true, Ordering::SeqCst);
        check!(backend.reinit() == Ok(()));
        COUNTS.store(false, Ordering::SeqCst);
        check!(ALLOCATED.load(Ordering::SeqCst) == 0);
        check!(backend.reinit() == Err(Errno::ALREADY));
        check!(backend.in_flight() == 0);
        check_works(&backend);
        // Those of before the fork that were not touched yet.
        sleep.as_mut().op().cancel();
        check!(sleep.as_mut().op().wait() == OWNERDEAD);
        ops.clear();
        check!(unsent.as_mut().wait() == OWNERDEAD);
        // A fork of the fork.
        in_child(|| {
            check_parents(&backend);
            check!(backend.reinit() == Ok(()));
            check_works(&backend);
        });
        check_works_on(&backend);
        check!(CALLED.load(Ordering::SeqCst) == called);
    });
    assert_eq!(backend.reinit(), Err(Errno::ALREADY));
    assert!(ops.iter().flatten().all(|op| op.phase() == Phase::InFlight));
    for (n, (_, writer)) in pipes.iter().enumerate() {
        (&mut &*writer).write_all(&[u8::try_from(n).unwrap(); 4]).unwrap();
    }
    while backend.in_flight() > 1 {
        backend.poll(None).unwrap();
    }
    for op in ops.iter_mut().flatten() {
        assert_eq!(op.as_mut().result(), Some(4));
    }
    drop(ops);
    assert!(bufs.iter().enumerate().all(|(n, buf)| *buf == [u8::try_from(n).unwrap(); 4]));
    assert_eq!(CALLED.load(Ordering::SeqCst), called + pipes.len() / 2);
    assert_eq!(unsent.as_mut().result(), Some(0));
    backend.stop(Deadline::NEVER).unwrap();
    assert_eq!(sleep.as_mut().op().result(), Some(Errno::CANCELED.to_result()));
}

fn check_works_on<M: Mode>(backend: &UringBackend<M>) {
    check!(pin!(awaitable(backend, Op::Nop(Nop))).as_mut().wait() == 0);
}

/// A child that drops a backend of its parent's, without making it new, and with operations in it.
fn child_drops() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let backend = Box::new(UringBackend::<Shared>::new(&Config::new()).unwrap());
    let mut byte = [0];
    // SAFETY: freed after the operation, here and in the child.
    let backend: &'static UringBackend<Shared> = unsafe { &*Box::into_raw(backend) };
    let mut op = Box::pin(awaitable(backend, read(&reader, &mut byte)));
    backend.start().unwrap();
    op.as_mut().submit().unwrap();
    backend.poll(Some(Duration::ZERO)).unwrap();
    let free = || {
        // SAFETY: made by `Box::into_raw`, and its handles are not used again.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(backend).cast_mut()) });
    };
    for forgets in [false, true] {
        in_child(|| {
            let op = std::mem::replace(
                &mut op,
                Box::pin(IoAwaitable::ready(Pin::static_ref(backend), 0)),
            );
            if forgets {
                std::mem::forget(op)
            } else {
                drop(op)
            }
            free();
        });
    }
    writer.write_all(b"x").unwrap();
    assert_eq!(op.as_mut().wait(), 1);
    drop(op);
    free();
}

/// A callback that forks, and returns in the child too: the parent's other callbacks do not run there.
fn fork_in_a_callback() {
    fn forks(pid: *mut (), _: i64) {
        // SAFETY: no other thread; and the test's own cell.
        unsafe { *pid.cast::<i32>() = fork() };
    }
    let backend = UringBackend::<Local>::new(&Config::new()).unwrap();
    let (mut first, mut second) =
        (pin!(awaitable(&backend, Op::Nop(Nop))), pin!(awaitable(&backend, Op::Nop(Nop))));
    let mut pid = -1;
    first.as_mut().submit_with_callback(forks, (&raw mut pid).cast()).unwrap();
    second.as_mut().submit_with_callback(call, std::ptr::null_mut()).unwrap();
    let called = CALLED.load(Ordering::SeqCst);
    let polled = backend.poll(None);
    // SAFETY: as written by the callback.
    if unsafe { (&raw const pid).read_volatile() } == 0 {
        unsafe { alarm(20) };
        check!(CALLED.load(Ordering::SeqCst) == called);
        check_parents(&backend);
        check!(second.as_mut().wait() == OWNERDEAD);
        check!(backend.reinit() == Ok(()));
        check_works(&backend);
        check!(CALLED.load(Ordering::SeqCst) == called);
        unsafe { _exit(0) };
    }
    assert_eq!((polled, CALLED.load(Ordering::SeqCst)), (Ok(2), called + 1));
    let mut status = 0;
    assert_eq!(unsafe { waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}

/// Forks while another thread drives the backend and a third one submits.
fn storm() {
    let backend = UringBackend::<Shared>::new(&Config::new().entries(8)).unwrap();
    let (stop, forks) = (AtomicBool::new(false), 60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            backend.start().unwrap();
            while !stop.load(Ordering::SeqCst) {
                backend.poll(Some(Duration::from_millis(1))).unwrap();
            }
            backend.stop(Deadline::NEVER).unwrap();
        });
        let submitter = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) {
                let result = pin!(awaitable(&backend, Op::Nop(Nop))).as_mut().wait();
                // The last one may meet the stop.
                let stopped = stop.load(Ordering::SeqCst) && result == Errno::CANCELED.to_result();
                assert!(result == 0 || stopped, "{result}");
                rounds += 1;
            }
            rounds
        });
        for _ in 0..forks {
            in_child(|| {
                check_parents(&backend);
                check!(backend.reinit() == Ok(()));
                check!(backend.start().is_ok());
                check_works_on(&backend);
            });
        }
        stop.store(true, Ordering::SeqCst);
        assert!(submitter.join().unwrap() > 0);
    });
}

fn main() {
    // By hand: the test harness runs tests on threads of its own.
    for (name, test) in [
        (
            "local",
            (|| child_and_parent(UringBackend::<Local>::new(&Config::new().entries(8)).unwrap()))
                as fn(),
        ),
        ("shared", || child_and_parent(UringBackend::<Shared>::new(&Config::new()).unwrap())),
        ("old kernel", || {
            let config = Config::new().setup_from(3).no_ext_arg();
            child_and_parent(UringBackend::<Local>::new(&config).unwrap());
        }),
        ("drops", child_drops),
        ("in a callback", fork_in_a_callback),
        ("storm", storm),
    ] {
        test();
        println!("fork: {name}: ok");
    }
}
