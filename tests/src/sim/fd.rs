//! [`SimFd`]: a descriptor of the simulated world that several operations may have.
#![allow(unsafe_code, reason = "proves descriptors of the world open")]
//! # Safety
//! A counted owner: the number is open, on the same file, as long as one of them exists.

use io_core::{Fd, IoFd, OwnedFd};
use std::sync::Arc;

/// A descriptor of the simulated world. Clones are the same one; the last that is dropped closes it.
#[derive(Clone, Debug)]
pub struct SimFd(Arc<OwnedFd>);

impl SimFd {
    pub(super) fn new(fd: OwnedFd) -> SimFd {
        SimFd(Arc::new(fd))
    }

    /// The owner alone, for a close through the backend; `None` if there are other clones.
    #[must_use]
    pub fn into_owned(self) -> Option<OwnedFd> {
        Arc::into_inner(self.0)
    }
}

impl From<OwnedFd> for SimFd {
    fn from(fd: OwnedFd) -> SimFd {
        SimFd::new(fd)
    }
}

// SAFETY: a counted owner of an open descriptor; a forgotten one keeps it open.
unsafe impl IoFd for SimFd {
    fn fd(&self) -> Fd {
        self.0.fd()
    }
}
