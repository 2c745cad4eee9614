//! [`Raw`]: a raw operation that keeps its memory alive, so that tests need no `unsafe` of their own.
#![allow(unsafe_code, reason = "makes raw operations, and calls back through a thin pointer")]
//! # Safety
//! Every address in the descriptor is null or inside a [`Mem`] that the operation keeps; those are
//! mappings no Rust reference points into, and each ends at a page where the kernel's copying stops.

use crate::mem::Mem;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{self, Poll};
use io_core::op::{Accept, Recv, Send};
use io_core::{CompletionFn, Deadline, Errno, Handle, IoAwaitable, Op, Phase, Timed};
use std::sync::Arc;

/// What a callback runs.
pub struct Hook {
    call: Box<dyn Fn(i64) + core::marker::Send + Sync>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Hook {
    /// A callback that runs `call` with the result word.
    #[must_use]
    pub fn new(call: impl Fn(i64) + core::marker::Send + Sync + 'static) -> Arc<Hook> {
        Arc::new(Hook { call: Box::new(call) })
    }

    /// The function and the context pointer to give to a submit. The pointer is good for as long as a
    /// clone of the `Arc` is kept, which is to be until the call is heard of.
    #[must_use]
    pub fn parts(self: &Arc<Hook>) -> (CompletionFn, *mut ()) {
        (Hook::run, Arc::as_ptr(self).cast_mut().cast())
    }

    fn run(context: *mut (), result: i64) {
        let hook = context.cast_const().cast::<Hook>();
        // A clone of its own: once `call` has said that it was called, whoever submitted may let go of theirs,
        // and `call` has not returned by then.
        // SAFETY: `parts` made the pointer, and whoever submitted keeps the hook until the callback is heard of.
        unsafe { Arc::increment_strong_count(hook) };
        // SAFETY: as above, and the count was just raised for this. The hook is `Sync`, so any thread may run it.
        let hook = unsafe { Arc::from_raw(hook) };
        (hook.call)(result);
    }
}

/// What a [`Raw`] keeps: an operation, or one with a deadline.
pub trait Held<H: Handle>: Future<Output = i64> + fmt::Debug {
    /// The operation, to act on.
    fn op(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<H>>;

    /// The operation, to look at.
    fn get_ref(&self) -> &IoAwaitable<H>;
}

impl<H: Handle> Held<H> for IoAwaitable<H> {
    fn op(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<H>> {
        self
    }

    fn get_ref(&self) -> &IoAwaitable<H> {
        self
    }
}

impl<H: Handle> Held<H> for Timed<IoAwaitable<H>> {
    fn op(self: Pin<&mut Self>) -> Pin<&mut IoAwaitable<H>> {
        Timed::op(self)
    }

    fn get_ref(&self) -> &IoAwaitable<H> {
        Timed::get_ref(self)
    }
}

/// A raw operation with its memory and its callback.
pub struct Raw<H: Handle, A: Held<H> = IoAwaitable<H>> {
    // First, so that it is dropped, and has waited, before the rest.
    awaitable: A,
    keep: Vec<Mem>,
    hook: Option<Arc<Hook>>,
    _handle: PhantomData<H>,
}

/// A raw operation with a deadline, its memory and its callback.
pub type TimedRaw<H> = Raw<H, Timed<IoAwaitable<H>>>;

impl<H: Handle, A: Held<H>> fmt::Debug for Raw<H, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({:?})", self.awaitable)
    }
}

/// An operation on `handle`'s backend whose addresses are all in `keep`, or null.
///
/// # Panics
/// If an address in `op` is neither.
pub fn raw<H: Handle>(handle: H, op: Op, keep: &[Mem]) -> Pin<Box<Raw<H>>> {
    hold(handle, op, keep, |awaitable| awaitable)
}

/// [`raw`] with a deadline.
///
/// # Panics
/// As [`raw`].
pub fn timed<H: Handle>(
    handle: H,
    op: Op,
    keep: &[Mem],
    deadline: Deadline,
) -> Pin<Box<TimedRaw<H>>> {
    hold(handle, op, keep, |awaitable| awaitable.with_deadline(deadline))
}

fn hold<H: Handle, A: Held<H>>(
    handle: H,
    op: Op,
    keep: &[Mem],
    make: impl FnOnce(IoAwaitable<H>) -> A,
) -> Pin<Box<Raw<H, A>>> {
    check(&op, keep);
    // SAFETY: checked: every address is null or in memory that the value keeps until the awaitable,
    // which is dropped first, is gone; forgetting the value forgets the memory.
    let awaitable = make(unsafe { IoAwaitable::new(handle, op) });
    Box::pin(Raw { awaitable, keep: keep.to_vec(), hook: None, _handle: PhantomData })
}

impl<H: Handle, A: Held<H>> Raw<H, A> {
    fn held(self: Pin<&mut Self>) -> Pin<&mut A> {
        // SAFETY: structural: the field is never moved out of a pinned `Raw`.
        unsafe { self.map_unchecked_mut(|this| &mut this.awaitable) }
    }

