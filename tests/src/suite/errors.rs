//! Bad input: the same error as the plain system call, on every backend and in every form.
#![allow(unsafe_code, reason = "performs an operation with raw pointers")]
//! # Safety
//! The pairs' memory and descriptors last for the whole test.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Rig};
use crate::skip::skip;
use core::ptr;
use core::time::Duration;
use io_core::op::{
    Accept, AcceptFlags, Bind, Connect, Fdatasync, Fstat, Fsync, Ftruncate, IOV_MAX, IoVec, Listen,
    MsgFlags, Poll, PollEvents, Pread, Preadv, Pwrite, Pwritev, Read, Readv, Recv, Send, Sendfile,
    Shutdown, Write, Writev,
};
use io_core::{Address, Errno, Fd, IoBackend, Op, OpKind, Phase, Seekable, Stat};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(every_operation_on_every_kind_of_descriptor::<F>),
        Case::of(offsets_outside_of_any_file::<F>),
        Case::of(vectors_of_every_count::<F>),
        Case::of(vectors_of_every_shape::<F>),
        Case::of(memory_that_cannot_be_used::<F>).needs(Needs::Memory),
        Case::of(a_table_that_cannot_be_read_is_efault::<F>),
        Case::of(a_tail_that_cannot_be_used::<F>).needs(Needs::Memory),
        Case::of(socket_memory_that_cannot_be_used::<F>).needs(Needs::Memory),
        Case::of(a_file_past_the_page_cache_has_rules_of_its_own::<F>).needs(Needs::Object),
        Case::of(perform_agrees_with_the_system_call::<F>).needs(Needs::Object),
        Case::of(an_error_leaves_the_backend_whole::<F>),
    ]
}

const UNKNOWN: Seekable = Seekable::Unknown;

/// Runs `op` in every form and compares.
fn same<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], label: &str) {
    let expected = oracle(&op, keep);
    for form in Form::ALL {
        let got = rig.run_as(form, op, keep);
        assert_eq!(got, expected, "{label}, {form:?}: {op:?}");
    }
}

