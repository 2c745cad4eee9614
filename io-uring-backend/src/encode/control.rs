//! Operations that do no I/O.

use crate::ring::Sqe;
use io_core::op::Nop;

#[inline]
pub(super) fn nop(_: Nop) -> Sqe {
    Sqe::nop()
}
