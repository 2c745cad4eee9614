//! Deadlines, cancels by scope, closes and stops, where this backend has its own ways of failing: full
//! queues, lines at a position, retries by number, and an owner among other threads.
#![allow(unsafe_code, reason = "describes raw memory to the backend")]
#![allow(clippy::unwrap_used, clippy::std_instead_of_core, reason = "tests")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "tests"
)]

use io_core::op::{Cancel, Close, Nop, Open, OpenFlags, Pread, Read, Recv, Scope, Timeout, Write};
use io_core::{
    Deadline, Errno, Fd, InFlight, IoAwaitable, IoBackend, Op, OpKind, OpSet, Phase, Seekable,
    StopError, Timed, Way,
};
use io_uring_backend::{Config, Local, Shared, UringBackend};
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);
const CANCELED: i64 = Errno::CANCELED.to_result();
const TIMEDOUT: i64 = Errno::TIMEDOUT.to_result();

type Raw<'b, B> = IoAwaitable<Pin<&'b B>>;

fn local(entries: u32) -> UringBackend<Local> {
    UringBackend::<Local>::new(&Config::new().entries(entries)).unwrap()
}

fn shared() -> UringBackend<Shared> {
    UringBackend::<Shared>::new(&Config::new()).unwrap()
}

fn fd(file: &impl AsRawFd) -> Fd {
    Fd::new(file.as_raw_fd())
}

fn awaitable<B: IoBackend>(backend: &B, op: Op) -> Raw<'_, B> {
    // SAFETY: each test keeps the memory and descriptors of its ops, and the backend stays in place.
    unsafe { IoAwaitable::new(Pin::new_unchecked(backend), op) }
}

fn boxed<B: IoBackend>(backend: &B, op: Op) -> Pin<Box<Raw<'_, B>>> {
    Box::pin(awaitable(backend, op))
}

fn timed<B: IoBackend>(backend: &B, op: Op, timeout: Duration) -> Pin<Box<Timed<Raw<'_, B>>>> {
    Box::pin(awaitable(backend, op).with_timeout(timeout))
}

fn submitted<B: IoBackend>(backend: &B, op: Op) -> Pin<Box<Raw<'_, B>>> {
    let mut op = boxed(backend, op);
    op.as_mut().submit().unwrap();
    op
}

fn read(file: &impl AsRawFd, buf: &mut [u8]) -> Op {
    Op::Read(Read { fd: fd(file), buf: buf.as_mut_ptr(), len: buf.len() })
}

fn close(number: i32) -> Op {
    Op::Close(Close { fd: Fd::new(number) })
}

fn cancel(scope: Scope) -> Op {
    Op::Cancel(Cancel { scope })
}

fn tempfile(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("uring-contract-{}-{name}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

/// A round of `poll(0)` in which nothing is due.
fn idle_poll(backend: &impl IoBackend) {
    assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(0));
}

#[test]
fn a_deadline_ends_what_waits_wherever_it_waits() {
    let (reader, _writer) = std::io::pipe().unwrap();
    // In the ring; in the ring on kernels without a timed enter; waiting for readiness; by a turn.
    let masked = Config::new().mask(OpSet::empty());
    for config in [Config::new(), Config::new().no_ext_arg(), masked] {
        let backend = UringBackend::<Local>::new(&config).unwrap();
        let mut byte = [0];
        let begun = Instant::now();
        let mut op = timed(&backend, read(&reader, &mut byte), SOON);
        assert_eq!(op.as_mut().op().wait(), TIMEDOUT);
        assert!(begun.elapsed() >= SOON);
        assert_eq!(backend.in_flight(), 0);
        idle_poll(&backend);
    }
}

#[test]
fn what_is_queued_expires_too() {
    let backend = local(1);
    let (reader, _writer) = std::io::pipe().unwrap();
    let file = tempfile("queued");
    let (mut byte, block) = ([0], [7_u8; 4096]);
    let mut nops: Vec<_> = (0..8).map(|_| submitted(&backend, Op::Nop(Nop))).collect();
    let mut behind = timed(&backend, read(&reader, &mut byte), Duration::from_nanos(1));
    behind.as_mut().op().submit().unwrap();
    let write = Op::Write(Write { fd: fd(&file), buf: block.as_ptr(), len: block.len() });
    let mut lead = submitted(&backend, write);
    let mut line = timed(&backend, write, Duration::from_micros(1));
    line.as_mut().op().submit().unwrap();
    assert_eq!(behind.as_mut().op().wait(), TIMEDOUT);
    let results = [lead.as_mut().wait(), line.as_mut().op().wait()];
    assert_eq!(results[0], 4096);
    assert!(matches!(results[1], 4096 | TIMEDOUT), "{results:?}");
    nops.iter_mut().for_each(|nop| assert_eq!(nop.as_mut().wait(), 0));
}

#[test]
fn what_is_overdue_is_not_started() {
    let backend = shared();
    backend.start().unwrap();
    let mut file = tempfile("overdue");
    file.write_all(b"four").unwrap();
    let mut buf = [0_u8; 4];
    let pread = |buf: &mut [u8]| {
        let (fd, buf, len) = (fd(&file), buf.as_mut_ptr(), buf.len());
        Op::Pread(Pread { fd, buf, len, offset: 0, seekable: Seekable::Proven })
    };
    for deadline in [Deadline::NOW, Deadline::from_nanos(1)] {
        let mut op = pin!(awaitable(&backend, pread(&mut buf)).with_deadline(deadline));
        op.as_mut().op().submit().unwrap();
        assert_eq!(op.as_mut().op().result(), Some(TIMEDOUT), "inside submit");
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buf = [0_u8; 4];
                let pread = pread(&mut buf);
                let mut op = pin!(awaitable(&backend, pread).with_deadline(deadline));
                assert_eq!(op.as_mut().op().wait(), TIMEDOUT);
            });
        });
        let mut sleep = pin!(awaitable(&backend, Op::Timeout(Timeout)).with_deadline(deadline));
        assert_eq!(sleep.as_mut().op().wait(), 0);
    }
    assert_eq!(backend.counters().way(Way::Ring), 0);
    // A close has no deadline.
    let (_reader, writer) = std::io::pipe().unwrap();
    let close = awaitable(&backend, close(writer.into_raw_fd()));
    assert_eq!(pin!(close.with_deadline(Deadline::NOW)).op().wait(), 0);
}

