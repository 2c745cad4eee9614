//! Arguments that are seldom given: transfers of nothing, two wrong things at once, transfers that are cut
//! short. All of these were found by [`crate::differential`].
#![allow(unsafe_code, reason = "makes a socket pair")]
//! # Safety
//! The descriptors are those that were just made.

use super::Case;
use super::net::waits;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Rig};
use crate::skip::skip;
use crate::watchdog::rounds;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use core::{mem, ptr};
use io_core::op::{
    Accept, AcceptFlags, Connect, Ftruncate, Lseek, MsgFlags, Open, OpenFlags, Pread, Pwrite, Read,
    Readv, Recv, Send, Sendfile, Write, Writev,
};
use io_core::ops::{How, Ops};
use io_core::syscall::deadline_in;
use io_core::{Errno, Fd, IoBackend, Op, Registered, Seekable};
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_read_of_a_counter_takes_one_count::<F>).needs(Needs::Object),
        Case::of(a_transfer_of_nothing_is_the_system_calls::<F>).needs(Needs::Object),
        Case::of(vectors_of_no_pieces_reach_no_file::<F>).needs(Needs::Object),
        Case::of(a_transfer_cut_short_moves_the_position::<F>).needs(Needs::Memory),
        Case::of(the_first_of_two_errors_is_the_system_calls::<F>).needs(Needs::Object),
        Case::of(an_accept_with_wrong_flags_does_not_wait::<F>).needs(Needs::Object),
        Case::of(a_sendfile_that_is_refused_does_not_wait::<F>).needs(Needs::Object),
        Case::of(an_error_queue_never_waits::<F>).needs(Needs::Object),
        Case::of(what_no_longer_receives_does_not_wait::<F>).needs(Needs::Object),
        Case::of(what_says_that_it_is_ready_and_is_not::<F>).needs(Needs::Object),
        Case::of(a_file_that_keeps_its_position_keeps_it::<F>).needs(Needs::Object),
        Case::of(a_transfer_of_nothing_does_not_queue_at_a_terminal::<F>).needs(Needs::Object),
        Case::of(a_read_of_nothing_waits_where_the_system_call_waits::<F>).needs(Needs::Object),
        Case::of(a_read_of_nothing_at_the_end_of_the_log_waits::<F>).needs(Needs::Object),
        Case::of(a_timer_whose_clock_was_set_says_so_once::<F>).needs(Needs::Clock),
    ]
}

/// Longer than any answer takes that does not wait for something.
const SOON: Duration = Duration::from_secs(10);

/// Runs `op` in every form, with a deadline that it does not meet, and compares.
fn same<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], expected: i64) {
    for form in Form::ALL {
        let got = rig.run_timed(form, op, keep, deadline_in(SOON));
        assert_eq!(got, expected, "with a deadline, {form:?}: {op:?}");
        assert_eq!(rig.run_as(form, op, keep), expected, "{form:?}: {op:?}");
    }
}

fn again() -> i64 {
    Errno::AGAIN.to_result()
}

/// A read of an `eventfd(2)` gives its eight bytes, however large the memory is, and does not go on to wait
/// for more: an eventfd says of itself that it has a position, as if it were a file.
pub fn a_read_of_a_counter_takes_one_count<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let counter = Desc::eventfd();
        for form in Form::ALL {
            for len in [8, 9, 16, 100] {
                counter.put(&3_u64.to_ne_bytes());
                let mem = Mem::filled(len, 0xaa);
                let read = counter.read_op(&mem);
                let got = rig.run_timed(form, read, mem.only(), deadline_in(SOON));
                assert_eq!(got, 8, "{form:?}, {len} bytes");
                assert_eq!(mem.bytes(8), 3_u64.to_ne_bytes(), "{form:?}");
                counter.put(&4_u64.to_ne_bytes());
                assert_eq!(rig.run_as(form, read, mem.only()), 8, "{form:?}, {len} bytes");
            }
        }
    });
}

/// A socket pair that keeps messages apart.
fn packets() -> (Desc, Desc) {
    pair_of(libc::SOCK_SEQPACKET)
}

