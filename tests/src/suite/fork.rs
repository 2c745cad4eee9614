//! A forked child: what was in flight is the parent's, nothing of it runs or blocks here, and the backend
//! can be made new. The parent notices nothing.

use super::Case;
use crate::child::{ending_in_the_child, fork, split};
use crate::clock::deadline_in;
use crate::count_fds;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::raw::{Hook, Raw, TimedRaw, raw};
use crate::rig::{Form, Note, Rig};
use crate::skip::skip;
use crate::watchdog::rounds;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::{Cancel, Nop, OpenFlags, Timeout};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, InFlight, IoBackend, Op, Phase, Scope, StopError};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_child_finds_its_operations_dead::<F>).needs(Needs::Fork),
        Case::of(a_child_is_refused_everything::<F>).needs(Needs::Fork),
        Case::of(a_child_wakes_nobody::<F>).needs(Needs::Fork),
        Case::of(a_child_drops_the_backend::<F>).needs(Needs::Fork),
        Case::of(a_callback_that_forks_is_the_childs_last::<F>).needs(Needs::Fork),
        Case::of(a_child_that_does_nothing_disturbs_nothing::<F>).needs(Needs::Fork),
        Case::of(renewal_in_the_parent_is_ealready::<F>).needs(Needs::Fork),
        Case::of(a_renewed_backend_works::<F>).needs(Needs::Fork),
        Case::of(a_child_of_a_child::<F>).needs(Needs::Fork),
    ]
}

/// The cases of this module for backends that threads share.
#[must_use]
pub fn shared_cases<F: Fixture<Backend: Sync>>() -> Vec<Case<F>> {
    vec![
        Case::of(a_storm_of_forks_loses_nothing::<F>).needs(Needs::Fork),
        Case::of(another_thread_forks::<F>),
    ]
}

const NOP: Op = Op::Nop(Nop);
const ALL: Op = Op::Cancel(Cancel { scope: Scope::All });

fn dead() -> i64 {
    Errno::OWNERDEAD.to_result()
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type OneRaw<'b, B> = Pin<Box<Raw<Pin<&'b B>>>>;

/// Operations in flight in every form, as they are at the time of a fork.
struct Before<'b, B: IoBackend> {
    pipe: (Desc, Desc),
    wakes: Arc<Wakes>,
    note: Note,
    nop_note: Note,
    awaited: Option<OneRaw<'b, B>>,
    called: Option<OneRaw<'b, B>>,
    quiet: Option<OneRaw<'b, B>>,
    nop: Option<OneRaw<'b, B>>,
    sleep: Option<Pin<Box<TimedRaw<Pin<&'b B>>>>>,
    mem: Mem,
}

