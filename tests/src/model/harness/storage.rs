//! The real awaitable, with or without a deadline, where the caller and the windows can reach it.
#![allow(unsafe_code, reason = "looks at an awaitable while a call on it is under way")]
//! # Safety
//! The storage is one allocation, pinned until `free`, and every access is made from its one raw pointer.
//! A look is a shared reference, as backends make from a node's address (I8), and made while a call is
//! under way only where that call has handed the node on or is in user code.

use super::inner::Here;
use crate::model::state::{Start, Word};
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr;
use io_core::op::{Family, Nop, Socket, SocketFlags, SocketKind};
use io_core::{Deadline, IoAwaitable, Op, Timed};

type Plain = IoAwaitable<Here>;

/// When the deadline of a timed operation passes.
pub(super) const DEADLINE_NS: u64 = 5;

#[derive(Clone, Copy)]
pub(super) enum Storage {
    Plain(*mut Plain),
    Timed(*mut Timed<Plain>),
}

/// The descriptor of a life. Nothing performs it.
pub(super) fn op(start: Start) -> Op {
    if start.yields_fd {
        let (family, kind) = (Family::UNIX, SocketKind::STREAM);
        Op::Socket(Socket { family, kind, flags: SocketFlags::empty(), protocol: 0 })
    } else {
        Op::Nop(Nop)
    }
}

impl Storage {
    pub(super) fn new(start: Start, handle: Here) -> Storage {
        let plain = match start.ready {
            Some(result) => IoAwaitable::ready(handle, result),
            // SAFETY: the operation has no pointers, no descriptor, and nobody performs it.
            None => unsafe { IoAwaitable::new(handle, op(start)) },
        };
        if start.timed {
            let deadline = Deadline::from_nanos(DEADLINE_NS);
            Storage::Timed(Box::into_raw(Box::new(plain.with_deadline(deadline))))
        } else {
            Storage::Plain(Box::into_raw(Box::new(plain)))
        }
    }

    /// The awaitable, for one call.
    ///
    /// # Safety
    /// * It is not freed, and no other call is under way.
    pub(super) unsafe fn pin<'a>(self) -> Pin<&'a mut Plain> {
        match self {
            Storage::Plain(plain) => {
                // SAFETY: not freed, and no other exclusive reference, promised by the caller.
                let plain = unsafe { &mut *plain };
                // SAFETY: it stays where it is until it was dropped.
                unsafe { Pin::new_unchecked(plain) }
            }
            Storage::Timed(timed) => {
                // SAFETY: as above.
                let timed = unsafe { &mut *timed };
                // SAFETY: as above.
                unsafe { Pin::new_unchecked(timed) }.op()
            }
        }
    }

    /// The real state word, as the library's `Debug` prints it.
    ///
    /// # Safety
    /// * It is not freed.
    pub(super) unsafe fn word(self) -> Word {
        let awaitable: *const Plain = match self {
            Storage::Plain(plain) => plain,
            Storage::Timed(timed) => {
                // SAFETY: not freed, promised by the caller.
                let timed = unsafe { &*timed };
                timed.get_ref()
            }
        };
        // SAFETY: as above.
        let awaitable = unsafe { &*awaitable };
        let mut word = Word::default();
        // It has room for the longest.
        let _ = write!(word, "{awaitable:?}");
        word.inside("IoAwaitable(SubmitContext(", "))")
    }

    /// Whether the awaitable prints the address it is at, which is its identity.
    ///
    /// # Safety
    /// * It is not freed.
    pub(super) unsafe fn prints_its_address(self) -> bool {
        let Storage::Plain(plain) = self else { return true };
        // SAFETY: not freed, promised by the caller.
        let awaitable = unsafe { &*plain };
        format!("{awaitable:p}") == format!("{plain:p}")
    }

    /// Drops the awaitable and frees it.
    ///
    /// # Safety
    /// * It is not freed, and nobody uses it from now on but the backend in this drop.
    pub(super) unsafe fn free(self) {
        match self {
            Storage::Plain(plain) => {
                // SAFETY: promised by the caller.
                unsafe { ptr::drop_in_place(plain) };
                // SAFETY: it came out of a box of this layout, and its content is dropped.
                drop(unsafe { Box::from_raw(plain.cast::<MaybeUninit<Plain>>()) });
            }
            Storage::Timed(timed) => {
                // SAFETY: promised by the caller.
                unsafe { ptr::drop_in_place(timed) };
                // SAFETY: it came out of a box of this layout, and its content is dropped.
                drop(unsafe { Box::from_raw(timed.cast::<MaybeUninit<Timed<Plain>>>()) });
            }
        }
    }
}
