//! Typed operations that do no I/O.
#![allow(unsafe_code, reason = "implements the unsafe trait of typed operations")]
//! # Safety
//! No descriptor here has a pointer.

use super::{Operation, count, unit};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{self, Op, Scope};

/// See [`Ops::cancel_all`](super::Ops::cancel_all).
#[derive(Debug)]
pub struct Cancel {
    pub(super) scope: Scope,
}

// SAFETY: no pointers, and the descriptor is only a number to compare with.
unsafe impl Operation for Cancel {
    type Output = Result<usize, Errno>;

    unsafe fn describe(this: *mut Self) -> Op {
        // SAFETY: valid, promised by the caller; the borrow ends with this call.
        let scope = unsafe { &*this }.scope;
        Op::Cancel(op::Cancel { scope })
    }

    fn finish(self, result: i64, _: unsafe fn(Fd)) -> Self::Output {
        count(result)
    }
}

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