impl<'b, B: IoBackend> Before<'b, B> {
    fn new(rig: &Rig<'b, B>) -> Before<'b, B> {
        let (pipe, mem) = (Desc::pipe(), Mem::zeroed(1));
        let read = || rig.raw(pipe.0.read_op(&mem), mem.only());
        let (mut awaited, mut called, mut quiet) = (read(), read(), read());
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(awaited.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (note, nop_note) = (Note::new(rig.signal()), Note::new(rig.signal()));
        called.submit_callback(note.hook()).expect("submit");
        quiet.submit().expect("submit");
        let hour = deadline_in(Duration::from_secs(3600));
        let mut sleep = rig.timed(Op::Timeout(Timeout), &[], hour);
        sleep.submit().expect("submit");
        // Last: on a backend that nobody polls it is not delivered.
        let mut nop = rig.raw(NOP, &[]);
        nop.submit_callback(nop_note.hook()).expect("submit");
        let (awaited, called, quiet) = (Some(awaited), Some(called), Some(quiet));
        let (nop, sleep) = (Some(nop), Some(sleep));
        Before { pipe, wakes, note, nop_note, awaited, called, quiet, nop, sleep, mem }
    }

    /// In a child: each is dead when it is touched, nobody hears of it, and nothing blocks.
    fn check_dead(&mut self) {
        let nop_calls = self.nop_note.calls();
        let mut cx = Context::from_waker(Waker::noop());
        let awaited = self.awaited.as_mut().expect("once");
        assert_eq!(awaited.as_mut().poll(&mut cx), Poll::Ready(dead()));
        assert_eq!(awaited.phase(), Phase::Done);
        let called = self.called.as_mut().expect("once");
        called.cancel();
        assert_eq!(called.wait(), dead());
        let sleep = self.sleep.as_mut().expect("once");
        sleep.cancel();
        assert_eq!(sleep.wait(), dead());
        assert_eq!(sleep.result(), Some(dead()));
        // Dropped untouched.
        drop((self.quiet.take(), self.nop.take()));
        drop((self.awaited.take(), self.called.take(), self.sleep.take()));
        assert_eq!(self.wakes.0.load(Ordering::SeqCst), 0, "a waker ran");
        assert_eq!(self.note.calls(), 0, "a callback ran");
        assert_eq!(self.nop_note.calls(), nop_calls, "a callback ran");
    }

    /// In the parent: each ends as if there had been no fork.
    fn check_intact(mut self, rig: &Rig<'b, B>) {
        self.pipe.1.put(b"xxx");
        assert_eq!(self.quiet.as_mut().expect("here").wait(), 1);
        let mut awaited = self.awaited.take().expect("here");
        assert_eq!(rig.block_on(awaited.as_mut()), 1);
        assert_eq!(self.note.wait(rig), 1);
        assert_eq!(self.nop_note.wait(rig), 0);
        assert_eq!(self.mem.bytes(1), b"x");
        let sleep = self.sleep.as_mut().expect("here");
        assert_ne!(sleep.phase(), Phase::Done, "the sleep is over");
        sleep.cancel();
        assert_eq!(sleep.wait(), Errno::CANCELED.to_result());
        drop((self.called, self.nop));
        rig.until_seen(|| rig.backend().in_flight() == 0);
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    }
}

/// Operations from before are dead in the child and alive in the parent, whether or not the kernel or a
/// worker has them.
pub fn a_child_finds_its_operations_dead<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let mut before = Before::new(rig);
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            fork(|| before.check_dead()).join("touches its operations");
            before.check_intact(rig);
        }
    });
}

/// Until it is made new, a child's backend takes and does nothing, and says so at once.
pub fn a_child_is_refused_everything<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let before = Before::new(rig);
        fork(|| refused(rig)).join("uses the parent's backend");
        before.check_intact(rig);
    });
}

fn refused<B: IoBackend>(rig: &Rig<'_, B>) {
    let be = rig.backend();
    assert_eq!(be.generation(), 0);
    for timeout in [None, Some(Duration::ZERO), Some(Duration::from_secs(3600))] {
        assert_eq!(be.poll(timeout), Err(Errno::OWNERDEAD));
    }
    assert_eq!(be.flush(), Err(Errno::OWNERDEAD));
    assert_eq!(be.start(), Err(Errno::OWNERDEAD));
    for deadline in [Deadline::NOW, Deadline::NEVER] {
        assert_eq!(be.stop(deadline), Err(StopError::WrongPlace(Errno::OWNERDEAD)));
    }
    // They may say anything, but return.
    assert_eq!(be.in_flight(), 0, "the parent's are not ours");
    let _ = (be.counters(), be.route(&NOP), be.dump(&mut [InFlight::EMPTY; 4]));
    let mut raw = rig.raw(NOP, &[]);
    assert_eq!(raw.submit(), Err(Errno::OWNERDEAD));
    assert_eq!(raw.wait(), dead());
    let note = Note::new(rig.signal());
    let mut called = rig.raw(NOP, &[]);
    assert_eq!(called.submit_callback(note.hook()), Err(Errno::OWNERDEAD));
    let file = Desc::file(b"data");
    let mem = Mem::filled(4, 0xaa);
    let mut waited = rig.raw(file.pread_op(&mem, 0), mem.only());
    assert_eq!(waited.wait(), dead());
    let mut timed = rig.timed(Op::Timeout(Timeout), &[], Deadline::NOW);
    assert_eq!(timed.wait(), dead());
    let mut cx = Context::from_waker(Waker::noop());
    let read = pin!(be.pread(file.clone(), [7_u8; 4], 0));
    assert_eq!(read.poll(&mut cx), Poll::Ready((Err(Errno::OWNERDEAD), [7; 4])));
    assert_eq!(pin!(be.cancel_all()).poll(&mut cx), Poll::Ready(Err(Errno::OWNERDEAD)));
    assert_eq!(be.submit_read_sync(&file, &mut [0; 4], 0), Err(Errno::OWNERDEAD));
    assert!(mem.all(0xaa));
    assert_eq!(note.calls(), 0);
}

