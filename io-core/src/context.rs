//! The intrusive node of one operation: [`SubmitContext`], what backends see of it ([`Node`],
//! [`NodePtr`]), and the invariants everything else relies on.
//!
//! # The life of one operation
//!
//! The caller puts a descriptor into an [`IoAwaitable`](crate::IoAwaitable), whose first field is
//! the context. Submitting makes a [`Node`] of it: the *right* to run and complete this operation.
//! The backend keeps that right in one of its lists or in the kernel, and spends it with
//! [`Node::complete`], which stores the result, takes the sink out, publishes "done", and hands the
//! sink back as a [`Delivery`] for the backend to run when it holds nothing.
//!
//! # Invariants
//!
//! * **I1 pinned.** From submit to the final completion the context stays at its address.
//! * **I2 read-only in flight.** `op`, `vtable` and `backend` do not change in that time.
//! * **I3 last touch.** The completer touches nothing of the node after the final transition of the
//!   state word, and has moved the sink out before it.
//! * **I4 one list.** A node is in at most one list; only who holds the [`Node`], or the list it was
//!   pushed on, touches link and scratch.
//! * **I5 once.** A submission makes one `Node`, and it is completed once. A `Node` is not `Clone`;
//!   the way back from a token is `unsafe` and says so.
//! * **I6 sink.** The sink cell is touched by the caller while it owns the node or has
//!   `REGISTERING`, by the completer while it has `TAKING`; see the table in `state.rs`.
//! * **I7 result.** The result is written by who holds the `Node`, before the final transition, and
//!   read by the caller after it has seen "done" with an acquiring load.
//! * **I8 provenance.** Backends get a pointer made from the *whole* awaitable, and no `&mut` to the
//!   context is used between submit and the final completion; what backends write sits in atomics
//!   or cells.
//! * **I9 timer.** The [`Timer`] of an operation with a deadline is its backend's exactly as long as the
//!   node is: armed after the submit, disarmed before the completion.
#![allow(unsafe_code, reason = "the node is shared between caller, backend and kernel by protocol")]
//! # Safety
//! Every block names the invariants above that make it sound.

use crate::backend::SubmitVtable;
use crate::errno::Errno;
use crate::link::Link;
use crate::op::{Op, OpKind};
use crate::sink::{Kind, Sink, SinkCell};
use crate::state::{Finish, Phase, Register, State};
use crate::sync::{UnsafeCell, const_unless_loom};
use crate::time::Deadline;
use crate::timer::Timer;
use core::fmt;
use core::ptr::{self, NonNull};
use core::task::{Poll, Waker};

/// The intrusive submit context of one operation. Lives inside an [`IoAwaitable`](crate::IoAwaitable).
#[repr(C)]
pub struct SubmitContext {
    pub(crate) vtable: &'static SubmitVtable,
    pub(crate) backend: *const (),
    pub(crate) link: Link,
    pub(crate) op: Op,
    /// The deadline's storage, or null.
    pub(crate) timer: *const Timer,
    state: State,
    scratch: UnsafeCell<u32>,
    result: UnsafeCell<i64>,
    sink: SinkCell,
}

static_assertions::const_assert_eq!(core::mem::offset_of!(SubmitContext, vtable), 0);
#[cfg(not(io_loom))]
static_assertions::const_assert!(size_of::<SubmitContext>() <= 112);

impl SubmitContext {
    const_unless_loom! {
        pub(crate) const fn new(op: Op) -> SubmitContext {
            SubmitContext::with_state(op, State::new(), 0)
        }
    }

    const_unless_loom! {
        pub(crate) const fn ready(op: Op, result: i64) -> SubmitContext {
            SubmitContext::with_state(op, State::done(), result)
        }
    }

