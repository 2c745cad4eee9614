//! The ring, with std, which its crate wants; `ring_none.rs` stands in this file's place without the feature `uring`.
#![allow(unsafe_code, reason = "shares a ring that is not to be shared")]
//! # Safety
//! A ring is used by one thread at a time: only inside a turn of `writer.rs`, which has a lock for that, or while a life
//! begins on its only thread. The ring is made so that the kernel does not mind which thread it is.

use crate::route::{Backend, LIVES};
use core::pin::Pin;
use io_core::{Errno, IoBackend};
use io_uring_backend::{Config, Local, UringBackend};
use spin::Once;

struct Ring(UringBackend<Local>);

// SAFETY: one thread at a time; see the top of the file.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

static RINGS: [Once<Ring>; LIVES] = [const { Once::new() }; LIVES];

type Reinit<'r> = &'r mut dyn FnMut() -> Result<(), Errno>;

/// The ring of this number, made if it is not yet; made new by `anew` if it is the parent's.
pub(crate) fn build(
    which: usize,
    anew: impl FnOnce(Reinit<'_>) -> Result<(), Errno>,
) -> Result<Backend, Errno> {
    // As many as there are blocks.
    let config = Config::new().entries(16).any_thread();
    let make = || UringBackend::new(&config).map(Ring).map_err(|error| error.errno);
    let ring = RINGS.get(which).ok_or(Errno::NODEV)?.try_call_once(make)?;
    if ring.0.generation() == 0 {
        anew(&mut || ring.0.reinit())?;
    }
    let ring: Pin<&'static UringBackend<Local>> = Pin::static_ref(&ring.0);
    Ok(ring)
}
