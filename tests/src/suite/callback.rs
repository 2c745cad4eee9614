//! Callbacks and wakers are user code: they run outside of submit, with nothing held, and may do anything.
#![allow(unsafe_code, reason = "callbacks reach the test's state by address")]
//! # Safety
//! Each callback's context points to a local of the test that outlives every operation it is given to.

use super::Case;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::{Hook, Raw};
use crate::rig::{Note, Rig};
use crate::watchdog::rounds;
use core::cell::{Cell, RefCell};
use core::future::Future as _;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::Nop;
use io_core::ops::Ops;
use io_core::{Deadline, Errno, IoBackend, Op, Phase, StopError};
use std::panic::{catch_unwind, panic_any};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(callbacks_never_run_inside_submit::<F>),
        Case::of(a_dropped_operation_is_not_called_back::<F>),
        Case::of(polling_an_operation_keeps_its_callback::<F>),
        Case::of(a_chain_of_resubmits_does_not_grow_the_stack::<F>),
        Case::of(a_callback_that_resubmits_for_ever_lets_poll_return::<F>),
        Case::of(a_callback_may_drop_another_operation::<F>),
        Case::of(a_callback_may_cancel_another_operation::<F>),
        Case::of(a_callback_may_wait_for_another_operation::<F>),
        Case::of(a_callback_may_poll::<F>),
        Case::of(a_wait_delivers_nothing::<F>),
        Case::of(a_panic_in_a_callback_does_not_stop_the_others::<F>),
        Case::of(a_panic_in_a_waker_does_not_stop_the_others::<F>),
        Case::of(stop_from_a_callback_is_refused::<F>),
        Case::of(stop_from_a_waker_is_refused::<F>),
        Case::of(a_callback_may_cancel_all::<F>),
        Case::of(a_callback_may_drop_those_whose_turn_is_next::<F>),
    ]
}

const NOP: Op = Op::Nop(Nop);

/// `submit` runs no user code, also when the operation is over at once.
pub fn callbacks_never_run_inside_submit<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"abc");
        let mem = Mem::zeroed(3);
        let lseek = file.lseek_op(0, 1);
        let refused = file.pread_op(&mem, -1);
        for op in [NOP, file.pread_op(&mem, 0), lseek, refused] {
            let inside = Arc::new(AtomicBool::new(false));
            let bad = Arc::new(AtomicBool::new(false));
            let done = Arc::new(AtomicUsize::new(0));
            let signal = Arc::clone(rig.signal());
            let here = thread::current().id();
            let hook = {
                let (inside, bad, done) = (inside.clone(), bad.clone(), done.clone());
                Hook::new(move |_| {
                    let same = thread::current().id() == here;
                    if same && inside.load(Ordering::SeqCst) {
                        bad.store(true, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    signal.raise();
                })
            };
            let mut raw = rig.raw(op, mem.only());
            inside.store(true, Ordering::SeqCst);
            raw.submit_callback(&hook).expect("submit");
            inside.store(false, Ordering::SeqCst);
            rig.until(|| done.load(Ordering::SeqCst) == 1);
            assert!(!bad.load(Ordering::SeqCst), "{op:?}: called back inside submit");
        }
    });
}

/// Dropping an operation drops its callback.
pub fn a_dropped_operation_is_not_called_back<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let note = Note::new(rig.signal());
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit_callback(note.hook()).expect("submit");
        drop(read);
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        assert_eq!(note.calls(), 0);
    });
}

/// An operation that has a callback may be polled: that looks, and takes nothing from the callback.
pub fn polling_an_operation_keeps_its_callback<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(4);
        for op in [NOP, reader.read_op(&mem)] {
            let note = Note::new(rig.signal());
            let mut raw = rig.raw(op, mem.only());
            raw.submit_callback(note.hook()).expect("submit");
            for _ in 0..3 {
                let looked = rig.poll_once(raw.as_mut());
                assert!(looked.is_pending() || raw.phase() == Phase::Done, "{op:?}");
            }
            writer.put(b"data");
            let result = note.wait(rig);
            assert_eq!(rig.poll_once(raw.as_mut()), Poll::Ready(result), "{op:?}");
            assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            assert_eq!(note.calls(), 1, "{op:?}");
        }
    });
}

type Slot<'b, B> = RefCell<Option<Pin<Box<Raw<Pin<&'b B>>>>>>;

