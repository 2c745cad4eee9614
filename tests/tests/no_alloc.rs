//! From submit to completion nothing is allocated: not by the caller's thread, not by a worker.
#![allow(unsafe_code, reason = "counts what the global allocator is asked for")]
//! # Safety
//! The allocator passes everything on to the system's.

mod support;

use core::alloc::{GlobalAlloc, Layout};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use io_conformance::child::fork;
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::{Note, Rig};
use io_conformance::suite::{Case, run, trials};
use io_conformance::{Desc, raw::Raw};
use io_core::op::{
    Accept, AcceptFlags, Close, Connect, Family, Fdatasync, Fstat, Fsync, Ftruncate, Listen,
    MsgFlags, Nop, Open, OpenFlags, Poll, PollEvents, Preadv, Pwrite, Pwritev, Readv, Recv, Send,
    Sendfile, Shutdown, Socket, SocketFlags, SocketKind, Writev,
};
use io_core::ops::Ops;
use io_core::{Address, Fd, IoBackend, Op, Seekable, Stat};
use libtest_mimic::{Failed, Trial};
use std::alloc::System;
use std::process::ExitCode;
use support::epoll::{self, LocalEpoll};
use support::pool::{LocalPool, Pool};
use support::uring;

struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

fn note() {
    if ON.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: as the system's allocator, which gets every call.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note();
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many calls of the allocator `body` makes, on any thread.
fn count(body: impl FnOnce()) -> u64 {
    let before = COUNT.load(Ordering::SeqCst);
    ON.store(true, Ordering::SeqCst);
    body();
    ON.store(false, Ordering::SeqCst);
    COUNT.load(Ordering::SeqCst) - before
}

const ROUNDS: usize = 20;

/// What the operations work on.
struct World {
    file: Desc,
    zero: Desc,
    null: Desc,
    near: Desc,
    far: Desc,
    listener: Desc,
    datagram: Desc,
    _clients: Vec<Desc>,
    mem: Mem,
    keep: [Mem; 5],
}

fn world() -> World {
    let mem = Mem::zeroed(64);
    let table = Mem::table(mem.only());
    let stat = Mem::zeroed(size_of::<Stat>());
    let to = Mem::copy_of(Address::v4(core::net::Ipv4Addr::LOCALHOST, 9).as_bytes());
    let keep = [mem.clone(), table, stat, Mem::path(b"/dev/null"), to];
    let (near, far) = Desc::pair();
    let (listener, address) = Desc::listener();
    let _clients = (0..ROUNDS * 4).map(|_| Desc::connect(address)).collect();
    let (zero, null) = (Desc::open("/dev/zero"), Desc::open_for_write("/dev/null"));
    let datagram = Desc::from(std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let file = Desc::file(&[1; 64]);
    World { file, zero, null, near, far, listener, datagram, _clients, mem, keep }
}

/// An operation of every kind that does not wait, but close.
fn every_op(world: &World) -> Vec<Op> {
    let World { file, zero, null, near, far, listener, datagram, mem, keep, .. } = world;
    let [_, table, out, path, to] = keep;
    let (fd, buf, len, offset) = (file.raw(), mem.ptr(), 64, 0);
    let (iov, count, seekable) = (table.ptr().cast(), 1, Seekable::Unknown);
    let (flags, none) = (AcceptFlags::empty(), MsgFlags::empty());
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let (family, kind, plain) = (Family::INET, SocketKind::STREAM, SocketFlags::empty());
    let socket = Socket { family, kind, flags: plain, protocol: 0 };
    let open = Open { dir: Fd::CWD, path: path.ptr().cast(), flags: OpenFlags::CLOEXEC, mode: 0 };
    vec![
        Op::Nop(Nop),
        file.pread_op(mem, 0),
        Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
        Op::Preadv(Preadv { fd, seekable, iov, count, offset }),
        Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
        zero.read_op(mem),
        Op::Readv(Readv { fd: zero.raw(), iov, count }),
        null.write_op(mem),
        Op::Writev(Writev { fd: null.raw(), iov, count }),
        Op::Fsync(Fsync { fd }),
        Op::Ftruncate(Ftruncate { fd, len: 64 }),
        Op::Fstat(Fstat { fd, out: out.ptr().cast() }),
        file.lseek_op(0, 0),
        Op::Sendfile(Sendfile { out_fd: null.raw(), in_fd: fd, offset: Some(0), len: 64 }),
        Op::Send(Send { fd: near.raw(), flags: none, buf, len }),
        Op::Recv(Recv { fd: far.raw(), flags: none, buf, len }),
        Op::Fdatasync(Fdatasync { fd }),
        Op::Poll(Poll { fd: near.raw(), events: PollEvents::OUT }),
        Op::Socket(socket),
        Op::Listen(Listen { fd: listener.raw(), backlog: 128 }),
        Op::Connect(Connect { fd: datagram.raw(), addr: to.ptr(), addr_len: 16 }),
        Op::Shutdown(Shutdown { fd: datagram.raw(), how: 0 }),
        Op::Open(open),
        Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len }),
    ]
}