/// A wake, a signal or a submit in the child does not reach the parent's poll.
pub fn a_child_wakes_nobody<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        rig.poll(Some(Duration::from_millis(1)));
        let wake = || {
            for _ in 0..10 {
                rig.backend().get_ref().wake_handle().wake();
                assert_eq!(rig.raw(NOP, &[]).submit(), Err(Errno::OWNERDEAD));
            }
        };
        fork(wake).join("wakes the parent's backend");
        let begin = Instant::now();
        assert_eq!(rig.poll(Some(Duration::from_millis(20))), 0);
        assert!(begin.elapsed() >= Duration::from_millis(20), "the child woke the parent");
    });
}

/// Dropped in the child, the backend gives its descriptors back and waits for nobody.
pub fn a_child_drops_the_backend<F: Fixture>(fx: &F) {
    let start = count_fds();
    ending_in_the_child(|| {
        let in_child = fx.unstarted(|rig| {
            let mut before = Before::new(rig);
            rig.poll(Some(Duration::ZERO));
            match split() {
                None => {
                    before.check_dead();
                    true
                }
                Some(child) => {
                    child.join("drops the backend");
                    before.check_intact(rig);
                    false
                }
            }
        });
        assert!(!in_child || count_fds() <= start, "descriptors of the backend are open");
    });
}

/// A callback forks and returns in the child: the other callbacks are the parent's, and run there alone.
pub fn a_callback_that_forks_is_the_childs_last<F: Fixture>(fx: &F) {
    ending_in_the_child(|| {
        fx.unstarted(|rig| {
            let ran = Arc::new(AtomicUsize::new(0));
            let in_child = Arc::new(AtomicBool::new(false));
            let child = Arc::new(Mutex::new(None));
            let hook = {
                let (ran, in_child, child) = (ran.clone(), in_child.clone(), child.clone());
                Hook::new(move |_| {
                    if ran.fetch_add(1, Ordering::SeqCst) == 3 {
                        let forked = split();
                        in_child.store(forked.is_none(), Ordering::SeqCst);
                        *child.lock().expect("one thread") = forked;
                    }
                })
            };
            let mut nops: Vec<_> = (0..64).map(|_| rig.raw(NOP, &[])).collect();
            for nop in &mut nops {
                nop.submit_callback(&hook).expect("submit");
            }
            while ran.load(Ordering::SeqCst) < 64 {
                let polled = rig.backend().poll(Some(Duration::from_millis(1)));
                if in_child.load(Ordering::SeqCst) {
                    // The poll that it returned into may say what it likes.
                    assert_eq!(ran.load(Ordering::SeqCst), 4, "the parent's callbacks ran");
                    assert_eq!(rig.backend().poll(None), Err(Errno::OWNERDEAD));
                    return;
                }
                polled.expect("poll");
            }
            let child = child.lock().expect("one thread").take();
            child.expect("a child").join("returns from a callback");
            assert_eq!(ran.load(Ordering::SeqCst), 64);
            assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        });
    });
}

/// A child that ends, or runs another program, without a call of the library.
pub fn a_child_that_does_nothing_disturbs_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..3 {
            let before = Before::new(rig);
            rig.poll(Some(Duration::ZERO));
            fork(|| ()).join("does nothing");
            let ran = std::process::Command::new("true").status().expect("true");
            assert!(ran.success());
            before.check_intact(rig);
        }
    });
}