struct Chain<'r, 'b, B: IoBackend> {
    rig: &'r Rig<'b, B>,
    // Two storages in turn: the one whose callback runs is done, but its callback is on the stack.
    slots: [Slot<'b, B>; 2],
    left: Cell<u32>,
    highest: Cell<usize>,
    lowest: Cell<usize>,
    failed: Cell<Option<i64>>,
}

impl<B: IoBackend> Chain<'_, '_, B> {
    fn submit(&self) {
        let turn = usize::from(self.left.get() % 2 == 1);
        let mut slot = self.slots[turn].borrow_mut();
        let raw = slot.get_or_insert_with(|| self.rig.raw(NOP, &[]));
        raw.reset(NOP).expect("the storage of two callbacks ago");
        let context = core::ptr::from_ref(self).cast_mut().cast();
        raw.op().submit_with_callback(Self::step, context).expect("submit");
    }

    fn step(context: *mut (), result: i64) {
        // SAFETY: the chain is a local of the test below that is not left before its last step, and on a
        // backend that runs callbacks elsewhere, one step runs at a time: each submits the next.
        let chain = unsafe { &*context.cast::<Self>() };
        let mark = 0_u8;
        let depth = (&raw const mark).addr();
        chain.highest.set(chain.highest.get().max(depth));
        chain.lowest.set(chain.lowest.get().min(depth));
        if result != 0 {
            chain.failed.set(Some(result));
        }
        let left = chain.left.get() - 1;
        chain.left.set(left);
        if left > 0 {
            chain.submit();
        } else {
            chain.rig.signal().raise();
        }
    }
}

/// A callback submits the next operation, 100 000 times over, and the stack stays where it is.
///
/// On a backend that is not started: there the callbacks run on this thread.
pub fn a_chain_of_resubmits_does_not_grow_the_stack<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let chain = Chain {
            rig,
            slots: [RefCell::new(None), RefCell::new(None)],
            left: Cell::new(rounds(100_000)),
            highest: Cell::new(0),
            lowest: Cell::new(usize::MAX),
            failed: Cell::new(None),
        };
        chain.submit();
        rig.until(|| chain.left.get() == 0);
        assert_eq!(chain.failed.get(), None);
        let spread = chain.highest.get() - chain.lowest.get();
        assert!(spread < 64 * 1024, "the stack grew by {spread} bytes");
    });
}

/// One poll delivers what is there when it begins, not what its callbacks add.
pub fn a_callback_that_resubmits_for_ever_lets_poll_return<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let chain = Chain {
            rig,
            slots: [RefCell::new(None), RefCell::new(None)],
            left: Cell::new(u32::MAX),
            highest: Cell::new(0),
            lowest: Cell::new(usize::MAX),
            failed: Cell::new(None),
        };
        chain.submit();
        for _ in 0..100 {
            // Would not return.
            let delivered = rig.poll(Some(Duration::ZERO));
            assert!(delivered < 1000, "{delivered} in one poll");
        }
        assert!(chain.left.get() < u32::MAX, "it went on");
    });
}

struct Pair<'b, B: IoBackend> {
    backend: Pin<&'b B>,
    other: Slot<'b, B>,
    act: fn(&Self),
    calls: Cell<u32>,
}

impl<B: IoBackend> Pair<'_, B> {
    fn act(context: *mut (), _: i64) {
        // SAFETY: the pair is a local of `with_pair` that outlives the operation; on a backend that is
        // not started the callback runs on this thread.
        let pair = unsafe { &*context.cast::<Self>() };
        pair.calls.set(pair.calls.get() + 1);
        (pair.act)(pair);
    }
}

/// Runs `act` in the callback of a nop while a read of an empty pipe is in flight.
fn with_pair<'b, B: IoBackend>(
    rig: &Rig<'b, B>,
    act: fn(&Pair<'b, B>),
    after: impl FnOnce(&Pair<'b, B>),
) {
    let (reader, writer) = Desc::pipe();
    let mem = Mem::filled(4, 0xaa);
    let mut read = rig.raw(reader.read_op(&mem), mem.only());
    read.submit().expect("submit");
    let other = RefCell::new(Some(read));
    let pair = Pair { backend: rig.backend(), other, act, calls: Cell::new(0) };
    let mut nop = rig.raw(NOP, &[]);
    let context = core::ptr::from_ref(&pair).cast_mut().cast();
    nop.op().submit_with_callback(Pair::<B>::act, context).expect("submit");
    rig.until_seen(|| pair.calls.get() > 0);
    after(&pair);
    assert_eq!(pair.calls.get(), 1);
    drop(pair);
    assert!(mem.all(0xaa), "a read that found nothing wrote");
    writer.put(b"late");
    assert_eq!(reader.get(4), b"late");
    assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
}

/// A callback drops an operation in flight, which waits for it.
pub fn a_callback_may_drop_another_operation<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        with_pair(rig, |pair| *pair.other.borrow_mut() = None, |_| ());
    });
}

/// A callback cancels an operation in flight.
pub fn a_callback_may_cancel_another_operation<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let cancel = |pair: &Pair<'_, F::Backend>| {
            pair.other.borrow_mut().as_mut().expect("the read").cancel();
        };
        with_pair(rig, cancel, |pair| {
            let mut other = pair.other.borrow_mut();
            assert_eq!(other.as_mut().expect("the read").wait(), Errno::CANCELED.to_result());
        });
    });
}

