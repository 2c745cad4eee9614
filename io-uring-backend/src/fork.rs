//! In a forked child: letting go of what is the parent's, and making the backend new.
//!
//! The ring's pages are shared memory, so a child that wrote to them would write to the parent's queues.
//! They are not mapped in the child at all (`MADV_DONTFORK`): touching them ends the child, not the parent's
//! operations. So there is nothing to unmap here either, and what knows their addresses is forgotten.
#![allow(unsafe_code, reason = "replaces the owner's half of a backend")]
//! # Safety
//! Until an [`Adoption`](io_core::fork::Adoption) is finished every entry point turns the threads of this
//! process away, and threads of the parent are not in this process.

use crate::UringBackend;
use crate::inbox::Mode;
use crate::ring::Ring;
use crate::seat::Owned;
use crate::threads::Bell;
use io_core::{Errno, OffloadHandle};

impl<M: Mode, O: OffloadHandle> UringBackend<M, O> {
    /// Makes the backend new in a forked child: with a ring and an eventfd of its own, built as the first were
    /// (see [`new`](UringBackend::new)), no operations, no owner, and not started. It allocates nothing. What
    /// was in flight at the fork is the parent's, which goes on with it; here it is done with `EOWNERDEAD` when
    /// it is next touched.
    ///
    /// # Errors
    /// `EALREADY` in the process that made the backend, `EPERM` in a child of `vfork(2)`, `EBUSY` if another
    /// thread is at it; `EOWNERDEAD` if the offload backend is the parent's, which is to be made new first; and
    /// what the kernel says to a new ring. The backend stays the parent's then.
    pub fn reinit(&self) -> Result<(), Errno> {
        let adoption = self.lineage.adopt()?;
        if self.offload.offload().is_some_and(|offload| offload.generation() == 0) {
            return Err(Errno::OWNERDEAD);
        }
        let ring = Ring::build(&self.config).map_err(|error| error.errno)?;
        let event = Bell::open()?;
        self.let_go();
        // SAFETY: the adoption is not finished, so nobody has a seat.
        unsafe { self.owned.renew(Owned::new(ring)) };
        self.wake.renew(event);
        self.mode.renew();
        self.tally.renew();
        self.gate.open_new();
        adoption.finish();
        Ok(())
    }

    /// Closes this process's copy of the parent's ring, in a child.
    pub(crate) fn let_go(&self) {
        // SAFETY: in a child of the process that had the seat, so nobody else is at it; only an atomic number
        // in it is touched, which is whole whenever the fork came.
        unsafe { self.owned.get() }.ring.disown();
    }

    /// `EOWNERDEAD` if the backend is the parent's.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<(), Errno> {
        if self.lineage.is_forked() { Err(Errno::OWNERDEAD) } else { Ok(()) }
    }
}
