//! The contract: what a backend is ([`IoBackend`]), how an awaitable reaches it ([`Handle`]), and how
//! it says in which way an operation will run ([`Route`]).
#![allow(unsafe_code, reason = "the vtable erases the backend's type")]
//! # Safety
//! A vtable is only ever paired with a pointer to the backend type it was made for ([`Binding`]).

use crate::context::{Node, NodePtr};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{Op, OpKind, Scope};
use crate::readiness::Source;
use crate::state::Phase;
use crate::time::Deadline;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr;
use core::time::Duration;

/// An asynchronous I/O backend.
///
/// # What every backend owes
///
/// 1. `submit` never blocks, never runs user code, copies at most 64 KiB inline and never fails for
///    lack of room: what does not fit waits, in order. What is submitted starts by itself on a started
///    backend with somebody to run it, otherwise at the next poll, park or flush. Nothing waits for a
///    batch to fill.
/// 2. Every submitted operation gets exactly one final completion, also on cancel, stop and refusal.
/// 3. The same operation has the same result on every backend. `EINTR`, and `EAGAIN` of a non-blocking
///    descriptor, never reach the caller of an operation whose own flags do not ask for it.
/// 4. `cancel` is never lost; a result that wins the race is delivered.
/// 5. `stop` refuses new operations (`ECANCELED`), cancels the rest and waits for each one's final
///    completion. Dropping a backend does the same.
/// 6. Wakers and callbacks run with no lock, borrow or half-changed state held. A wait inside drop,
///    stop or a `*_sync` form reaps but delivers nothing.
/// 7. A deadline ([`Timers`](crate::Timers)) asks for the end as a cancel does, also of what is queued;
///    none is left armed when its operation is done.
/// 8. A close first ends, with `ECANCELED`, what waits for readiness on its descriptor; what was queued
///    before it runs before it; nothing submitted before it meets the number's next file.
/// 9. In a forked child nothing of the parent's is touched; see [`generation`](IoBackend::generation).
///
/// # Safety
/// * `Self` is `!Unpin` (or its address means nothing to it): `Pin<&Self>` is how awaitables reach it, and
///   would pin nothing.
/// * `submit` completes each node exactly once, and touches nothing of it afterwards.
/// * `wait` returns only when the operation is done.
/// * `binding` is [`Binding::new`] of `self`.
/// * Dropping the backend returns only when no operation is owned by it any more.
/// * If `Self: Sync`, all of this holds for calls from any thread.
pub unsafe trait IoBackend {
    /// `io_uring`, `epoll+threadpool`, `epoll` (without an offload) or `threadpool`; another backend has a
    /// name of its own.
    fn name(&self) -> &'static str;

    /// The vtable and address that go into each context.
    fn binding(&self) -> Binding<'_>;

    /// Takes an operation. It completes later, or at once with [`Node::complete_inline`].
    fn submit(&self, node: Node);

    /// Asks for an early end of an operation; it completes all the same, with its result if that
    /// wins, else with `ECANCELED`.
    ///
    /// # Safety
    /// * The node was submitted to this backend, and its storage is valid during the call.
    unsafe fn cancel(&self, node: NodePtr);

    /// Blocks until the operation is done. Reaps other operations, but runs none of their wakers and
    /// callbacks.
    ///
    /// # Safety
    /// * The node was submitted to this backend, and its storage is valid during the call.
    unsafe fn wait(&self, node: NodePtr);

    /// Takes an operation back that this backend gave to an [`Offload`], performed and with its result
    /// stored. Called by the offload's threads; completes it soon. Backends that never offload keep
    /// this default, which completes it on the spot.
    fn take_back(&self, node: Node) {
        node.complete_stored().run();
    }

    /// The function that closes a descriptor this backend made (`close(2)`). Its caller owns the
    /// descriptor.
    fn closer(&self) -> unsafe fn(Fd);

    /// Makes the backend run: binds the calling thread as the owner where there is one.
    ///
    /// # Errors
    /// `EALREADY` if it runs; `EBUSY` after a [`stop`](Self::stop) that left operations owned; else
    /// what the kernel says.
    fn start(&self) -> Result<(), Errno>;

    /// Refuses new operations, cancels the rest, and waits until the kernel and the workers own none
    /// or `deadline` passes. Wakers and callbacks are not run: the next [`poll`](Self::poll) does.
    ///
    /// Then every operation that was submitted before is done, or has its result and waits for that poll.
    ///
    /// Not started, or stopped before, is fine. From a thread that does not own the ring, it asks the
    /// owner, who is to poll, and waits.
    ///
    /// # Errors
    /// [`StopError`]: how many operations are still owned. The backend stays drainable: `poll` still
    /// reaps, a later `stop` or the drop goes on waiting.
    fn stop(&self, deadline: Deadline) -> Result<(), StopError>;