/// A callback blocks until another operation is done.
pub fn a_callback_may_wait_for_another_operation<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let wait = |pair: &Pair<'_, F::Backend>| {
            let mut nop = crate::raw::raw(pair.backend, NOP, &[]);
            assert_eq!(nop.wait(), 0);
        };
        with_pair(rig, wait, |_| ());
    });
}

/// A callback polls the backend that runs it: it is refused or does something, but neither hangs nor
/// delivers the callback's own operation again.
pub fn a_callback_may_poll<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let poll = |pair: &Pair<'_, F::Backend>| {
            // Refused or not: the contract leaves it open.
            let _ = pair.backend.poll(Some(Duration::ZERO));
            let _ = pair.backend.flush();
        };
        with_pair(rig, poll, |_| ());
    });
}

/// A wait for one operation runs nobody else's callback; the next poll does.
pub fn a_wait_delivers_nothing<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let notes: Vec<Note> = (0..10).map(|_| Note::new(rig.signal())).collect();
        let mut raws: Vec<_> = notes.iter().map(|_| rig.raw(NOP, &[])).collect();
        for (raw, note) in raws.iter_mut().zip(&notes) {
            raw.submit_callback(note.hook()).expect("submit");
        }
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        writer.put(b"x");
        assert_eq!(read.wait(), 1);
        assert!(notes.iter().all(|note| note.calls() == 0), "a wait delivered");
        rig.until_seen(|| notes.iter().all(|note| note.calls() == 1));
    });
}

struct Intended;

/// Polls until `done`, catching the panics of user code; returns how many there were.
fn poll_through_panics<B: IoBackend>(rig: &Rig<'_, B>, mut done: impl FnMut() -> bool) -> usize {
    let mut panics = 0;
    while !done() {
        let poll = AssertUnwindSafe(|| rig.poll(Some(Duration::from_millis(1))));
        if let Err(payload) = catch_unwind(poll) {
            assert!(payload.is::<Intended>(), "another panic");
            panics += 1;
        }
    }
    panics
}

/// Without the panic hook's message: these panics are wanted.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let old = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| {
        if !info.payload().is::<Intended>() {
            eprintln!("{info}");
        }
    }));
    let result = catch_unwind(AssertUnwindSafe(run));
    std::panic::set_hook(old);
    result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// 64 callbacks, one of them panics: the panic comes out of poll, and each of the others runs once.
pub fn a_panic_in_a_callback_does_not_stop_the_others<F: Fixture>(fx: &F) {
    quietly(|| {
        for position in [0, 1, 31, 62, 63] {
            fx.unstarted(|rig| {
                let counts: Arc<Vec<AtomicUsize>> =
                    Arc::new((0..64).map(|_| AtomicUsize::new(0)).collect());
                let mut raws: Vec<_> = (0..64).map(|_| rig.raw(NOP, &[])).collect();
                for (i, raw) in raws.iter_mut().enumerate() {
                    let counts = Arc::clone(&counts);
                    let hook = Hook::new(move |_| {
                        counts[i].fetch_add(1, Ordering::SeqCst);
                        if i == position {
                            panic_any(Intended);
                        }
                    });
                    raw.submit_callback(&hook).expect("submit");
                }
                let all = || counts.iter().all(|count| count.load(Ordering::SeqCst) >= 1);
                assert_eq!(poll_through_panics(rig, all), 1, "position {position}");
                assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1));
                assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            });
        }
    });
}

struct Bomb {
    armed: bool,
    wakes: AtomicUsize,
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        if self.armed {
            panic_any(Intended);
        }
    }
}

/// 64 wakers, one of them panics: each of the others is woken.
pub fn a_panic_in_a_waker_does_not_stop_the_others<F: Fixture>(fx: &F) {
    quietly(|| {
        for position in [0, 31, 63] {
            fx.unstarted(|rig| {
                let pipes: Vec<_> = (0..64).map(|_| Desc::pipe()).collect();
                let mem = Mem::zeroed(64);
                let bomb = |i| Arc::new(Bomb { armed: i == position, wakes: AtomicUsize::new(0) });
                let bombs: Vec<_> = (0..64).map(bomb).collect();
                let mut reads = Vec::new();
                for ((reader, _), bomb) in pipes.iter().zip(&bombs) {
                    let mut read = rig.raw(reader.read_op(&mem), mem.only());
                    let waker = Waker::from(Arc::clone(bomb));
                    let first = read.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(first.is_pending());
                    reads.push(read);
                }
                for (_, writer) in &pipes {
                    writer.put(b"x");
                }
                let all = || bombs.iter().all(|bomb| bomb.wakes.load(Ordering::SeqCst) >= 1);
                assert_eq!(poll_through_panics(rig, all), 1, "position {position}");
                for read in &mut reads {
                    assert_eq!(read.result(), Some(1));
                }
            });
        }
    });
}

