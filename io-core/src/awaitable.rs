//! [`IoAwaitable`]: one operation that the caller holds, awaits, gives a callback, or drops; and the
//! only place that says what a drop in flight does.
//!
//! It does nothing until it is first polled or submitted. Dropped in flight, it cancels and does not
//! return before the final completion: kernel and workers may touch the memory until then. While it
//! waits, completions of other operations are reaped but their wakers and callbacks are not run, so
//! there is no recursion. Async code that must not block in drop awaits the operation after
//! [`cancel`](IoAwaitable::cancel) instead.
#![allow(unsafe_code, reason = "pins the node and hands it to the backend")]
//! # Safety
//! The awaitable is pinned before its node is shared (I1), and from then until "done" it reaches its own
//! fields only through shared references to atomics and cells (I8).

use crate::backend::{Handle, IoBackend};
use crate::context::{Node, NodePtr, SubmitContext};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::Op;
use crate::sink::{CompletionFn, Sink};
use crate::state::Phase;
use crate::sync::const_unless_loom;
use crate::timer::Timer;
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::{self, NonNull};
use core::task::{self, Poll, Waker};

/// One operation on one backend. The context comes first, so that the node's address is this one's.
///
/// As a future it yields the result word: `>= 0` is the count, descriptor or offset, `< 0` is
/// `-errno`; [`decode`](crate::decode) reads it. Polled again after that, it yields the same again. Polled
/// while a callback waits for it, it only looks: the callback keeps its place, and no waker is left.
#[repr(C)]
pub struct IoAwaitable<H: Handle = Pin<&'static dyn IoBackend>> {
    context: SubmitContext,
    handle: H,
    _pinned: PhantomPinned,
}

#[cfg(not(io_loom))]
static_assertions::const_assert!(size_of::<IoAwaitable>() <= 128);
static_assertions::const_assert_eq!(core::mem::offset_of!(IoAwaitable, context), 0);

// SAFETY: the handle is `Send` only if the backend is `Sync`, so completing from another thread is fine;
// the raw pointers in the context are data for the kernel, whose validity `new`'s caller promised
// wherever the awaitable goes.
unsafe impl<H: Handle + Send> Send for IoAwaitable<H> {}
// SAFETY: a shared reference gives out the phase (an atomic) and `Debug` of the state word, nothing else.
unsafe impl<H: Handle + Sync> Sync for IoAwaitable<H> {}

impl<H: Handle> IoAwaitable<H> {
    const_unless_loom! {
        /// An operation that will run on `handle`'s backend when it is first polled or submitted.
        ///
        /// # Safety
        /// From the first poll or submit until the result is out or the drop has returned:
        /// * Every buffer in `op`, also by way of a vector table, is null or valid for what the operation does
        ///   with it, or is an address outside of Rust's memory for which `EFAULT` is the wanted answer.
        /// * Vector tables, paths (NUL-terminated), `Stat`s and socket addresses are null or valid: backends
        ///   may read and write them in user space.
        /// * Nobody else writes that memory, nor reads what is written to.
        /// * The descriptors are open, or the error is wanted; no other owner of the number is surprised.
        ///
        /// Forgetting a pinned awaitable instead of dropping it extends that time for ever.
        pub const unsafe fn new(handle: H, op: Op) -> IoAwaitable<H> {
            IoAwaitable { context: SubmitContext::new(op), handle, _pinned: PhantomPinned }
        }
    }

    const_unless_loom! {
        /// An operation that is done already, with this result word.
        pub const fn ready(handle: H, result: i64) -> IoAwaitable<H> {
            let op = Op::Nop(crate::op::Nop);
            IoAwaitable { context: SubmitContext::ready(op, result), handle, _pinned: PhantomPinned }
        }
    }

    /// Where the operation is in its life.
    pub fn phase(&self) -> Phase {
        self.context.phase()
    }

    /// The handle it was made with.
    pub(crate) fn handle(&self) -> &H {
        &self.handle
    }

    /// Gives it a deadline. Only for an operation that is not submitted.
    pub(crate) fn set_timer(self: Pin<&mut Self>, timer: *const Timer) {
        if self.phase() == Phase::Idle {
            // SAFETY: nothing is moved; idle, so the fields are the caller's.
            unsafe { self.get_unchecked_mut() }.context.timer = timer;
        }
    }

    /// Another operation in the same storage.
    ///
    /// # Safety
    /// * As [`new`](Self::new), for the new `op`.
    ///
    /// # Errors
    /// `EBUSY` while the old one is in flight.
    pub unsafe fn reset(self: Pin<&mut Self>, op: Op) -> Result<(), Errno> {
        if !matches!(self.phase(), Phase::Idle | Phase::Done) {
            return Err(Errno::BUSY);
        }
        self.close_unread_fd();
        // SAFETY: idle or done: the caller owns the node.
        let old = unsafe { self.context.reset() };
        // SAFETY: nothing is moved; idle, so the fields are the caller's.
        unsafe { self.get_unchecked_mut() }.context.op = op;
        drop(old);
        Ok(())
    }

