//! The backend's own behaviour, by itself; what every backend owes is tested by the conformance suite.
#![allow(unsafe_code, reason = "describes raw memory to the backend")]
#![allow(clippy::unwrap_used, clippy::std_instead_of_core, reason = "tests")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "tests"
)]

use io_core::op::{Close, Nop, Pread, Pwrite, Read, Write};
use io_core::{
    Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, OpKind, OpSet, Phase, Seekable, StopError, Way,
};
use io_uring_backend::{Cause, Config, Local, Mode, Shared, UringBackend};
use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Local_ = UringBackend<Local>;
type Shared_ = UringBackend<Shared>;

fn local(config: &Config) -> Local_ {
    UringBackend::<Local>::new(config).unwrap()
}

fn shared(config: &Config) -> Shared_ {
    UringBackend::<Shared>::new(config).unwrap()
}

/// Every set of setup flags, and the wait of old kernels.
fn configs() -> impl Iterator<Item = Config> {
    let levels = (0..4).map(|level| Config::new().entries(8).setup_from(level));
    levels.chain([Config::new().entries(8).no_ext_arg()])
}

fn fd(file: &impl AsRawFd) -> Fd {
    Fd::new(file.as_raw_fd())
}

fn awaitable<B: IoBackend>(backend: &B, op: Op) -> IoAwaitable<Pin<&B>> {
    // SAFETY: each test keeps the memory and descriptors of its ops, and the backend stays in place.
    unsafe { IoAwaitable::new(Pin::new_unchecked(backend), op) }
}

fn read_op(file: &impl AsRawFd, buf: &mut [u8]) -> Op {
    Op::Read(Read { fd: fd(file), buf: buf.as_mut_ptr(), len: buf.len() })
}

fn run<B: IoBackend>(backend: &B, op: Op) -> i64 {
    let mut future = pin!(awaitable(backend, op));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return result;
        }
        backend.poll(None).unwrap();
    }
}

struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_nop_and_an_idle_poll() {
    for config in configs() {
        let backend = local(&config);
        assert_eq!(run(&backend, Op::Nop(Nop)), 0);
        let before = backend.counters();
        assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(0));
        assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(0));
        let after = backend.counters();
        assert_eq!(before.syscalls, after.syscalls, "an idle poll makes no system call");
        assert_eq!((after.submitted, after.delivered, backend.in_flight()), (1, 1, 0));
        assert_eq!(after.way(Way::Ring), 1);
    }
}

