//! What a ring hands on to the pool takes part in the lines of the pool's sources.
#![allow(unsafe_code, reason = "takes descriptors over")]

use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use io_core::op::MsgFlags;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, IoBackend, OpSet, OwnedFd, Phase, Registered};
use io_pool_backend::{PoolBackend, Worker};
use io_uring_backend::{Config, Shared, UringBackend};
use leaked::leaked;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

fn pinned<T>(value: T) -> Pin<&'static T> {
    Pin::static_ref(leaked(Box::new(value)))
}

fn drive<B: IoBackend, F: Future>(backend: &B, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        backend.poll(None).expect("poll");
    }
}

/// On one source: an operation of the pool's own, two of a ring that has no opcodes, of which the first is
/// called back, and one of the pool's again. Those that stay are served in the order in which they came.
#[test]
fn what_another_backend_hands_on_takes_its_turn() {
    let pool = pinned(PoolBackend::new().expect("a pool"));
    let config = Config::new().mask(OpSet::empty());
    let ring =
        match UringBackend::<Shared, &'static PoolBackend>::with_offload(&config, pool.get_ref()) {
            Ok(ring) => pinned(ring),
            Err(error) => return eprintln!("skipped: no ring: {error}"),
        };
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    // SAFETY: `into_raw_fd` gives the ownership up.
    let near = unsafe { OwnedFd::from_raw(Fd::new(near.into_raw_fd()), close_fd) };
    let near: &'static Registered<_, _> = leaked(Box::new(Registered::new(pool, near)));
    Pin::static_ref(near).attach();
    let workers: Vec<_> = (0..3)
        .map(|_| Worker::new(pool))
        .map(|worker| thread::spawn(move || worker.run()))
        .collect();
    let own = || Box::pin(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
    let foreign = || Box::pin(ring.recv(near, [0_u8; 1], MsgFlags::empty()));
    let (mut first, mut gone, mut second, mut third) = (own(), foreign(), foreign(), own());
    first.as_mut().submit().expect("submit");
    for (count, recv) in [(2, &mut gone), (3, &mut second)] {
        recv.as_mut().submit().expect("submit");
        ring.flush().expect("flush");
        while pool.counters().queued_now < count {
            ring.poll(Some(core::time::Duration::ZERO)).expect("poll");
        }
    }
    third.as_mut().submit().expect("submit");
    gone.as_mut().cancel();
    assert_eq!(drive(&*ring, gone).0, Err(Errno::CANCELED));
    assert_eq!((second.phase(), pool.in_flight()), (Phase::Queued, 3));
    far.write_all(b"abc").expect("write");
    assert_eq!(first.as_mut().wait().expect("a result"), (Ok(1), *b"a"));
    assert_eq!(drive(&*ring, second), (Ok(1), *b"b"));
    assert_eq!(third.as_mut().wait().expect("a result"), (Ok(1), *b"c"));
    pool.release_workers();
    workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
}
