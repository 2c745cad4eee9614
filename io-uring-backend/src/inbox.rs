//! What other threads share with the ring's owner, as a type parameter: [`Shared`] has it, [`Local`] has
//! nothing and compiles to nothing.
#![allow(unsafe_code, reason = "completes without an exchange where one thread is alone")]
//! # Safety
//! [`Local`] is not `Sync`, and so is no backend that has it.

use crate::threads::{give_way, sleep_while, this_thread, wake_all};
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use io_core::queue::{Fifo, Transfer};
use io_core::sync::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use io_core::{Deadline, Delivery, Errno, Node};

/// Whether a backend may be used from several threads: [`Shared`] or [`Local`]. Nothing else implements
/// it.
pub trait Mode: sealed::Inbox {}

/// Any thread may submit, cancel and wait; the ring's owner, which is the thread that starts or first
/// polls it, does the rest. The backend is `Send + Sync`.
pub struct Shared {
    owner: AtomicUsize,
    host: AtomicUsize,
    builder: AtomicUsize,
    waiting: AtomicUsize,
    entered: AtomicUsize,
    inbox: Transfer,
    cancels: AtomicBool,
    outside: AtomicUsize,
    epoch: AtomicU32,
}

/// One thread does everything, and pays for no sharing. The backend is neither `Send` nor `Sync`; its
/// wake handle is both.
pub struct Local {
    bound: Cell<bool>,
    _one_thread: PhantomData<*mut ()>,
}

impl Mode for Shared {}
impl Mode for Local {}

/// The thread a call comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// The ring's owner.
    Owner,
    /// Another thread than the owner.
    Other,
    /// The ring has no owner yet.
    Nobody,
}

pub(crate) mod sealed {
    use super::{Caller, Deadline, Delivery, Errno, Fifo, Node};

    /// What the backend asks of a mode. Every method but the owner's may be called from any thread.
    pub trait Inbox: Sized {
        /// No owner, nothing inside.
        fn new() -> Self;
        /// Who calls.
        fn caller(&self) -> Caller;
        /// Whether the calling thread is the owner.
        fn is_owner(&self) -> bool;
        /// Makes the calling thread the owner; `true` if that is new.
        fn bind(&self) -> Result<bool, Errno>;
        /// Takes that back, if the ring could not be enabled.
        fn unbind(&self);
        /// Makes the calling thread the owner whoever was it before: the backend is borrowed exclusively.
        fn seize(&self);
        /// Whether the calling thread built the backend.
        fn built_here(&self) -> bool;
        /// The owner leaves its half to whoever claims it, until it binds again.
        fn rest(&self);
        /// Has the owner's half for a few instructions, if there is no owner or it rests.
        fn claim(&self) -> Option<Claim<'_, Self>>;
        /// Gives a claim back.
        fn unclaim(&self, word: usize);
        /// A thread waits for epochs from here on.
        fn begin_wait(&self) -> Waiting<'_, Self>;
        /// And does so no more.
        fn end_wait(&self);
        /// Pushes a node for the owner to take.
        fn push(&self, node: Node);
        /// Whether something was pushed; a hint.
        fn is_empty(&self) -> bool;
        /// The owner takes what was pushed.
        fn take(&self, list: &mut Fifo);
        /// Asks the owner to look for cancelled operations.
        fn ask_cancels(&self);
        /// Whether that was asked.
        fn take_cancels(&self) -> bool;
        /// Enters or leaves code that a stop must not overtake.
        fn visit(&self) -> Visit<'_, Self>;
        /// See [`visit`](Self::visit).
        fn leave(&self);
        /// Whether nobody is in such code.
        fn unvisited(&self) -> bool;
        /// One more operation is at the offload backend.
        fn went_out(&self);
        /// One has come back.
        fn came_home(&self);
        /// How many are there.
        fn outside(&self) -> usize;
        /// A word that changes with every [`announce`](Self::announce).
        fn epoch(&self) -> u32;
        /// Blocks until the word is no longer `epoch`, until `deadline`, or for no reason.
        fn wait_epoch(&self, epoch: u32, deadline: Deadline);
        /// Ends the waits of threads whose operation may be done.
        fn announce(&self);
        /// The same, if any thread has begun a wait.
        fn announce_to_waiting(&self);
        /// As from [`new`](Self::new), in a forked child.
        fn renew(&self);
        /// The final completion, with the result stored before.
        ///
        /// # Safety
        /// * The node was submitted to a backend of this mode.
        unsafe fn complete(node: Node) -> Delivery;
    }