    const_unless_loom! {
        const fn with_state(op: Op, state: State, result: i64) -> SubmitContext {
            SubmitContext {
                vtable: SubmitVtable::DETACHED,
                backend: ptr::null(),
                link: Link::new(),
                op,
                timer: ptr::null(),
                state,
                scratch: UnsafeCell::new(0),
                result: UnsafeCell::new(result),
                sink: SinkCell::new(),
            }
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.state.phase()
    }

    // --- the caller's side --------------------------------------------------------------------

    /// Fills the sink before submit; `gives` if a callback takes the result over.
    ///
    /// # Safety
    /// * The phase is idle and the sink empty: the caller owns the node.
    #[inline]
    pub(crate) unsafe fn set_sink(&self, sink: Sink, gives: bool) {
        let callback = matches!(sink, Sink::Callback(..));
        // SAFETY: I6, the caller owns the node.
        unsafe { self.sink.put(sink) };
        self.state.set_sink(callback, gives);
    }

    /// The result of a done operation, and the sink if the completer left one.
    ///
    /// # Safety
    /// * The caller has seen [`Phase::Done`] and owns the node.
    #[inline]
    pub(crate) unsafe fn take_result(&self) -> (i64, Option<Sink>) {
        // SAFETY: I7, done was seen with an acquiring load.
        let result = self.result.with(|result| unsafe { *result });
        // SAFETY: I6, the caller owns the node; the SINK bit said full and is off now.
        (result, self.state.take_result().map(|kind| unsafe { self.sink.take(kind) }))
    }

    /// The result word of a done operation that nobody has read yet.
    ///
    /// # Safety
    /// * As [`take_result`](Self::take_result).
    #[inline]
    pub(crate) unsafe fn unread_result(&self) -> Option<i64> {
        // SAFETY: I7, promised by the caller.
        (!self.state.is_taken()).then(|| self.result.with(|result| unsafe { *result }))
    }

    /// Back to idle for another submission, or for the end.
    ///
    /// # Safety
    /// * The phase is idle or done: the caller owns the node.
    #[inline]
    pub(crate) unsafe fn reset(&self) -> Option<Sink> {
        // SAFETY: I6, the caller owns the node; the SINK bit said full and is off now.
        self.state.reset().map(|kind| unsafe { self.sink.take(kind) })
    }

    /// Leaves `waker` to be woken at completion, or says that it is done already.
    #[inline]
    pub(crate) fn register(&self, waker: &Waker) -> Poll<()> {
        match self.state.peek() {
            Some(Register::Done) => return Poll::Ready(()),
            Some(Register::Racing) => return Self::race(waker),
            // The callback is the one who hears of it.
            Some(Register::Begun { full: Some(Kind::Callback) }) => return Poll::Pending,
            Some(Register::Begun { full: Some(Kind::Waker) }) => {
                // SAFETY: I6: only the caller's side writes the cell, and SINK without CALLBACK was set.
                if unsafe { self.sink.is_waker(waker) } {
                    return Poll::Pending;
                }
            }
            Some(Register::Begun { full: None }) | None => {}
        }
        self.register_anew(waker)
    }

    fn register_anew(&self, waker: &Waker) -> Poll<()> {
        // User code (the waker's clone) before the window, so that it cannot find it open.
        let new = waker.clone();
        match self.state.register_begin() {
            Register::Done => Poll::Ready(()),
            Register::Racing => Self::race(waker),
            Register::Begun { full } => {
                // SAFETY: I6, REGISTERING is ours and the SINK bit said full.
                let old = full.map(|kind| unsafe { self.sink.take(kind) });
                // SAFETY: I6, REGISTERING is ours.
                unsafe { self.sink.put(Sink::Waker(new)) };
                let in_place = self.state.register_end(true);
                // SAFETY: I6, done: the completer left without the sink, so it is ours and full.
                let unused = (!in_place).then(|| unsafe { self.sink.take(Kind::Waker) });
                // User code (the wakers' drops) only now, with the window closed.
                drop((old, unused));
                if in_place { Poll::Pending } else { Poll::Ready(()) }
            }
        }
    }

    /// The completer has the old sink in hand and publishes "done" in a few instructions; whoever
    /// it wakes may not be us, so we wake ourselves and look again.
    fn race(waker: &Waker) -> Poll<()> {
        waker.wake_by_ref();
        Poll::Pending
    }

    /// Takes the sink out for good: nobody hears of the completion. The returned sink is the
    /// caller's to drop.
    pub(crate) fn detach(&self) -> Option<Sink> {
        match self.state.detach_begin() {
            Register::Done | Register::Racing => None,
            Register::Begun { full } => {
                // SAFETY: I6, REGISTERING is ours and the SINK bit said full.
                let old = full.map(|kind| unsafe { self.sink.take(kind) });
                self.state.register_end(false);
                old
            }
        }
    }

    pub(crate) fn ask_cancel(&self) -> bool {
        self.state.ask_cancel()
    }

    /// The generation of the backend when it was submitted; `None` if it is not, or is done.
    #[inline]
    pub(crate) fn generation(&self) -> Option<u16> {
        self.state.generation()
    }

    /// Ends an operation that no backend of this process has, and forgets who wanted to hear of it:
    /// running or dropping that could take a lock that some thread of the parent holds.
    #[cold]
    pub(crate) fn abandon(&self, errno: Errno) {
        // SAFETY: I7, no completer is in this process.
        self.result.with_mut(|result| unsafe { *result = errno.to_result() });
        if let Some(timer) = NonNull::new(self.timer.cast_mut()) {
            // SAFETY: I9, the timer is in the same storage.
            let timer = unsafe { timer.as_ref() };
            // The storage may be submitted again, and a timer that looks armed would be taken out of a heap
            // that it is not in.
            // SAFETY: whose heap it was in is not in this process, or was forgotten.
            unsafe { timer.abandon() };
        }
        self.state.abandon();
    }
}

impl fmt::Debug for SubmitContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the state word: everything else may be the backend's right now.
        write!(f, "SubmitContext({:?})", self.state)
    }
}

