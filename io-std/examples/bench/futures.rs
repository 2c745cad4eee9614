//! The future form: a join of as many futures as the depth, each polled only when it was woken.
#![allow(unsafe_code, reason = "pins operations in an array and describes them with raw pointers")]
//! # Safety
//! Operations live in a [`Stable`] array from before their first submit until they are dropped; each
//! slot has a buffer of its own that outlives them all.

use crate::Failure;
use crate::measure::Contender;
use crate::ready::{ReadySet, Tag};
use crate::stable::Stable;
use crate::work::Work;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use io_core::{IoAwaitable, IoBackend};

/// How many operations that finish at once a slot runs before it lets the others have a turn.
const TURN: u32 = 32;

struct Slot<'b, B: IoBackend, W> {
    operation: IoAwaitable<Pin<&'b B>>,
    waker: Waker,
    work: W,
}

/// One run's progress.
struct Run {
    ops: u64,
    started: u64,
    done: u64,
    wrong: u64,
}

/// The contender. Fields drop in order: the operations before what their wakers point to.
pub(crate) struct FutureForm<'b, B: IoBackend, W, const SHARED: bool> {
    slots: Stable<Slot<'b, B, W>>,
    _tags: Stable<Tag<'b, SHARED>>,
    ready: Stable<ReadySet<'b, SHARED>>,
    backend: Pin<&'b B>,
    wrong: u64,
}

impl<'b, B: IoBackend, W: Work, const SHARED: bool> FutureForm<'b, B, W, SHARED> {
    /// A join of one future for each of `work`. `SHARED` unless the backend is of one thread.
    pub(crate) fn new(backend: Pin<&'b B>, work: &[W]) -> Self {
        let ready = Stable::new(1, |_, _| ReadySet::new(backend.get_ref().wake_handle()));
        let tags = Stable::new(work.len(), |slot, _| Tag::new(ready.at(0), slot));
        let slots = Stable::new(work.len(), |slot, _| Slot {
            operation: IoAwaitable::ready(backend, 0),
            // SAFETY: the tags outlive the slots by the order of the fields; without SHARED, the
            // backend is of one thread.
            waker: unsafe { Tag::waker(tags.at(slot)) },
            work: work[slot].clone(),
        });
        FutureForm { slots, _tags: tags, ready, backend, wrong: 0 }
    }

    fn ready(&self) -> &ReadySet<'b, SHARED> {
        // SAFETY: made in `new`, freed with `self`, only ever shared.
        unsafe { &*self.ready.at(0) }
    }

    /// Polls one slot, as an executor would poll the task `loop { next().await }`, until it waits.
    #[inline]
    fn step(&self, slot: usize, run: &mut Run) {
        // SAFETY: an index within the array; a slot is borrowed by one step at a time.
        let Slot { operation, waker, work } = unsafe { &mut *self.slots.at(slot) };
        let mut cx = Context::from_waker(waker);
        // SAFETY: it stays at this address until it is dropped.
        let mut operation = unsafe { Pin::new_unchecked(operation) };
        for _ in 0..TURN {
            let Poll::Ready(result) = operation.as_mut().poll(&mut cx) else { return };
            run.done += 1;
            run.wrong += u64::from(result != W::RESULT);
            if !Self::next(operation.as_mut(), work, run) {
                return;
            }
        }
        self.ready().mark(slot);
    }

    /// Puts the slot's next operation in place, if the run wants one more.
    #[inline]
    fn next(operation: Pin<&mut IoAwaitable<Pin<&'b B>>>, work: &mut W, run: &mut Run) -> bool {
        if run.started == run.ops {
            return false;
        }
        run.started += 1;
        // SAFETY: the buffer is the slot's own and outlives the operation; the file stays open.
        let put = unsafe { operation.reset(work.op()) };
        debug_assert!(put.is_ok(), "the last operation is done");
        true
    }
}

impl<B: IoBackend, W: Work, const SHARED: bool> Contender for FutureForm<'_, B, W, SHARED> {
    fn run(&mut self, ops: u64) -> Result<(), Failure> {
        let mut run = Run { ops, started: 0, done: 0, wrong: 0 };
        for index in 0..self.slots.len() {
            // SAFETY: an index within the array; nobody else borrows the slot.
            let Slot { operation, work, .. } = unsafe { &mut *self.slots.at(index) };
            // SAFETY: it stays at this address until it is dropped.
            let operation = unsafe { Pin::new_unchecked(operation) };
            if Self::next(operation, work, &mut run) {
                self.ready().mark(index);
            }
        }
        while run.done < ops {
            if !self.ready().drain(|slot| self.step(slot, &mut run)) {
                self.backend.poll(None)?;
            }
        }
        self.wrong += run.wrong;
        Ok(())
    }

    fn syscalls(&self) -> Option<u64> {
        Some(self.backend.counters().syscalls)
    }

    fn wrong(&self) -> u64 {
        self.wrong
    }
}
