//! Signals: `EINTR` reaches nobody, and a send to nobody raises no `SIGPIPE`.
#![allow(unsafe_code, reason = "installs signal handlers, and sends signals to threads")]
//! # Safety
//! The handlers count, in an atomic, and wake by a handle that is there until no handler uses it any more; the test
//! process runs one test at a time.

use super::Case;
use super::connect::{Full, connect, plain};
use crate::clock::deadline_in;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::rig::{Form, Rig};
use crate::watchdog::{rounds, tell};
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use core::time::Duration;
use io_core::op::{
    Family, MsgFlags, Poll, PollEvents, Send, Sendfile, SocketFlags, SocketKind, Writev,
};
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, Op, WakeHandle};
use std::thread;
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_storm_of_signals_changes_no_result::<F>).needs(Needs::Signal),
        Case::of(a_storm_of_signals_cuts_no_wait::<F>).needs(Needs::Signal),
        Case::of(a_storm_of_signals_moves_no_deadline::<F>).needs(Needs::Signal),
        Case::of(a_storm_of_signals_cuts_no_connect::<F>).needs(Needs::Signal),
        Case::of(a_signal_handler_wakes_at_any_point::<F>).needs(Needs::Signal),
        Case::of(a_send_to_nobody_raises_no_sigpipe::<F>).needs(Needs::Signal),
        Case::of(a_write_to_a_broken_pipe_raises_what_the_system_call_raises::<F>)
            .needs(Needs::Signal),
    ]
}

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// Whom a handler wakes; null is nobody.
static WAKES: AtomicPtr<WakeHandle<'static>> = AtomicPtr::new(ptr::null_mut());
/// How many handlers may be using it.
static WAKING: AtomicUsize = AtomicUsize::new(0);
/// How often the interrupted code's `errno` was not what it had been.
static CHANGED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn wake(signal: libc::c_int) {
    WAKING.fetch_add(1, Ordering::SeqCst);
    // SAFETY: this thread's own, for the two reads.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    // SAFETY: null, or a handle that stays as long as `WAKING` is not 0.
    if let Some(handle) = unsafe { WAKES.load(Ordering::SeqCst).as_ref() } {
        handle.wake();
    }
    // SAFETY: as above.
    let after = unsafe { errno.read() };
    CHANGED.fetch_add(usize::from(before != after), Ordering::SeqCst);
    WAKING.fetch_sub(1, Ordering::SeqCst);
    count(signal);
}

/// Lets [`wake`] wake by this handle while it lives.
struct Wakes<'h, 'b>(PhantomData<&'h WakeHandle<'b>>);

impl<'h, 'b> Wakes<'h, 'b> {
    fn by(handle: &'h WakeHandle<'b>) -> Wakes<'h, 'b> {
        WAKES.store(ptr::from_ref(handle).cast_mut().cast(), Ordering::SeqCst);
        Wakes(PhantomData)
    }
}

impl Drop for Wakes<'_, '_> {
    fn drop(&mut self) {
        WAKES.store(ptr::null_mut(), Ordering::SeqCst);
        while WAKING.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
    }
}

/// A handler that is installed until it is dropped.
struct Handler {
    signal: libc::c_int,
    old: libc::sigaction,
}

impl Handler {
    fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> Handler {
        // SAFETY: all zeroes is a sigaction: no flags (so without SA_RESTART), an empty mask.
        let mut new: libc::sigaction = unsafe { core::mem::zeroed() };
        new.sa_sigaction = handler as libc::sighandler_t;
        let mut old = new;
        // SAFETY: a handler that is async-signal-safe, and locals.
        let set = unsafe { libc::sigaction(signal, &raw const new, &raw mut old) };
        assert_eq!(set, 0, "sigaction");
        Handler { signal, old }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // A signal may still be on its way to a thread: the default would end the process.
        if self.old.sa_sigaction == libc::SIG_DFL {
            self.old.sa_sigaction = libc::SIG_IGN;
        }
        // SAFETY: what was installed before, or nothing.
        let set =
            unsafe { libc::sigaction(self.signal, &raw const self.old, core::ptr::null_mut()) };
        debug_assert_eq!(set, 0, "sigaction");
    }
}

