//! Every operation on every type of file is what the plain system call is: a terminal, a timer, a counter and the
//! like are no files to some of the ways there are, and nobody is to hear of that.
#![allow(unsafe_code, reason = "makes descriptors that the standard library does not make")]
//! # Safety
//! The descriptors made here by number are owned at once; paths and specifications are locals.

use super::Case;
use super::errors::each_op;
use crate::clock::deadline_in;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Rig};
use core::time::Duration;
use io_core::op::{Close, Lseek, Open, OpenFlags, Poll, PollEvents, Shutdown};
use io_core::{Address, Errno, Fd, IoBackend, Op, Phase, Stat};
use std::os::unix::net::UnixDatagram;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![Case::of(every_operation_on_every_type_of_file::<F>).needs(Needs::Object)]
}

/// Longer than any answer takes that does not wait for something.
const SOON: Duration = Duration::from_secs(1);

/// A fresh object of some type; the second is what it needs to live.
type Make = fn() -> (Desc, Option<Desc>);

const KINDS: [(&str, Make); 24] = [
    ("file", || (Desc::file(b"0123456789"), None)),
    ("memory file", memory_file),
    ("directory", || (Desc::directory(), None)),
    ("O_PATH", || (Desc::o_path(), None)),
    ("/dev/null", || (Desc::from(both_ways("/dev/null")), None)),
    ("/dev/zero", || (Desc::from(both_ways("/dev/zero")), None)),
    ("/dev/full", || (Desc::from(both_ways("/dev/full")), None)),
    ("terminal", || terminal(false)),
    ("terminal's other side", || terminal(true)),
    ("pipe's reading end", || {
        let (reader, writer) = Desc::pipe();
        (reader, Some(writer))
    }),
    ("pipe's reading end with data", || {
        let (reader, writer) = Desc::pipe();
        writer.put(b"some data");
        (reader, Some(writer))
    }),
    ("pipe's writing end", || {
        let (reader, writer) = Desc::pipe();
        (writer, Some(reader))
    }),
    ("stream socket", || {
        let (near, far) = Desc::pair();
        (near, Some(far))
    }),
    ("stream socket with data", || {
        let (near, far) = Desc::pair();
        far.put(b"some data");
        (near, Some(far))
    }),
    ("datagram socket", || {
        let (near, far) = UnixDatagram::pair().expect("a pair");
        (near.into(), Some(far.into()))
    }),
    ("listener", || (Desc::listener().0, None)),
    ("counter at 0", || (Desc::eventfd(), None)),
    ("counter at 3", || {
        let counter = Desc::eventfd();
        counter.put(&3_u64.to_ne_bytes());
        (counter, None)
    }),
    ("timer that waits", || (timer(3600 * 1_000_000_000), None)),
    ("timer that is over", || {
        let timer = timer(1);
        wait_until_readable(&timer);
        (timer, None)
    }),
    ("epoll", || (epoll(), None)),
    ("file watch", || (watch(), None)),
    ("signals", || (signals(), None)),
    ("process", || (process(), None)),
];

fn both_ways(path: &str) -> std::fs::File {
    std::fs::File::options().read(true).write(true).open(path).expect(path)
}

fn number(made: i32) -> Desc {
    assert!(made >= 0, "{}", std::io::Error::last_os_error());
    Desc::adopt(i64::from(made))
}