#[test]
fn a_file_is_written_and_read() {
    let backend = local(&Config::new());
    let file = tempfile();
    let data = b"seven words of text in a file";
    let write = Pwrite {
        fd: fd(&file),
        seekable: Seekable::Unknown,
        buf: data.as_ptr(),
        len: data.len(),
        offset: 3,
    };
    assert_eq!(run(&backend, Op::Pwrite(write)), data.len() as i64);
    let mut buf = [0_u8; 64];
    let read = Pread {
        fd: fd(&file),
        seekable: Seekable::Unknown,
        buf: buf.as_mut_ptr(),
        len: buf.len(),
        offset: 3,
    };
    assert_eq!(run(&backend, Op::Pread(read)), data.len() as i64);
    assert_eq!(&buf[..data.len()], data);
    let negative = Op::Pread(Pread { offset: -1, ..read });
    assert_eq!(run(&backend, negative), Errno::INVAL.to_result());
    let (pipe, _writer) = std::io::pipe().unwrap();
    let on_pipe = Op::Pread(Pread { fd: fd(&pipe), ..read });
    assert_eq!(run(&backend, on_pipe), Errno::SPIPE.to_result());
    let closed = Op::Pread(Pread { fd: Fd::new(-1), ..read });
    assert_eq!(run(&backend, closed), Errno::BADF.to_result());
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!(
        "uring-smoke-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[test]
fn a_pipe_read_is_cancelled_and_dropped_in_flight() {
    for config in configs() {
        let backend = local(&config);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buf = [0_u8; 16];
        {
            let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(read.as_mut().poll(&mut cx).is_pending());
            assert_eq!(backend.poll(Some(Duration::from_millis(1))), Ok(0));
            read.as_mut().cancel();
            while read.as_mut().poll(&mut cx).is_pending() {
                backend.poll(None).unwrap();
            }
            assert_eq!(read.as_mut().poll(&mut cx), Poll::Ready(Errno::CANCELED.to_result()));
        }
        {
            let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
            assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            backend.flush().unwrap();
        }
        {
            // Never handed to the kernel before the drop.
            let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
            assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(backend.in_flight(), 0);
        writer.write_all(b"late").unwrap();
        assert_eq!(buf, [0; 16]);
        let mut got = [0_u8; 4];
        assert_eq!(
            run(&backend, read_op(&reader, &mut got)),
            4,
            "the cancelled reads took nothing"
        );
    }
}

#[test]
fn ten_thousand_nops_on_eight_entries() {
    for config in configs() {
        let backend = local(&config);
        let mut nops: Vec<_> =
            (0..10_000).map(|_| Box::pin(awaitable(&backend, Op::Nop(Nop)))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for nop in &mut nops {
            assert!(nop.as_mut().poll(&mut cx).is_pending());
        }
        let mut delivered = 0;
        while delivered < nops.len() {
            delivered += backend.poll(None).unwrap();
        }
        assert_eq!(delivered, nops.len());
        assert!(nops.iter_mut().all(|nop| nop.as_mut().poll(&mut cx) == Poll::Ready(0)));
        let counters = backend.counters();
        assert!(counters.overflow_high_water >= 9_900, "{counters:?}");
        assert_eq!((counters.queued_now, counters.in_kernel_now), (0, 0));
    }
}

#[test]
fn stop_with_a_read_in_flight() {
    for config in configs() {
        let backend = local(&config);
        assert_eq!(backend.stop(Deadline::NOW), Ok(()));
        assert_eq!(backend.start(), Ok(()));
        assert_eq!(backend.start(), Err(Errno::ALREADY));
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buf = [0_u8; 4];
        let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(read.as_mut().poll(&mut cx).is_pending());
        backend.flush().unwrap();
        assert_eq!(backend.stop(Deadline::NEVER), Ok(()));
        assert_eq!(backend.stop(Deadline::NEVER), Ok(()), "twice is once");
        assert_eq!(flag.0.load(Ordering::SeqCst), 0, "a stop delivers nothing");
        assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(1));
        assert_eq!(flag.0.load(Ordering::SeqCst), 1);
        assert_eq!(read.as_mut().poll(&mut cx), Poll::Ready(Errno::CANCELED.to_result()));
        assert_eq!(run(&backend, Op::Nop(Nop)), Errno::CANCELED.to_result());
        let extra = reader.try_clone().unwrap();
        let close = Op::Close(Close { fd: Fd::new(std::os::fd::IntoRawFd::into_raw_fd(extra)) });
        assert_eq!(run(&backend, close), 0, "a close is never refused");
        writer.write_all(b"late").unwrap();
        assert_eq!(backend.start(), Ok(()));
        let mut got = [0_u8; 4];
        assert_eq!(run(&backend, read_op(&reader, &mut got)), 4);
    }
}

#[test]
fn a_drop_of_the_backend_drains() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut buf = [0_u8; 4];
    let backend = Box::leak(Box::new(local(&Config::new())));
    let pointer: *mut Local_ = backend;
    // SAFETY: leaked; taken back below, when the read is done by the drop.
    let mut read = Box::pin(awaitable(unsafe { &*pointer }, read_op(&reader, &mut buf)));
    read.as_mut().submit().unwrap();
    // SAFETY: from `Box::leak`; nobody uses the backend any more.
    drop(unsafe { Box::from_raw(pointer) });
    assert_eq!(read.phase(), Phase::Done);
    assert_eq!(read.as_mut().result(), Some(Errno::CANCELED.to_result()));
}

thread_local! {
    static ROUNDS: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn a_callback_submits_again() {
    const LIMIT: usize = 1000;
    fn again(context: *mut (), result: i64) {
        assert_eq!(result, 0);
        ROUNDS.set(ROUNDS.get() + 1);
        if ROUNDS.get() < LIMIT {
            let nop: *mut IoAwaitable<Pin<&'static Local_>> = context.cast();
            // SAFETY: the test keeps it pinned, and it is done.
            let mut nop = unsafe { Pin::new_unchecked(&mut *nop) };
            // SAFETY: a nop asks for nothing.
            unsafe { nop.as_mut().reset(Op::Nop(Nop)) }.unwrap();
            nop.submit_with_callback(again, context).unwrap();
        }
    }
    let backend_ptr: *mut Local_ = Box::leak(Box::new(local(&Config::new().entries(1))));
    // SAFETY: leaked, and freed at the end.
    let backend: &'static Local_ = unsafe { &*backend_ptr };
    let nop = Box::leak(Box::new(awaitable(backend, Op::Nop(Nop))));
    let context: *mut IoAwaitable<Pin<&'static Local_>> = nop;
    // SAFETY: leaked, so it stays.
    let nop = unsafe { Pin::new_unchecked(&mut *context) };
    nop.submit_with_callback(again, context.cast()).unwrap();
    let mut polls = 0;
    while ROUNDS.get() < LIMIT {
        // A signal may end a poll early, with nothing.
        polls += backend.poll(None).unwrap();
    }
    assert_eq!(polls, LIMIT, "a callback that submits does not keep poll");
    assert_eq!(backend.in_flight(), 0);
    // SAFETY: leaked above, done, and not used again; the backend after what refers to it.
    drop(unsafe { Box::from_raw(context) });
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(backend_ptr) });
}

#[test]
fn a_callback_of_a_refused_op_runs_in_poll() {
    fn count(context: *mut (), result: i64) {
        assert_eq!(result, Errno::CANCELED.to_result());
        // SAFETY: the test's counter.
        unsafe { *context.cast::<usize>() += 1 };
    }
    let backend = local(&Config::new());
    backend.stop(Deadline::NEVER).unwrap();
    let mut called = 0_usize;
    let mut nop = pin!(awaitable(&backend, Op::Nop(Nop)));
    let context: *mut usize = &raw mut called;
    nop.as_mut().submit_with_callback(count, context.cast()).unwrap();
    assert_eq!(unsafe { context.read() }, 0);
    assert_eq!(backend.poll(None), Ok(1));
    assert_eq!(unsafe { context.read() }, 1);
}

#[test]
fn stop_inside_a_callback_is_refused() {
    fn stop(context: *mut (), _: i64) {
        // SAFETY: the test's backend.
        let backend = unsafe { &*context.cast::<Local_>() };
        assert_eq!(backend.stop(Deadline::NEVER), Err(StopError::WrongPlace(Errno::DEADLK)));
    }
    let backend = local(&Config::new());
    let mut nop = pin!(awaitable(&backend, Op::Nop(Nop)));
    let context = std::ptr::from_ref(&backend).cast_mut().cast();
    nop.as_mut().submit_with_callback(stop, context).unwrap();
    assert_eq!(backend.poll(None), Ok(1));
}

#[test]
fn other_threads_submit_while_the_owner_is_parked() {
    for config in configs() {
        let backend = shared(&config);
        backend.start().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let (reader, mut writer) = std::io::pipe().unwrap();
                        for round in 0..200 {
                            let mut buf = [0_u8; 4];
                            let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
                            read.as_mut().submit().unwrap();
                            if round % 3 == 0 {
                                read.as_mut().cancel();
                                let result = read.as_mut().wait();
                                assert_eq!(result, Errno::CANCELED.to_result());
                            } else if round % 3 == 1 {
                                writer.write_all(b"four").unwrap();
                                assert_eq!(read.as_mut().wait(), 4);
                            }
                        }
                    })
                })
                .collect();
            let (backend, stop) = (&backend, &stop);
            let wake = backend.wake_handle();
            scope.spawn(move || {
                let ok = threads.into_iter().all(|thread| thread.join().is_ok());
                stop.store(true, Ordering::SeqCst);
                wake.wake();
                assert!(ok);
            });
            while !stop.load(Ordering::SeqCst) {
                backend.poll(None).unwrap();
            }
        });
        assert_eq!(backend.in_flight(), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(backend.poll(None), Err(Errno::EXIST));
                // The owner is not polling.
                assert_eq!(backend.stop(Deadline::NOW), Err(StopError::StillOwned(0)));
            });
        });
    }
}