type Storage<'b, B> = core::pin::Pin<Box<Raw<core::pin::Pin<&'b B>>>>;

/// Runs every operation once, in the same storage; `finish` waits for it in one of the forms.
fn round<'b, B: IoBackend>(
    raw: &mut Storage<'b, B>,
    ops: &[Op],
    finish: &impl Fn(&mut Storage<'b, B>) -> i64,
) {
    for &op in ops {
        raw.reset(op).expect("reset");
        let result = finish(raw);
        assert!(result >= 0, "{result}");
        if op.kind().yields_fd() {
            let fd = Fd::new(i32::try_from(result).expect("a descriptor"));
            raw.reset(Op::Close(Close { fd })).expect("reset");
            assert_eq!(finish(raw), 0);
        }
    }
}

fn steady<'b, B: IoBackend>(
    rig: &Rig<'b, B>,
    world: &World,
    form: &str,
    finish: impl Fn(&mut Storage<'b, B>) -> i64,
) {
    let ops = every_op(world);
    let mut raw = rig.raw(Op::Nop(Nop), &world.keep);
    round(&mut raw, &ops, &finish);
    let calls = count(|| (1..ROUNDS).for_each(|_| round(&mut raw, &ops, &finish)));
    assert_eq!(calls, 0, "{form}: calls of the allocator");
}

/// Every operation, awaited, with a callback and waited for.
fn raw_forms_allocate_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let world = world();
        steady(rig, &world, "future", |raw| rig.block_on(raw.as_mut()));
        steady(rig, &world, "wait", |raw| {
            raw.submit().expect("submit");
            raw.wait()
        });
        let note = Note::new(rig.signal());
        steady(rig, &world, "callback", |raw| {
            let before = note.calls();
            raw.submit_callback(note.hook()).expect("submit");
            rig.until(|| note.calls() > before);
            raw.result().expect("done")
        });
    });
}

/// Operations that have to wait, and cancels.
fn waiting_allocates_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(4);
        let mut raw = rig.raw(Op::Nop(Nop), mem.only());
        let mut round = || {
            raw.reset(reader.read_op(&mem)).expect("reset");
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            rig.poll(Some(core::time::Duration::ZERO));
            writer.put(b"data");
            assert_eq!(rig.block_on(raw.as_mut()), 4);
            raw.reset(reader.read_op(&mem)).expect("reset");
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            raw.cancel();
            assert_eq!(rig.block_on(raw.as_mut()), io_core::Errno::CANCELED.to_result());
        };
        round();
        assert_eq!(count(|| (0..ROUNDS).for_each(|_| round())), 0, "calls of the allocator");
    });
}

/// Typed operations whose buffer is in the future, which is on the stack; made and dropped, too.
fn typed_forms_allocate_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let (file, (reader, writer)) = (Desc::file(&[1; 64]), Desc::pipe());
        let round = || {
            assert_eq!(rig.block_on(be.nop()), Ok(()));
            assert_eq!(rig.block_on(be.pwrite(file.clone(), [2_u8; 64], 0)).0, Ok(64));
            assert_eq!(rig.block_on(be.pread(file.clone(), [0_u8; 64], 0)), (Ok(64), [2; 64]));
            assert_eq!(rig.block_on(be.writev(writer.clone(), [[3_u8; 2], [4; 2]])).0, Ok(4));
            assert_eq!(rig.block_on(be.read(reader.clone(), [0_u8; 4])), (Ok(4), [3, 3, 4, 4]));
            assert_eq!(rig.block_on(be.fstat(file.clone())).map(|stat| stat.size), Ok(64));
            let opened = rig.block_on(be.open(c"/dev/null", OpenFlags::CLOEXEC, 0)).expect("open");
            assert_eq!(rig.block_on(be.close(opened)), Ok(()));
            let mut dropped = pin!(be.read(reader.clone(), [0_u8; 4]));
            assert!(rig.poll_once(dropped.as_mut()).is_pending());
            assert_eq!(be.submit_read_sync(&file, &mut [0; 8], 0), Ok(8));
        };
        round();
        assert_eq!(count(|| (0..ROUNDS).for_each(|_| round())), 0, "calls of the allocator");
    });
}

