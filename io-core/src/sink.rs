//! Who hears of a completion: nobody, a waker, or a callback. The cell that holds it is guarded by
//! the state bits (invariant I6 in [`crate::context`]).
#![allow(unsafe_code, reason = "reads and writes a cell whose exclusion is a protocol")]
//! # Safety
//! Every access to the cell happens while the state word gives this side the right to it.

use crate::sync::{UnsafeCell, const_unless_loom};
use core::mem::ManuallyDrop;
use core::task::Waker;

/// Called with the context pointer given at submit and the result word (`>= 0` count, descriptor or
/// offset; `< 0` `-errno`), on the thread that reaps or completes, with nothing held: it may submit,
/// cancel and drop other operations.
///
/// Named `IoCompletionFn` in the toolkit this library re-creates.
pub type CompletionFn = fn(context: *mut (), result: i64);

pub(crate) enum Sink {
    Waker(Waker),
    Callback(CompletionFn, *mut ()),
}

/// Which sink a full cell holds; the state word knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Waker,
    Callback,
}

/// Empty or full, with a waker or a callback, as the state word's bits say; the cell itself does not
/// know, so that it is two words, taking its content is a read, and a caller may compare wakers meanwhile.
pub(crate) struct SinkCell(UnsafeCell<Content>);

union Content {
    empty: (),
    waker: ManuallyDrop<Waker>,
    callback: (CompletionFn, *mut ()),
}

static_assertions::const_assert_eq!(size_of::<Content>(), 2 * size_of::<usize>());

impl SinkCell {
    const_unless_loom! {
        pub(crate) const fn new() -> SinkCell {
            SinkCell(UnsafeCell::new(Content { empty: () }))
        }
    }

    /// Fills the cell. An old content must have been taken before.
    ///
    /// # Safety
    /// * This side has the exclusive right to the cell (I6).
    #[inline]
    pub(crate) unsafe fn put(&self, sink: Sink) {
        let content = match sink {
            Sink::Waker(waker) => Content { waker: ManuallyDrop::new(waker) },
            Sink::Callback(function, context) => Content { callback: (function, context) },
        };
        // SAFETY: I6, promised by the caller: nobody else reads or writes the cell now.
        self.0.with_mut(|cell| unsafe { cell.write(content) });
    }

    /// Moves the content out. The caller drops or runs it when the state is consistent: dropping a
    /// waker is user code too.
    ///
    /// # Safety
    /// * This side has the right to the cell (I6), and it is full, with a sink of this kind.
    /// * The content is not taken again before the next `put`.
    #[inline]
    pub(crate) unsafe fn take(&self, kind: Kind) -> Sink {
        // SAFETY: I6: nobody writes the cell now. Reading is all that happens to it, so `is_waker`
        // on the other side may read at the same time.
        let content = self.0.with(|cell| unsafe { cell.read() });
        match kind {
            // SAFETY: full with a waker, promised by the caller, who also promises to take it only once.
            Kind::Waker => Sink::Waker(ManuallyDrop::into_inner(unsafe { content.waker })),
            Kind::Callback => {
                // SAFETY: full with a callback, promised by the caller.
                let (function, context) = unsafe { content.callback };
                Sink::Callback(function, context)
            }
        }
    }

    /// Whether the cell's waker wakes the same task.
    ///
    /// # Safety
    /// * The caller's side is the only one that writes the cell, and `SINK` without `CALLBACK` was set when
    ///   it looked. The completer may be moving the waker out meanwhile: it only reads, and so does this.
    #[inline]
    pub(crate) unsafe fn is_waker(&self, waker: &Waker) -> bool {
        self.0.with(|cell| {
            // SAFETY: I6: no concurrent writer.
            let content = unsafe { &*cell };
            // SAFETY: it was filled with a waker when SINK was set.
            let old = unsafe { &content.waker };
            // The two words are compared and never followed: the waker may already be spent.
            old.data() == waker.data() && old.vtable() == waker.vtable()
        })
    }
}