/// A pair of Unix sockets of this kind.
fn pair_of(kind: i32) -> (Desc, Desc) {
    let mut fds = [-1; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: room for two numbers.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    assert_eq!(made, 0, "socketpair");
    // SAFETY: just made, and nobody else's.
    let [one, other] = fds.map(|fd| Desc::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    (one, other)
}

/// Reading and writing 0 bytes is what the file makes of it: most say 0, an eventfd and a full device refuse,
/// and a socket that keeps messages apart sends an empty one.
pub fn a_transfer_of_nothing_is_the_system_calls<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (pipe_out, pipe_in) = Desc::pipe();
        let (full, null) = (Desc::open_for_write("/dev/full"), Desc::open_for_write("/dev/null"));
        let files = [Desc::file(b"text"), Desc::directory(), Desc::eventfd()];
        let mem = Mem::zeroed(1);
        let seekable = Seekable::Unknown;
        let (read, write, len) = (mem.ptr(), mem.ptr(), 0);
        for desc in files.iter().chain([&pipe_out, &pipe_in, &full, &null]) {
            let fd = desc.raw();
            for (buf, offset) in [(read, 0), (ptr::null_mut(), 2), (read, -1)] {
                for op in [
                    Op::Read(Read { fd, buf, len }),
                    Op::Write(Write { fd, buf, len }),
                    Op::Pread(Pread { fd, seekable, buf, len, offset }),
                    Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
                ] {
                    same(rig, op, mem.only(), oracle(&op, mem.only()));
                }
            }
        }
        let (one, other) = packets();
        let op = Op::Write(Write { fd: one.raw(), buf: write, len });
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, op, mem.only()), 0, "{form:?}");
            let recv = Recv { fd: other.raw(), flags: MsgFlags::DONTWAIT, buf: read, len: 1 };
            assert_eq!(oracle(&Op::Recv(recv), mem.only()), 0, "{form:?}: the empty message");
            assert_eq!(oracle(&Op::Recv(recv), mem.only()), again(), "{form:?}: one message");
        }
    });
}

/// A vectored transfer of no pieces is 0 whatever the file would say, and sends no empty message.
pub fn vectors_of_no_pieces_reach_no_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (one, other) = packets();
        let table = Mem::table(&[]);
        let (alone, _) = Desc::listener();
        for fd in [one.raw(), alone.raw(), Desc::eventfd().raw()] {
            for iov in [table.ptr().cast(), ptr::null()] {
                let write = Op::Writev(Writev { fd, iov, count: 0 });
                same(rig, write, table.only(), oracle(&write, table.only()));
                let read = Op::Readv(Readv { fd, iov, count: 0 });
                same(rig, read, table.only(), oracle(&read, table.only()));
            }
        }
        let mem = Mem::zeroed(1);
        let (flags, buf, len) = (MsgFlags::DONTWAIT, mem.ptr(), 1);
        let recv = Op::Recv(Recv { fd: other.raw(), flags, buf, len });
        assert_eq!(oracle(&recv, mem.only()), again(), "a message came");
    });
}

/// What an error cuts short moves the file's position by what was transferred; the next write does not
/// come to lie on top of it.
pub fn a_transfer_cut_short_moves_the_position<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            let file = Desc::file(&[b'.'; 20_000]);
            let fd = file.raw();
            let mem = Mem::filled(700, b'w');
            let (buf, len) = (mem.ptr(), 9_000);
            file.seek_to(5);
            let write = Op::Write(Write { fd, buf, len });
            let put = rig.run_as(form, write, mem.only());
            assert_eq!(put, 700, "{form:?}");
            assert_eq!(file.position(), 705, "{form:?}: after a write");
            let read = Op::Read(Read { fd, buf, len });
            let got = rig.run_as(form, read, mem.only());
            assert_eq!(got, 700, "{form:?}");
            assert_eq!(file.position(), 1405, "{form:?}: after a read");
            let (one, two) = (Mem::filled(300, b'v'), Mem::filled(100, b'v'));
            let table = Mem::iovecs(&[(one.ptr(), 300), (two.ptr(), 5_000)]);
            let keep = [one, two, table.clone()];
            let writev = Op::Writev(Writev { fd, iov: table.ptr().cast(), count: 2 });
            let put = rig.run_as(form, writev, &keep);
            assert_eq!(file.position(), 1405 + put.cast_unsigned(), "{form:?}: after a writev");
            assert_eq!(file.content().iter().filter(|byte| **byte == b'w').count(), 700);
        }
    });
}

