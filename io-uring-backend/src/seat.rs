//! What only the ring's owner touches ([`Owned`]), and the proof that the caller is the owner ([`Seat`]).
//!
//! Every file that acts for the owner does so as a method of [`Seat`]; none of it runs a waker or callback
//! except `deliver.rs`, which holds nothing when it does.
#![allow(unsafe_code, reason = "shares the owner's half of a backend that is Sync")]
//! # Safety
//! [`OwnerCell::get`] is called only by a [`Seat`] (and in a forked child), and a seat exists only on the owner's thread (it is
//! not `Send`), while the backend is borrowed exclusively, or while a claim keeps the owner out.

use crate::UringBackend;
use crate::clock::Clock;
use crate::flight::Flight;
use crate::inbox::{Caller, Mode};
use crate::list::List;
use crate::ring::Ring;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::ops::Deref;
use core::time::Duration;
use io_core::{Deadline, Errno, OffloadHandle};

/// Where a node is: the low bits of its scratch word, written by who holds it.
pub(crate) mod place {
    /// Submitted by another thread, on its way to the owner; not looked at yet.
    pub(crate) const FRESH: u32 = 0;
    /// On its way to the owner with its result.
    pub(crate) const DONE: u32 = 1;
    /// As `DONE`, back from the offload backend.
    pub(crate) const HOME: u32 = 2;
    /// In [`Owned::overflow`](super::Owned::overflow).
    pub(crate) const OVERFLOW: u32 = 3;
    /// In [`Owned::turn`](super::Owned::turn).
    pub(crate) const TURN: u32 = 4;
    /// In [`Owned::in_flight`](super::Owned::in_flight).
    pub(crate) const RING: u32 = 5;
    /// In [`Owned::ready`](super::Owned::ready).
    pub(crate) const READY: u32 = 6;
    /// In [`Owned::held`](super::Owned::held).
    pub(crate) const HELD: u32 = 7;
    /// In [`Owned::asleep`](super::Owned::asleep).
    pub(crate) const ASLEEP: u32 = 8;
    /// In [`Owned::closing`](super::Owned::closing).
    pub(crate) const CLOSING: u32 = 9;
    /// The bits of the place.
    pub(crate) const MASK: u32 = 0b1111;
    /// Flag: the SQE, pushed or waiting, asks for readiness, not for the operation.
    pub(crate) const WAITS: u32 = 1 << 4;
    /// Flag: readiness has come since the last attempt. With [`WAITS`]: the SQE only lets time pass.
    pub(crate) const WAS_READY: u32 = 1 << 5;
    /// Flag: the SQE, pushed or waiting, goes to a kernel worker, which may block.
    pub(crate) const BLOCKS: u32 = 1 << 6;
    /// Flag: it has the turn at its file's position; see `position.rs`.
    pub(crate) const POSITION: u32 = 1 << 7;
    /// One cancel sent; a small count from here up.
    pub(crate) const CANCEL_SENT: u32 = 1 << 8;
    /// The bits of that count.
    pub(crate) const CANCELS: u32 = 0xf << 8;
    /// Which list of descriptors it is in; see `flight.rs`.
    pub(crate) const BUCKET: u32 = 0xff << BUCKET_SHIFT;
    /// Where those bits begin.
    pub(crate) const BUCKET_SHIFT: u32 = 16;
    /// Flag: it is in such a list.
    pub(crate) const FILED: u32 = 1 << 12;
    /// Flag: a connect that has waited for the connection; "connected already" is its success.
    pub(crate) const CONNECTS: u32 = 1 << 13;
    /// Flag: a close waits for it; see `scope.rs`.
    pub(crate) const AWAITED: u32 = 1 << 14;
    /// Flag: the kernel has ended it once that nobody had asked; see `reap.rs`.
    pub(crate) const UNSTARTED: u32 = 1 << 15;
    /// Readiness has come once and brought nothing; a small count from here up.
    pub(crate) const ONCE_STALE: u32 = 1 << 24;
    /// The bits of that count.
    pub(crate) const STALE: u32 = 0x3 << 24;
    /// Which file's position, with [`POSITION`] or in [`HELD`]: the bits from here up.
    pub(crate) const KEY_SHIFT: u32 = 26;
    /// Flag, without those: a transfer of a pipe or socket.
    pub(crate) const STREAM: u32 = 1 << KEY_SHIFT;
    /// What a retry keeps.
    pub(crate) const KEPT: u32 =
        POSITION | CONNECTS | AWAITED | UNSTARTED | STALE | (!0 << KEY_SHIFT);
    /// How many cancels one wait in the ring is worth at once: a cancel can miss an operation that is just
    /// being moved. More follow after some time each.
    pub(crate) const CANCEL_LIMIT: u32 = 3;
}