#[test]
fn the_backend_is_dropped_on_another_thread() {
    let backend = shared(&Config::new());
    backend.start().unwrap();
    assert_eq!(run(&backend, Op::Nop(Nop)), 0);
    std::thread::spawn(move || drop(backend)).join().unwrap();
}

#[test]
fn a_masked_opcode_goes_elsewhere() {
    for config in configs() {
        let mask = (OpSet::of(OpKind::Read) | OpSet::of(OpKind::Nop)).complement();
        let backend = local(&config.mask(mask));
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buf = [0_u8; 4];
        let route = backend.route(&read_op(&reader, &mut buf));
        assert_eq!((route.way, route.why), (Way::Readiness, "opcode masked by configuration"));
        assert_eq!(run(&backend, Op::Nop(Nop)), 0);
        let op = read_op(&reader, &mut buf);
        let mut read = pin!(awaitable(&backend, op));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read.as_mut().poll(&mut cx).is_pending());
        assert_eq!(backend.poll(Some(Duration::from_millis(1))), Ok(0), "does not block poll");
        writer.write_all(b"four").unwrap();
        while read.as_mut().poll(&mut cx).is_pending() {
            backend.poll(None).unwrap();
        }
        assert_eq!(read.as_mut().result(), Some(4));
        let counters = backend.counters();
        assert_eq!(counters.way(Way::Ring), 0);
        assert_eq!((counters.way(Way::Readiness), counters.way(Way::Inline)), (1, 1));
        let file = tempfile();
        assert_eq!(run(&backend, read_op(&file, &mut buf)), 0, "a file is read inside poll");
        // And cancelled while it waits.
        let mut read = pin!(awaitable(&backend, op));
        read.as_mut().submit().unwrap();
        backend.poll(Some(Duration::ZERO)).unwrap();
        read.as_mut().cancel();
        assert_eq!(read.as_mut().wait(), Errno::CANCELED.to_result());
    }
}