    /// Submits without anybody to hear of it: ask [`phase`](Self::phase) or
    /// [`result`](Self::result), or [`wait`](Self::wait).
    ///
    /// # Errors
    /// `EALREADY` if it was submitted before, `EOWNERDEAD` if the backend is another process's; it is then
    /// done with that result.
    pub fn submit(self: Pin<&mut Self>) -> Result<(), Errno> {
        self.submit_with(None, false)
    }

    /// Submits; `function(context, result)` is called at completion, by the thread that reaps or
    /// completes it, never inside this call. Dropping the awaitable before that drops the callback; but
    /// where other threads complete, a callback may still be running when a drop, `wait` or `cancel`
    /// here returns, so what `context` points to outlives the call of `function`, not the awaitable. A
    /// descriptor in the result belongs to the callback.
    ///
    /// # Errors
    /// `EALREADY` if it was submitted before, `EOWNERDEAD` if the backend is another process's (see
    /// [`IoBackend::generation`]); the callback is then not called.
    #[inline]
    pub fn submit_with_callback(
        self: Pin<&mut Self>,
        function: CompletionFn,
        context: *mut (),
    ) -> Result<(), Errno> {
        self.submit_with(Some(Sink::Callback(function, context)), true)
    }

    /// [`submit_with_callback`](Self::submit_with_callback) for an owner who takes the result out itself,
    /// after the callback.
    pub(crate) fn submit_notifying(
        self: Pin<&mut Self>,
        function: CompletionFn,
        context: *mut (),
    ) -> Result<(), Errno> {
        self.submit_with(Some(Sink::Callback(function, context)), false)
    }

    #[inline]
    fn submit_with(self: Pin<&mut Self>, sink: Option<Sink>, gives: bool) -> Result<(), Errno> {
        if self.phase() != Phase::Idle {
            return Err(Errno::ALREADY);
        }
        let generation = self.alive().ok_or(Errno::OWNERDEAD)?;
        self.submit_idle(sink, gives, generation);
        Ok(())
    }

    /// The backend's generation. `None` if the backend is another process's: then the operation, which was
    /// just seen idle, is done with that result.
    #[inline]
    fn alive(&self) -> Option<u16> {
        let generation = low(self.handle.backend().generation());
        if generation == 0 {
            self.context.abandon(Errno::OWNERDEAD);
            return None;
        }
        Some(generation)
    }

    /// [`submit_with`](Self::submit_with) of an awaitable that was just seen idle.
    #[inline]
    fn submit_idle(self: Pin<&mut Self>, sink: Option<Sink>, gives: bool, generation: u16) {
        // SAFETY: nothing is moved out; I1, the awaitable is pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let binding = this.handle.backend().binding();
        let (vtable, data) = (binding.vtable, binding.data);
        // Idle: the context is still the caller's.
        this.context.vtable = vtable;
        this.context.backend = data;
        if let Some(sink) = sink {
            // SAFETY: idle, and a context that was not submitted has no sink.
            unsafe { this.context.set_sink(sink, gives) };
        }
        // I8: the node's pointer is made from the whole awaitable, and `this` is not used again.
        let this: *mut Self = this;
        // SAFETY: `this` comes from a reference; same address, whole provenance (I8, repr(C)).
        let node = unsafe { NonNull::new_unchecked(this.cast::<SubmitContext>()) };
        // SAFETY: I1, pinned until drop, and drop waits; idle, so this is the only node (I5).
        let node = unsafe { Node::submitted(node, generation) };
        // SAFETY: vtable and data are of one binding, and the handle keeps the backend in place.
        unsafe { (vtable.submit)(data, node) };
    }

    /// Ends an operation whose backend is in another process: the parent's, or one that was made new
    /// since. `true` if it is such a one.
    #[inline]
    fn abandoned(&self) -> bool {
        let Some(generation) = self.context.generation() else { return false };
        let gone = generation != low(self.handle.backend().generation());
        if gone {
            self.context.abandon(Errno::OWNERDEAD);
        }
        gone
    }

    /// Whether the backend owns the operation now: it was submitted, is not done, and not abandoned.
    #[inline]
    fn is_owned(&self) -> bool {
        matches!(self.phase(), Phase::Queued | Phase::InFlight) && !self.abandoned()
    }

    /// Asks for an early end. The operation still completes, with its own result if that wins, else
    /// with `ECANCELED`; it must still be awaited. Before submit it does nothing.
    pub fn cancel(self: Pin<&mut Self>) {
        if self.is_owned() && self.context.ask_cancel() {
            let SubmitContext { vtable, backend, .. } = self.context;
            // SAFETY: submitted to that backend, which the handle keeps in place.
            unsafe { (vtable.cancel)(backend, self.node_ptr()) };
        }
    }

