//! [`UringBackend`]: construction, and the contract's functions as calls to the files that do the work.
#![allow(unsafe_code, reason = "implements the unsafe backend trait")]
//! # Safety
//! Each node is completed once: it is in one list or in the ring, and leaves it by one of `finish`,
//! `finish_inline` and `deliver_one`.

use crate::config::{BuildError, Cause, Config};
use crate::gate::Gate;
use crate::inbox::{Caller, Local, Mode, Shared};
use crate::probe::Plans;
use crate::ring::Ring;
use crate::seat::{Owned, OwnerCell, place};
use crate::tally::Tally;
use crate::wake::Wake;
use core::fmt;
use core::marker::PhantomPinned;
use core::time::Duration;
use io_core::fork::Lineage;
use io_core::syscall::close_fd;
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, InFlight, IoBackend, NoOffload, Node, NodePtr,
    OffloadHandle, Op, OpSet, Route, StopError, WakeHandle,
};

/// The io_uring backend. See the crate's documentation.
///
/// `M` says whether other threads may use it, `O` where operations go that the ring cannot run.
pub struct UringBackend<M: Mode = Shared, O: OffloadHandle = NoOffload> {
    pub(crate) owned: OwnerCell<Owned>,
    pub(crate) mode: M,
    pub(crate) wake: Wake,
    pub(crate) plans: Plans,
    pub(crate) tally: Tally,
    pub(crate) gate: Gate,
    pub(crate) lineage: Lineage,
    pub(crate) config: Config,
    pub(crate) offload: O,
    // Contexts hold its address, so only a pinned one is used.
    _pinned: PhantomPinned,
}

impl<M: Mode> UringBackend<M> {
    /// A ring of its own: `io_uring_setup(2)` (up to four tries on old kernels), two `mmap(2)` and two
    /// `madvise(2)`, `io_uring_enter(2)`, `io_uring_register(2)` and `eventfd(2)`, and one more `mmap(2)` and
    /// `madvise(2)` for the first backend of the process. What the ring cannot run is run inside poll.
    ///
    /// # Errors
    /// Why there can be no ring here.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        Self::build(config, NoOffload)
    }
}

impl<O: OffloadHandle> UringBackend<Shared, O> {
    /// As [`new`](UringBackend::new); what the ring cannot run is run by `offload`. It comes back from the
    /// offload's threads, so this is for [`Shared`] backends only.
    ///
    /// # Errors
    /// Why there can be no ring here.
    pub fn with_offload(config: &Config, offload: O) -> Result<Self, BuildError> {
        Self::build(config, offload)
    }
}

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// The operations that would run on the ring if this kernel had their opcode.
    #[must_use]
    pub fn missing(&self) -> OpSet {
        self.plans.missing()
    }

    fn build(config: &Config, offload: O) -> Result<Self, BuildError> {
        let ring = Ring::build(config)?;
        let plans = Plans::new(&ring, config, offload.offload().is_some())?;
        let wake = Wake::new().map_err(|errno| {
            let cause = match errno {
                Errno::MFILE | Errno::NFILE => Cause::TooManyFiles,
                Errno::NOMEM => Cause::Memlock,
                _ => Cause::Kernel,
            };
            BuildError { step: "eventfd", errno, cause }
        })?;
        Ok(UringBackend {
            owned: OwnerCell::new(Owned::new(ring)),
            mode: M::new(),
            wake,
            plans,
            tally: Tally::new(),
            gate: Gate::new(),
            lineage: Lineage::new().map_err(failed_page)?,
            config: config.clone(),
            offload,
            _pinned: PhantomPinned,
        })
    }
}

/// No page to notice forks by.
fn failed_page(errno: Errno) -> BuildError {
    BuildError { step: "mmap", errno, cause: Cause::Memlock }
}

// SAFETY: each node is completed exactly once and not touched after (top of the file); `wait` loops until
// the phase is done; `binding` is of `self`; the drop drains. If the backend is `Sync`, foreign calls touch
// atomics, the inbox and the offload only: `Seat` keeps the owner's half to the owner.
unsafe impl<M: Mode, O: OffloadHandle> IoBackend for UringBackend<M, O> {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    #[inline]
    fn submit(&self, node: Node) {
        self.accept(node);
    }

