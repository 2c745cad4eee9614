//! Threads that drop, wait and end in an order that leaves nobody to drive the ring, and operations that
//! must not meet inside it.
#![allow(unsafe_code, reason = "describes raw memory to the backend")]
#![allow(clippy::unwrap_used, clippy::std_instead_of_core, reason = "tests")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "tests"
)]

use io_core::op::{Close, Nop, Open, OpenFlags, Read, Write};
use io_core::{Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, Phase};
use io_uring_backend::{Config, Local, Shared, UringBackend};
use leaked::leaked;
use std::ffi::CString;
use std::fs::File;
use std::future::Future;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

const BLOCK: usize = 4096;
const SOON: Duration = Duration::from_millis(50);

fn local() -> UringBackend<Local> {
    UringBackend::<Local>::new(&Config::new().entries(8)).unwrap()
}

fn shared() -> UringBackend<Shared> {
    UringBackend::<Shared>::new(&Config::new()).unwrap()
}

fn fd(file: &impl AsRawFd) -> Fd {
    Fd::new(file.as_raw_fd())
}

fn awaitable<B: IoBackend>(backend: &B, op: Op) -> IoAwaitable<Pin<&B>> {
    // SAFETY: each test keeps the memory and descriptors of its ops, and the backend stays in place.
    unsafe { IoAwaitable::new(Pin::new_unchecked(backend), op) }
}

fn boxed<B: IoBackend>(backend: &B, op: Op) -> Pin<Box<IoAwaitable<Pin<&B>>>> {
    Box::pin(awaitable(backend, op))
}

fn read(file: &impl AsRawFd, buf: &mut [u8]) -> Op {
    Op::Read(Read { fd: fd(file), buf: buf.as_mut_ptr(), len: buf.len() })
}

fn write(file: &impl AsRawFd, buf: &[u8]) -> Op {
    Op::Write(Write { fd: fd(file), buf: buf.as_ptr(), len: buf.len() })
}

fn path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("uring-races-{}-{name}", std::process::id()))
}

fn tempfile(name: &str) -> File {
    let path = path(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[test]
fn writes_at_one_position_lose_nothing() {
    let backend = local();
    let (mut file, other) = (tempfile("writes"), tempfile("writes-other"));
    let dup = file.try_clone().unwrap();
    let blocks: Vec<Vec<u8>> = (0..32).map(|n| vec![n; BLOCK]).collect();
    let mut ops: Vec<_> = blocks
        .iter()
        .enumerate()
        .flat_map(|(n, block)| {
            let target = if n % 2 == 0 { &file } else { &dup };
            [boxed(&backend, write(target, block)), boxed(&backend, write(&other, block))]
        })
        .collect();
    for op in &mut ops {
        op.as_mut().submit().unwrap();
    }
    for op in &mut ops {
        assert_eq!(op.as_mut().wait(), BLOCK as i64);
    }
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == blocks.concat(), "in order, and each once");
    assert_eq!(other.metadata().unwrap().len(), 32 * BLOCK as u64);
}

#[test]
fn a_line_at_a_position_is_cancelled_and_stopped() {
    let backend = shared();
    backend.start().unwrap();
    let file = tempfile("line");
    let block = [7_u8; BLOCK];
    let mut ops: Vec<_> = (0..5).map(|_| boxed(&backend, write(&file, &block))).collect();
    for op in &mut ops {
        op.as_mut().submit().unwrap();
    }
    ops[2].as_mut().cancel();
    assert_eq!(ops[2].as_mut().result(), Some(Errno::CANCELED.to_result()));
    assert_eq!(ops[4].as_mut().wait(), BLOCK as i64, "the line goes on behind a gap");
    assert_eq!(file.metadata().unwrap().len(), 4 * BLOCK as u64);
    let mut ops: Vec<_> = (0..5).map(|_| boxed(&backend, write(&file, &block))).collect();
    for op in &mut ops {
        op.as_mut().submit().unwrap();
    }
    backend.stop(Deadline::NEVER).unwrap();
    assert_eq!(ops[4].as_mut().result(), Some(Errno::CANCELED.to_result()));
    assert_eq!(backend.in_flight(), 0);
    drop(ops);
    backend.start().unwrap();
    let mut op = pin!(awaitable(&backend, write(&file, &block)));
    assert_eq!(op.as_mut().wait(), BLOCK as i64, "the turn was given back");
}

/// The calling thread's number.
fn this_thread() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Waits until that thread sleeps, as far as one can tell from outside.
fn until_asleep(thread: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn a_foreign_wait_does_not_take_the_ring() {
    let backend = shared();
    let (begun, waiting) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut nop = pin!(awaitable(&backend, Op::Nop(Nop)));
            nop.as_mut().submit().unwrap();
            begun.send(this_thread()).unwrap();
            assert_eq!(nop.as_mut().wait(), 0);
        });
        until_asleep(waiting.recv().unwrap());
        backend.start().unwrap();
        while backend.in_flight() > 0 {
            backend.poll(Some(SOON)).unwrap();
        }
    });
}

#[test]
fn a_foreign_drop_needs_no_owner() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    let (_keep, closing) = std::io::pipe().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = [0];
            let mut op = boxed(&backend, read(&reader, &mut byte));
            assert!(op.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(op);
            let close = Op::Close(Close { fd: Fd::new(closing.into_raw_fd()) });
            assert_eq!(pin!(awaitable(&backend, close)).as_mut().wait(), 0);
        });
    });
    backend.start().unwrap();
    assert_eq!(backend.in_flight(), 0);
    assert_eq!(pin!(awaitable(&backend, Op::Nop(Nop))).as_mut().wait(), 0);
}

