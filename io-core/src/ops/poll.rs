//! Typed waits for readiness.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! No descriptor here has a pointer.

use super::Operation;
use crate::errno::{Errno, decode};
use crate::fd::{Fd, IoFd};
use crate::op::{self, Op, PollEvents};

/// See [`Ops::poll_fd`](super::Ops::poll_fd).
#[derive(Debug)]
pub struct PollFd<F> {
    pub(super) file: F,
    pub(super) events: PollEvents,
}

// SAFETY: no pointers; `file` proves the descriptor.
unsafe impl<F: IoFd> Operation for PollFd<F> {
    type Output = Result<PollEvents, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let this = unsafe { &*this };
        Op::Poll(op::Poll { fd: this.file.fd(), events: this.events })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        // The kernel's mask is 16 bits wide.
        let bits = decode(result).map(|mask| u16::try_from(mask).unwrap_or(u16::MAX));
        bits.map(PollEvents::from_bits_retain)
    }
}