/// The owner's half of a backend.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) ring: Ring,
    /// Pushed on the ring: the kernel's, or about to be.
    pub(crate) in_flight: Flight,
    /// Waiting for room in the SQ, in order.
    pub(crate) overflow: List,
    /// Waiting for the turn at a file's position, in order.
    pub(crate) held: List,
    /// The positions at which an operation has the turn, as bits.
    pub(crate) positions: Cell<u64>,
    /// Where each of these was at its start, as far as 32 bits tell.
    pub(crate) starts: [Cell<u32>; 64],
    /// To be performed inside poll.
    pub(crate) turn: List,
    /// Closes that wait for those before them.
    pub(crate) closing: List,
    /// Waiting for nothing but their deadlines.
    pub(crate) asleep: List,
    /// The deadlines of all of these.
    pub(crate) clock: Clock,
    /// Reaped, and somebody is to be told.
    pub(crate) ready: List,
    /// Pushed by other threads, being looked at.
    pub(crate) taken: List,
    /// SQEs pushed since construction.
    pub(crate) pushed: Cell<u64>,
    /// Completed with nobody to tell, since the last poll began.
    pub(crate) quiet: Cell<usize>,
    /// Whether the read that ends a park is in the ring.
    pub(crate) wake_armed: Cell<bool>,
    /// Which cancels are still to be sent.
    pub(crate) cancels: Cell<Cancels>,
    /// How many entries in the ring have been sent one.
    pub(crate) being_cancelled: Cell<usize>,
    /// When those whose cancels have all missed are sent another one.
    pub(crate) doubt: Cell<Deadline>,
    /// How long until then, the last time.
    pub(crate) patience: Cell<Duration>,
    /// Whether a waker or callback is running inside [`Seat::deliver`].
    pub(crate) delivering: Cell<bool>,
    /// Whether `start` has succeeded since the last `stop`.
    pub(crate) started: Cell<bool>,
    /// The kernel does not let this process in any more: what was not sent is given up.
    pub(crate) dead: Cell<Option<Errno>>,
}

/// Which cancels are still to be sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cancels {
    /// None.
    None,
    /// Of operations in flight that were asked to end and have not been sent one.
    First,
    /// Also of those whose cancel may have missed.
    Again,
    /// Also of those for which that did not help, some time later.
    Late,
}

impl Owned {
    pub(crate) fn new(ring: Ring) -> Owned {
        Owned {
            ring,
            in_flight: Flight::new(),
            overflow: List::new(),
            held: List::new(),
            positions: Cell::new(0),
            starts: [const { Cell::new(0) }; 64],
            turn: List::new(),
            closing: List::new(),
            asleep: List::new(),
            clock: Clock::new(),
            ready: List::new(),
            taken: List::new(),
            pushed: Cell::new(0),
            quiet: Cell::new(0),
            wake_armed: Cell::new(false),
            cancels: Cell::new(Cancels::None),
            being_cancelled: Cell::new(0),
            doubt: Cell::new(Deadline::NEVER),
            patience: Cell::new(Duration::ZERO),
            delivering: Cell::new(false),
            started: Cell::new(false),
            dead: Cell::new(None),
        }
    }

    /// Remembers that cancels are to be sent.
    pub(crate) fn want_cancels(&self, cancels: Cancels) {
        self.cancels.set(self.cancels.get().max(cancels));
    }

    /// How much there is to report: the ready ones and those that nobody waits for.
    #[inline]
    pub(crate) fn news(&self) -> usize {
        self.ready.len() + self.quiet.get()
    }
}