#[test]
fn a_foreign_drop_of_a_ready_operation_while_the_owner_only_waits() {
    let backend = shared();
    backend.start().unwrap();
    let (own, mut to_owner) = std::io::pipe().unwrap();
    let (theirs, mut to_them) = std::io::pipe().unwrap();
    let (owner, (submitted, owner_may_wait)) = (this_thread(), mpsc::channel());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = [0];
            let mut op = boxed(&backend, read(&theirs, &mut byte));
            assert!(op.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            submitted.send(()).unwrap();
            until_asleep(owner);
            to_them.write_all(b"y").unwrap();
            until_asleep(owner);
            drop(op);
            to_owner.write_all(b"x").unwrap();
        });
        owner_may_wait.recv().unwrap();
        let mut byte = [0];
        assert_eq!(pin!(awaitable(&backend, read(&own, &mut byte))).as_mut().wait(), 1);
    });
}

#[test]
fn a_foreign_drop_after_the_owner_has_stopped() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    for polls in [false, true] {
        backend.start().unwrap();
        let (owner, (submitted, owner_may_stop)) = (this_thread(), mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut byte = [0];
                let mut op = boxed(&backend, read(&reader, &mut byte));
                assert!(op.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                submitted.send(()).unwrap();
                // In the stop, or after it, waiting for us.
                until_asleep(owner);
                drop(op);
            });
            owner_may_stop.recv().unwrap();
            backend.stop(Deadline::NEVER).unwrap();
            if polls {
                backend.poll(Some(Duration::ZERO)).unwrap();
            }
        });
        assert_eq!(backend.in_flight(), 0);
    }
}

#[test]
fn drops_and_stops_race_and_all_end() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    for round in 0..200 {
        backend.start().unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut byte = [0];
                    for _ in 0..round % 4 + 1 {
                        let mut op = boxed(&backend, read(&reader, &mut byte));
                        let _: std::task::Poll<i64> =
                            op.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    }
                });
            }
            if round % 2 == 0 {
                backend.poll(Some(Duration::from_micros(50))).unwrap();
            }
            backend.stop(Deadline::NEVER).unwrap();
        });
        backend.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(backend.in_flight(), 0);
    }
}

static CLOSED: AtomicI64 = AtomicI64::new(i64::MIN);

#[test]
fn a_close_left_by_an_owner_that_ended_is_performed() {
    let backend = Box::new(shared());
    let (reader, writer) = std::io::pipe().unwrap();
    let number = writer.into_raw_fd();
    thread::scope(|scope| {
        let backend = &*backend;
        scope.spawn(move || {
            backend.start().unwrap();
            let close = Op::Close(Close { fd: Fd::new(number) });
            // Nobody frees the operation: it is still the backend's when this thread ends.
            let op = leaked(Box::new(awaitable(backend, close)));
            // SAFETY: leaked; and the backend's drop ends the operation before the backend is gone.
            let op: Pin<&mut IoAwaitable<Pin<&UringBackend<Shared>>>> =
                unsafe { Pin::new_unchecked(&mut *core::ptr::from_mut(op).cast()) };
            let tell = |_: *mut (), result| CLOSED.store(result, Ordering::SeqCst);
            op.submit_with_callback(tell, core::ptr::null_mut()).unwrap();
        });
    });
    drop(backend);
    assert_eq!(CLOSED.load(Ordering::SeqCst), 0);
    let mut rest = Vec::new();
    assert_eq!((&reader).read_to_end(&mut rest).unwrap(), 0, "the last writer is closed");
}

#[test]
fn a_thread_does_not_inherit_an_ended_owners_ring() {
    for _ in 0..20 {
        let backend = shared();
        thread::scope(|scope| {
            let owner = scope.spawn(|| {
                backend.start().unwrap();
                backend.stop(Deadline::NEVER).unwrap();
            });
            owner.join().unwrap();
            let other = scope.spawn(|| backend.start());
            assert_eq!(other.join().unwrap(), Err(Errno::EXIST));
        });
    }
}

#[test]
fn an_open_of_a_fifo_without_reader_is_cancelled_and_stopped() {
    let backend = local();
    let path = path("fifo");
    let name = CString::new(path.to_str().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        name.as_c_str(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let open = Op::Open(Open {
        dir: Fd::CWD,
        path: name.as_ptr(),
        flags: OpenFlags::WRONLY | OpenFlags::CLOEXEC,
        mode: 0,
    });
    let mut op = pin!(awaitable(&backend, open));
    op.as_mut().submit().unwrap();
    assert_eq!(backend.poll(Some(SOON)), Ok(0));
    assert_eq!(op.phase(), Phase::InFlight);
    op.as_mut().cancel();
    assert_eq!(op.as_mut().wait(), Errno::CANCELED.to_result());
    let mut op = pin!(awaitable(&backend, open));
    op.as_mut().submit().unwrap();
    assert_eq!(backend.poll(Some(SOON)), Ok(0));
    backend.stop(Deadline::NEVER).unwrap();
    assert_eq!(op.as_mut().result(), Some(Errno::CANCELED.to_result()));
    std::fs::remove_file(path).unwrap();
}