/// A signal handler wakes the backend whatever it interrupts, on every thread: nothing is lost, nothing deadlocks, and
/// the interrupted code's `errno` is what it was. (A million calls with `IO_TEST_ROUNDS=2000`.)
pub fn a_signal_handler_wakes_at_any_point<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let backend = rig.backend();
        let handle = backend.wake_handle();
        let (changed, before) = (CHANGED.load(Ordering::SeqCst), SEEN.load(Ordering::Relaxed));
        let wakes = Wakes::by(&handle);
        storm_of(wake, || {
            let rounds = rounds(500);
            let enough = before + rounds as usize;
            let mut round = 0;
            while SEEN.load(Ordering::Relaxed) < enough {
                mixed(rig, round);
                round += 1;
            }
            tell(rounds, "calls of the handler");
        });
        drop(wakes);
        assert_eq!(CHANGED.load(Ordering::SeqCst), changed, "errno in the interrupted code");
        mixed(rig, 0);
    });
}

/// Sends `SIGUSR1` to every other thread of this process, some thousand times a second, while `body` runs.
fn storm(body: impl FnOnce()) {
    storm_of(count, body);
}

/// The same with another handler.
fn storm_of(handler: extern "C" fn(libc::c_int), body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let before = SEEN.load(Ordering::Relaxed);
    let _handler = Handler::install(libc::SIGUSR1, handler);
    // What is pending for the handler when it goes would end the process.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: takes nothing.
            let me = unsafe { libc::syscall(libc::SYS_gettid) };
            let pid = std::process::id();
            while !over.load(Ordering::SeqCst) {
                for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
                    let id = task.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
                    if let Some(id) = id.filter(|&id| id != me) {
                        // SAFETY: takes numbers; a thread that is gone is an error.
                        unsafe { libc::syscall(libc::SYS_tgkill, pid, id, libc::SIGUSR1) };
                    }
                }
                // Never without a pause: a thread that sleeps, and is interrupted more often than the 50 µs of a
                // timer's slack, begins anew with more than it had left, and sleeps for ever.
                let pause = if rounds(1) < 100 { 200 } else { 50 };
                thread::sleep(Duration::from_micros(pause));
            }
        });
        let _over = Over(&over);
        body();
    });
    assert!(SEEN.load(Ordering::Relaxed) > before, "no signal was seen");
}

fn mixed<B: IoBackend>(rig: &Rig<'_, B>, round: u32) {
    let file = Desc::file(b"0123456789");
    let (reader, writer) = Desc::pipe();
    let (near, far) = Desc::pair();
    let mem = Mem::zeroed(4);
    let keep = [mem.clone()];
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, file.pread_op(&mem, 3), &keep), 4, "{form:?}");
        assert_eq!(mem.bytes(4), b"3456");
        assert_eq!(rig.run_as(form, writer.write_op(&mem), &keep), 4, "{form:?}");
        assert_eq!(rig.run_as(form, reader.read_op(&mem), &keep), 4, "{form:?}");
    }
    let echo = thread::spawn(move || {
        let got = far.get(4);
        // Late, so that the reader waits.
        thread::sleep(Duration::from_millis(2));
        far.put(&got);
    });
    let (count, _) =
        rig.block_on(rig.backend().send(near.clone(), round.to_le_bytes(), MsgFlags::empty()));
    assert_eq!(count, Ok(4));
    let (count, buf) = rig.block_on(rig.backend().recv(near, [0; 4], MsgFlags::empty()));
    assert_eq!((count, buf), (Ok(4), round.to_le_bytes()));
    echo.join().expect("the echo");
    let mut read = rig.raw(reader.read_op(&mem), &keep);
    assert!(rig.poll_once(read.as_mut()).is_pending());
    read.cancel();
    assert_eq!(read.wait(), Errno::CANCELED.to_result());
}

/// A mixed load under thousands of signals a second has the results of a quiet run.
pub fn a_storm_of_signals_changes_no_result<F: Fixture>(fx: &F) {
    storm(|| {
        fx.both(|rig| {
            for round in 0..rounds(50) {
                mixed(rig, round);
            }
            assert_eq!(rig.backend().stop(io_core::Deadline::NEVER), Ok(()));
        });
    });
}

/// A blocking wait goes on until its operation is done.
pub fn a_storm_of_signals_cuts_no_wait<F: Fixture>(fx: &F) {
    storm(|| {
        fx.both(|rig| {
            let (reader, writer) = Desc::pipe();
            let far = thread::spawn(move || {
                thread::sleep(Duration::from_millis(30));
                writer.put(b"x");
                writer
            });
            let begin = Instant::now();
            let mem = Mem::zeroed(1);
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert_eq!(read.wait(), 1, "a blocking wait was cut short");
            assert!(begin.elapsed() >= Duration::from_millis(25));
            drop(far.join());
        });
    });
}