#[test]
fn timeouts_end_in_the_order_of_their_deadlines() {
    let backend = local(8);
    let sleep = |ms| timed(&backend, Op::Timeout(Timeout), Duration::from_millis(ms));
    // Before the deadlines are made of it.
    let begun = Instant::now();
    let (mut third, mut first, mut second) = (sleep(30), sleep(5), sleep(15));
    let mut never = boxed(&backend, Op::Timeout(Timeout));
    let mut cx = Context::from_waker(Waker::noop());
    for op in [&mut third, &mut first, &mut second] {
        assert!(op.as_mut().poll(&mut cx).is_pending());
    }
    assert!(never.as_mut().poll(&mut cx).is_pending());
    for (op, ms) in [(&mut first, 5), (&mut second, 15), (&mut third, 30)] {
        // One poll delivers more than one of them where this thread was kept from running.
        let result = loop {
            match op.as_mut().op().result() {
                Some(result) => break result,
                None => assert!(backend.poll(None).expect("poll") > 0, "a poll for nothing"),
            }
        };
        assert_eq!(result, 0);
        assert!(begun.elapsed() >= Duration::from_millis(ms));
    }
    never.as_mut().cancel();
    assert_eq!(never.as_mut().wait(), CANCELED);
    assert_eq!(backend.counters().way(Way::Ring), 0, "none of it is the kernel's");
}

#[test]
fn ten_thousand_deadlines_cost_a_poll_no_more_than_ten() {
    let backend = local(8);
    let hour = Duration::from_secs(3600);
    let cost = |count: usize| {
        let mut ops: Vec<_> =
            (0..count).map(|_| timed(&backend, Op::Timeout(Timeout), hour)).collect();
        ops.iter_mut().for_each(|op| op.as_mut().op().submit().unwrap());
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                for _ in 0..20 {
                    idle_poll(&backend);
                }
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[100]
    };
    let (few, many) = (cost(10), cost(10_000));
    assert!(many <= few * 3, "{few:?} with ten, {many:?} with ten thousand");
}

#[test]
fn another_threads_deadline_is_kept() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    // With nobody to drive the ring the waiting thread keeps it itself.
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = [0];
            let mut op = timed(&backend, read(&reader, &mut byte), SOON);
            assert_eq!(op.as_mut().op().wait(), TIMEDOUT);
        });
    });
    backend.start().unwrap();
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel();
        let (backend, reader) = (&backend, &reader);
        let wake = backend.wake_handle();
        scope.spawn(move || {
            let mut byte = [0];
            let mut op = timed(backend, read(reader, &mut byte), SOON);
            let result = op.as_mut().op().wait();
            ended.send(result).unwrap();
            wake.wake();
        });
        loop {
            backend.poll(None).unwrap();
            if let Ok(result) = end.try_recv() {
                assert_eq!(result, TIMEDOUT);
                break;
            }
        }
    });
    assert_eq!(backend.in_flight(), 0);
}