/// Content that only a [`Seat`] reaches.
#[derive(Debug)]
pub(crate) struct OwnerCell<T>(UnsafeCell<T>);

// SAFETY: the content is reached on the owner's thread only; see the top of the file.
unsafe impl<T: Send> Sync for OwnerCell<T> {}

impl<T> OwnerCell<T> {
    pub(crate) const fn new(content: T) -> OwnerCell<T> {
        OwnerCell(UnsafeCell::new(content))
    }

    /// # Safety
    /// * The caller is the owner's thread, or nobody else has the backend.
    #[inline]
    pub(crate) unsafe fn get(&self) -> &T {
        // SAFETY: only `renew` writes it, while nobody is here, promised by its caller.
        unsafe { &*self.0.get() }
    }

    /// Replaces the content in a forked child, where it may be half-changed. The old content is forgotten:
    /// it is the parent's.
    ///
    /// # Safety
    /// * No thread of this process has a seat, or gets one before this returns.
    pub(crate) unsafe fn renew(&self, content: T) {
        // SAFETY: nobody else reads or writes it, promised by the caller.
        unsafe { self.0.get().write(content) };
    }
}

/// Proof that the calling thread owns the ring.
pub(crate) struct Seat<'b, M: Mode, O: OffloadHandle> {
    pub(crate) backend: &'b UringBackend<M, O>,
    _this_thread: PhantomData<*mut ()>,
}

impl<M: Mode, O: OffloadHandle> Deref for Seat<'_, M, O> {
    type Target = Owned;

    #[inline]
    fn deref(&self) -> &Owned {
        // SAFETY: a seat is the proof.
        unsafe { self.backend.owned.get() }
    }
}

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The seat, if the calling thread is the owner.
    #[inline]
    pub(crate) fn seat(&self) -> Option<Seat<'_, M, O>> {
        self.mode.is_owner().then_some(Seat { backend: self, _this_thread: PhantomData })
    }

    /// The seat; taken by this thread if nobody has it, which enables the ring.
    ///
    /// `EEXIST` if another thread has it; else what the kernel says.
    pub(crate) fn take_seat(&self) -> Result<Seat<'_, M, O>, Errno> {
        // Also for the owner, who may have to come back from a rest.
        if self.mode.bind()? {
            let seat = Seat { backend: self, _this_thread: PhantomData };
            self.tally.owner.syscalls.add(1);
            if let Err(errno) = seat.ring.enable() {
                self.mode.unbind();
                return Err(errno);
            }
        }
        Ok(Seat { backend: self, _this_thread: PhantomData })
    }

    /// The seat for a drop, on whatever thread that happens.
    pub(crate) fn last_seat(&mut self) -> Seat<'_, M, O> {
        // Callbacks of the drop may submit, cancel and wait: this thread is the one to do it.
        self.mode.seize();
        Seat { backend: self, _this_thread: PhantomData }
    }

    /// Runs `act` in the seat of a backend that nobody drives: it has no owner yet, or its owner has
    /// stopped it. `false` if somebody does. `act` runs no user code and does not enter the ring.
    pub(crate) fn borrow_seat(&self, act: impl FnOnce(&Seat<'_, M, O>)) -> bool {
        let Some(claim) = self.mode.claim() else { return false };
        // The claim keeps the owner out of its half until it is given back.
        act(&Seat { backend: self, _this_thread: PhantomData });
        drop(claim);
        true
    }

    /// The seat for a thread that waits for an operation. A thread becomes the owner by waiting only if it
    /// built the backend: any other may be gone soon, and the ring with it.
    pub(crate) fn seat_to_wait(&self) -> Option<Seat<'_, M, O>> {
        if self.mode.caller() == Caller::Nobody && !self.mode.built_here() {
            return None;
        }
        match self.take_seat() {
            Ok(seat) => Some(seat),
            Err(Errno::EXIST) => None,
            Err(errno) => {
                // The ring cannot be enabled, and the operation must end: the ring is dead.
                self.mode.bind().ok()?;
                let seat = Seat { backend: self, _this_thread: PhantomData };
                seat.dead.set(Some(errno));
                Some(seat)
            }
        }
    }
}