/// The address of a node, without any right to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodePtr(pub(crate) NonNull<SubmitContext>);

impl NodePtr {
    /// The address, for a backend's token. Aligned to 8 bytes: the low three bits are free.
    #[must_use]
    #[inline]
    pub fn as_ptr(self) -> *mut SubmitContext {
        self.0.as_ptr()
    }

    /// An address that came back from the kernel in a token.
    ///
    /// # Safety
    /// * `ptr` is from [`as_ptr`](Self::as_ptr), by way of exposed provenance or not at all changed.
    #[must_use]
    #[inline]
    pub const unsafe fn from_ptr(ptr: *mut SubmitContext) -> NodePtr {
        // SAFETY: it came from a NonNull, promised by the caller.
        NodePtr(unsafe { NonNull::new_unchecked(ptr) })
    }

    /// Where the operation is in its life.
    ///
    /// # Safety
    /// * The node's storage is valid during the call.
    #[must_use]
    #[inline]
    pub unsafe fn phase(self) -> Phase {
        // SAFETY: valid storage, promised by the caller; the state word is an atomic (I8).
        unsafe { self.0.as_ref() }.state.phase()
    }

    /// Which operation it is.
    ///
    /// # Safety
    /// * The node's storage is valid during the call, and it was submitted.
    #[must_use]
    pub unsafe fn kind(self) -> OpKind {
        // SAFETY: valid storage, promised by the caller; read-only since submit (I2).
        unsafe { self.0.as_ref() }.op.kind()
    }

    /// What to do.
    ///
    /// # Safety
    /// * The node's storage is valid during the call, and it was submitted.
    #[must_use]
    #[inline]
    pub unsafe fn op(self) -> Op {
        // SAFETY: valid storage, promised by the caller; read-only since submit (I2).
        unsafe { self.0.as_ref() }.op
    }

