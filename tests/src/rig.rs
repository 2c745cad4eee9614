//! [`Rig`]: a backend and the thread that drives it, as a test sees them.
#![allow(unsafe_code, reason = "a waker outlives the borrow of the backend it wakes")]
//! # Safety
//! A [`Signal`] reaches the backend only while its rig exists: the rig takes the handle out, under the
//! lock that each wake holds, before it is dropped.

use crate::mem::Mem;
use crate::raw::{Hook, Raw, TimedRaw, raw, timed};
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::ops::{Operation, SafeOp};
use io_core::{Deadline, Errno, Handle, IoBackend, Op, WakeHandle};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// Ends the rig's poll, from any thread.
#[derive(Debug)]
pub struct Signal {
    woken: AtomicBool,
    handle: Mutex<Option<WakeHandle<'static>>>,
}

impl Signal {
    /// Ends the poll that blocks now, or the next one.
    pub fn raise(&self) {
        self.woken.store(true, Ordering::SeqCst);
        if let Some(handle) = *self.handle.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.wake();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

/// A backend, driven by the thread that has the rig.
#[derive(Debug)]
pub struct Rig<'b, B: IoBackend> {
    backend: Pin<&'b B>,
    signal: Arc<Signal>,
    waker: Waker,
    // What the signal's handle points to.
    _target: Box<WakeHandle<'b>>,
}

impl<B: IoBackend> Drop for Rig<'_, B> {
    fn drop(&mut self) {
        *self.signal.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How a raw operation is given to the backend and heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Awaited.
    Future,
    /// With a callback.
    Callback,
    /// Submitted with nobody to hear of it, then waited for.
    Wait,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 3] = [Form::Future, Form::Callback, Form::Wait];
}

impl<'b, B: IoBackend> Rig<'b, B> {
    /// A rig for this backend.
    #[must_use]
    pub fn new(backend: Pin<&'b B>) -> Rig<'b, B> {
        let target = Box::new(backend.get_ref().wake_handle());
        let data: *const WakeHandle<'b> = &raw const *target;
        // SAFETY: the box lives, at its address, until after `drop` has taken this handle out under
        // the lock that every wake holds; and the handle in it may be used for `'b`, which covers that.
        let handle = unsafe { WakeHandle::new(data.cast(), wake_through) };
        let signal =
            Arc::new(Signal { woken: AtomicBool::new(false), handle: Mutex::new(Some(handle)) });
        let waker = Waker::from(Arc::clone(&signal));
        Rig { backend, signal, waker, _target: target }
    }

    /// The backend: also what makes typed operations.
    #[must_use]
    pub fn backend(&self) -> Pin<&'b B> {
        self.backend
    }