/// Of two wrong things the one is told that the system call looks at first.
pub fn the_first_of_two_errors_is_the_system_calls<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(16);
        let (dir, none) = (Desc::directory(), Mem::path(b""));
        let long = Mem::path(&[b'n'; 4096]);
        let (in_pipe, _out) = Desc::pipe();
        let (keep, place) = ([mem.clone(), none.clone(), long.clone()], Desc::o_path());
        for number in [-1, -2, i32::MIN, 1_000_000, dir.raw().raw(), place.raw().raw()] {
            let fd = Fd::new(number);
            let wrong = AcceptFlags::from_bits_retain(u32::MAX);
            let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
            let mut ops = vec![
                Op::Accept(Accept { fd, flags: wrong, addr, addr_len }),
                Op::Ftruncate(Ftruncate { fd, len: -1 }),
                Op::Lseek(Lseek { fd, whence: 99, offset: 0 }),
                Op::Readv(Readv { fd, iov: ptr::null(), count: 1 }),
                Op::Writev(Writev { fd, iov: ptr::null(), count: 1 }),
                Op::Connect(Connect { fd, addr: mem.ptr(), addr_len: 120 }),
                Op::Connect(Connect { fd, addr: ptr::null(), addr_len: 16 }),
            ];
            for offset in [None, Some(0), Some(-2)] {
                let (out_fd, in_fd, len) = (fd, in_pipe.raw(), 5);
                ops.push(Op::Sendfile(Sendfile { out_fd, in_fd, offset, len }));
            }
            for bits in [0o200_100, 0o20_000_000, 0o20_200_000, 0o3] {
                for path in [none.ptr(), long.ptr(), ptr::null_mut()] {
                    let flags = OpenFlags::from_bits_retain(bits);
                    let path = path.cast_const().cast();
                    ops.push(Op::Open(Open { dir: fd, path, flags, mode: 0o600 }));
                }
            }
            for op in ops {
                same(rig, op, &keep, oracle(&op, &keep));
            }
        }
    });
}

/// It is refused, whether or not there are connections.
pub fn an_accept_with_wrong_flags_does_not_wait<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (listener, address) = Desc::listener();
        let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
        for bits in [1, u32::MAX] {
            let flags = AcceptFlags::from_bits_retain(bits);
            let op = Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len });
            same(rig, op, &[], Errno::INVAL.to_result());
        }
        // A size that is negative: the connection is taken and lost.
        let (room, size) = (Mem::zeroed(16), Mem::copy_of(&u32::MAX.to_ne_bytes()));
        let keep = [room.clone(), size.clone()];
        let (addr, addr_len) = (room.ptr(), size.ptr().cast());
        let flags = AcceptFlags::empty();
        let op = Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len });
        for form in Form::ALL {
            let _peer = Desc::connect(address);
            assert_eq!(rig.run_as(form, op, &keep), Errno::INVAL.to_result(), "{form:?}");
        }
    });
}

/// It is refused also while its output has no room.
pub fn a_sendfile_that_is_refused_does_not_wait<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        near.set_nonblocking();
        let chunk = Mem::zeroed(4096);
        let (buf, len) = (chunk.ptr(), 4096);
        while oracle(&Op::Write(Write { fd: near.raw(), buf, len }), chunk.only()) > 0 {}
        let file = Desc::file(b"0123456789");
        let out_fd = near.raw();
        for (in_fd, offset, len) in [
            (far.raw(), None, 5),
            (file.raw(), Some(-1), 5),
            (file.raw(), Some(i64::MAX), 5),
            (file.raw(), None, 0),
            (Fd::new(-1), None, 5),
        ] {
            let op = Op::Sendfile(Sendfile { out_fd, in_fd, offset, len });
            same(rig, op, &[], oracle(&op, &[]));
        }
    });
}

/// Also on a blocking Unix socket, which has no such queue.
pub fn an_error_queue_never_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, _far) = Desc::pair();
        let mem = Mem::zeroed(8);
        let (fd, buf, len) = (near.raw(), mem.ptr(), 8);
        let op = Op::Recv(Recv { fd, flags: MsgFlags::ERRQUEUE, buf, len });
        same(rig, op, mem.only(), again());
    });
}

