//! Typed operations that wait for the clock.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! No descriptor here has a pointer.

use super::{Operation, unit};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{self, Op};

/// See [`Ops::sleep_until`](super::Ops::sleep_until).
#[derive(Debug)]
pub struct Timeout;

// SAFETY: no pointers, no descriptor.
unsafe impl Operation for Timeout {
    type Output = Result<(), Errno>;

    unsafe fn describe(_: *mut Self) -> Op {
        Op::Timeout(op::Timeout)
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}