/// A wait that a signal interrupts keeps its deadline: it ends on time, neither early nor anew.
pub fn a_storm_of_signals_moves_no_deadline<F: Fixture>(fx: &F) {
    storm(|| {
        fx.both(|rig| {
            let (reader, _writer) = Desc::pipe();
            let mem = Mem::zeroed(1);
            for form in Form::ALL {
                for op in [reader.read_op(&mem), Op::Timeout(io_core::op::Timeout)] {
                    let timeout = Duration::from_millis(25);
                    let (begin, deadline) = (Instant::now(), deadline_in(timeout));
                    let result = rig.run_timed(form, op, mem.only(), deadline);
                    let gone = Errno::TIMEDOUT.to_result();
                    let expected = if matches!(op, Op::Timeout(_)) { 0 } else { gone };
                    assert_eq!(result, expected, "{form:?}");
                    let took = begin.elapsed();
                    assert!(took >= timeout, "{form:?}: after {took:?}");
                    assert!(took < Duration::from_secs(2), "{form:?}: after {took:?}");
                }
            }
        });
    });
}

/// Connects that wait for room, from a blocking and from a non-blocking socket, and a poll beside them: an
/// interrupted `connect(2)` goes on by itself, and nobody hears of that.
pub fn a_storm_of_signals_cuts_no_connect<F: Fixture>(fx: &F) {
    fx.started(|rig| {
        storm(|| {
            let (full, (near, far)) = (Full::new(), Desc::pair());
            let sockets = [SocketFlags::NONBLOCK, SocketFlags::empty()]
                .map(|flags| plain(Family::INET, SocketKind::STREAM, flags));
            let mut ops: Vec<_> = sockets
                .iter()
                .map(|socket| rig.raw(connect(socket, &full.to), full.to.only()))
                .collect();
            let poll = Op::Poll(Poll { fd: near.raw(), events: PollEvents::IN });
            let mut ready = rig.raw(poll, &[]);
            assert!(rig.poll_once(ready.as_mut()).is_pending());
            for op in &mut ops {
                assert!(rig.poll_once(op.as_mut()).is_pending());
            }
            // Late, so that they wait; from elsewhere, because one of them may hold this thread.
            let release = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                far.put(b"x");
                for _ in 0..2 {
                    full.make_room();
                }
                (full, far)
            });
            for op in &mut ops {
                assert_eq!(rig.block_on(op.as_mut()), 0);
            }
            assert_eq!(rig.block_on(ready), i64::from(PollEvents::IN.bits()));
            drop(release.join());
        });
    });
}

/// `send` to a peer that is gone: `EPIPE`, and the process gets no signal.
pub fn a_send_to_nobody_raises_no_sigpipe<F: Fixture>(fx: &F) {
    let _handler = Handler::install(libc::SIGPIPE, count);
    let before = SEEN.load(Ordering::SeqCst);
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        drop(far);
        let mem = Mem::read_only(b"x");
        let (fd, buf, len) = (near.raw(), mem.ptr(), mem.len());
        for flags in [MsgFlags::empty(), MsgFlags::DONTWAIT, MsgFlags::MORE] {
            for form in Form::ALL {
                let op = Op::Send(Send { fd, flags, buf, len });
                let result = rig.run_as(form, op, mem.only());
                assert_eq!(result, Errno::PIPE.to_result(), "{form:?}");
            }
        }
    });
    assert_eq!(SEEN.load(Ordering::SeqCst), before, "a SIGPIPE was raised");
}

/// `write`, `writev` and `sendfile` to a broken pipe: `EPIPE`, and the `SIGPIPE` of the plain system call,
/// never more, on the thread that makes the call or enters the ring. A kernel worker of the ring, and a
/// thread that blocks the signal, raise none that is seen.
pub fn a_write_to_a_broken_pipe_raises_what_the_system_call_raises<F: Fixture>(fx: &F) {
    let _handler = Handler::install(libc::SIGPIPE, count);
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        drop(reader);
        let (mem, file) = (Mem::read_only(b"x"), Desc::file(b"x"));
        let iov = Mem::table(mem.only());
        let keep = [mem.clone(), iov.clone()];
        let (fd, out_fd, in_fd) = (writer.raw(), writer.raw(), file.raw());
        let writev = Op::Writev(Writev { fd, iov: iov.ptr().cast(), count: 1 });
        let sendfile = Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(0), len: 1 });
        for op in [writer.write_op(&mem), writev, sendfile] {
            let before = SEEN.load(Ordering::SeqCst);
            assert_eq!(rig.run_as(Form::Future, op, &keep), Errno::PIPE.to_result(), "{op:?}");
            let raised = SEEN.load(Ordering::SeqCst) - before;
            assert!(raised <= 1, "{raised} signals by {op:?}");
        }
    });
}