    /// Starts what is queued, waits up to `timeout` (`None`: as long as it takes; zero: not at all)
    /// for something to deliver, runs the wakers and callbacks of what is done, and returns how many.
    /// A wake ends the wait early, a signal does not.
    ///
    /// # Errors
    /// `EEXIST` from a thread that does not own the ring; what the kernel says about the wait.
    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno>;

    /// Hands queued operations on, without waiting for their completion and without running wakers and
    /// callbacks; returns how many. Where there is nobody to hand them to (a pool without workers, or what a
    /// ring runs inside `poll`), they are performed here.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    fn flush(&self) -> Result<usize, Errno>;

    /// A handle that ends a blocked [`poll`](Self::poll) from any thread or signal handler.
    fn wake_handle(&self) -> WakeHandle<'_>;

    /// How many operations were submitted and not yet delivered.
    fn in_flight(&self) -> usize;

    /// How `op` would run here, and why.
    fn route(&self, op: &Op) -> Route;

    /// What has happened so far.
    fn counters(&self) -> Counters;

    /// A number, not 0, that is another after the backend was made new in a forked child; 0 in a forked
    /// child as long as it was not. Asked at each submit and each touch of a submitted operation, before
    /// anything else: one load. Operations of another generation are abandoned: they are done with
    /// `EOWNERDEAD`, and whoever wanted to hear of them does not.
    ///
    /// Backends that take no notice of forks keep this default.
    fn generation(&self) -> u32 {
        1
    }

    /// The clock that deadlines are by, in nanoseconds: `CLOCK_MONOTONIC`, as every backend over the kernel
    /// keeps it. A simulated one has a clock of its own.
    #[cfg(feature = "syscall")]
    fn now_ns(&self) -> u64 {
        crate::syscall::now_ns()
    }

    /// Takes the record of a descriptor whose owner says when it ends, so that what is learnt of its
    /// readiness can be kept from one operation to the next. Operations on its number find it by
    /// themselves. Backends that have no use for it keep this default, which forgets it.
    ///
    /// # Safety
    /// * The source is attached to no other backend.
    /// * Until [`detach`](Self::detach) has returned, it stays at its address and its descriptor open, on
    ///   the same file.
    unsafe fn attach(&self, source: Pin<&Source>) {
        let _ = source;
    }

    /// Forgets the record: what waits on it ends with `ECANCELED`, and when this returns the backend knows
    /// nothing of it. Fine for one that was never attached.
    fn detach(&self, source: Pin<&Source>) {
        let _ = source;
    }

    /// Writes what is in flight into `out`, as far as there is room, the oldest of each list first;
    /// returns how many there are in all. For finding out what a program hangs on.
    ///
    /// What an offload has is counted and not written, so fewer places may be filled than the number says,
    /// also where there was room: fill `out` with [`InFlight::EMPTY`] before, and ask the offload's own
    /// `dump` for the rest. A backend that has an owner answers 0 on other threads.
    fn dump(&self, out: &mut [InFlight]) -> usize {
        let _ = out;
        0
    }
}

/// One operation in flight, as [`IoBackend::dump`] reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// Which operation.
    pub kind: OpKind,
    /// The descriptor it works on.
    pub fd: Option<Fd>,
    /// Queued, or with the kernel or a worker, or done and not delivered.
    pub phase: Phase,
    /// How it runs.
    pub way: Way,
    /// Whether it was asked to end early.
    pub cancel_asked: bool,
    /// Its deadline, or never.
    pub deadline: Deadline,
}

impl InFlight {
    /// A place in a table to fill.
    pub const EMPTY: InFlight = InFlight {
        kind: OpKind::Nop,
        fd: None,
        phase: Phase::Idle,
        way: Way::Inline,
        cancel_asked: false,
        deadline: Deadline::NEVER,
    };

    /// What there is to say of a node.
    #[must_use]
    pub fn of(node: &Node, way: Way) -> InFlight {
        InFlight {
            kind: node.op().kind(),
            fd: node.op().fd(),
            phase: node.phase(),
            way,
            cancel_asked: node.cancel_asked(),
            deadline: node.deadline(),
        }
    }
}