    /// The operation itself.
    pub fn op(self: &mut Pin<Box<Self>>) -> Pin<&mut IoAwaitable<H>> {
        self.as_mut().held().op()
    }

    /// Where the operation is in its life.
    pub fn phase(&self) -> Phase {
        self.awaitable.get_ref().phase()
    }

    /// Submits with nobody to hear of it.
    ///
    /// # Errors
    /// As [`IoAwaitable::submit`].
    pub fn submit(self: &mut Pin<Box<Self>>) -> Result<(), Errno> {
        self.op().submit()
    }

    /// Submits; `hook` runs at completion, and is kept.
    ///
    /// # Errors
    /// As [`IoAwaitable::submit_with_callback`].
    pub fn submit_callback(self: &mut Pin<Box<Self>>, hook: &Arc<Hook>) -> Result<(), Errno> {
        let (function, context) = hook.parts();
        let submitted = self.op().submit_with_callback(function, context);
        if submitted.is_ok() {
            // SAFETY: nothing is moved but the field `hook`, which is not pinned.
            unsafe { self.as_mut().get_unchecked_mut() }.hook = Some(Arc::clone(hook));
        }
        submitted
    }

    /// Asks for an early end.
    pub fn cancel(self: &mut Pin<Box<Self>>) {
        self.op().cancel();
    }

    /// The result word, if it is done.
    pub fn result(self: &mut Pin<Box<Self>>) -> Option<i64> {
        self.op().result()
    }

    /// Blocks until it is done.
    pub fn wait(self: &mut Pin<Box<Self>>) -> i64 {
        self.op().wait()
    }

    /// Another operation over the same memory in the same storage.
    ///
    /// # Errors
    /// As [`IoAwaitable::reset`].
    ///
    /// # Panics
    /// As [`raw`].
    pub fn reset(self: &mut Pin<Box<Self>>, op: Op) -> Result<(), Errno> {
        check(&op, &self.keep);
        // SAFETY: as in `raw`.
        unsafe { self.op().reset(op) }
    }
}

impl<H: Handle, A: Held<H>> Future for Raw<H, A> {
    type Output = i64;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<i64> {
        self.held().poll(cx)
    }
}

/// Panics unless every address in `op` is null or in `keep`.
pub(crate) fn check(op: &Op, keep: &[Mem]) {
    let held = |address: *const u8| address.is_null() || keep.iter().any(|mem| mem.covers(address));
    let table = |iov: *const io_core::op::IoVec, count: usize| {
        let Some(mem) = keep.iter().find(|mem| mem.covers(iov.cast())) else {
            return iov.is_null();
        };
        // Entries behind the end of the table are in its guard page: the kernel cannot read them.
        let entries = mem.len() / size_of::<io_core::op::IoVec>();
        mem.is_closed()
            || (iov.cast::<u8>().addr() == mem.ptr().addr()
                && (0..count.min(entries)).all(|i| held(mem.iovec(i).base)))
    };
    let good = match op {
        Op::Accept(Accept { addr, addr_len, .. }) => held(*addr) && held(addr_len.cast()),
        Op::Bind(op) => held(op.addr),
        Op::Connect(op) => held(op.addr),
        Op::Fstat(op) => held(op.out.cast()),
        Op::Open(op) => held(op.path.cast()),
        Op::Pread(op) => held(op.buf),
        Op::Preadv(op) => table(op.iov, op.count),
        Op::Pwrite(op) => held(op.buf),
        Op::Pwritev(op) => table(op.iov, op.count),
        Op::Read(op) => held(op.buf),
        Op::Readv(op) => table(op.iov, op.count),
        Op::Recv(Recv { buf, .. }) => held(*buf),
        Op::Send(Send { buf, .. }) => held(*buf),
        Op::Write(op) => held(op.buf),
        Op::Writev(op) => table(op.iov, op.count),
        Op::Cancel(_)
        | Op::Close(_)
        | Op::Fdatasync(_)
        | Op::Fsync(_)
        | Op::Ftruncate(_)
        | Op::Listen(_)
        | Op::Lseek(_)
        | Op::Nop(_)
        | Op::Poll(_)
        | Op::Sendfile(_)
        | Op::Shutdown(_)
        | Op::Socket(_)
        | Op::Timeout(_) => true,
    };
    assert!(good, "an address of {op:?} is in no memory that is kept");
}