    /// The backend's word, as [`Node::scratch`].
    ///
    /// # Safety
    /// * The node's storage is valid during the call, and who holds the `Node` cannot write the word
    ///   meanwhile: it is behind a lock that the caller has.
    #[must_use]
    #[inline]
    pub unsafe fn scratch(self) -> u32 {
        // SAFETY: valid storage, promised by the caller.
        let scratch = unsafe { &self.0.as_ref().scratch };
        // SAFETY: no concurrent write, promised by the caller.
        scratch.with(|word| unsafe { *word })
    }

    /// Asks the completer to report [`Delivery::waiter`]. `false` if it is done already.
    ///
    /// # Safety
    /// * The node's storage is valid during the call.
    #[must_use]
    pub unsafe fn add_waiter(self) -> bool {
        // SAFETY: as in `phase`.
        unsafe { self.0.as_ref() }.state.add_waiter()
    }

    /// The right to the node, back from where it was kept.
    ///
    /// # Safety
    /// * The node was submitted to this backend and not completed, and the `Node` that stood for it
    ///   was given up with [`Node::into_ptr`] (I5).
    #[inline]
    pub unsafe fn into_node(self) -> Node {
        Node(self.0)
    }
}

/// The right, and the duty, to run one submitted operation and to complete it exactly once.
///
/// Dropping a `Node` without completing it leaves its caller waiting for ever.
#[must_use = "a node that is dropped never completes"]
#[derive(PartialEq, Eq)]
pub struct Node(pub(crate) NonNull<SubmitContext>);

// SAFETY: the node is the whole of the right to its context (I4, I5); what both sides touch is atomic
// (I8). Whether another thread may run it is the backend's `Sync`, which the awaitable carries.
unsafe impl Send for Node {}

impl Node {
    /// # Safety
    /// * I1 and I8 hold for `context` from now until the node is completed, the phase is idle, and
    ///   this is the only `Node` of this submission (I5).
    #[inline]
    pub(crate) unsafe fn submitted(context: NonNull<SubmitContext>, generation: u16) -> Node {
        let node = Node(context);
        node.context().state.accept(generation);
        // Storage may be used again: what an earlier submission left is not this one's.
        node.set_scratch(0);
        node.set_result(0);
        node
    }

    #[inline]
    fn context(&self) -> &SubmitContext {
        // SAFETY: I1, the storage is valid until the node is completed, which consumes `self`; I8,
        // nobody has a `&mut` to it.
        unsafe { self.0.as_ref() }
    }

    /// What to do.
    #[must_use]
    #[inline]
    pub fn op(&self) -> &Op {
        // I2: read-only until completion.
        &self.context().op
    }

    /// The node's address.
    #[must_use]
    #[inline]
    pub fn ptr(&self) -> NodePtr {
        NodePtr(self.0)
    }

    /// Gives the right up to a place outside of Rust's view, such as the kernel.
    #[inline]
    pub fn into_ptr(self) -> NodePtr {
        NodePtr(self.0)
    }

    /// A word for the backend's own notes. Zero when submitted.
    #[must_use]
    #[inline]
    pub fn scratch(&self) -> u32 {
        // SAFETY: I4, who holds the node has the scratch to itself.
        self.context().scratch.with(|word| unsafe { *word })
    }

    /// Sets the backend's word.
    #[inline]
    pub fn set_scratch(&self, word: u32) {
        // SAFETY: I4, as above; `Node` is neither `Clone` nor `Sync`.
        self.context().scratch.with_mut(|scratch| unsafe { *scratch = word });
    }

    /// The result stored so far; 0 when submitted. Also a place for a backend to keep how far a
    /// transfer has come.
    #[must_use]
    #[inline]
    pub fn result(&self) -> i64 {
        // SAFETY: I7, who holds the node has the result to itself.
        self.context().result.with(|result| unsafe { *result })
    }

    /// Stores the result without completing, for a node that is reaped now and delivered later.
    #[inline]
    pub fn set_result(&self, result: i64) {
        // SAFETY: I7, as above.
        self.context().result.with_mut(|place| unsafe { *place = result });
    }