    /// The owner's half, kept from the owner until this is dropped.
    #[derive(Debug)]
    pub struct Claim<'m, M: Inbox>(pub(super) &'m M, pub(super) usize);

    impl<M: Inbox> Drop for Claim<'_, M> {
        fn drop(&mut self) {
            self.0.unclaim(self.1);
        }
    }

    /// A thread that waits for epochs.
    #[derive(Debug)]
    pub struct Waiting<'m, M: Inbox>(pub(super) &'m M);

    impl<M: Inbox> Drop for Waiting<'_, M> {
        fn drop(&mut self) {
            self.0.end_wait();
        }
    }

    /// A stay in code that a stop must not overtake.
    #[derive(Debug)]
    pub struct Visit<'m, M: Inbox>(pub(super) &'m M);

    impl<M: Inbox> Drop for Visit<'_, M> {
        fn drop(&mut self) {
            self.0.leave();
        }
    }
}

use sealed::{Claim, Inbox, Visit, Waiting};

/// [`Shared::owner`]: nobody yet.
const NOBODY: usize = 0;
/// A thread has a claim, for a few instructions.
const CLAIMED: usize = usize::MAX;
/// The owner is [`Shared::host`], and leaves its half to claims until it comes back.
const RESTING: usize = usize::MAX - 1;

impl Inbox for Shared {
    fn new() -> Shared {
        Shared {
            owner: AtomicUsize::new(NOBODY),
            host: AtomicUsize::new(NOBODY),
            builder: AtomicUsize::new(this_thread()),
            waiting: AtomicUsize::new(0),
            entered: AtomicUsize::new(0),
            inbox: Transfer::new(),
            cancels: AtomicBool::new(false),
            outside: AtomicUsize::new(0),
            epoch: AtomicU32::new(0),
        }
    }

    fn caller(&self) -> Caller {
        // Ordering: Acquire pairs with `bind`, for callers that act on another thread's binding.
        match self.owner.load(Ordering::Acquire) {
            NOBODY => Caller::Nobody,
            // Ordering: Relaxed, as in `is_owner`; and who only claims has not set it.
            CLAIMED | RESTING => match self.host.load(Ordering::Relaxed) {
                NOBODY => Caller::Nobody,
                host if host == this_thread() => Caller::Owner,
                _ => Caller::Other,
            },
            owner if owner == this_thread() => Caller::Owner,
            _ => Caller::Other,
        }
    }

    #[inline]
    fn is_owner(&self) -> bool {
        // Ordering: Relaxed, a thread sees its own binding.
        self.owner.load(Ordering::Relaxed) == this_thread()
    }

    fn bind(&self) -> Result<bool, Errno> {
        if self.is_owner() {
            return Ok(false);
        }
        let me = this_thread();
        loop {
            let now = self.owner.load(Ordering::Relaxed);
            let host = self.host.load(Ordering::Relaxed);
            match now {
                CLAIMED if host == NOBODY || host == me => {
                    give_way();
                    continue;
                }
                NOBODY => {}
                RESTING if host == me => {}
                _ => return Err(Errno::EXIST),
            }
            // Ordering: AcqRel: who binds sees what an `unbind` or a claim left.
            let swapped = self.owner.compare_exchange(now, me, Ordering::AcqRel, Ordering::Relaxed);
            if swapped.is_ok() {
                // Ordering: Relaxed: read by this thread, or to learn that it is another's.
                self.host.store(me, Ordering::Relaxed);
                return Ok(now == NOBODY);
            }
        }
    }

    fn unbind(&self) {
        self.host.store(NOBODY, Ordering::Relaxed);
        // Ordering: Release pairs with the Acquire in `bind`.
        self.owner.store(NOBODY, Ordering::Release);
    }

    fn seize(&self) {
        self.host.store(this_thread(), Ordering::Relaxed);
        self.owner.store(this_thread(), Ordering::Relaxed);
    }

    fn built_here(&self) -> bool {
        self.builder.load(Ordering::Relaxed) == this_thread()
    }

    fn rest(&self) {
        // Ordering: SeqCst, before the look at who waits; they count themselves and then look here. It
        // releases the owner's half to the next claim.
        self.owner.store(RESTING, Ordering::SeqCst);
        self.announce_to_waiting();
    }

