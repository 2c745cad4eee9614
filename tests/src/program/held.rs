//! [`Held`]: one operation as the program holds it, whatever its type.
#![allow(unsafe_code, reason = "makes raw operations, and projects pins")]
//! # Safety
//! What a raw operation points to is in `Kept`, which is dropped after the operation and forgotten with it;
//! descriptors are the simulated kernel's numbers, where the error of a wrong one is wanted.

use super::area::{Area, Table};
use crate::leaked::leaked;
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use io_core::op::Op;
use io_core::ops::{Operation, SafeOp};
use io_core::{Address, CompletionFn, Errno, IoAwaitable, IoBackend, Phase, Stat, Timed};
use std::rc::Rc;

/// How every operation of a program reaches its backend.
pub(super) type Handle = Pin<&'static dyn IoBackend>;

/// What the descriptor of a raw operation points to.
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "kept, not read")]
pub(super) struct Kept {
    pub(super) area: Option<Area>,
    pub(super) table: Option<Table>,
    pub(super) address: Option<Rc<Address>>,
    pub(super) stat: Option<Rc<core::cell::UnsafeCell<Stat>>>,
}

/// An operation of any type and form.
pub(super) trait Held {
    fn phase(&self) -> Phase;

    /// The result word, once.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<i64>;

    /// Submits, with a callback or with nobody.
    fn submit(self: Pin<&mut Self>, call: Option<(CompletionFn, *mut ())>) -> Result<(), Errno>;

    fn cancel(self: Pin<&mut Self>);

    /// The result word, once; `None` if it is not done, or was taken.
    fn take(self: Pin<&mut Self>) -> Option<i64>;

    /// Blocks until it is done.
    fn wait(self: Pin<&mut Self>) -> Option<i64>;

    /// Another operation in the same storage; `None` where the type has no such thing.
    fn reset(self: Pin<&mut Self>, op: Op, kept: Kept) -> Option<Result<(), Errno>>;
}

/// Either an awaitable or one with a deadline.
pub(super) trait AsRaw: Future<Output = i64> {
    fn look(&self) -> &IoAwaitable<Handle>;
    fn raw(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<Handle>>;
}

impl AsRaw for IoAwaitable<Handle> {
    fn look(&self) -> &IoAwaitable<Handle> {
        self
    }

    fn raw(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<Handle>> {
        self
    }
}

impl AsRaw for Timed<IoAwaitable<Handle>> {
    fn look(&self) -> &IoAwaitable<Handle> {
        self.get_ref()
    }

    fn raw(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<Handle>> {
        self.op()
    }
}

/// A raw operation and what it points to.
pub(super) struct Raw<A> {
    // Dropped first: its drop returns when nobody uses what is kept.
    op: A,
    kept: Kept,
}

/// A raw operation that points into `kept`.
///
/// # Safety
/// * Every address in `op` is null, `'static`, or in `kept`.
pub(super) unsafe fn raw<A: AsRaw + 'static>(
    handle: Handle,
    op: Op,
    kept: Kept,
    make: impl FnOnce(IoAwaitable<Handle>) -> A,
) -> Pin<Box<dyn Held>> {
    // SAFETY: what it points to is kept until the awaitable is gone, promised by the caller.
    let op = make(unsafe { IoAwaitable::new(handle, op) });
    Box::pin(Raw { op, kept })
}

impl<A: AsRaw> Raw<A> {
    fn op(self: Pin<&mut Self>) -> Pin<&mut A> {
        // SAFETY: structural: the field is never moved out of a pinned `Raw`.
        unsafe { self.map_unchecked_mut(|this| &mut this.op) }
    }
}

impl<A: AsRaw> Held for Raw<A> {
    fn phase(&self) -> Phase {
        self.op.look().phase()
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<i64> {
        self.op().poll(cx)
    }

    fn submit(self: Pin<&mut Self>, call: Option<(CompletionFn, *mut ())>) -> Result<(), Errno> {
        match call {
            Some((function, context)) => self.op().raw().submit_with_callback(function, context),
            None => self.op().raw().submit(),
        }
    }

    fn cancel(self: Pin<&mut Self>) {
        self.op().raw().cancel();
    }

    fn take(self: Pin<&mut Self>) -> Option<i64> {
        self.op().raw().result()
    }

    fn wait(self: Pin<&mut Self>) -> Option<i64> {
        Some(self.op().raw().wait())
    }

    fn reset(mut self: Pin<&mut Self>, op: Op, kept: Kept) -> Option<Result<(), Errno>> {
        // SAFETY: as in `raw`: the new memory is kept from here on.
        let reset = unsafe { self.as_mut().op().raw().reset(op) };
        if reset.is_ok() {
            // SAFETY: nothing is moved but the field `kept`, which is not pinned and not used: the old
            // operation is done.
            unsafe { self.get_unchecked_mut() }.kept = kept;
        }
        Some(reset)
    }
}

/// Either a typed operation or one with a deadline.
pub(super) trait AsTyped {
    type Data: Operation;
    fn look(&self) -> &SafeOp<Handle, Self::Data>;
    fn typed(self: Pin<&mut Self>) -> Pin<&mut SafeOp<Handle, Self::Data>>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<<Self::Data as Operation>::Output>;
}

impl<D: Operation> AsTyped for SafeOp<Handle, D> {
    type Data = D;