/// A file may take a write and leave the position where it was, as a thread's name does.
pub fn a_file_that_keeps_its_position_keeps_it<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = "/proc/thread-self/comm";
        let file = File::options().read(true).write(true).open(path).expect("a thread has a name");
        let file = Desc::from(OwnedFd::from(file));
        let mem = Mem::filled(6, b'n');
        let table = Mem::iovecs(&[(mem.ptr(), 6)]);
        let keep = [mem.clone(), table.clone()];
        let writev = Op::Writev(Writev { fd: file.raw(), iov: table.ptr().cast(), count: 1 });
        for op in [file.write_op(&mem), writev] {
            for form in Form::ALL {
                file.seek_to(0);
                assert_eq!((oracle(&op, &keep), file.position()), (6, 0), "the system call");
                assert_eq!(rig.run_as(form, op, &keep), 6, "{form:?}");
                assert_eq!(file.position(), 0, "{form:?}: {op:?}");
            }
        }
    });
}

/// A read of nothing from an `inotify(7)` waits for an event, and then has no room for it; whoever submits does
/// not wait.
pub fn a_read_of_nothing_waits_where_the_system_call_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        // SAFETY: no memory is involved.
        let events = unsafe { libc::inotify_init1(libc::IN_CLOEXEC) };
        assert!(events >= 0, "inotify_init1");
        // SAFETY: just made, and nobody else's.
        let events = Desc::from(unsafe { OwnedFd::from_raw_fd(events) });
        let path = c"/proc/self/comm";
        // SAFETY: a path that ends.
        let watch =
            unsafe { libc::inotify_add_watch(events.raw().raw(), path.as_ptr(), libc::IN_OPEN) };
        assert!(watch >= 0, "inotify_add_watch");
        let (fd, mem) = (events.raw(), Mem::zeroed(1));
        let read = Op::Read(Read { fd, buf: mem.ptr(), len: 0 });
        let soon = deadline_in(Duration::from_millis(50));
        let got = rig.run_timed(Form::Future, read, mem.only(), soon);
        assert_eq!(got, Errno::TIMEDOUT.to_result(), "nothing happened");
        drop(File::open("/proc/self/comm").expect("a process has a name"));
        same(rig, read, mem.only(), Errno::INVAL.to_result());
    });
}

/// Sets the clock on the wall by a nanosecond, forth and back in turn. `false` if that is not allowed here.
fn set_the_clock() -> bool {
    static FORTH: AtomicBool = AtomicBool::new(false);
    let forth = !FORTH.fetch_xor(true, Ordering::Relaxed);
    let (tv_sec, tv_usec) = if forth { (0, 1) } else { (-1, 999_999_999) };
    // SAFETY: numbers only.
    let mut by: libc::timex = unsafe { mem::zeroed() };
    by.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    by.time = libc::timeval { tv_sec, tv_usec };
    // SAFETY: a place of that type.
    unsafe { libc::adjtimex(&raw mut by) >= 0 }
}

/// A timer that is to end when its clock is set (`TFD_TIMER_CANCEL_ON_SET`): its read says `ECANCELED`, which is no
/// early end; and then it waits again.
pub fn a_timer_whose_clock_was_set_says_so_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for flags in [0, libc::TFD_NONBLOCK] {
            // SAFETY: no memory is involved.
            let fd = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) };
            assert!(fd >= 0, "timerfd_create");
            // SAFETY: just made, and nobody else's.
            let timer = Desc::from(unsafe { OwnedFd::from_raw_fd(fd) });
            let never = libc::timespec { tv_sec: 4_000_000_000, tv_nsec: 0 };
            let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let at = libc::itimerspec { it_interval: zero, it_value: never };
            let how = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
            // SAFETY: a place of that type, and none for the old time.
            let armed = unsafe { libc::timerfd_settime(fd, how, &raw const at, ptr::null_mut()) };
            assert_eq!(armed, 0, "timerfd_settime");
            if !set_the_clock() {
                skip("setting the clock needs CAP_SYS_TIME");
            }
            let mem = Mem::zeroed(8);
            let read = timer.read_op(&mem);
            let canceled = Errno::CANCELED.to_result();
            assert_eq!(oracle(&read, mem.only()), canceled, "the system call");
            for form in Form::ALL {
                assert!(set_the_clock());
                assert_eq!(rig.run_as(form, read, mem.only()), canceled, "{form:?}");
            }
            for _ in 0..2 {
                let got = waits(rig, read, mem.only(), || assert!(set_the_clock()));
                assert_eq!(got, canceled);
            }
            let soon = deadline_in(Duration::from_millis(5));
            let got = rig.run_timed(Form::Future, read, mem.only(), soon);
            assert_eq!(got, Errno::TIMEDOUT.to_result(), "told once");
        }
    });
}