    /// Queued → in flight, while the node is known to this thread only: inside submit.
    #[inline]
    pub fn begin_unshared(&self) {
        self.context().state.begin_unshared();
    }

    /// Queued → in flight.
    #[inline]
    pub fn begin(&self) {
        self.context().state.begin();
    }

    /// In flight → queued: the operation would have blocked and waits again.
    pub fn requeue(&self) {
        self.context().state.requeue();
    }

    /// Where the operation is in its life.
    #[must_use]
    #[inline]
    pub fn phase(&self) -> Phase {
        self.context().state.phase()
    }

    /// Whether cancel was asked for.
    #[must_use]
    #[inline]
    pub fn cancel_asked(&self) -> bool {
        self.context().state.cancel_asked()
    }

    /// Asks for its early end, on behalf of a cancel that means many; `false` if that was asked before.
    #[must_use]
    pub fn ask_cancel(&self) -> bool {
        self.context().state.ask_cancel()
    }

    /// The timer of an operation with a deadline.
    #[inline]
    pub(crate) fn timer(&self) -> Option<NonNull<Timer>> {
        // I2: read-only until completion.
        NonNull::new(self.context().timer.cast_mut())
    }

    /// Whether it has a deadline.
    #[must_use]
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.timer().is_some()
    }

    /// Its deadline; [`Deadline::NEVER`] without one.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.timer().map_or(Deadline::NEVER, |timer| {
            // SAFETY: I9, the timer is in the same storage as the node, and its deadline is read-only.
            unsafe { timer.as_ref() }.deadline()
        })
    }

    /// Whether its deadline is over by now, which is then noted: it completes with `ETIMEDOUT` where it
    /// would with `ECANCELED`. For submit: what is overdue is not started. Operations that are never
    /// cancelled have no deadline.
    #[must_use]
    #[inline]
    pub fn overdue(&self, now_ns: impl FnOnce() -> u64) -> bool {
        self.is_timed() && self.is_over(now_ns)
    }

    #[cold]
    fn is_over(&self, now_ns: impl FnOnce() -> u64) -> bool {
        let over = !self.op().kind().never_cancelled() && self.deadline().is_over(now_ns);
        if over {
            self.context().state.expire();
        }
        over
    }

    /// Notes that the deadline has passed.
    pub(crate) fn expire(&self) {
        self.context().state.expire();
    }

    /// The result as its caller gets it: an early end that the deadline asked for is `ETIMEDOUT`, or
    /// what a timeout waits for.
    #[inline]
    fn told(&self, result: i64) -> i64 {
        if self.is_timed() { self.told_timed(result) } else { result }
    }

    #[cold]
    fn told_timed(&self, result: i64) -> i64 {
        debug_assert!(!crate::timer::is_armed(self), "I9: completion with the timer armed");
        if result != Errno::CANCELED.to_result() || !self.context().state.expired() {
            return result;
        }
        match self.op() {
            Op::Timeout(_) => 0,
            _ => Errno::TIMEDOUT.to_result(),
        }
    }

    /// Whether completing it will run somebody's code.
    #[must_use]
    #[inline]
    pub fn has_sink(&self) -> bool {
        self.context().state.has_sink()
    }

    /// Whether completing it will run a callback: such a node never finishes inside submit.
    #[must_use]
    #[inline]
    pub fn has_callback(&self) -> bool {
        self.context().state.has_callback()
    }

    /// Completes the operation inside submit: its caller sees it as soon as submit returns. Only
    /// for nodes without a callback that no other thread knows.
    #[inline]
    pub fn complete_inline(self, result: i64) {
        self.set_result(self.told(result));
        self.context().state.finish_inline();
    }

    /// The final completion: stores the result and publishes "done". The caller may free the node at
    /// once, so nothing of it is touched after (I3).
    ///
    /// Run the delivery when nothing is held: it is user code.
    #[inline]
    pub fn complete(self, result: i64) -> Delivery {
        let result = self.told(result);
        self.set_result(result);
        let context = self.context();
        match context.state.finish_begin() {
            Finish::Published { waiter } => Delivery { sink: None, result, waiter },
            Finish::Take(kind) => {
                // SAFETY: I6, TAKING is ours, and `Take` means full.
                let sink = unsafe { context.sink.take(kind) };
                let waiter = context.state.finish_end();
                Delivery { sink: Some(sink), result, waiter }
            }
            Finish::Bogus => {
                debug_assert!(false, "I5: completion of a node that is not the backend's");
                Delivery { sink: None, result, waiter: false }
            }
        }
    }

    /// [`complete_stored`](Self::complete_stored) without an atomic exchange, for a node that one thread
    /// alone ever touches.
    ///
    /// # Safety
    /// * The backend is not `Sync`, so that the awaitable, which borrows it, has never left this thread.
    #[inline]
    pub unsafe fn complete_unshared(self) -> Delivery {
        let mut result = self.result();
        if self.is_timed() {
            result = self.told_timed(result);
            self.set_result(result);
        }
        let context = self.context();
        let (full, waiter) = context.state.finish_unshared();
        // SAFETY: I6, this thread is the only one, it is not in a window of the caller's, and the SINK bit
        // said full.
        let sink = full.map(|kind| unsafe { context.sink.take(kind) });
        Delivery { sink, result, waiter }
    }

    /// The final completion if there is nobody to tell: stores the result, and says whether a thread
    /// blocks until this operation is done ([`Delivery::waiter`]).
    ///
    /// # Errors
    /// The node back, with the result stored, if it has a waker or callback: deliver it later.
    #[inline]
    pub fn complete_quiet(self, result: i64) -> Result<bool, Node> {
        self.set_result(self.told(result));
        self.context().state.finish_quiet().ok_or(self)
    }

    /// The address of the backend it was submitted to; see [`Binding::address`](crate::Binding::address).
    #[must_use]
    #[inline]
    pub fn home(&self) -> *const () {
        // I2: read-only until completion.
        self.context().backend
    }

    /// Gives an operation that an offload backend has performed back to the backend it was submitted
    /// to, with its result.
    pub fn go_home(self, result: i64) {
        self.set_result(result);
        let SubmitContext { vtable, backend, .. } = *self.context();
        // SAFETY: vtable and address are of one binding (I2), and the handle in the awaitable keeps
        // that backend in place until the operation is done, which it is not.
        unsafe { (vtable.take_back)(backend, self) };
    }

    /// [`complete`](Self::complete) with the result stored before by
    /// [`set_result`](Self::set_result).
    #[inline]
    pub fn complete_stored(self) -> Delivery {
        let result = self.result();
        self.complete(result)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?}, {:?})", self.op().kind(), self.context().state)
    }
}

/// What is left to do for an operation that is done: run its waker or callback. The node itself may
/// be gone.
#[must_use = "a waker or callback is in here"]
pub struct Delivery {
    sink: Option<Sink>,
    result: i64,
    waiter: bool,
}

impl Delivery {
    /// Whether a thread blocks in the backend until this operation is done; the backend must wake it.
    #[must_use]
    #[inline]
    pub fn waiter(&self) -> bool {
        self.waiter
    }

    /// Runs the waker or callback. This is user code: it may submit, cancel, drop and panic.
    #[inline]
    pub fn run(self) {
        match self.sink {
            Some(Sink::Waker(waker)) => waker.wake(),
            Some(Sink::Callback(function, context)) => function(context, self.result),
            None => {}
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = match &self.sink {
            None => "nobody",
            Some(Sink::Waker(_)) => "waker",
            Some(Sink::Callback(..)) => "callback",
        };
        f.debug_struct("Delivery").field("sink", &sink).field("result", &self.result).finish()
    }
}