#[test]
fn a_cancel_counts_what_it_asks() {
    let backend = local(2);
    let (reader, _writer) = std::io::pipe().unwrap();
    let (other, _other) = std::io::pipe().unwrap();
    let mut bufs = [[0_u8; 1]; 8];
    let mut ops: Vec<_> = bufs
        .iter_mut()
        .enumerate()
        .map(|(n, buf)| {
            submitted(&backend, if n % 2 == 0 { read(&reader, buf) } else { read(&other, buf) })
        })
        .collect();
    let mut sleep = submitted(&backend, Op::Timeout(Timeout));
    // Half of them are in the overflow, two were pushed and not sent.
    let count = |scope| submitted(&backend, cancel(scope)).as_mut().result();
    ops[0].as_mut().cancel();
    assert_eq!(count(Scope::Fd(fd(&reader))), Some(3), "not the one that was asked before");
    assert_eq!(count(Scope::Fd(fd(&reader))), Some(0));
    assert_eq!(backend.poll(Some(Duration::ZERO)).map(|_| ()), Ok(()));
    assert_eq!(ops[1].phase(), Phase::InFlight, "of another descriptor");
    for op in ops.iter_mut().step_by(2) {
        assert_eq!(op.as_mut().wait(), CANCELED);
    }
    assert_eq!(count(Scope::All), Some(5));
    assert_eq!(sleep.as_mut().result(), Some(CANCELED));
    assert_eq!(count(Scope::All), Some(0));
    for op in ops.iter_mut().skip(1).step_by(2) {
        assert_eq!(op.as_mut().wait(), CANCELED);
    }
    assert_eq!(backend.in_flight(), 0);
}

#[test]
fn a_cancel_from_another_thread_finds_what_was_submitted_before() {
    let backend = shared();
    backend.start().unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let (mut mine, mut theirs) = ([0], [0]);
    let mut op = submitted(&backend, read(&reader, &mut mine));
    let (wake, done) = (backend.wake_handle(), std::sync::atomic::AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut op = submitted(&backend, read(&reader, &mut theirs));
            assert_eq!(boxed(&backend, cancel(Scope::All)).as_mut().wait(), 2);
            assert_eq!(op.as_mut().wait(), CANCELED);
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            wake.wake();
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            backend.poll(None).unwrap();
        }
    });
    assert_eq!(op.as_mut().wait(), CANCELED);
}

#[test]
fn a_close_ends_what_waits_on_its_descriptor() {
    let masked = Config::new().mask(OpSet::empty());
    let read_masked = Config::new().mask(OpSet::of(OpKind::Recv).complement());
    for config in [Config::new(), Config::new().entries(1), masked, read_masked] {
        let backend = UringBackend::<Local>::new(&config).unwrap();
        let (mine, mut peer) = UnixStream::pair().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let (mut kept, mut bufs) = ([0], [[0_u8; 1]; 4]);
        let other = submitted(&backend, read(&reader, &mut kept));
        let mut ops: Vec<_> = bufs
            .iter_mut()
            .map(|buf| {
                let flags = io_core::op::MsgFlags::empty();
                let op = Recv { fd: fd(&mine), buf: buf.as_mut_ptr(), len: 1, flags };
                submitted(&backend, Op::Recv(op))
            })
            .collect();
        idle_poll(&backend);
        let number = mine.into_raw_fd();
        let mut close = submitted(&backend, close(number));
        assert_eq!(close.as_mut().wait(), 0);
        for op in &mut ops {
            assert_eq!(op.as_mut().wait(), CANCELED);
        }
        assert_eq!(peer.write(b"x").map_err(|error| error.kind()).err(), {
            Some(std::io::ErrorKind::BrokenPipe)
        });
        assert_ne!(other.phase(), Phase::Done, "of another descriptor");
    }
}

#[test]
fn a_close_among_many_idle_ones_looks_at_few() {
    let backend = local(128);
    let pairs: Vec<_> = (0..400).map(|_| UnixStream::pair().unwrap()).collect();
    let mut buf = [0_u8; 1];
    let mut ops: Vec<_> =
        pairs.iter().map(|(mine, _)| submitted(&backend, read(mine, &mut buf))).collect();
    idle_poll(&backend);
    for (op, (mine, peer)) in ops.iter_mut().zip(pairs) {
        // The number is free, and taken again, before the operation is waited for.
        assert_eq!(submitted(&backend, close(mine.into_raw_fd())).as_mut().wait(), 0);
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(op.as_mut().wait(), CANCELED);
        drop((peer, reader));
    }
}