/// A read of nothing from the kernel's log waits at its end; whoever submits does not.
pub fn a_read_of_nothing_at_the_end_of_the_log_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let log = match File::open("/dev/kmsg") {
            Ok(log) => Desc::from(OwnedFd::from(log)),
            Err(error) => skip(format!("/dev/kmsg: {error}")),
        };
        let (invalid, timed_out) = (Errno::INVAL.to_result(), Errno::TIMEDOUT.to_result());
        let mem = Mem::zeroed(1);
        let read = Op::Read(Read { fd: log.raw(), buf: mem.ptr(), len: 0 });
        log.seek_to(0);
        same(rig, read, mem.only(), invalid);
        // The kernel may have something to say meanwhile.
        let waited = (0..5).any(|_| {
            // SAFETY: a number only.
            assert_eq!(unsafe { libc::lseek(log.raw().raw(), 0, libc::SEEK_END) }, 0);
            let soon = deadline_in(Duration::from_millis(20));
            let got = rig.run_timed(Form::Future, read, mem.only(), soon);
            assert!([invalid, timed_out].contains(&got), "{got}");
            got == timed_out
        });
        assert!(waited);
    });
}

/// While another thread is inside a read of a terminal, the system call itself queues behind it, for nothing;
/// whoever submits does not.
pub fn a_transfer_of_nothing_does_not_queue_at_a_terminal<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (mut keys, mut screen) = (-1, -1);
        let none = ptr::null_mut();
        // SAFETY: room for two numbers; null is allowed for the others.
        let made = unsafe {
            libc::openpty(&raw mut keys, &raw mut screen, none, ptr::null(), ptr::null())
        };
        assert_eq!(made, 0, "openpty");
        // SAFETY: just made, and nobody else's.
        let [keys, screen] =
            [keys, screen].map(|fd| Desc::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let inside = screen.clone();
        let (is_there, there) = mpsc::channel();
        let reader = thread::spawn(move || {
            let this = fs::read_link("/proc/thread-self").expect("proc");
            is_there.send(Path::new("/proc").join(this).join("stat")).expect("a listener");
            inside.get(1)
        });
        let stat = there.recv().expect("a thread");
        while !fs::read_to_string(&stat).expect("proc").contains(") S ") {
            thread::yield_now();
        }
        let (fd, mem) = (screen.raw(), Mem::zeroed(1));
        same(rig, Op::Read(Read { fd, buf: mem.ptr(), len: 0 }), mem.only(), 0);
        same(rig, Op::Write(Write { fd, buf: mem.ptr(), len: 0 }), mem.only(), 0);
        keys.put(b"k\n");
        assert_eq!(reader.join().expect("a key"), b"k");
    });
}

/// A Unix listener.
fn unix_listener() -> Desc {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let name = SocketAddr::from_abstract_name(format!("odd {process} {thread:?}"));
    let listener = UnixListener::bind_addr(&name.expect("a short name")).expect("bind");
    Desc::from(OwnedFd::from(listener))
}

/// A UDP socket that is its own peer.
fn udp() -> Desc {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    socket.connect(socket.local_addr().expect("an address")).expect("connect");
    Desc::from(OwnedFd::from(socket))
}