/// Skips a fixture that cannot renew its backends. In the parent it is refused.
fn renewable<F: Fixture>(fx: &F, rig: &Rig<'_, F::Backend>) {
    match fx.reinit(rig.backend()) {
        None => skip("this fixture does not make its backends new"),
        refused => assert_eq!(refused, Some(Err(Errno::ALREADY))),
    }
}

/// Makes the backend new, in a child.
fn renew<'b, F: Fixture>(fx: &F, backend: Pin<&'b F::Backend>) -> Rig<'b, F::Backend> {
    assert_eq!(backend.generation(), 0);
    assert_eq!(fx.reinit(backend), Some(Ok(())));
    assert_ne!(backend.generation(), 0);
    assert_eq!(backend.in_flight(), 0);
    Rig::new(backend)
}

/// There is nothing to renew in the process that made the backend, and it goes on.
pub fn renewal_in_the_parent_is_ealready<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let before = Before::new(rig);
        renewable(fx, rig);
        before.check_intact(rig);
    });
}

/// What a backend does for a living.
fn works<B: IoBackend>(rig: &Rig<'_, B>) {
    let be = rig.backend();
    let file = Desc::file(b"0123");
    let (reader, writer) = Desc::pipe();
    let mem = Mem::zeroed(4);
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, NOP, &[]), 0, "{form:?}");
        assert_eq!(rig.run_as(form, file.pread_op(&mem, 0), mem.only()), 4, "{form:?}");
        assert_eq!(mem.bytes(4), b"0123", "{form:?}");
        assert_eq!(rig.run_as(form, writer.write_op(&mem), mem.only()), 4, "{form:?}");
        assert_eq!(rig.run_as(form, reader.read_op(&mem), mem.only()), 4, "{form:?}");
        assert_eq!(rig.run_as(form, ALL, &[]), 0, "{form:?}");
    }
    let mut read = rig.raw(reader.read_op(&mem), mem.only());
    assert!(rig.poll_once(read.as_mut()).is_pending());
    rig.poll(Some(Duration::ZERO));
    writer.put(b"data");
    assert_eq!(rig.block_on(read.as_mut()), 4);
    read.reset(reader.read_op(&mem)).expect("reset");
    read.submit().expect("submit");
    read.cancel();
    assert_eq!(read.wait(), Errno::CANCELED.to_result());
    assert_eq!(rig.block_on(be.fsync(file)), Ok(()));
    let opened = rig.block_on(be.open(c"/dev/null", OpenFlags::CLOEXEC, 0)).expect("open");
    assert_eq!(rig.block_on(be.close(opened)), Ok(()));
    let late = be.read(reader, [0_u8; 1]).with_timeout(Duration::from_millis(2));
    assert_eq!(rig.block_on(late).0, Err(Errno::TIMEDOUT));
    assert_eq!(be.stop(Deadline::NEVER), Ok(()));
    assert_eq!(rig.run(NOP, &[]), Errno::CANCELED.to_result());
    assert_eq!(be.start(), Ok(()));
    assert_eq!(rig.block_on(be.nop()), Ok(()));
    assert_eq!(be.in_flight(), 0);
}

/// Made new in the child, the backend works there; what is from before stays dead, and the parent's stays
/// alive. A second renewal is refused.
pub fn a_renewed_backend_works<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        renewable(fx, rig);
        for polled in [false, true] {
            let mut before = Before::new(rig);
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            let renewed = || {
                let new = renew(fx, rig.backend());
                assert_eq!(fx.reinit(rig.backend()), Some(Err(Errno::ALREADY)));
                works(&new);
                before.check_dead();
                works(&new);
            };
            fork(renewed).join("makes the backend new");
            before.check_intact(rig);
        }
    });
}