    unsafe fn cancel(&self, node: NodePtr) {
        // SAFETY: promised by the caller.
        unsafe { self.ask_cancel(node) };
    }

    unsafe fn wait(&self, node: NodePtr) {
        let Some(seat) = self.seat_to_wait() else {
            // SAFETY: promised by the caller.
            return unsafe { self.wait_elsewhere(node) };
        };
        // SAFETY: promised by the caller.
        unsafe { seat.wait(node) };
        seat.rest();
    }

    fn take_back(&self, node: Node) {
        if self.lineage.is_forked() {
            // The parent's, whose copy is done there.
            let _: NodePtr = node.into_ptr();
            return;
        }
        let _visit = self.mode.visit();
        node.set_scratch(place::HOME);
        self.mode.push(node);
        self.nudge();
        // With no owner to be nudged, who waits takes it.
        self.mode.announce_to_waiting();
    }

    fn closer(&self) -> unsafe fn(Fd) {
        close_fd
    }

    fn start(&self) -> Result<(), Errno> {
        self.check_fork()?;
        let seat = self.take_seat()?;
        if let Some(errno) = seat.dead.get() {
            return Err(errno);
        }
        // Whatever a stop has left, on whatever thread, may have ended since.
        seat.wind_down();
        if seat.started.get() {
            return Err(Errno::ALREADY);
        }
        if !self.gate.open() {
            return Err(Errno::BUSY);
        }
        seat.started.set(true);
        Ok(())
    }

    fn stop(&self, deadline: Deadline) -> Result<(), StopError> {
        self.stop_by(deadline)
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        self.check_fork()?;
        let seat = self.take_seat()?;
        let polled = seat.poll(timeout);
        seat.rest();
        polled
    }

    fn flush(&self) -> Result<usize, Errno> {
        self.check_fork()?;
        let seat = self.take_seat()?;
        let flushed = seat.flush();
        seat.rest();
        flushed
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        let data = core::ptr::from_ref(self).cast();
        let wake = |data: *const ()| {
            // SAFETY: the pointer made below; the backend is borrowed for the handle's life.
            let backend = unsafe { &*data.cast::<Self>() };
            if !backend.lineage.is_forked() {
                backend.wake.wake();
            }
        };
        // SAFETY: what `wake` touches is two atomic words and a descriptor: sound from anywhere. What is not
        // `Sync` in a local backend is not touched.
        unsafe { WakeHandle::new(data, wake) }
    }

    fn in_flight(&self) -> usize {
        if self.lineage.is_forked() { 0 } else { self.tally.in_flight() }
    }

    fn route(&self, op: &Op) -> Route {
        self.plans.route(op)
    }

    fn counters(&self) -> Counters {
        if let Some(seat) = self.seat().filter(|_| !self.lineage.is_forked()) {
            seat.publish();
        }
        self.tally.counters()
    }

    fn generation(&self) -> u32 {
        self.lineage.generation()
    }

    fn dump(&self, out: &mut [InFlight]) -> usize {
        let seat = self.seat().filter(|_| !self.lineage.is_forked());
        seat.map_or(0, |seat| seat.dump(out))
    }
}

impl<M: Mode, O: OffloadHandle> Drop for UringBackend<M, O> {
    fn drop(&mut self) {
        if self.lineage.is_forked() {
            // What is in flight is the parent's; only the descriptors are this process's.
            return self.let_go();
        }
        self.gate.close();
        if self.mode.caller() == Caller::Nobody && self.tally.in_flight() > 0 {
            // If the ring cannot even be enabled, the drain finds that out and gives up what is unsent.
            let _: Result<_, Errno> = self.take_seat().map(drop);
        }
        self.last_seat().finish_all();
        if self.lineage.is_forked() {
            // Whoever was told last has forked, and this is the child.
            self.let_go();
        }
    }
}

impl<M: Mode, O: OffloadHandle> fmt::Debug for UringBackend<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringBackend")
            .field("counters", &self.tally.counters())
            .finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(UringBackend<Shared>: Send, Sync);
static_assertions::assert_not_impl_any!(UringBackend<Local>: Send, Sync);

// The README promises it.
static_assertions::const_assert!(size_of::<UringBackend<Shared>>() <= 4608);