/// A socket whose own side has stopped receiving ends what would wait, as the blocking call does. Where messages
/// are kept apart, and on a Unix listener, a call that does not block says `EAGAIN` for ever, and `poll(2)` that
/// it need not be waited for.
pub fn what_no_longer_receives_does_not_wait<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(8);
        let unix = |kind| move || pair_of(kind);
        let alone = |make: fn() -> Desc| move || (make(), Desc::eventfd());
        let makes: [&dyn Fn() -> (Desc, Desc); 5] = [
            &unix(libc::SOCK_DGRAM),
            &unix(libc::SOCK_SEQPACKET),
            &unix(libc::SOCK_STREAM),
            &alone(udp),
            &alone(unix_listener),
        ];
        for (index, make) in makes.into_iter().enumerate() {
            for (nonblocking, is_source) in [(false, false), (true, false), (true, true)] {
                let (near, _far) = make();
                if nonblocking {
                    near.set_nonblocking();
                }
                let source = Box::pin(Registered::new(rig.backend(), near.clone()));
                let op = if index == 4 { accept(&near) } else { near.read_op(&mem) };
                if is_source {
                    source.as_ref().attach();
                    // It is registered before, and its event is long past.
                    let soon = deadline_in(Duration::from_millis(5));
                    let waited = rig.run_timed(Form::Future, op, mem.only(), soon);
                    assert_eq!(waited, Errno::TIMEDOUT.to_result());
                }
                let shutdown = rig.backend().shutdown(near.clone(), How::Read);
                assert_eq!(rig.block_on(shutdown), Ok(()));
                rig.poll(Some(Duration::ZERO));
                if index == 4 {
                    same(rig, op, &[], Errno::INVAL.to_result());
                } else {
                    receives_the_end(rig, &near);
                }
            }
        }
    });
}

fn accept(listener: &Desc) -> Op {
    let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
    Op::Accept(Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len })
}

fn receives_the_end<B: IoBackend>(rig: &Rig<'_, B>, near: &Desc) {
    let mem = Mem::zeroed(8);
    let table = Mem::iovecs(&[(mem.ptr(), 4), (mem.ptr().wrapping_add(4), 4)]);
    let keep = [mem.clone(), table.clone()];
    let (fd, buf, len) = (near.raw(), mem.ptr(), 8);
    for op in [
        Op::Read(Read { fd, buf, len }),
        Op::Readv(Readv { fd, iov: table.ptr().cast(), count: 2 }),
        Op::Recv(Recv { fd, flags: MsgFlags::empty(), buf, len }),
        Op::Recv(Recv { fd, flags: MsgFlags::PEEK, buf, len }),
        Op::Recv(Recv { fd, flags: MsgFlags::WAITALL, buf, len }),
    ] {
        same(rig, op, &keep, 0);
    }
}

/// A Unix stream with out-of-band data at its head says that it is readable, and a look at nothing of it waits all
/// the same; a kernel that is told to wait (6.18) does so without a rest. It can be cancelled, dropped and overdue.
pub fn what_says_that_it_is_ready_and_is_not<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(1);
        for way in 0..3 {
            for _ in 0..rounds(8) {
                let (near, far) = pair_of(libc::SOCK_STREAM);
                for _ in 0..2 {
                    let (fd, buf, flags) = (far.raw(), mem.ptr(), MsgFlags::OOB);
                    let send = Op::Send(Send { fd, flags, buf, len: 1 });
                    assert_eq!(rig.run_as(Form::Wait, send, mem.only()), 1);
                }
                let flags = MsgFlags::PEEK;
                let op = Op::Recv(Recv { fd: near.raw(), flags, buf: mem.ptr(), len: 0 });
                match way {
                    0 => {
                        let mut raw = rig.raw(op, mem.only());
                        assert_eq!(raw.submit(), Ok(()));
                        rig.poll(Some(Duration::ZERO));
                        raw.cancel();
                        assert_eq!(raw.wait(), Errno::CANCELED.to_result());
                    }
                    1 => {
                        let mut raw = rig.raw(op, mem.only());
                        assert_eq!(raw.submit(), Ok(()));
                        rig.poll(Some(Duration::ZERO));
                    }
                    _ => {
                        let soon = deadline_in(Duration::from_millis(1));
                        let waited = rig.run_timed(Form::Future, op, mem.only(), soon);
                        assert_eq!(waited, Errno::TIMEDOUT.to_result());
                    }
                }
            }
        }
    });
}
