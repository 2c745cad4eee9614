//! A small executor for one thread: as many futures of one type as there are connections, a run queue
//! with room for all of them, and wakers that allocate nothing and count no references.
#![allow(unsafe_code, reason = "pins futures in an array and makes wakers out of raw pointers")]
//! # Safety
//! * Futures, tags and queue are [`Stable`]; the futures, which hold the wakers by way of their
//!   operations, are dropped first.
//! * Wakers are used on this thread only: [`Executor::new`]'s caller gives them to no backend that leaves
//!   it.

use crate::stable::Stable;
use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, RawWaker, RawWakerVTable, Waker};

/// The futures and the queue. Fields drop in order.
pub(crate) struct Executor<F> {
    futures: Stable<F>,
    wakers: Vec<Waker>,
    tags: Stable<Tag>,
    queue: Stable<Queue>,
}

/// The woken futures, oldest first, none twice.
struct Queue {
    slots: Box<[Cell<usize>]>,
    first: Cell<usize>,
    len: Cell<usize>,
}

/// What a waker points to.
struct Tag {
    queue: *const Queue,
    index: usize,
    queued: Cell<bool>,
}

impl Queue {
    fn push(&self, index: usize) {
        let mut at = self.first.get() + self.len.get();
        if at >= self.slots.len() {
            at -= self.slots.len();
        }
        self.slots[at].set(index);
        self.len.set(self.len.get() + 1);
    }

    fn pop(&self) -> Option<usize> {
        let left = self.len.get().checked_sub(1)?;
        self.len.set(left);
        let first = self.first.get();
        let next = first + 1;
        self.first.set(if next == self.slots.len() { 0 } else { next });
        Some(self.slots[first].get())
    }
}

impl Tag {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |tag| RawWaker::new(tag, &Self::VTABLE),
        Self::wake,
        Self::wake,
        |_tag| {},
    );

    fn wake(tag: *const ()) {
        // SAFETY: the tag outlives its wakers; see the top of the file.
        let tag = unsafe { &*tag.cast::<Tag>() };
        if !tag.queued.replace(true) {
            // SAFETY: so does the queue.
            unsafe { &*tag.queue }.push(tag.index);
        }
    }
}

impl<F: Future<Output = ()>> Executor<F> {
    /// An executor of these futures, all of which are due.
    ///
    /// # Safety
    /// * The futures give their wakers to nothing that uses them on another thread.
    pub(crate) unsafe fn new(futures: Vec<F>) -> Executor<F> {
        let count = futures.len();
        let queue = Stable::new(1, |_, _| Queue {
            slots: vec![Cell::new(0); count].into_boxed_slice(),
            first: Cell::new(0),
            len: Cell::new(0),
        });
        let tags = Stable::new(count, |index, _| Tag {
            queue: queue.at(0),
            index,
            queued: Cell::new(false),
        });
        let waker = |index| {
            let raw = RawWaker::new(tags.at(index).cast(), &Tag::VTABLE);
            // SAFETY: the vtable's functions accept a tag's address; tags outlive wakers, and threads
            // are the caller's promise.
            unsafe { Waker::from_raw(raw) }
        };
        let wakers: Vec<Waker> = (0..count).map(waker).collect();
        wakers.iter().for_each(Waker::wake_by_ref);
        let mut futures = futures.into_iter().map(Some).collect::<Vec<_>>().into_iter();
        let futures = Stable::new(count, |_, _| match futures.next().flatten() {
            Some(future) => future,
            None => unreachable!("as many as were counted"),
        });
        Executor { futures, wakers, tags, queue }
    }

    /// Polls what is woken until nothing is.
    pub(crate) fn run(&mut self) {
        // SAFETY: made in `new`, freed with `self`, only ever shared.
        let queue = unsafe { &*self.queue.at(0) };
        while let Some(index) = queue.pop() {
            // SAFETY: an index of the array; only ever shared.
            unsafe { &*self.tags.at(index) }.queued.set(false);
            // SAFETY: an index of the array, borrowed exclusively with `self`.
            let future = unsafe { &mut *self.futures.at(index) };
            // SAFETY: it stays at this address until it is dropped.
            let future = unsafe { Pin::new_unchecked(future) };
            // An echo has no end but an error, after which the server is dropped.
            let _ = future.poll(&mut Context::from_waker(&self.wakers[index]));
        }
    }
}