    fn look(&self) -> &SafeOp<Handle, D> {
        self
    }

    fn typed(self: Pin<&mut Self>) -> Pin<&mut SafeOp<Handle, D>> {
        self
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        Future::poll(self, cx)
    }
}

impl<D: Operation> AsTyped for Timed<SafeOp<Handle, D>> {
    type Data = D;

    fn look(&self) -> &SafeOp<Handle, D> {
        self.get_ref()
    }

    fn typed(self: Pin<&mut Self>) -> Pin<&mut SafeOp<Handle, D>> {
        self.op()
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        Future::poll(self, cx)
    }
}

/// A typed operation, and how its output becomes a result word.
pub(super) struct Typed<A: AsTyped> {
    op: A,
    word: fn(<A::Data as Operation>::Output) -> i64,
}

/// A typed operation.
pub(super) fn typed<A: AsTyped + 'static>(
    op: A,
    word: fn(<A::Data as Operation>::Output) -> i64,
) -> Pin<Box<dyn Held>> {
    Box::pin(Typed { op, word })
}

impl<A: AsTyped> Typed<A> {
    fn op(self: Pin<&mut Self>) -> Pin<&mut A> {
        // SAFETY: structural: the field is never moved out of a pinned `Typed`.
        unsafe { self.map_unchecked_mut(|this| &mut this.op) }
    }
}

impl<A: AsTyped> Held for Typed<A> {
    fn phase(&self) -> Phase {
        self.op.look().phase()
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<i64> {
        let word = self.word;
        self.op().poll(cx).map(word)
    }

    fn submit(self: Pin<&mut Self>, call: Option<(CompletionFn, *mut ())>) -> Result<(), Errno> {
        match call {
            Some((function, context)) => self.op().typed().submit_with_callback(function, context),
            None => self.op().typed().submit(),
        }
    }

    fn cancel(self: Pin<&mut Self>) {
        self.op().typed().cancel();
    }

    fn take(self: Pin<&mut Self>) -> Option<i64> {
        let word = self.word;
        self.op().typed().take().map(word)
    }

    fn wait(self: Pin<&mut Self>) -> Option<i64> {
        let word = self.word;
        self.op().typed().wait().map(word)
    }

    fn reset(self: Pin<&mut Self>, _: Op, _: Kept) -> Option<Result<(), Errno>> {
        None
    }
}

/// Forgets an operation in flight; its address stays good for ever.
pub(super) fn forget(held: Pin<Box<dyn Held>>) -> NonNull<dyn Held> {
    // SAFETY: nothing is moved: the box is leaked where it is.
    let held = unsafe { Pin::into_inner_unchecked(held) };
    NonNull::from(leaked(held))
}

/// Where a forgotten operation is in its life.
pub(super) fn phase(lost: NonNull<dyn Held>) -> Phase {
    // SAFETY: leaked by `forget`, and looked at through shared references alone since.
    unsafe { lost.as_ref() }.phase()
}
