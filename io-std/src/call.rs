//! [`Call`]: one operation of this crate's files and sockets, as a future with the standard library's
//! errors, and where one gives it a deadline.
#![allow(unsafe_code, reason = "projects a pin")]
//! # Safety
//! The operation is never moved out of a pinned `Call`.

use crate::error::IntoIo;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{self, Poll};
use core::time::Duration;
use io_core::ops::{Operation, SafeOp};
use io_core::{Deadline, Handle, Timed};

/// One operation. Nothing happens until it is polled; dropped before its end, it is cancelled and waited
/// for.
///
/// `A` is the operation of `io-core` inside, which [`op`](Call::op) gives out to submit it, to
/// cancel it, or to wait for it on a thread that cannot await.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Call<A> {
    op: A,
}

impl<A> Call<A> {
    pub(crate) const fn new(op: A) -> Call<A> {
        Call { op }
    }

    /// The operation inside. Its results have an [`Errno`](io_core::Errno).
    pub fn op(self: Pin<&mut Self>) -> Pin<&mut A> {
        // SAFETY: structural: nothing is moved out of a pinned `Call`.
        unsafe { self.map_unchecked_mut(|this| &mut this.op) }
    }
}

impl<H: Handle, D: Operation> Call<SafeOp<H, D>> {
    /// The same, with an end: when `deadline` (`CLOCK_MONOTONIC`) passes, the backend ends the operation
    /// early, and its error is `TimedOut`. Its buffer comes back all the same.
    pub fn with_deadline(self, deadline: Deadline) -> Call<Timed<SafeOp<H, D>>> {
        Call { op: self.op.with_deadline(deadline) }
    }

    /// [`with_deadline`](Call::with_deadline), `timeout` from now.
    pub fn with_timeout(self, timeout: Duration) -> Call<Timed<SafeOp<H, D>>> {
        Call { op: self.op.with_timeout(timeout) }
    }
}

impl<A: Future<Output: IntoIo>> Future for Call<A> {
    type Output = <A::Output as IntoIo>::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.op().poll(cx).map(IntoIo::into_io)
    }
}

impl<A: fmt::Debug> fmt::Debug for Call<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.op).finish()
    }
}
