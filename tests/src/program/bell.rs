//! [`Bell`]: the waker and the callback of one operation, which count, and run whatever the program has
//! planned to happen inside them.
#![allow(unsafe_code, reason = "a waker whose clone and drop are seen, and a callback's context")]
//! # Safety
//! The data of each waker is a counted bell, one count per waker. A callback's context is an address kept
//! valid by whoever submits it until the callback was called or the operation is gone.

use core::cell::RefCell;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};
use std::rc::Rc;
use std::sync::Arc;

/// Which code of the user's runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Wake,
    Clone,
    Drop,
    Callback,
}

/// Whoever acts inside wakers and callbacks.
pub(super) trait React {
    fn react(&self, operation: usize, place: Place);
}

thread_local! {
    /// The program that this thread runs. Wakers cannot hold it: they are `Send`, it is not.
    static RUNS: RefCell<Option<Rc<dyn React>>> = const { RefCell::new(None) };
}

/// Makes `react` the one that acts on this thread, until this is dropped.
#[derive(Debug)]
pub(super) struct Stage;

impl Stage {
    pub(super) fn enter(react: Rc<dyn React>) -> Stage {
        RUNS.set(Some(react));
        Stage
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        RUNS.set(None);
    }
}

fn react(operation: usize, place: Place) {
    let runs = RUNS.with_borrow(Clone::clone);
    if let Some(runs) = runs {
        runs.react(operation, place);
    }
}

/// Counts what one operation's wakers and callback hear.
#[derive(Debug)]
pub(super) struct Bell {
    operation: usize,
    wakes: AtomicU32,
    calls: AtomicU32,
    told: AtomicI64,
}

impl Bell {
    pub(super) fn new(operation: usize) -> Arc<Bell> {
        let (wakes, calls) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Bell { operation, wakes, calls, told: AtomicI64::new(i64::MIN) })
    }

    pub(super) fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// How often the callback was called.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What it was told last.
    pub(super) fn told(&self) -> i64 {
        self.told.load(Ordering::Relaxed)
    }

    pub(super) fn waker(self: &Arc<Bell>) -> Waker {
        // SAFETY: the functions below keep the contract: each waker has one count of the bell, whose
        // fields are atomics; and they may be called on any thread, though only this one reacts.
        unsafe { Waker::from_raw(raw(Arc::clone(self))) }
    }

    /// The context for [`call`].
    pub(super) fn context(self: &Arc<Bell>) -> *mut () {
        Arc::as_ptr(self).cast_mut().cast()
    }

    fn ring(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The callback. `context` is [`Bell::context`] of a bell that is kept.
pub(super) fn call(context: *mut (), result: i64) {
    // SAFETY: promised by who submitted it: the book keeps the bell as long as itself.
    let bell = unsafe { &*context.cast_const().cast::<Bell>() };
    bell.calls.fetch_add(1, Ordering::Relaxed);
    bell.told.store(result, Ordering::Relaxed);
    react(bell.operation, Place::Callback);
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn raw(bell: Arc<Bell>) -> RawWaker {
    RawWaker::new(Arc::into_raw(bell).cast(), &VTABLE)
}

/// # Safety
/// * `data` is of a waker that exists during the call.
unsafe fn look<'w>(data: *const ()) -> &'w Bell {
    // SAFETY: the waker has a count of it, promised by the caller.
    unsafe { &*data.cast::<Bell>() }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker exists.
    let operation = unsafe { look(data) }.operation;
    // SAFETY: the waker has a count, so that one more can be taken.
    unsafe { Arc::increment_strong_count(data.cast::<Bell>()) };
    // The new waker, so that its count is given back if the reaction unwinds.
    // SAFETY: it has the count taken above.
    let new = unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) };
    react(operation, Place::Clone);
    let data = new.data();
    core::mem::forget(new);
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker is given up, and its count is ours; dropped at the end without a reaction.
    let bell = unsafe { Arc::from_raw(data.cast::<Bell>()) };
    bell.ring();
    react(bell.operation, Place::Wake);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker exists.
    let bell = unsafe { look(data) };
    bell.ring();
    react(bell.operation, Place::Wake);
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker is given up, and its count is ours.
    let bell = unsafe { Arc::from_raw(data.cast::<Bell>()) };
    react(bell.operation, Place::Drop);
}
