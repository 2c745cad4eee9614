//! Typed operations that do no I/O.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! No descriptor here has a pointer.

use super::{Operation, unit};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{self, Op};

/// See [`Ops::nop`](super::Ops::nop).
#[derive(Debug)]
pub struct Nop;

// SAFETY: no pointers, no descriptor.
unsafe impl Operation for Nop {
    type Output = Result<(), Errno>;

    unsafe fn describe(_: *mut Self) -> Op {
        Op::Nop(op::Nop)
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        unit(result)
    }
}