/// Descriptors of every kind; those that could block are non-blocking, so that the plain system call
/// does not.
struct Zoo {
    named: Vec<(&'static str, Fd)>,
    _open: Vec<Desc>,
}

fn zoo() -> Zoo {
    let (pipe_out, pipe_in) = Desc::pipe();
    let (socket, peer) = Desc::pair();
    let datagram = {
        let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        Desc::from(socket)
    };
    let unconnected = Desc::from(std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let (listener, _) = Desc::listener();
    let named = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(named.path(), b"0123456789").expect("filling it");
    let open = |read: bool, write: bool| {
        let file = std::fs::File::options().read(read).write(write).open(named.path());
        Desc::from(file.expect("opening it"))
    };
    let all = [
        ("file", open(true, true)),
        ("read-only file", open(true, false)),
        ("write-only file", open(false, true)),
        ("directory", Desc::directory()),
        ("O_PATH", Desc::o_path()),
        ("pipe's reading end", pipe_out),
        ("pipe's writing end", pipe_in),
        ("stream socket", socket),
        ("stream peer", peer),
        ("unbound datagram socket", datagram),
        ("UDP socket", unconnected),
        ("listener", listener),
        ("/dev/null", Desc::open("/dev/null")),
        ("/dev/full", Desc::open_for_write("/dev/full")),
    ];
    for (name, desc) in &all {
        if name.contains("pipe") || name.contains("s") && name.contains("ock") {
            desc.set_nonblocking();
        }
    }
    all[11].1.set_nonblocking();
    let mut numbers: Vec<_> = all.iter().map(|(name, desc)| (*name, desc.raw())).collect();
    for number in [-1, -2, -99, i32::MIN, i32::MAX, 1_000_000] {
        numbers.push(("closed number", Fd::new(number)));
    }
    Zoo { named: numbers, _open: all.into_iter().map(|(_, desc)| desc).collect() }
}

/// One operation of each kind that takes a descriptor, with good arguments.
pub(super) fn each_op(fd: Fd, mem: &Mem, iov: &Mem, out: &Mem, to: &Mem, file: Fd) -> Vec<Op> {
    let (buf, len, offset) = (mem.ptr(), mem.len(), 1);
    let iov = iov.ptr().cast::<IoVec>();
    let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
    vec![
        Op::Read(Read { fd, buf, len }),
        Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset }),
        Op::Readv(Readv { fd, iov, count: 1 }),
        Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count: 1, offset }),
        Op::Write(Write { fd, buf, len }),
        Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset }),
        Op::Writev(Writev { fd, iov, count: 1 }),
        Op::Pwritev(Pwritev { fd, seekable: UNKNOWN, iov, count: 1, offset }),
        Op::Fsync(Fsync { fd }),
        Op::Ftruncate(Ftruncate { fd, len: 10 }),
        Op::Fstat(Fstat { fd, out: out.ptr().cast() }),
        Op::Lseek(io_core::op::Lseek { fd, whence: 1, offset: 0 }),
        Op::Recv(Recv { fd, flags: MsgFlags::empty(), buf, len }),
        Op::Send(Send { fd, flags: MsgFlags::empty(), buf, len }),
        Op::Accept(Accept { fd, flags: AcceptFlags::empty(), addr, addr_len }),
        Op::Sendfile(Sendfile { out_fd: fd, in_fd: file, offset: Some(0), len: 1 }),
        Op::Sendfile(Sendfile { out_fd: file, in_fd: fd, offset: None, len: 1 }),
        Op::Fdatasync(Fdatasync { fd }),
        Op::Poll(Poll { fd, events: PollEvents::IN }),
        Op::Poll(Poll { fd, events: PollEvents::OUT.union(PollEvents::RDHUP) }),
        Op::Listen(Listen { fd, backlog: 5 }),
        Op::Shutdown(Shutdown { fd, how: 9 }),
        Op::Bind(Bind { fd, addr: to.ptr(), addr_len: 16 }),
        Op::Connect(Connect { fd, addr: to.ptr(), addr_len: 16 }),
    ]
}

/// Whether running it twice gives the same twice.
fn repeats(op: &Op) -> bool {
    use OpKind::{Fdatasync, Fstat, Fsync, Ftruncate, Poll, Pread, Preadv, Pwrite, Pwritev};
    let again = [Fdatasync, Fstat, Fsync, Ftruncate, Poll, Pread, Preadv, Pwrite, Pwritev];
    again.contains(&op.kind())
}

/// Runs `act` for each pair of operation and descriptor, with what the system call gives.
fn each_pair(mut act: impl FnMut(&str, Op, &[Mem], i64)) {
    let zoo = zoo();
    let mem = Mem::filled(16, b'z');
    let iov = Mem::table(mem.only());
    let out = Mem::zeroed(size_of::<Stat>());
    let to = Mem::copy_of(Address::v4(core::net::Ipv4Addr::LOCALHOST, 0).as_bytes());
    let keep = [mem.clone(), iov.clone(), out.clone(), to.clone()];
    let file = Desc::file(b"0123456789");
    let mut compared = 0;
    for &(name, fd) in &zoo.named {
        for op in each_op(fd, &mem, &iov, &out, &to, file.raw()) {
            let expected = oracle(&op, &keep);
            // What would block waits on a backend; that is tested elsewhere.
            let blocks = expected == Errno::AGAIN.to_result();
            if !blocks && (expected < 0 || repeats(&op)) {
                act(name, op, &keep, expected);
                compared += 1;
            }
        }
    }
    assert!(compared > 250, "only {compared} pairs");
}