/// A batch larger than any queue.
fn overflow_allocates_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut raws: Vec<_> = (0..2000).map(|_| rig.raw(Op::Nop(Nop), &[])).collect();
        let mut round = || {
            for raw in &mut raws {
                raw.reset(Op::Nop(Nop)).expect("reset");
                raw.submit().expect("submit");
            }
            for raw in &mut raws {
                assert_eq!(rig.block_on(raw.as_mut()), 0);
            }
        };
        round();
        assert_eq!(count(round), 0, "calls of the allocator");
    });
}

/// Deadlines that pass and that do not, sleeps, and cancels by scope.
fn deadlines_and_cancels_allocate_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (be, (reader, writer)) = (rig.backend(), Desc::pipe());
        let round = || {
            assert_eq!(rig.block_on(be.sleep(Duration::from_micros(200))), Ok(()));
            let late = be.read(reader.clone(), [7_u8; 4]).with_timeout(Duration::from_micros(200));
            assert_eq!(rig.block_on(late), (Err(io_core::Errno::TIMEDOUT), [7; 4]));
            let mut read = pin!(be.read(reader.clone(), [0_u8; 4]).with_timeout(Duration::MAX));
            assert!(rig.poll_once(read.as_mut()).is_pending());
            writer.put(b"data");
            assert_eq!(rig.block_on(read), (Ok(4), *b"data"));
            let mut read = pin!(be.read(reader.clone(), [0_u8; 4]));
            assert!(rig.poll_once(read.as_mut()).is_pending());
            assert_eq!(rig.block_on(be.cancel_fd(&reader)), Ok(1));
            assert_eq!(rig.block_on(read).0, Err(io_core::Errno::CANCELED));
            assert_eq!(rig.block_on(be.cancel_all()), Ok(0));
            assert_eq!(be.dump(&mut [io_core::InFlight::EMPTY; 4]), 0);
        };
        round();
        assert_eq!(count(|| (0..ROUNDS).for_each(|_| round())), 0, "calls of the allocator");
    });
}

/// In a forked child: neither the renewal of the backend nor what it does then.
fn renewal_allocates_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(&[1; 64]);
        let mem = Mem::zeroed(64);
        let mut raw = rig.raw(Op::Nop(Nop), mem.only());
        let child = || {
            let mut renewed = None;
            let calls = count(|| renewed = fx.reinit(rig.backend()));
            assert_eq!(renewed, Some(Ok(())));
            assert_eq!(calls, 0, "calls of the allocator by the renewal");
            let mut round = || {
                for op in [Op::Nop(Nop), file.pread_op(&mem, 0), file.write_op(&mem)] {
                    raw.reset(op).expect("reset");
                    raw.submit().expect("submit");
                    assert!(raw.wait() >= 0, "{op:?}");
                }
            };
            round();
            assert_eq!(count(round), 0, "calls of the allocator by the operations");
        };
        fork(child).join("makes the backend new");
    });
}

/// For fixtures whose renewal is the backend's alone: no threads are lent anew.
fn alone<F: Fixture>() -> Vec<Case<F>> {
    let mut cases = cases();
    cases.push(Case::of(renewal_allocates_nothing::<F>));
    cases
}

fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(deadlines_and_cancels_allocate_nothing::<F>),
        Case::of(raw_forms_allocate_nothing::<F>),
        Case::of(waiting_allocates_nothing::<F>),
        Case::of(typed_forms_allocate_nothing::<F>),
        Case::of(overflow_allocates_nothing::<F>),
    ]
}

/// The counter counts, or the other tests say nothing.
fn the_counter_counts() -> Trial {
    Trial::test("the_counter_counts", || match count(|| drop(core::hint::black_box(Box::new(1)))) {
        2 => Ok(()),
        calls => Err(Failed::from(format!("{calls} calls of the allocator for one box"))),
    })
}

fn main() -> ExitCode {
    let mut every = vec![the_counter_counts()];
    every.extend(trials(Pool { name: "pool_4_workers", workers: 4 }, alone()));
    every.extend(trials(Pool { name: "pool_no_workers", workers: 0 }, alone()));
    every.extend(trials(LocalPool, alone()));
    for variant in uring::shared() {
        every.extend(trials(variant, alone()));
    }
    for variant in uring::offloaded() {
        every.extend(trials(variant, cases()));
    }
    for variant in uring::local() {
        every.extend(trials(variant, alone()));
    }
    every.extend(trials(epoll::alone(), cases()));
    for variant in epoll::offloaded() {
        every.extend(trials(variant, cases()));
    }
    every.extend(trials(LocalEpoll, cases()));
    run(every, &[])
}
