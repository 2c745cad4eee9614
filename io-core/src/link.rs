//! The intrusive links of one node. Only the queues touch them.
//!
//! A node is in at most one list at a time (invariant I4 in [`crate::context`]), so one pair serves
//! every list of every backend.

use crate::context::SubmitContext;
use crate::sync::{UnsafeCell, const_unless_loom};
use core::ptr;

pub(crate) struct Link {
    pub(crate) next: UnsafeCell<*mut SubmitContext>,
    pub(crate) prev: UnsafeCell<*mut SubmitContext>,
}

impl Link {
    const_unless_loom! {
        pub(crate) const fn new() -> Link {
            Link { next: UnsafeCell::new(ptr::null_mut()), prev: UnsafeCell::new(ptr::null_mut()) }
        }
    }
}