/// Files, directories, `O_PATH`, pipes, sockets, devices, closed numbers: each operation fails on each as
/// the system call does.
pub fn every_operation_on_every_kind_of_descriptor<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut wrong = Vec::new();
        each_pair(|name, op, keep, expected| {
            if !is_prompt(rig, op, keep) {
                wrong.push(format!("{name}: waits instead of {expected}: {op:?}"));
                return;
            }
            for form in Form::ALL {
                let got = rig.run_as(form, op, keep);
                if got != expected {
                    wrong.push(format!("{name}, {form:?}: {got} for {expected}: {op:?}"));
                }
            }
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Whether the operation completes within two seconds; cancelled if not.
fn is_prompt<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem]) -> bool {
    let mut raw = rig.raw(op, keep);
    raw.submit().expect("submit");
    let begin = Instant::now();
    while raw.phase() != Phase::Done && begin.elapsed() < Duration::from_secs(2) {
        rig.poll(Some(Duration::from_millis(1)));
    }
    let prompt = raw.phase() == Phase::Done;
    raw.cancel();
    let _ = raw.wait();
    prompt
}

/// `io_core::syscall::perform` is the definition, so it must be right too.
pub fn perform_agrees_with_the_system_call<F: Fixture>(_: &F) {
    each_pair(|name, op, _, expected| {
        // SAFETY: the pair's memory and descriptors last for the call.
        let result = unsafe { io_core::syscall::perform(&op) };
        assert_eq!(result, expected, "{name}: {op:?}");
    });
}

/// Negative offsets are `EINVAL`, also -1, which some system calls take for "the position"; large ones
/// are what the file system says; pipes and sockets have none.
pub fn offsets_outside_of_any_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"0123456789");
        let (pipe_out, pipe_in) = Desc::pipe();
        let (socket, _peer) = Desc::pair();
        pipe_in.put(b"some data");
        let mem = Mem::zeroed(16);
        let table = Mem::table(mem.only());
        let keep = [mem.clone(), table.clone()];
        let (buf, len, iov, count) = (mem.ptr(), 16, table.ptr().cast(), 1);
        for fd in [file.raw(), pipe_out.raw(), pipe_in.raw(), socket.raw()] {
            for seekable in [UNKNOWN, Seekable::Proven] {
                if seekable == Seekable::Proven && fd != file.raw() {
                    continue;
                }
                for offset in [-1, -2, -16, i64::MIN, i64::MAX, i64::MAX - 15, i64::MAX - 16] {
                    for op in [
                        Op::Pread(Pread { fd, seekable, buf, len, offset }),
                        Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
                        Op::Preadv(Preadv { fd, seekable, iov, count, offset }),
                        Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
                    ] {
                        same(rig, op, &keep, "offset");
                    }
                }
            }
            for offset in [0, 5] {
                let op = Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset });
                same(rig, op, &keep, "positional");
            }
        }
        for offset in [Some(-1), Some(i64::MIN), Some(i64::MAX)] {
            let (out_fd, in_fd) = (pipe_in.raw(), file.raw());
            same(rig, Op::Sendfile(Sendfile { out_fd, in_fd, offset, len: 4 }), &[], "sendfile");
        }
        assert_eq!(pipe_out.get(9), b"some data", "a positional operation used the pipe");
    });
}

/// What is to be aligned, and to what, is the file system's affair: the results are the plain calls', with address,
/// length or offset a little off.
pub fn a_file_past_the_page_cache_has_rules_of_its_own<F: Fixture>(fx: &F) {
    let named = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(named.path(), [b'd'; 16 << 10]).expect("filling it");
    let mut direct = std::fs::File::options();
    direct.read(true).write(true).custom_flags(libc::O_DIRECT);
    let Ok(file) = direct.open(named.path()) else {
        skip("no O_DIRECT in the temporary directory")
    };
    let file = Desc::from(file);
    fx.both(|rig| {
        let mem = Mem::filled(12 << 10, b'd');
        let (fd, seekable) = (file.raw(), UNKNOWN);
        for off in [0, 1, 8, 512] {
            for (at, less, from) in [(off, 0, 0), (0, off, 0), (0, 0, off), (off, off, off)] {
                let (buf, len) = (mem.ptr().wrapping_add(at), (4 << 10) - less);
                let offset = i64::try_from(from).expect("small");
                let label = format!("{off} off: {at}, {less}, {from}");
                let keep = mem.only();
                same(rig, Op::Pread(Pread { fd, seekable, buf, len, offset }), keep, &label);
                same(rig, Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }), keep, &label);
                for begin in [0, from] {
                    let expected = {
                        file.seek_to(u64::try_from(begin).expect("small"));
                        oracle(&Op::Read(Read { fd, buf, len }), mem.only())
                    };
                    file.seek_to(u64::try_from(begin).expect("small"));
                    let got = rig.run(Op::Read(Read { fd, buf, len }), mem.only());
                    assert_eq!(got, expected, "{label}, at the position {begin}");
                }
            }
        }
        let whole = Pread { fd, seekable, buf: mem.ptr(), len: 12 << 10, offset: 0 };
        mem.fill(0);
        assert_eq!(rig.run(Op::Pread(whole), mem.only()), 12 << 10);
        assert!(mem.bytes(12 << 10).iter().all(|&byte| byte == b'd'), "what was in it");
    });
}

