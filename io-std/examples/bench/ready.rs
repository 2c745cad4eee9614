//! Which slots have been woken: a bitmap, and a waker for each slot that sets its bit.
//!
//! A join that polls all of its futures after any wake does quadratic work. Here a wake names its slot,
//! costs a few instructions and allocates nothing: the waker's data is the address of the slot's tag,
//! and there is no reference count.
#![allow(unsafe_code, reason = "makes wakers out of raw pointers")]
//! # Safety
//! * Tags and set are [`Stable`](crate::stable::Stable) and outlive every waker: their owner drops the
//!   operations, which hold the wakers, first.
//! * With `SHARED` the set is atomic throughout, so its wakers may be used on any thread. Without, its
//!   wakers are given only to a backend that never leaves its thread.

use crate::data::MAX_DEPTH;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};
use io_core::WakeHandle;
use std::thread::{self, ThreadId};

const WORDS: usize = MAX_DEPTH.div_ceil(64);

/// The woken slots. `SHARED` says whether other threads may wake them.
pub(crate) struct ReadySet<'b, const SHARED: bool> {
    words: [AtomicU64; WORDS],
    home: ThreadId,
    /// Ends the home thread's park when another thread wakes a slot.
    wake: WakeHandle<'b>,
}

impl<'b, const SHARED: bool> ReadySet<'b, SHARED> {
    /// A set of none, for slots that this thread polls and parks for.
    pub(crate) fn new(wake: WakeHandle<'b>) -> Self {
        let words = [const { AtomicU64::new(0) }; WORDS];
        ReadySet { words, home: thread::current().id(), wake }
    }

    /// Adds a slot.
    #[inline]
    pub(crate) fn mark(&self, slot: usize) {
        let (word, bit) = (&self.words[slot / 64], 1 << (slot % 64));
        if SHARED {
            word.fetch_or(bit, Ordering::Release);
            if thread::current().id() != self.home {
                self.wake.wake();
            }
        } else {
            // One thread: a load and a store do.
            word.store(word.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        }
    }

    /// Takes every slot out and gives each to `visit`; says whether there were any.
    #[inline]
    pub(crate) fn drain(&self, mut visit: impl FnMut(usize)) -> bool {
        let mut any = false;
        for (index, word) in self.words.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            if bits == 0 {
                continue;
            }
            if SHARED {
                bits = word.swap(0, Ordering::Acquire);
            } else {
                word.store(0, Ordering::Relaxed);
            }
            any = true;
            while bits != 0 {
                visit(index * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        any
    }
}

/// What a slot's waker points to.
pub(crate) struct Tag<'b, const SHARED: bool> {
    set: *const ReadySet<'b, SHARED>,
    slot: usize,
}

impl<'b, const SHARED: bool> Tag<'b, SHARED> {
    /// The tag of `slot` in `set`.
    pub(crate) const fn new(set: *const ReadySet<'b, SHARED>, slot: usize) -> Self {
        Tag { set, slot }
    }

    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |tag| RawWaker::new(tag, &Self::VTABLE),
        Self::wake,
        Self::wake,
        |_tag| {},
    );

    /// The waker of the tag at `tag`.
    ///
    /// # Safety
    /// * The tag and its set outlive the waker and its clones.
    /// * Without `SHARED`, the waker and its clones stay on this thread.
    pub(crate) unsafe fn waker(tag: *const Self) -> Waker {
        // SAFETY: the vtable's functions accept a tag's address; lifetime and threads are the caller's
        // promise.
        unsafe { Waker::from_raw(RawWaker::new(tag.cast(), &Self::VTABLE)) }
    }

    fn wake(tag: *const ()) {
        // SAFETY: `waker` was given a tag that outlives the waker.
        let tag = unsafe { &*tag.cast::<Self>() };
        // SAFETY: as above, for the set.
        unsafe { &*tag.set }.mark(tag.slot);
    }
}