#[test]
fn a_non_blocking_pipe_is_waited_for() {
    for config in configs() {
        let backend = local(&config);
        let (reader, mut writer) = std::io::pipe().unwrap();
        set_nonblocking(&reader);
        let mut buf = [0_u8; 4];
        let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read.as_mut().poll(&mut cx).is_pending());
        assert_eq!(backend.poll(Some(Duration::from_millis(1))), Ok(0));
        assert_eq!(backend.poll(Some(Duration::from_millis(1))), Ok(0));
        writer.write_all(b"four").unwrap();
        while read.as_mut().poll(&mut cx).is_pending() {
            backend.poll(None).unwrap();
        }
        assert_eq!(read.as_mut().result(), Some(4));
        let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
        read.as_mut().submit().unwrap();
        backend.poll(Some(Duration::from_millis(1))).unwrap();
        read.as_mut().cancel();
        assert_eq!(read.as_mut().wait(), Errno::CANCELED.to_result());
    }
}

fn set_nonblocking(file: &impl AsRawFd) {
    const F_SETFL: i32 = 4;
    const O_NONBLOCK: i32 = 0o4000;
    unsafe extern "C" {
        fn fcntl(fd: i32, command: i32, ...) -> i32;
    }
    // SAFETY: sets a flag of an open descriptor.
    assert_eq!(unsafe { fcntl(file.as_raw_fd(), F_SETFL, O_NONBLOCK) }, 0);
}