/// 0, 1, 1024, 1025 and absurdly many vectors.
pub fn vectors_of_every_count<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(&[b'q'; 3000]);
        let fd = file.raw();
        let mem = Mem::zeroed(2);
        let table = Mem::iovecs(&vec![(mem.ptr(), 2); IOV_MAX + 1]);
        let keep = [mem.clone(), table.clone()];
        let iov = table.ptr().cast::<IoVec>();
        for count in [0, 1, 2, IOV_MAX - 1, IOV_MAX, IOV_MAX + 1, 1 << 31, 1 << 32, usize::MAX] {
            let offset = 0;
            same(rig, Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset }), &keep, "");
            same(
                rig,
                Op::Pwritev(Pwritev { fd, seekable: UNKNOWN, iov, count, offset }),
                &keep,
                "",
            );
            if count == 0 || count > IOV_MAX {
                same(rig, Op::Readv(Readv { fd, iov, count }), &keep, "");
                same(rig, Op::Writev(Writev { fd, iov, count }), &keep, "");
            }
        }
        let iov = ptr::null();
        for count in [0, 1] {
            let offset = 0;
            same(
                rig,
                Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset }),
                &[],
                "null",
            );
            same(rig, Op::Readv(Readv { fd, iov, count }), &[], "null");
            same(rig, Op::Writev(Writev { fd, iov, count }), &[], "null");
        }
    });
}

/// Vectors that are empty, overlap, point nowhere, or are longer than anything.
pub fn vectors_of_every_shape<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"0123456789abcdef");
        let fd = file.raw();
        let mem = Mem::zeroed(16);
        let null = ptr::null_mut();
        let at = |i: usize| mem.ptr().wrapping_add(i);
        for (label, parts) in [
            ("an empty one between", vec![(at(0), 4), (at(4), 0), (at(4), 4)]),
            ("an empty one at null", vec![(at(0), 4), (null, 0), (at(4), 4)]),
            ("all empty", vec![(at(0), 0), (at(4), 0)]),
            ("overlapping", vec![(at(0), 8), (at(4), 8)]),
            ("the same twice", vec![(at(0), 8), (at(0), 8)]),
            ("null", vec![(null, 4)]),
            ("null second", vec![(at(0), 4), (null, 4)]),
            ("negative length", vec![(at(0), usize::MAX)]),
            ("a negative length second", vec![(at(0), 4), (at(4), 1 << 63)]),
        ] {
            let table = Mem::iovecs(&parts);
            let keep = [mem.clone(), table.clone()];
            let (iov, count, offset) = (table.ptr().cast::<IoVec>(), parts.len(), 2);
            mem.fill(0);
            same(
                rig,
                Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset }),
                &keep,
                label,
            );
            let got = mem.bytes(16);
            mem.fill(0);
            let _ =
                oracle(&Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset }), &keep);
            assert_eq!(got, mem.bytes(16), "{label}");
            same(
                rig,
                Op::Pwritev(Pwritev { fd, seekable: UNKNOWN, iov, count, offset }),
                &keep,
                label,
            );
        }
    });
}