/// Why a [`IoBackend::stop`] returned before it was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopError {
    /// The deadline passed; the kernel or a worker still owns this many operations and may touch their
    /// memory.
    StillOwned(usize),
    /// Called from inside a waker or callback that this backend runs on this thread (`EDEADLK`), or in a
    /// forked child (`EOWNERDEAD`). Nothing was done.
    WrongPlace(Errno),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::StillOwned(n) => write!(f, "{n} operations still owned at the deadline"),
            StopError::WrongPlace(errno) => write!(f, "cannot stop from here: {errno}"),
        }
    }
}

impl core::error::Error for StopError {}

/// The way an operation runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// The kernel's ring.
    Ring,
    /// Tried without blocking, then waits for readiness.
    Readiness,
    /// A worker's blocking system call, or an offload backend's.
    Offload,
    /// Inside submit, or inside `poll` where there is nobody else.
    Inline,
    /// Not at all: completes with an error.
    Unsupported,
}

impl Way {
    /// Every way, in the order of [`Counters::by_way`].
    pub const ALL: [Way; 5] =
        [Way::Ring, Way::Readiness, Way::Offload, Way::Inline, Way::Unsupported];

    /// The lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Way::Ring => "ring",
            Way::Readiness => "readiness",
            Way::Offload => "offload",
            Way::Inline => "inline",
            Way::Unsupported => "unsupported",
        }
    }
}

/// How an operation will run here, and the cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The way.
    pub way: Way,
    /// Why this one, in words.
    pub why: &'static str,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.way.name(), self.why)
    }
}

/// What a backend has done. Counts since construction, except where a name says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Operations submitted.
    pub submitted: u64,
    /// Operations that are done, whoever heard of it: a waker, a callback, a waiting thread, or nobody.
    pub delivered: u64,
    /// Operations waiting in a queue of ours right now.
    pub queued_now: u64,
    /// Operations that kernel or workers own right now.
    pub in_kernel_now: u64,
    /// The most operations that ever waited because a ring or table was full.
    pub overflow_high_water: u64,
    /// System calls the backend made.
    pub syscalls: u64,
    /// Operations run in each way, in the order of [`Way::ALL`].
    pub by_way: [u64; 5],
    /// Operations handed to the kernel's ring, by kind, in the order of [`OpKind::ALL`].
    pub ring_ops: [u64; OpKind::ALL.len()],
}

impl Counters {
    /// Operations run in this way.
    #[must_use]
    pub fn way(&self, way: Way) -> u64 {
        self.by_way[way as usize]
    }
}

/// A backend that also performs operations for another one, its *home*, which has no way of its own for
/// them.
///
/// # Safety
/// * An accepted node is performed or cancelled, its result stored, and given home with
///   [`Node::go_home`] exactly once, never inside `accept`.
pub unsafe trait Offload: IoBackend + Sync {
    /// Takes an operation to perform for the backend it was submitted to. Its result so far is how much that
    /// has transferred: it goes on from there, and the result counts it.
    fn accept(&self, node: Node);

    /// Asks for the early end of an accepted operation. It goes home all the same.
    ///
    /// # Safety
    /// * The node was submitted to a backend that may have given it here, and its storage is valid during
    ///   the call. It may be home again, or not here yet: then nothing happens.
    unsafe fn recall(&self, node: NodePtr);

    /// Asks for the early end of everything in `scope` that was accepted from the backend at `home`
    /// ([`Binding::address`]); returns how many were asked for the first time.
    fn recall_all(&self, home: *const (), scope: Scope) -> usize;

    /// The backend at `home` is about to close this descriptor: what was accepted from it and waits for
    /// readiness on the descriptor goes home with `ECANCELED`. Costs no more the more waits on others.
    fn closing(&self, home: *const (), fd: Fd);
}

/// How a backend reaches its offload backend, and keeps it in place.
///
/// # Safety
/// * [`offload`](OffloadHandle::offload) returns the same object for ever, which does not move and is
///   not freed while this value exists or has been forgotten.
pub unsafe trait OffloadHandle {
    /// The offload backend, if there is one.
    fn offload(&self) -> Option<&dyn Offload>;
}

/// No offload backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOffload;

// SAFETY: there is no object.
unsafe impl OffloadHandle for NoOffload {
    fn offload(&self) -> Option<&dyn Offload> {
        None
    }
}

// SAFETY: a `'static` borrow of it never ends, so it is neither moved nor freed.
unsafe impl<O: Offload> OffloadHandle for &'static O {
    fn offload(&self) -> Option<&dyn Offload> {
        Some(*self)
    }
}