    fn claim(&self) -> Option<Claim<'_, Shared>> {
        loop {
            // Ordering: SeqCst, see `rest`.
            let now = self.owner.load(Ordering::SeqCst);
            match now {
                NOBODY | RESTING => {}
                // It may not have seen what this thread is after.
                CLAIMED => {
                    give_way();
                    continue;
                }
                _ => return None,
            }
            // Ordering: AcqRel: sees what the owner or the last claim did.
            let swapped =
                self.owner.compare_exchange(now, CLAIMED, Ordering::AcqRel, Ordering::Relaxed);
            if swapped.is_ok() {
                return Some(Claim(self, now));
            }
        }
    }

    fn unclaim(&self, word: usize) {
        // Ordering: Release, what was done with the claim comes before the next binding or claim.
        self.owner.store(word, Ordering::Release);
    }

    fn begin_wait(&self) -> Waiting<'_, Shared> {
        // Ordering: SeqCst, see `rest`.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    fn end_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn push(&self, node: Node) {
        self.inbox.push(node);
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    fn take(&self, list: &mut Fifo) {
        self.inbox.take_all(list);
    }

    fn ask_cancels(&self) {
        // Ordering: SeqCst, before the look at the wake word, as a push is.
        self.cancels.store(true, Ordering::SeqCst);
    }

    #[inline]
    fn take_cancels(&self) -> bool {
        // Ordering: SeqCst, after the owner's announcement that it parks. The plain load first keeps
        // the usual case free of a read-modify-write.
        self.cancels.load(Ordering::SeqCst) && self.cancels.swap(false, Ordering::SeqCst)
    }

    fn visit(&self) -> Visit<'_, Shared> {
        // Ordering: SeqCst, before the look at the stop flag, which `unvisited` comes after.
        self.entered.fetch_add(1, Ordering::SeqCst);
        Visit(self)
    }

    fn leave(&self) {
        // Ordering: Release, everything done inside comes before; `unvisited` acquires it.
        self.entered.fetch_sub(1, Ordering::Release);
    }

    fn unvisited(&self) -> bool {
        self.entered.load(Ordering::SeqCst) == 0
    }

    fn went_out(&self) {
        // Ordering: Relaxed, `visit` orders it before a stop looks.
        self.outside.fetch_add(1, Ordering::Relaxed);
    }

    fn came_home(&self) {
        self.outside.fetch_sub(1, Ordering::Relaxed);
    }

    fn outside(&self) -> usize {
        self.outside.load(Ordering::Relaxed)
    }

    fn epoch(&self) -> u32 {
        // Ordering: Acquire pairs with `announce`: read before the phase is.
        self.epoch.load(Ordering::Acquire)
    }

    fn wait_epoch(&self, epoch: u32, deadline: Deadline) {
        sleep_while(&self.epoch, epoch, deadline);
    }

    fn announce(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
        wake_all(&self.epoch);
    }

    fn announce_to_waiting(&self) {
        // Ordering: SeqCst, after what they wait for; they count themselves and then look.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.announce();
        }
    }

    fn renew(&self) {
        self.owner.store(NOBODY, Ordering::SeqCst);
        self.host.store(NOBODY, Ordering::SeqCst);
        self.builder.store(this_thread(), Ordering::SeqCst);
        for count in [&self.waiting, &self.entered, &self.outside] {
            count.store(0, Ordering::SeqCst);
        }
        self.inbox.forget();
        self.cancels.store(false, Ordering::SeqCst);
        self.epoch.store(0, Ordering::SeqCst);
    }

    #[inline]
    unsafe fn complete(node: Node) -> Delivery {
        node.complete_stored()
    }
}

impl Inbox for Local {
    fn new() -> Local {
        Local { bound: Cell::new(false), _one_thread: PhantomData }
    }

    fn caller(&self) -> Caller {
        if self.bound.get() { Caller::Owner } else { Caller::Nobody }
    }

    #[inline]
    fn is_owner(&self) -> bool {
        true
    }

    fn bind(&self) -> Result<bool, Errno> {
        Ok(!self.bound.replace(true))
    }

    fn unbind(&self) {
        self.bound.set(false);
    }

    fn seize(&self) {
        self.bound.set(true);
    }

    fn built_here(&self) -> bool {
        true
    }

    fn rest(&self) {}

    fn claim(&self) -> Option<Claim<'_, Local>> {
        None
    }

    fn unclaim(&self, _: usize) {}

    fn begin_wait(&self) -> Waiting<'_, Local> {
        Waiting(self)
    }

    fn end_wait(&self) {}

    fn push(&self, node: Node) {
        // Only other threads push, and there is none.
        debug_assert!(false, "a local backend has no other thread");
        node.complete(Errno::CANCELED.to_result()).run();
    }

    #[inline]
    fn is_empty(&self) -> bool {
        true
    }

    fn take(&self, _: &mut Fifo) {}

    fn ask_cancels(&self) {}

    #[inline]
    fn take_cancels(&self) -> bool {
        false
    }

    fn visit(&self) -> Visit<'_, Local> {
        Visit(self)
    }

    fn leave(&self) {}

    fn unvisited(&self) -> bool {
        true
    }

    fn went_out(&self) {}

    fn came_home(&self) {}

    fn outside(&self) -> usize {
        0
    }

    fn epoch(&self) -> u32 {
        0
    }

    fn wait_epoch(&self, _: u32, _: Deadline) {}

    fn announce(&self) {}

    fn announce_to_waiting(&self) {}

    fn renew(&self) {
        self.bound.set(false);
    }

    #[inline]
    unsafe fn complete(node: Node) -> Delivery {
        // SAFETY: the node's backend has this mode, promised by the caller, so it is not `Sync`.
        unsafe { node.complete_unshared() }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("caller", &self.caller()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("bound", &self.bound).finish()
    }
}