/// Null, read-only and closed memory, with and without a length.
pub fn memory_that_cannot_be_used<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"0123456789");
        let fd = file.raw();
        let (closed, fixed) = (Mem::no_access(16), Mem::read_only(&[0; 16]));
        let keep = [closed.clone(), fixed.clone()];
        for (label, buf) in
            [("null", ptr::null_mut()), ("closed", closed.ptr()), ("read-only", fixed.ptr())]
        {
            for len in [0, 1, 16] {
                let label = format!("{label}, {len} bytes");
                let offset = 3;
                let read = Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset });
                same(rig, read, &keep, &label);
                if label.starts_with("read-only") {
                    continue;
                }
                let write = Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset });
                same(rig, write, &keep, &label);
                same(rig, Op::Read(Read { fd, buf, len }), &keep, &label);
                same(rig, Op::Write(Write { fd, buf, len }), &keep, &label);
            }
        }
        assert_eq!(file.content().len(), 10);
    });
}

/// A table of vectors that cannot be read.
pub fn a_table_that_cannot_be_read_is_efault<F: Fixture>(fx: &F) {
    if fx.caps().faults.contains(&OpKind::Readv) {
        skip("tables are read in user space");
    }
    fx.both(|rig| {
        let fd = Desc::file(b"").to_owned_fd().into_raw();
        let _closer = Desc::adopt(i64::from(fd.raw()));
        let table = Mem::no_access(32);
        let (iov, count) = (table.ptr().cast::<IoVec>(), 2);
        same(rig, Op::Readv(Readv { fd, iov, count }), table.only(), "a closed table");
        same(rig, Op::Writev(Writev { fd, iov, count }), table.only(), "a closed table");
    });
}

/// Memory whose end cannot be used: a short transfer or `EFAULT`, as the system call has it, and what is
/// said to be transferred is.
pub fn a_tail_that_cannot_be_used<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let bytes: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
        let file = Desc::file(&bytes);
        let fd = file.raw();
        for usable in [1, 100, 4096, 5000] {
            let mem = Mem::zeroed(usable);
            let keep = [mem.clone()];
            let (buf, len, offset) = (mem.ptr(), 16_000, 10);
            let op = Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset });
            let expected = oracle(&op, &keep);
            for form in Form::ALL {
                mem.fill(0);
                let got = rig.run_as(form, op, &keep);
                assert_eq!(got, expected, "{usable} usable bytes, {form:?}");
                if let Ok(count) = usize::try_from(got) {
                    assert!(count <= usable);
                    assert_eq!(mem.bytes(count), bytes[10..10 + count]);
                }
            }
            let op = Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset: 30_000 });
            same(rig, op, &keep, "a write");
        }
    });
}

/// The same on sockets.
pub fn socket_memory_that_cannot_be_used<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        far.put(b"data");
        let closed = Mem::no_access(16);
        let keep = [closed.clone()];
        let (fd, flags) = (near.raw(), MsgFlags::empty());
        for (label, buf, len) in [
            ("null", ptr::null_mut(), 4),
            ("closed", closed.ptr(), 4),
            ("nothing from null", ptr::null_mut(), 0),
        ] {
            same(rig, Op::Send(Send { fd, flags, buf, len }), &keep, label);
            if len > 0 {
                same(rig, Op::Recv(Recv { fd, flags, buf, len }), &keep, label);
            }
        }
        assert_eq!(near.get(4), b"data", "a receive that failed took the data");
    });
}

/// After a thousand errors everything works as before.
pub fn an_error_leaves_the_backend_whole<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(4);
        let keep = [mem.clone()];
        let file = Desc::file(b"good");
        for _ in 0..300 {
            let bad = Op::Read(Read { fd: Fd::new(-1), buf: mem.ptr(), len: 4 });
            for form in Form::ALL {
                assert_eq!(rig.run_as(form, bad, &keep), Errno::BADF.to_result());
            }
        }
        assert_eq!(rig.run(file.pread_op(&mem, 0), &keep), 4);
        assert_eq!(mem.bytes(4), b"good");
        assert_eq!(rig.backend().in_flight(), 0);
    });
}