#[test]
fn a_wake_ends_this_poll_or_the_next() {
    for config in configs() {
        let backend = local(&config);
        let wake = backend.wake_handle();
        wake.wake();
        wake.wake();
        assert_eq!(backend.poll(None), Ok(0), "before");
        assert_eq!(backend.poll(Some(Duration::from_micros(100))), Ok(0), "used up");
        for _ in 0..100 {
            std::thread::scope(|scope| {
                scope.spawn(|| wake.wake());
                assert_eq!(backend.poll(None), Ok(0), "during");
            });
        }
        // A wake that meets a wait in a drop is kept.
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut buf = [0_u8; 4];
        wake.wake();
        {
            let mut read = pin!(awaitable(&backend, read_op(&reader, &mut buf)));
            read.as_mut().submit().unwrap();
        }
        assert_eq!(backend.poll(None), Ok(0), "kept");
    }
}

#[test]
fn a_thousand_reads_and_a_write() {
    let backend = local(&Config::new().entries(4));
    let pipes: Vec<_> = (0..300).map(|_| std::io::pipe().unwrap()).collect();
    let mut bufs = vec![[0_u8; 4]; pipes.len()];
    let mut reads: Vec<_> = pipes
        .iter()
        .zip(&mut bufs)
        .map(|((reader, _), buf)| Box::pin(awaitable(&backend, read_op(reader, buf))))
        .collect();
    for read in &mut reads {
        read.as_mut().submit().unwrap();
    }
    let data = b"four";
    let file = tempfile();
    let write = Op::Write(Write { fd: fd(&file), buf: data.as_ptr(), len: 4 });
    assert_eq!(run(&backend, write), 4, "idle reads delay nothing");
    assert_eq!(backend.in_flight(), pipes.len());
    // All of them cancelled by their drops, each waiting for its own end.
    drop(reads);
    assert_eq!(backend.in_flight(), 0);
}

#[test]
fn entries_out_of_range_are_a_typed_error() {
    for entries in [0, 32_769, u32::MAX] {
        let error = UringBackend::<Local>::new(&Config::new().entries(entries)).unwrap_err();
        assert_eq!((error.cause, error.errno), (Cause::BadConfig, Errno::INVAL));
    }
    for entries in [1, 3, 100, 1000, 32_767, 32_768] {
        let backend = local(&Config::new().entries(entries));
        let nop = Op::Nop(Nop);
        assert!((0..3).all(|_| run(&backend, nop) == 0), "{entries} entries");
    }
    drop(local(&Config::new().entries(1).completions(1_000_000)));
}

#[test]
fn a_panic_in_a_callback_leaves_the_rest_deliverable() {
    fn boom(context: *mut (), _: i64) {
        // SAFETY: the test's counter.
        let calls = unsafe { &*context.cast::<Cell<usize>>() };
        calls.set(calls.get() + 1);
        assert_ne!(calls.get(), 3, "third");
    }
    let backend = local(&Config::new());
    let calls = Cell::new(0_usize);
    let context: *mut () = std::ptr::from_ref(&calls).cast_mut().cast();
    let mut nops: Vec<_> = (0..8).map(|_| Box::pin(awaitable(&backend, Op::Nop(Nop)))).collect();
    for nop in &mut nops {
        nop.as_mut().submit_with_callback(boom, context).unwrap();
    }
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| backend.poll(None)));
    assert!(caught.is_err());
    assert_eq!(calls.get(), 3);
    assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(5));
    assert_eq!(backend.stop(Deadline::NEVER), Ok(()), "not taken for delivering");
}

fn _modes_are_exported<M: Mode>() {}