#[test]
fn a_close_comes_behind_what_is_in_line_before_it() {
    let close_masked = Config::new().mask(OpSet::of(OpKind::Close).complement());
    let masked = Config::new().mask(OpSet::empty());
    for config in [Config::new(), Config::new().entries(1), close_masked, masked] {
        let backend = UringBackend::<Local>::new(&config).unwrap();
        let file = tempfile("line-close");
        let (dup, block) = (file.try_clone().unwrap(), [7_u8; 4096]);
        let write = Op::Write(Write { fd: fd(&dup), buf: block.as_ptr(), len: block.len() });
        let mut writes: Vec<_> = (0..5).map(|_| submitted(&backend, write)).collect();
        let mut close = submitted(&backend, close(dup.into_raw_fd()));
        assert_eq!(close.as_mut().wait(), 0);
        for write in &mut writes {
            assert_eq!(write.as_mut().wait(), 4096);
        }
        assert_eq!(file.metadata().unwrap().len(), 5 * 4096);
        assert_eq!(backend.in_flight(), 0);
    }
}

#[test]
fn what_waits_does_not_meet_a_numbers_next_file() {
    let masked = Config::new().mask(OpSet::empty());
    for config in [Config::new(), masked] {
        let backend = UringBackend::<Local>::new(&config).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(unsafe { borrow(&reader) }, true).unwrap();
        let (next, mut feed) = std::io::pipe().unwrap();
        let mut buf = [0_u8; 4];
        let mut op = submitted(&backend, read(&reader, &mut buf));
        idle_poll(&backend);
        idle_poll(&backend);
        // The old file lives on under another number.
        let old = reader.try_clone().unwrap();
        let mut number = std::mem::ManuallyDrop::new(unsafe {
            <rustix::fd::OwnedFd as rustix::fd::FromRawFd>::from_raw_fd(reader.as_raw_fd())
        });
        rustix::io::dup2(unsafe { borrow(&next) }, &mut number).unwrap();
        feed.write_all(b"next").unwrap();
        writer.write_all(b"late").unwrap();
        backend.poll(Some(SOON)).unwrap();
        let before = backend.counters().syscalls;
        backend.poll(Some(SOON)).unwrap();
        assert!(backend.counters().syscalls - before < 5, "nothing spins");
        op.as_mut().cancel();
        let mut bytes = [0; 4];
        match op.as_mut().wait() {
            // It never found the old file again.
            CANCELED => std::io::Read::read_exact(&mut &old, &mut bytes).unwrap(),
            // The kernel has held it all the time.
            4 => bytes = buf,
            other => panic!("{other}"),
        }
        assert_eq!(&bytes, b"late");
        std::io::Read::read_exact(&mut &next, &mut bytes).unwrap();
        assert_eq!(&bytes, b"next");
    }
}

/// # Safety
/// * The file is open while the result is used.
unsafe fn borrow(file: &impl AsRawFd) -> rustix::fd::BorrowedFd<'static> {
    unsafe { rustix::fd::BorrowedFd::borrow_raw(file.as_raw_fd()) }
}

