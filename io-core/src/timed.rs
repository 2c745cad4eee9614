//! [`Timed`]: an operation with a deadline.
//!
//! The deadline is part of the operation, not a race that its user writes: when it passes, the backend
//! asks for the early end as [`cancel`](crate::IoAwaitable::cancel) does, and the operation completes with
//! `ETIMEDOUT` when its memory is free again, or with its own result if that wins. One that is over at
//! submit is not started. Close has no deadline: it is never cancelled.
#![allow(unsafe_code, reason = "projects a pin")]
//! # Safety
//! The operation comes first and is dropped first, which returns when the backend has let go of it and of
//! the timer beside it (I9). Neither is moved out of a pinned `Timed`.

use crate::awaitable::IoAwaitable;
use crate::backend::Handle;
use crate::ops::{Operation, SafeOp};
use crate::sync::const_unless_loom;
use crate::time::Deadline;
use crate::timer::Timer;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{self, Poll};

/// An operation with a deadline; a future like the operation itself. [`op`](Timed::op) is the operation, to
/// submit, cancel or wait for it.
pub struct Timed<A> {
    op: A,
    timer: Timer,
}

#[cfg(not(io_loom))]
static_assertions::const_assert!(size_of::<Timed<IoAwaitable>>() <= 192);

mod sealed {
    use crate::timer::Timer;
    use core::pin::Pin;

    pub trait Deadlined {
        fn set_timer(self: Pin<&mut Self>, timer: *const Timer);
    }
}

use sealed::Deadlined;

impl<H: Handle> Deadlined for IoAwaitable<H> {
    fn set_timer(self: Pin<&mut Self>, timer: *const Timer) {
        IoAwaitable::set_timer(self, timer);
    }
}

impl<H: Handle, D: Operation> Deadlined for SafeOp<H, D> {
    fn set_timer(self: Pin<&mut Self>, timer: *const Timer) {
        self.awaitable().set_timer(timer);
    }
}

impl<A> Timed<A> {
    /// The operation, to look at; [`op`](Self::op) is to act on it.
    pub fn get_ref(&self) -> &A {
        &self.op
    }

    /// When the operation ends early.
    pub fn deadline(&self) -> Deadline {
        self.timer.deadline()
    }
}

impl<A: Deadlined> Timed<A> {
    const_unless_loom! {
        pub(crate) const fn new(op: A, deadline: Deadline) -> Timed<A> {
            Timed { op, timer: Timer::new(deadline) }
        }
    }

    /// The operation.
    pub fn op(self: Pin<&mut Self>) -> Pin<&mut A> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let timer = &raw const this.timer;
        // SAFETY: structural: the field is never moved out of a pinned `Timed`.
        let mut op = unsafe { Pin::new_unchecked(&mut this.op) };
        op.as_mut().set_timer(timer);
        op
    }
}

impl<H: Handle> IoAwaitable<H> {
    const_unless_loom! {
        /// The operation with a deadline, absolute on `CLOCK_MONOTONIC`.
        pub const fn with_deadline(self, deadline: Deadline) -> Timed<IoAwaitable<H>> {
            Timed::new(self, deadline)
        }
    }

    /// The operation with a deadline `timeout` from now, by the backend's clock.
    #[cfg(feature = "syscall")]
    pub fn with_timeout(self, timeout: core::time::Duration) -> Timed<IoAwaitable<H>> {
        let now_ns = crate::IoBackend::now_ns(self.handle().backend());
        self.with_deadline(Deadline::after(now_ns, timeout))
    }
}

impl<H: Handle, D: Operation> SafeOp<H, D> {
    const_unless_loom! {
        /// The operation with a deadline, absolute on `CLOCK_MONOTONIC`. It comes back with its buffer also
        /// when it times out.
        pub const fn with_deadline(self, deadline: Deadline) -> Timed<SafeOp<H, D>> {
            Timed::new(self, deadline)
        }
    }

    /// The operation with a deadline `timeout` from now, by the backend's clock.
    #[cfg(feature = "syscall")]
    pub fn with_timeout(self, timeout: core::time::Duration) -> Timed<SafeOp<H, D>> {
        let now_ns = crate::IoBackend::now_ns(self.handle().backend());
        self.with_deadline(Deadline::after(now_ns, timeout))
    }
}

impl<A: Deadlined + Future> Future for Timed<A> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<A::Output> {
        self.op().poll(cx)
    }
}

impl<A: fmt::Debug> fmt::Debug for Timed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("op", &self.op).field("timer", &self.timer).finish()
    }
}