/// `stop` inside a callback would wait for itself: it is refused, nothing is stopped, and all goes on.
pub fn stop_from_a_callback_is_refused<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let stop = |pair: &Pair<'_, F::Backend>| {
            for deadline in [Deadline::NOW, Deadline::NEVER] {
                let stopped = pair.backend.stop(deadline);
                assert_eq!(stopped, Err(StopError::WrongPlace(Errno::DEADLK)));
            }
            let mut nop = crate::raw::raw(pair.backend, NOP, &[]);
            assert_eq!(nop.wait(), 0, "it was stopped");
        };
        with_pair(rig, stop, |pair| {
            let mut other = pair.other.borrow_mut();
            assert_ne!(other.as_ref().expect("the read").phase(), Phase::Done);
            *other = None;
        });
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()), "outside of it");
        assert_eq!(rig.backend().start(), Ok(()));
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// A waker that stops the backend.
struct Stopper<B> {
    backend: *const B,
    answers: Mutex<Vec<Result<(), StopError>>>,
}

// SAFETY: the address is used by the test's own thread alone, which is the one that polls.
unsafe impl<B> Send for Stopper<B> {}
// SAFETY: as for `Send`.
unsafe impl<B> Sync for Stopper<B> {}

impl<B: IoBackend + 'static> Wake for Stopper<B> {
    fn wake(self: Arc<Self>) {
        // SAFETY: the backend is the rig's, and outlives the operation whose waker this is.
        let stopped = unsafe { &*self.backend }.stop(Deadline::NEVER);
        self.answers.lock().expect("one thread").push(stopped);
    }
}

/// The same inside a waker.
pub fn stop_from_a_waker_is_refused<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let backend = core::ptr::from_ref(rig.backend().get_ref());
        let stopper = Arc::new(Stopper { backend, answers: Mutex::new(Vec::new()) });
        let waker = Waker::from(Arc::clone(&stopper));
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        writer.put(b"x");
        rig.until_seen(|| !stopper.answers.lock().expect("one thread").is_empty());
        let refused = vec![Err(StopError::WrongPlace(Errno::DEADLK))];
        assert_eq!(*stopper.answers.lock().expect("one thread"), refused);
        assert_eq!(read.result(), Some(1));
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// A callback cancels everything and asks how much that was.
pub fn a_callback_may_cancel_all<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let cancel = |pair: &Pair<'_, F::Backend>| {
            let all = Op::Cancel(io_core::op::Cancel { scope: io_core::Scope::All });
            assert_eq!(crate::raw::raw(pair.backend, all, &[]).wait(), 1);
        };
        with_pair(rig, cancel, |pair| {
            let mut other = pair.other.borrow_mut();
            assert_eq!(other.as_mut().expect("the read").wait(), Errno::CANCELED.to_result());
        });
    });
}

type Raws<'b, B> = Vec<Pin<Box<Raw<Pin<&'b B>>>>>;

struct Others<'b, B: IoBackend> {
    rest: RefCell<Raws<'b, B>>,
    calls: Cell<u32>,
}

/// The first callback of a batch drops the other 63, whose results are there: they are not called, and
/// nothing recurses.
pub fn a_callback_may_drop_those_whose_turn_is_next<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let others = Others { rest: RefCell::new(Vec::new()), calls: Cell::new(0) };
        let act: io_core::CompletionFn = |context, _| {
            // SAFETY: `others` is a local of this test that outlives every operation; this thread polls.
            let others = unsafe { &*context.cast::<Others<'_, F::Backend>>() };
            others.calls.set(others.calls.get() + 1);
            drop(others.rest.take());
        };
        let context = core::ptr::from_ref(&others).cast_mut().cast();
        let (file, mem) = (Desc::file(b"data"), Mem::zeroed(4));
        let mut first = rig.raw(NOP, &[]);
        first.op().submit_with_callback(act, context).expect("submit");
        for i in 0..63 {
            let op = if i % 2 == 0 { NOP } else { file.pread_op(&mem, 0) };
            let mut raw = rig.raw(op, mem.only());
            raw.op().submit_with_callback(act, context).expect("submit");
            others.rest.borrow_mut().push(raw);
        }
        rig.until_seen(|| others.calls.get() > 0);
        rig.poll(Some(Duration::ZERO));
        // Which is the first is not said: one that runs drops all that are not `first`.
        assert!(others.calls.get() <= 2, "{} callbacks ran", others.calls.get());
        assert!(others.rest.borrow().is_empty());
        rig.until_seen(|| rig.backend().in_flight() == 0);
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}