/// How an awaitable reaches its backend: something cheap to clone that keeps the backend in place.
///
/// # Safety
/// * [`backend`](Handle::backend) returns the same object for ever, and for all clones.
/// * That object does not move, and is not freed other than by its own drop (which drains), while a
///   handle exists or has been forgotten.
/// * A handle is `Send` only if its backend is `Sync`.
pub unsafe trait Handle: Clone {
    /// What it leads to.
    type Backend: IoBackend + ?Sized;

    /// The backend.
    fn backend(&self) -> &Self::Backend;
}

// SAFETY: a pinned referent does not move and is not freed without its drop, by the contract of `Pin`;
// and `Pin<&B>` is `Send` only if `B: Sync`.
unsafe impl<B: IoBackend + ?Sized> Handle for Pin<&B> {
    type Backend = B;

    fn backend(&self) -> &B {
        self
    }
}

/// What a context calls: one function per thing an awaitable asks of its backend.
pub struct SubmitVtable {
    pub(crate) submit: unsafe fn(*const (), Node),
    pub(crate) cancel: unsafe fn(*const (), NodePtr),
    pub(crate) wait: unsafe fn(*const (), NodePtr),
    pub(crate) take_back: unsafe fn(*const (), Node),
}

impl fmt::Debug for SubmitVtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitVtable").finish_non_exhaustive()
    }
}

impl SubmitVtable {
    /// The vtable of a context that was never submitted. Its functions are never called: cancel and
    /// wait are for submitted nodes only.
    pub(crate) const DETACHED: &'static SubmitVtable = &SubmitVtable {
        submit: |_, node| {
            let _: NodePtr = node.into_ptr();
        },
        cancel: |_, _| {},
        wait: |_, _| {},
        take_back: |_, node| {
            let _: NodePtr = node.into_ptr();
        },
    };
}

struct VtableOf<B>(PhantomData<B>);

impl<B: IoBackend> VtableOf<B> {
    const VTABLE: SubmitVtable = SubmitVtable {
        // SAFETY: `Binding::new` paired this vtable with a `B`, which its handle keeps in place.
        submit: |backend, node| unsafe { &*backend.cast::<B>() }.submit(node),
        cancel: |backend, node| {
            // SAFETY: as above.
            let backend = unsafe { &*backend.cast::<B>() };
            // SAFETY: the awaitable submitted the node here and keeps its storage.
            unsafe { backend.cancel(node) };
        },
        wait: |backend, node| {
            // SAFETY: as above.
            let backend = unsafe { &*backend.cast::<B>() };
            // SAFETY: the awaitable submitted the node here and keeps its storage.
            unsafe { backend.wait(node) };
        },
        // SAFETY: as above.
        take_back: |backend, node| unsafe { &*backend.cast::<B>() }.take_back(node),
    };
}

/// A backend's vtable and address: what a context holds of its backend.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'b> {
    pub(crate) vtable: &'static SubmitVtable,
    pub(crate) data: *const (),
    _borrow: PhantomData<&'b ()>,
}

impl<'b> Binding<'b> {
    /// The binding of this backend.
    #[must_use]
    pub fn new<B: IoBackend>(backend: &'b B) -> Binding<'b> {
        Binding {
            vtable: &VtableOf::<B>::VTABLE,
            data: ptr::from_ref(backend).cast(),
            _borrow: PhantomData,
        }
    }

    /// The backend's address: its identity.
    #[must_use]
    pub fn address(&self) -> *const () {
        self.data
    }
}

/// Ends a blocked `poll` of one backend. `Send + Sync` also where the backend is neither; one atomic
/// and one system call, async-signal-safe.
#[derive(Clone, Copy, Debug)]
pub struct WakeHandle<'b> {
    data: *const (),
    wake: unsafe fn(*const ()),
    _borrow: PhantomData<&'b ()>,
}

// SAFETY: `new`'s caller promised that `wake` may be called from any thread.
unsafe impl Send for WakeHandle<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for WakeHandle<'_> {}

impl<'b> WakeHandle<'b> {
    /// A handle that calls `wake(data)`.
    ///
    /// # Safety
    /// * For the lifetime `'b`, `wake(data)` is sound from any thread and from a signal handler.
    #[must_use]
    pub const unsafe fn new(data: *const (), wake: unsafe fn(*const ())) -> WakeHandle<'b> {
        WakeHandle { data, wake, _borrow: PhantomData }
    }

    /// Ends the poll that blocks now, or else the next one that would.
    pub fn wake(&self) {
        // SAFETY: promised to `new`, and `'b` is not over.
        unsafe { (self.wake)(self.data) }
    }
}
