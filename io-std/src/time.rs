//! Waiting for the clock: [`sleep`], [`sleep_until`], and [`timeout`] around anything.
//!
//! The functions use the thread's current backend, as the free functions of the crate's root do; on a
//! thread without one they block the thread. A single operation is better given a deadline of its own, with
//! [`Call::with_timeout`](crate::Call::with_timeout): that costs no second operation, and its buffer comes
//! back.

use crate::current::here;
use crate::error::IntoIo;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use io_core::Deadline;
use io_core::ops::Ops;
use io_core::syscall::deadline_in;
use std::io;

/// Waits for `duration`, from the call on.
///
/// # Errors
/// `ECANCELED` on a stopped backend, and after a cancel of everything.
pub fn sleep(duration: Duration) -> impl Future<Output = io::Result<()>> {
    sleep_until(deadline_in(duration))
}

/// Waits until `deadline` (`CLOCK_MONOTONIC`).
///
/// # Errors
/// As [`sleep`]; `EDEADLK` on a thread without a backend if the deadline is never.
pub fn sleep_until(deadline: Deadline) -> impl Future<Output = io::Result<()>> {
    let sleep = here().sleep_until(deadline);
    async move { sleep.await.into_io() }
}

/// The output of `future`, if it has one within `duration` from the first poll on.
///
/// # Errors
/// [`Elapsed`], when the time is over. The future is then dropped: its operations are cancelled and waited
/// for, and the buffers they own are lost.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut clock = pin!(sleep(duration));
    let mut stopped = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if stopped {
            return Poll::Pending;
        }
        match clock.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Elapsed)),
            // A stopped backend has no clock; it ends the future's operations all the same.
            Poll::Ready(Err(_)) => {
                stopped = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The time was over before the future was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl core::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> io::Error {
        io::ErrorKind::TimedOut.into()
    }
}