fn epoll() -> Desc {
    // SAFETY: takes a number.
    number(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

fn watch() -> Desc {
    // SAFETY: takes a number.
    number(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })
}

fn signals() -> Desc {
    // SAFETY: all zeroes is a set of none.
    let none: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: reads a local.
    number(unsafe { libc::signalfd(-1, &raw const none, libc::SFD_CLOEXEC) })
}

fn process() -> Desc {
    // SAFETY: takes numbers.
    let made = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    number(i32::try_from(made).expect("a descriptor"))
}

fn memory_file() -> (Desc, Option<Desc>) {
    // SAFETY: a literal name.
    let made = unsafe { libc::memfd_create(c"kinds".as_ptr(), libc::MFD_CLOEXEC) };
    let file = number(made);
    file.put(b"0123456789");
    file.seek_to(0);
    (file, None)
}

/// A pseudo-terminal, which is nobody's controlling one; or its master.
fn terminal(master_wanted: bool) -> (Desc, Option<Desc>) {
    // SAFETY: takes a number.
    let made = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    let master = number(made);
    // SAFETY: takes a number.
    let unlocked = unsafe { libc::unlockpt(made) };
    assert_eq!(unlocked, 0, "unlockpt");
    let mut name = [0; 64];
    // SAFETY: room for a name, a local.
    let named = unsafe { libc::ptsname_r(made, name.as_mut_ptr(), name.len()) };
    assert_eq!(named, 0, "ptsname_r");
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the name that was just stored, with its NUL.
    let terminal = number(unsafe { libc::open(name.as_ptr(), flags) });
    if master_wanted { (master, Some(terminal)) } else { (terminal, Some(master)) }
}

/// A timer that ends after so many nanoseconds.
fn timer(ns: i64) -> Desc {
    // SAFETY: takes numbers.
    let timer = number(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let end = libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    let spec = libc::itimerspec { it_interval: zero, it_value: end };
    let none = core::ptr::null_mut();
    // SAFETY: reads a local.
    let set = unsafe { libc::timerfd_settime(timer.raw().raw(), 0, &raw const spec, none) };
    assert_eq!(set, 0, "timerfd_settime");
    timer
}

fn wait_until_readable(desc: &Desc) {
    let mut entry = libc::pollfd { fd: desc.raw().raw(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, a local.
    assert_eq!(unsafe { libc::poll(&raw mut entry, 1, -1) }, 1, "poll");
}

/// Memory for one run of one operation.
struct Props {
    mem: Mem,
    iov: Mem,
    out: Mem,
    to: Mem,
    path: Mem,
    file: Desc,
}

impl Props {
    fn new() -> Props {
        let mem = Mem::zeroed(16);
        let iov = Mem::table(mem.only());
        let to = Mem::copy_of(Address::v4(core::net::Ipv4Addr::LOCALHOST, 0).as_bytes());
        let (out, path) = (Mem::zeroed(size_of::<Stat>()), Mem::path(b"."));
        Props { mem, iov, out, to, path, file: Desc::file(b"0123456789") }
    }

    fn keep(&self) -> [Mem; 5] {
        [&self.mem, &self.iov, &self.out, &self.to, &self.path].map(Mem::clone)
    }

    /// What the memory and the file are at the beginning of each run.
    fn reset(&self) {
        self.mem.fill(b'z');
        self.file.seek_to(0);
    }

    /// The operations of [`each_op`], and some that only a fresh object lets one try.
    fn ops(&self, fd: Fd) -> Vec<Op> {
        let mut ops = each_op(fd, &self.mem, &self.iov, &self.out, &self.to, self.file.raw());
        let (path, flags) = (self.path.ptr().cast(), OpenFlags::CLOEXEC);
        ops.extend([
            Op::Open(Open { dir: fd, path, flags, mode: 0 }),
            Op::Lseek(Lseek { fd, whence: 0, offset: 3 }),
            Op::Lseek(Lseek { fd, whence: 99, offset: 0 }),
            Op::Shutdown(Shutdown { fd, how: 2 }),
            Op::Poll(Poll { fd, events: PollEvents::IN.union(PollEvents::OUT) }),
            Op::Close(Close { fd }),
        ]);
        ops
    }
}

/// What is left of a descriptor in a result.
fn without_number(op: &Op, result: i64) -> i64 {
    if matches!(op, Op::Open(_) | Op::Accept(_)) && result >= 0 {
        drop(Desc::adopt(result));
        return 0;
    }
    result
}

/// Runs operation `index` on a fresh object, whose own descriptor it may close; the result and the memory.
fn on_fresh(
    make: Make,
    nonblocking: bool,
    props: &Props,
    index: usize,
    run: impl FnOnce(Op, &[Mem]) -> i64,
) -> (i64, Vec<u8>) {
    let (object, _other) = make();
    // `O_PATH` has no flags to set.
    if nonblocking && object.status_flags() & libc::O_PATH == 0 {
        object.set_nonblocking();
    }
    props.reset();
    let number = object.to_owned_fd().into_raw();
    let op = props.ops(number)[index];
    let result = without_number(&op, run(op, &props.keep()));
    if !matches!(op, Op::Close(_)) {
        drop(Desc::adopt(i64::from(number.raw())));
    }
    (result, props.mem.bytes(16))
}

/// What the system call would wait for, an operation waits for; a cancel ends it.
fn waits<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem]) -> i64 {
    let mut raw = rig.raw(op, keep);
    raw.submit().expect("submit");
    for _ in 0..3 {
        rig.poll(Some(Duration::ZERO));
    }
    let early = raw.phase() == Phase::Done;
    raw.cancel();
    let result = raw.wait();
    if early { result } else { Errno::CANCELED.to_result().max(result) }
}

/// A file, a directory, devices, a terminal and its master, pipes, sockets, a counter, a timer, an epoll: each
/// operation on a fresh one has the system call's result, and leaves in memory what that leaves; what the
/// system call would wait for waits, and can be cancelled.
pub fn every_operation_on_every_type_of_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (props, mut wrong, mut compared) = (Props::new(), Vec::new(), 0);
        for (name, make) in KINDS {
            for index in 0..props.ops(Fd::CWD).len() {
                let expected = on_fresh(make, true, &props, index, |op, keep| oracle(&op, keep));
                let op = props.ops(Fd::CWD)[index];
                let mut check = |what: &str, got: &(i64, Vec<u8>), expected: &(i64, Vec<u8>)| {
                    compared += 1;
                    if got != expected {
                        wrong.push(format!("{name}, {what}: {got:?} for {expected:?}: {op:?}"));
                    }
                };
                if expected.0 == Errno::AGAIN.to_result() {
                    let waited = (Errno::CANCELED.to_result(), expected.1.clone());
                    for nonblocking in [false, true] {
                        let run = |op, keep: &[Mem]| waits(rig, op, keep);
                        let got = on_fresh(make, nonblocking, &props, index, run);
                        check("waiting", &got, &waited);
                    }
                    continue;
                }
                for form in Form::ALL {
                    for nonblocking in [false, true] {
                        let run =
                            |op, keep: &[Mem]| rig.run_timed(form, op, keep, deadline_in(SOON));
                        let got = on_fresh(make, nonblocking, &props, index, run);
                        check(&format!("{form:?}"), &got, &expected);
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(compared > 2_000, "only {compared} comparisons");
    });
}
