//! [`Registered`]: an open descriptor that its backend keeps registered.
#![allow(unsafe_code, reason = "attaches a pinned record, and detaches it before it goes")]
//! # Safety
//! The record is attached through a pinned borrow only, and detached in drop, before the descriptor is
//! closed; a pinned value that is forgotten stays in place, and its descriptor open, for ever.

use crate::backend::{Handle, IoBackend};
use crate::fd::{Fd, IoFd, Seekable};
use crate::readiness::Source;
use core::pin::Pin;

/// An open descriptor and its record at one backend: a socket that is used many times costs one
/// registration, not one per wait. Elsewhere (the ring) it is the descriptor and no more.
///
/// Pin it (in an `Arc`, a `Box`, a static) and [`attach`](Self::attach) it; operations on the same backend
/// that name its number find the record. Dropping it ends what still waits, and then drops the
/// descriptor.
///
/// While it is attached, leave the description's `O_NONBLOCK` as it is, and give the socket no other
/// protocol (`TCP_ULP`): both were asked for when it was attached.
#[derive(Debug)]
pub struct Registered<H: Handle, F: IoFd> {
    // Dropped in this order, after `drop` has detached the record.
    file: F,
    source: Source,
    handle: H,
}

impl<H: Handle, F: IoFd> Registered<H, F> {
    /// Not attached yet: as good as the bare descriptor.
    #[must_use]
    pub fn new(handle: H, file: F) -> Registered<H, F> {
        Registered { source: Source::new(file.fd()), file, handle }
    }

    /// Gives the record to the backend; makes no more than a few system calls that ask what the file is.
    /// Once more does nothing. If another value has the number attached, this one stays without.
    pub fn attach(self: Pin<&Self>) {
        // SAFETY: a field of a pinned value, never moved.
        let source = unsafe { self.map_unchecked(|this| &this.source) };
        // SAFETY: attached through this handle only, which always leads to the same backend; pinned until
        // `drop`, which detaches it first, and `file` proves the descriptor open as long as it exists.
        unsafe { self.get_ref().handle.backend().attach(source) };
    }

    /// The descriptor's owner.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// What leads to the backend.
    pub fn handle(&self) -> &H {
        &self.handle
    }
}

impl<H: Handle, F: IoFd> Drop for Registered<H, F> {
    fn drop(&mut self) {
        // SAFETY: if it was attached it was pinned, and it is dropped in place; else its address means
        // nothing to anybody.
        let source = unsafe { Pin::new_unchecked(&self.source) };
        self.handle.backend().detach(source);
    }
}

// SAFETY: the file proves it, and lives as long.
unsafe impl<H: Handle + 'static, F: IoFd> IoFd for Registered<H, F> {
    fn fd(&self) -> Fd {
        self.file.fd()
    }

    fn seekable(&self) -> Seekable {
        self.file.seekable()
    }
}
