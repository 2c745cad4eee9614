//! The callback form: each completion's callback starts the slot's next operation.
#![allow(unsafe_code, reason = "pins operations in an array that their callbacks point into")]
//! # Safety
//! * Slots and progress are [`Stable`]; [`CallbackForm::run`] returns only when every callback has made
//!   its last access, which is the count of `done`.
//! * A slot is touched by whoever launches its operation and then by that operation's callback: never
//!   by two at a time. The progress is atomic. Callbacks may run on any thread with `SHARED`.

use crate::Failure;
use crate::measure::Contender;
use crate::stable::Stable;
use crate::work::Work;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use io_core::{Errno, IoAwaitable, IoBackend, WakeHandle};

/// One run's progress, shared with the callbacks.
struct Run<'b> {
    ops: AtomicU64,
    started: AtomicU64,
    done: AtomicU64,
    wrong: AtomicU64,
    /// Ends the run's park when another thread runs the last callback.
    wake: WakeHandle<'b>,
}

struct Slot<'b, B: IoBackend, W> {
    operation: IoAwaitable<Pin<&'b B>>,
    run: *const Run<'b>,
    work: W,
}

/// The contender. Fields drop in order: the operations before what their callbacks point to.
pub(crate) struct CallbackForm<'b, B: IoBackend, W, const SHARED: bool> {
    slots: Stable<Slot<'b, B, W>>,
    run: Stable<Run<'b>>,
    backend: Pin<&'b B>,
}

/// Adds one and returns what was before.
#[inline]
fn bump<const SHARED: bool>(count: &AtomicU64) -> u64 {
    if SHARED {
        count.fetch_add(1, Ordering::AcqRel)
    } else {
        // One thread: a load and a store do.
        let before = count.load(Ordering::Relaxed);
        count.store(before + 1, Ordering::Relaxed);
        before
    }
}

impl<'b, B: IoBackend, W: Work, const SHARED: bool> CallbackForm<'b, B, W, SHARED> {
    /// One chain of callbacks for each of `work`. `SHARED` unless the backend is of one thread.
    pub(crate) fn new(backend: Pin<&'b B>, work: &[W]) -> Self {
        let run = Stable::new(1, |_, _| Run {
            ops: AtomicU64::new(0),
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            wake: backend.get_ref().wake_handle(),
        });
        let slots = Stable::new(work.len(), |slot, _| Slot {
            operation: IoAwaitable::ready(backend, 0),
            run: run.at(0),
            work: work[slot].clone(),
        });
        CallbackForm { slots, run, backend }
    }

    fn progress(&self) -> &Run<'b> {
        // SAFETY: made in `new`, freed with `self`, only ever shared.
        unsafe { &*self.run.at(0) }
    }

    /// Starts the slot's next operation.
    ///
    /// # Safety
    /// * The slot is valid, its last operation is done, and nobody else touches it.
    #[inline]
    unsafe fn launch(slot: *mut Slot<'b, B, W>) -> Result<(), Errno> {
        // SAFETY: promised by the caller; the borrow ends before the submit.
        let op = unsafe { &mut (*slot).work }.op();
        // SAFETY: promised by the caller.
        let operation = unsafe { &mut (*slot).operation };
        // SAFETY: it stays at this address until it is dropped.
        let mut operation = unsafe { Pin::new_unchecked(operation) };
        // SAFETY: the buffer is the slot's own and outlives the operation; the file stays open.
        unsafe { operation.as_mut().reset(op) }?;
        operation.submit_with_callback(Self::completed, slot.cast())
    }

    fn completed(slot: *mut (), result: i64) {
        let slot = slot.cast::<Slot<'b, B, W>>();
        // SAFETY: the slot and the progress are stable until the run is over, which it is not before
        // this callback's count of `done`.
        let run = unsafe { (*slot).run };
        // SAFETY: as above.
        let run = unsafe { &*run };
        if result != W::RESULT {
            bump::<SHARED>(&run.wrong);
        }
        let (ops, wake) = (run.ops.load(Ordering::Relaxed), run.wake);
        if bump::<SHARED>(&run.started) < ops {
            // SAFETY: the slot's operation is done, and this is its callback.
            if unsafe { Self::launch(slot) }.is_err() {
                bump::<SHARED>(&run.wrong);
                bump::<SHARED>(&run.done);
            }
        }
        // The last access: after the count of the last operation the run may be gone.
        if bump::<SHARED>(&run.done) + 1 == ops && SHARED {
            wake.wake();
        }
    }
}

impl<B: IoBackend, W: Work, const SHARED: bool> Contender for CallbackForm<'_, B, W, SHARED> {
    fn run(&mut self, ops: u64) -> Result<(), Failure> {
        let run = self.progress();
        run.ops.store(ops, Ordering::Relaxed);
        run.done.store(0, Ordering::Relaxed);
        run.started.store(0, Ordering::Relaxed);
        for index in 0..self.slots.len() {
            if bump::<SHARED>(&run.started) < ops {
                // SAFETY: the run begins, so the slot's operation is done and has no callback left.
                unsafe { Self::launch(self.slots.at(index)) }?;
            }
        }
        while run.done.load(Ordering::Acquire) < ops {
            self.backend.poll(None)?;
        }
        Ok(())
    }

    fn syscalls(&self) -> Option<u64> {
        Some(self.backend.counters().syscalls)
    }

    fn wrong(&self) -> u64 {
        self.progress().wrong.load(Ordering::Relaxed)
    }
}