#[test]
fn a_stop_from_another_thread_asks_the_owner() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    for round in 0..50 {
        backend.start().unwrap();
        let mut byte = [0];
        let mut op = submitted(&backend, read(&reader, &mut byte));
        thread::scope(|scope| {
            let stops: Vec<_> =
                (0..1 + round % 3).map(|_| scope.spawn(|| backend.stop(Deadline::NEVER))).collect();
            while stops.iter().any(|stop| !stop.is_finished()) {
                // The last one may have been told while we slept.
                backend.poll(Some(Duration::from_millis(1))).unwrap();
            }
            for stop in stops {
                assert_eq!(stop.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(op.as_mut().result(), Some(CANCELED));
        let mut refused = pin!(awaitable(&backend, Op::Nop(Nop)));
        assert_eq!(refused.as_mut().wait(), CANCELED);
        assert_eq!(backend.stop(Deadline::NOW), Ok(()), "twice");
    }
}

#[test]
fn a_stop_ends_an_owners_endless_poll() {
    let backend = shared();
    backend.start().unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut byte = [0];
    let mut op = pin!(awaitable(&backend, read(&reader, &mut byte)));
    assert!(op.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    thread::scope(|scope| {
        let stop = scope.spawn(|| backend.stop(Deadline::NEVER));
        assert_eq!(backend.poll(None), Ok(1));
        assert_eq!(stop.join().unwrap(), Ok(()));
    });
    assert_eq!(op.as_mut().result(), Some(CANCELED));
}

#[test]
fn a_stop_without_an_owner_refuses_what_waits_for_one() {
    let backend = shared();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut byte = [0];
    let mut op = submitted(&backend, read(&reader, &mut byte));
    thread::scope(|scope| {
        let stop = scope.spawn(|| backend.stop(Deadline::NEVER));
        assert_eq!(stop.join().unwrap(), Ok(()));
    });
    assert_eq!(op.as_mut().result(), Some(CANCELED));
    assert_eq!(backend.start(), Ok(()), "the thread that stopped is not the owner");
    assert_eq!(pin!(awaitable(&backend, Op::Nop(Nop))).as_mut().wait(), 0);
}

#[test]
fn a_stop_whose_deadline_passes_goes_on() {
    let backend = shared();
    backend.start().unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut byte = [0];
    let mut op = submitted(&backend, read(&reader, &mut byte));
    thread::scope(|scope| {
        // The owner is busy elsewhere.
        let stop = scope.spawn(|| backend.stop(Deadline::NOW));
        assert_eq!(stop.join().unwrap(), Err(StopError::StillOwned(1)));
    });
    assert_eq!(backend.start(), Err(Errno::BUSY));
    while op.phase() != Phase::Done {
        backend.poll(Some(SOON)).unwrap();
    }
    assert_eq!(op.as_mut().result(), Some(CANCELED));
    backend.start().unwrap();
}

#[test]
fn a_dump_shows_what_hangs() {
    let backend = local(8);
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut byte = [0];
    let mut op = timed(&backend, read(&reader, &mut byte), Duration::from_secs(3600));
    op.as_mut().op().submit().unwrap();
    let mut sleep = submitted(&backend, Op::Timeout(Timeout));
    idle_poll(&backend);
    let mut table = [InFlight::EMPTY; 4];
    assert_eq!(backend.dump(&mut table), 2);
    assert_eq!((table[0].kind, table[0].fd), (OpKind::Read, Some(fd(&reader))));
    assert_eq!((table[0].phase, table[0].way), (Phase::InFlight, Way::Ring));
    assert_eq!(table[0].deadline, op.deadline());
    assert_eq!((table[1].kind, table[1].fd), (OpKind::Timeout, None));
    assert_eq!(backend.dump(&mut []), 2);
    sleep.as_mut().cancel();
    drop(op);
    assert_eq!(backend.dump(&mut table), 0);
}

/// A kernel worker looks up the directory of an open that may make a file, and may do so after a close that was
/// submitted later. An open that waits for a FIFO's other side does not keep the close waiting.
#[test]
fn a_close_comes_behind_an_open_in_its_directory() {
    let path = std::env::temp_dir().join(format!("uring-contract-{}-dir", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    let fifo = std::ffi::CString::new(path.join("fifo").to_str().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &*fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    for config in [Config::new(), Config::new().entries(1)] {
        let backend = UringBackend::<Local>::new(&config).unwrap();
        for n in 0..200 {
            let dir = File::open(&path).unwrap();
            let flags = OpenFlags::RDWR.union(OpenFlags::CREATE);
            let open = Op::Open(Open { dir: fd(&dir), path: c"file".as_ptr(), flags, mode: 0o600 });
            let mut open = submitted(&backend, open);
            let mut close = submitted(&backend, close(dir.into_raw_fd()));
            assert_eq!(close.as_mut().wait(), 0);
            let opened = open.as_mut().wait();
            assert!(opened >= 0, "{opened}, round {n}");
            let number = i32::try_from(opened).unwrap();
            drop(unsafe { <rustix::fd::OwnedFd as rustix::fd::FromRawFd>::from_raw_fd(number) });
        }
        let (dir, flags) = (File::open(&path).unwrap(), OpenFlags::WRONLY);
        let open = Op::Open(Open { dir: fd(&dir), path: c"fifo".as_ptr(), flags, mode: 0 });
        let mut open = submitted(&backend, open);
        while backend.poll(Some(SOON)).unwrap() > 0 {}
        assert_eq!(open.as_mut().result(), None, "nobody reads");
        let mut close = submitted(&backend, close(dir.into_raw_fd()));
        assert_eq!(close.as_mut().wait(), 0);
        assert_eq!(open.as_mut().wait(), CANCELED);
    }
    std::fs::remove_dir_all(path).unwrap();
}