/// A child's child, of a child that made its backend new and of one that did not; each level's operations
/// are its own.
pub fn a_child_of_a_child<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        renewable(fx, rig);
        let mut before = Before::new(rig);
        rig.poll(Some(Duration::ZERO));
        for renewed in [false, true] {
            let child = || {
                let new = renewed.then(|| renew(fx, rig.backend()));
                let mut own = new.as_ref().map(Before::new);
                let grandchild = || {
                    if let Some(own) = &mut own {
                        own.check_dead();
                    }
                    let newest = renew(fx, rig.backend());
                    works(&newest);
                    before.check_dead();
                };
                fork(grandchild).join("is a child's child");
                if let (Some(new), Some(own)) = (&new, own) {
                    own.check_intact(new);
                    works(new);
                }
                before.check_dead();
            };
            fork(child).join("has a child");
        }
        before.check_intact(rig);
    });
}

/// Runs a future on a thread that does not drive the backend.
fn park_on<T: Future>(future: T) -> T::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Says that a thread has left, also when it panics.
struct Leave<'a>(&'a AtomicUsize, &'a crate::rig::Signal);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.raise();
    }
}

/// Ends the threads of a test, also when it panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Numbers through a pipe, each with an operation that has a deadline to come, until it is over.
fn stream<B: IoBackend>(be: Pin<&B>, over: &AtomicBool) -> u32 {
    let (reader, writer) = Desc::pipe();
    let mut number = 0_u32;
    while !over.load(Ordering::SeqCst) {
        let read = be.read(reader.clone(), [0_u8; 4]).with_timeout(Duration::from_secs(60));
        let mut read = pin!(read);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read.as_mut().poll(&mut cx).is_pending());
        assert_eq!(park_on(be.write(writer.clone(), number.to_le_bytes())).0, Ok(4));
        assert_eq!(park_on(read.as_mut()), (Ok(4), number.to_le_bytes()));
        let mut raw = raw(be, NOP, &[]);
        assert_eq!(park_on(raw.as_mut()), 0);
        number += 1;
    }
    number
}

/// A hundred forks while four threads submit as fast as they can, with operations in flight and the
/// backend's lock taken at any moment: the children are not blocked by it, and nothing is lost.
pub fn a_storm_of_forks_loses_nothing<F: Fixture<Backend: Sync>>(fx: &F) {
    fx.both(|rig| {
        rig.poll(Some(Duration::ZERO));
        let can_renew = fx.reinit(rig.backend()).is_some();
        let (over, running) = (AtomicBool::new(false), AtomicUsize::new(4));
        let mut before = Before::new(rig);
        thread::scope(|scope| {
            let streams: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let _leave = Leave(&running, rig.signal());
                        stream(rig.backend(), &over)
                    })
                })
                .collect();
            let end = End(&over);
            for round in 0..rounds(50) {
                for _ in 0..3 {
                    rig.poll(Some(Duration::from_micros(50)));
                }
                let child = || {
                    assert_eq!(rig.backend().poll(None), Err(Errno::OWNERDEAD));
                    before.check_dead();
                    if round % 4 == 0 && can_renew {
                        works(&renew(fx, rig.backend()));
                    }
                };
                fork(child).join("is one of many");
            }
            drop(end);
            rig.until(|| running.load(Ordering::SeqCst) == 0);
            for stream in streams {
                assert!(stream.join().expect("a thread") > 0, "nothing went through");
            }
        });
        before.check_intact(rig);
    });
}

/// The thread that forks need not be the one that drives.
pub fn another_thread_forks<F: Fixture<Backend: Sync>>(fx: &F) {
    fx.both(|rig| {
        rig.poll(Some(Duration::ZERO));
        let can_renew = fx.reinit(rig.backend()).is_some();
        let mut before = Before::new(rig);
        thread::scope(|scope| {
            let forks = scope.spawn(|| {
                let child = || {
                    before.check_dead();
                    if can_renew {
                        works(&renew(fx, rig.backend()));
                    }
                };
                fork(child).join("is of another thread");
            });
            forks.join().expect("the other thread");
        });
        before.check_intact(rig);
    });
}