    /// Blocks until the operation is done, and returns its result word. Reaps other operations but
    /// runs none of their wakers and callbacks, nor its own. Submits first if that has not happened.
    pub fn wait(mut self: Pin<&mut Self>) -> i64 {
        self.as_mut().wait_done();
        self.result().unwrap_or(Errno::INVAL.to_result())
    }

    /// [`wait`](Self::wait) that leaves the result unread.
    pub(crate) fn wait_done(mut self: Pin<&mut Self>) {
        if self.phase() == Phase::Idle {
            // Idle was just seen, and the pinned borrow is exclusive: it cannot be EALREADY. Refused, it is
            // done.
            let _: Result<(), Errno> = self.as_mut().submit();
        }
        if self.is_owned() {
            // Nobody else hears of it, so that the backend can complete it without running anything.
            let sink = self.context.detach();
            let SubmitContext { vtable, backend, .. } = self.context;
            // SAFETY: submitted to that backend, which the handle keeps in place.
            unsafe { (vtable.wait)(backend, self.as_mut().node_ptr()) };
            drop(sink);
        }
        debug_assert_eq!(self.phase(), Phase::Done, "a backend's wait returns at done");
    }

    /// The result word of an operation that is done. Whoever reads the descriptor of an open or accept
    /// here owns it.
    pub fn result(self: Pin<&mut Self>) -> Option<i64> {
        if self.phase() != Phase::Done {
            return None;
        }
        // SAFETY: done was just seen.
        let (result, sink) = unsafe { self.context.take_result() };
        drop(sink);
        Some(result)
    }

    fn node_ptr(self: Pin<&mut Self>) -> NodePtr {
        // SAFETY: nothing is moved; I8, the address has the provenance of the whole awaitable.
        NodePtr(NonNull::from(unsafe { self.get_unchecked_mut() }).cast())
    }

    /// A descriptor that nobody has read is closed, not leaked.
    fn close_unread_fd(&self) {
        if !self.context.op.kind().yields_fd() || self.phase() != Phase::Done {
            return;
        }
        // SAFETY: done was just seen.
        if let Some(Ok(fd)) = unsafe { self.context.unread_result() }.map(i32::try_from)
            && fd >= 0
        {
            // SAFETY: the backend made the descriptor for this operation, and nobody has read its number.
            unsafe { (self.handle.backend().closer())(Fd::new(fd)) };
        }
    }

    /// Submits if that has not happened, and leaves the waker; ready when the operation is done.
    #[inline]
    pub(crate) fn poll_done(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        match self.phase() {
            Phase::Done => return Poll::Ready(()),
            Phase::Queued | Phase::InFlight => return self.poll_owned(cx),
            Phase::Idle => {}
        }
        let waker = cx.waker().clone();
        self.start(waker)
    }

    /// Out of the way of the two polls that most operations see, the one that submits and the one that
    /// takes the result.
    #[inline(never)]
    fn poll_owned(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        if self.abandoned() { Poll::Ready(()) } else { self.context.register(cx.waker()) }
    }

    /// Submits what was just seen idle, with a waker; ready if it was done inside submit.
    #[inline]
    pub(crate) fn start(mut self: Pin<&mut Self>, waker: Waker) -> Poll<()> {
        let Some(generation) = self.alive() else { return Poll::Ready(()) };
        self.as_mut().submit_idle(Some(Sink::Waker(waker)), false, generation);
        if self.phase() == Phase::Done { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What the state word keeps of a backend's generation.
#[inline]
fn low(generation: u32) -> u16 {
    (generation & 0xffff) as u16
}

impl<H: Handle> Future for IoAwaitable<H> {
    type Output = i64;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<i64> {
        if self.as_mut().poll_done(cx).is_pending() {
            return Poll::Pending;
        }
        // SAFETY: done was just seen.
        let (result, sink) = unsafe { self.context.take_result() };
        drop(sink);
        Poll::Ready(result)
    }
}

impl<H: Handle> Drop for IoAwaitable<H> {
    fn drop(&mut self) {
        if self.is_owned() {
            // Before the cancel, which would otherwise have somebody to run.
            let sink = self.context.detach();
            // SAFETY: what is submitted was pinned, and nothing is moved out of it here.
            let mut this = unsafe { Pin::new_unchecked(&mut *self) };
            this.as_mut().cancel();
            this.wait_done();
            drop(sink);
        }
        self.close_unread_fd();
        // SAFETY: idle or done: the caller owns the node.
        drop(unsafe { self.context.reset() });
    }
}

impl<H: Handle> fmt::Debug for IoAwaitable<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoAwaitable({:?})", self.context)
    }
}

/// Identity of an awaitable's storage, for tests and dumps.
impl<H: Handle> fmt::Pointer for IoAwaitable<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&ptr::from_ref(self), f)
    }
}