    /// What ends this rig's poll.
    #[must_use]
    pub fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// The waker that ends this rig's poll.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// A raw operation on this backend; see [`raw`].
    #[must_use]
    pub fn raw(&self, op: Op, keep: &[Mem]) -> Pin<Box<Raw<Pin<&'b B>>>> {
        raw(self.backend, op, keep)
    }

    /// A raw operation with a deadline on this backend; see [`timed`].
    #[must_use]
    pub fn timed(
        &self,
        op: Op,
        keep: &[Mem],
        deadline: Deadline,
    ) -> Pin<Box<TimedRaw<Pin<&'b B>>>> {
        timed(self.backend, op, keep, deadline)
    }

    /// Polls the backend, blocking, until `done`, which is looked at after each wake of the signal.
    ///
    /// # Panics
    /// If poll fails.
    pub fn until(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            if !self.signal.woken.swap(false, Ordering::SeqCst) {
                self.poll(None);
            }
        }
    }

    /// As [`until`](Self::until), for what nobody signals.
    ///
    /// # Panics
    /// If poll fails.
    pub fn until_seen(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            self.poll(Some(Duration::from_millis(1)));
        }
    }

    /// One poll.
    ///
    /// # Panics
    /// If it fails.
    pub fn poll(&self, timeout: Option<Duration>) -> usize {
        self.backend.poll(timeout).expect("poll")
    }

    /// Runs a future to its end on this thread.
    ///
    /// # Panics
    /// If poll fails.
    pub fn block_on<T: Future>(&self, future: T) -> T::Output {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            while !self.signal.woken.swap(false, Ordering::SeqCst) {
                self.poll(None);
            }
        }
    }

    /// Polls a future once.
    pub fn poll_once<T: Future + ?Sized>(&self, future: Pin<&mut T>) -> Poll<T::Output> {
        future.poll(&mut Context::from_waker(&self.waker))
    }

    /// [`run_as`](Self::run_as), with a deadline.
    ///
    /// # Panics
    /// If it does not behave.
    #[must_use]
    pub fn run_timed(&self, form: Form, op: Op, keep: &[Mem], deadline: Deadline) -> i64 {
        let mut timed = self.timed(op, keep, deadline);
        match form {
            Form::Future => self.block_on(timed.as_mut()),
            Form::Callback => {
                let note = Note::new(self.signal());
                timed.submit_callback(note.hook()).expect("submit");
                let result = note.wait(self);
                assert_eq!(timed.result(), Some(result), "the callback's result");
                result
            }
            Form::Wait => {
                timed.submit().expect("submit");
                timed.wait()
            }
        }
    }

    /// Runs a raw operation in one form, and returns its result word.
    ///
    /// # Panics
    /// If it does not behave.
    #[must_use]
    pub fn run_as(&self, form: Form, op: Op, keep: &[Mem]) -> i64 {
        let mut raw = self.raw(op, keep);
        match form {
            Form::Future => self.block_on(raw.as_mut()),
            Form::Callback => {
                let note = Note::new(self.signal());
                raw.submit_callback(note.hook()).expect("submit");
                let result = note.wait(self);
                // Whoever reads the result owns the descriptor in it; dropped unread, it is closed.
                assert_eq!(raw.result(), Some(result), "the callback's result is the operation's");
                result
            }
            Form::Wait => {
                raw.submit().expect("submit");
                raw.wait()
            }
        }
    }

    /// [`run_as`](Self::run_as) a future.
    #[must_use]
    pub fn run(&self, op: Op, keep: &[Mem]) -> i64 {
        self.run_as(Form::Future, op, keep)
    }

    /// Runs a typed operation with a callback, and takes its result.
    ///
    /// # Panics
    /// If it does not behave.
    pub fn call_back<H: Handle, D: Operation>(&self, op: SafeOp<H, D>) -> D::Output {
        let note = Note::new(self.signal());
        let (function, context) = note.hook().parts();
        let mut op = pin!(op);
        op.as_mut().submit_with_callback(function, context).expect("submit");
        assert_eq!(
            op.as_mut().submit_with_callback(function, context),
            Err(Errno::ALREADY),
            "a second submit"
        );
        let _: i64 = note.wait(self);
        op.as_mut().take().expect("a result after the callback")
    }
}

/// # Safety
/// * `data` is a `WakeHandle` that may be used now.
unsafe fn wake_through(data: *const ()) {
    // SAFETY: promised by the caller.
    unsafe { &*data.cast::<WakeHandle<'_>>() }.wake();
}

/// A callback that counts its calls and keeps the last result.
#[derive(Debug)]
pub struct Note {
    seen: Arc<Seen>,
    hook: Arc<Hook>,
}

#[derive(Debug)]
struct Seen {
    calls: AtomicUsize,
    result: AtomicI64,
    signal: Arc<Signal>,
}

impl Note {
    /// A callback that raises `signal`.
    #[must_use]
    pub fn new(signal: &Arc<Signal>) -> Note {
        let (calls, result) = (AtomicUsize::new(0), AtomicI64::new(i64::MIN));
        let seen = Arc::new(Seen { calls, result, signal: Arc::clone(signal) });
        let inside = Arc::clone(&seen);
        let hook = Hook::new(move |result| {
            inside.result.store(result, Ordering::SeqCst);
            inside.calls.fetch_add(1, Ordering::SeqCst);
            inside.signal.raise();
        });
        Note { seen, hook }
    }

    /// What to submit with.
    #[must_use]
    pub fn hook(&self) -> &Arc<Hook> {
        &self.hook
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    /// The last result; `i64::MIN` before the first call.
    #[must_use]
    pub fn result(&self) -> i64 {
        self.seen.result.load(Ordering::SeqCst)
    }

    /// Drives the rig until it was called once, and returns the result.
    ///
    /// # Panics
    /// If it is called twice, or poll fails.
    #[must_use]
    pub fn wait<B: IoBackend>(&self, rig: &Rig<'_, B>) -> i64 {
        rig.until(|| self.calls() > 0);
        assert_eq!(self.calls(), 1, "one completion");
        self.result()
    }
}
