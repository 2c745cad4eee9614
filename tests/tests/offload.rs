//! A ring that hands on to a pool, step by step: nobody works in the pool but this thread, so that what else is
//! a race comes in an order of the test's.
#![allow(unsafe_code, reason = "describes raw memory to the backend")]
//! # Safety
//! Each test keeps the memory of its operations, and its backends, for longer than these.

use core::pin::{Pin, pin};
use core::time::Duration;
use io_conformance::Desc;
use io_core::op::{Close, Read};
use io_core::{Errno, Fd, IoAwaitable, IoBackend, Op, OpSet};
use io_pool_backend::{PoolBackend, SpinLock};
use io_uring_backend::{Config, Shared, UringBackend};
use leaked::leaked;

#[path = "../src/leaked.rs"]
mod leaked;

type Ring = UringBackend<Shared, &'static PoolBackend<SpinLock>>;

/// A ring that runs nothing itself, and what does.
fn ring() -> Option<(Ring, &'static PoolBackend<SpinLock>)> {
    let pool: &'static PoolBackend<SpinLock> =
        leaked(Box::new(PoolBackend::new().expect("a pool")));
    let config = Config::new().mask(OpSet::empty());
    match UringBackend::with_offload(&config, pool) {
        Ok(ring) => Some((ring, pool)),
        Err(why) => {
            eprintln!("skipped: no ring: {why}");
            None
        }
    }
}

fn submitted(ring: Pin<&Ring>, op: Op) -> Pin<Box<IoAwaitable<Pin<&Ring>>>> {
    // SAFETY: as the top of the file says.
    let mut op = Box::pin(unsafe { IoAwaitable::new(ring, op) });
    op.as_mut().submit().expect("submit");
    op
}

fn look(backend: &impl IoBackend) {
    backend.poll(Some(Duration::ZERO)).expect("poll");
}

/// An event comes while a close is on its way: the read that it is for ends all the same, before the number
/// can mean another file.
#[test]
fn an_event_behind_a_close_does_not_revive_what_it_ends() {
    let Some((ring, pool)) = ring() else { return };
    let ring = pin!(ring);
    let ring = ring.as_ref();
    let (reader, writer) = Desc::pipe();
    let mut byte = [0xaa_u8];
    let fd = io_core::OwnedFd::into_raw(reader.to_owned_fd());
    let read = Op::Read(Read { fd, buf: byte.as_mut_ptr(), len: 1 });
    let mut read = submitted(ring, read);
    look(&*ring);
    // It waits in the pool now.
    pool.flush().expect("flush");
    let mut close = submitted(ring, Op::Close(Close { fd: Fd::new(fd.raw()) }));
    look(&*ring);
    writer.put(b"x");
    look(pool);
    assert_eq!(close.as_mut().wait(), 0);
    assert_eq!(read.as_mut().wait(), Errno::CANCELED.to_result());
    drop(read);
    assert_eq!(byte, [0xaa]);
    assert_eq!(reader.get(1), b"x");
}
