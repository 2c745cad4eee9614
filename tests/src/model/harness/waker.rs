//! Wakers that report each clone, drop and wake to the harness.
#![allow(unsafe_code, reason = "a waker's table is a table of functions of raw pointers")]
//! # Safety
//! Every waker's data is one of two statics, which are never written.

use super::inner::{self, Touch};
use crate::model::event::Who;
use core::mem::ManuallyDrop;
use core::task::{RawWaker, RawWakerVTable, Waker};

static WHO: [Who; 2] = Who::ALL;

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        inner::touched(Touch::Clone, who(data));
        RawWaker::new(data, &TABLE)
    },
    |data| inner::touched(Touch::Wake, who(data)),
    |data| inner::touched(Touch::WakeByRef, who(data)),
    |data| inner::touched(Touch::Drop, who(data)),
);

fn who(data: *const ()) -> Who {
    // SAFETY: the data of every waker with this table is one of `WHO`.
    unsafe { *data.cast::<Who>() }
}

/// The caller's own waker, which is not a clone and not counted.
pub(super) fn waker(who: Who) -> ManuallyDrop<Waker> {
    let data: *const Who = &raw const WHO[who as usize];
    // SAFETY: the table's functions take the address of one of `WHO`, from any thread.
    ManuallyDrop::new(unsafe { Waker::new(data.cast(), &TABLE) })
}
