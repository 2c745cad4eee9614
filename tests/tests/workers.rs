//! Sockets that keep their registration, with workers that serve them.

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use io_core::op::MsgFlags;
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, OwnedFd, Registered};
use io_pool_backend::{PoolBackend, Worker};
use leaked::leaked;
use sockets::{owned, pair, register};
use std::io::Write;
use std::sync::Barrier;
use std::thread;

#[path = "../src/leaked.rs"]
mod leaked;

#[path = "support/sockets.rs"]
#[allow(dead_code, reason = "some of it")]
mod sockets;

type Shared = Pin<&'static PoolBackend>;

/// Lends this many threads while `act` runs.
fn with_workers(pool: Shared, count: usize, act: impl FnOnce()) {
    let lend = move |_| {
        let worker = Worker::new(pool);
        thread::spawn(move || worker.run())
    };
    let workers: Vec<_> = (0..count).map(lend).collect();
    act();
    pool.release_workers();
    workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
}

fn shared() -> Shared {
    Pin::static_ref(leaked(Box::new(PoolBackend::new().expect("a pool"))))
}

/// A recv of one thread while others poll or work: an event between the try that would have blocked and the
/// note that it did is not lost.
#[test]
fn events_between_a_try_and_its_note_are_not_lost() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 5_000 } else { 50_000 };
    for workers in [0, 1, 3] {
        let pool = shared();
        let (near, mut far) = pair();
        let near = register(pool, near);
        let (together, over) = (Barrier::new(2), AtomicBool::new(false));
        let rounds = || {
            for _ in 0..ROUNDS {
                together.wait();
                let mut recv = pin!(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
                recv.as_mut().submit().expect("submit");
                assert_eq!(recv.as_mut().wait().expect("a result").0, Ok(1));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    together.wait();
                    far.write_all(b"x").expect("write");
                }
            });
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    pool.poll(None).expect("poll");
                }
            });
            with_workers(pool, workers, rounds);
            over.store(true, Ordering::SeqCst);
            pool.wake_handle().wake();
        });
    }
}

/// Several sources and several workers: each line keeps its order, although any worker may serve it.
#[test]
fn lines_keep_their_order_with_any_number_of_workers() {
    const SOCKETS: usize = 8;
    const LINE: usize = 6;
    const ROUNDS: usize = if cfg!(debug_assertions) { 100 } else { 1_000 };
    let pool = shared();
    let (nears, mut fars): (Vec<_>, Vec<_>) =
        (0..SOCKETS).map(|_| pair()).map(|(near, far)| (register(pool, near), far)).unzip();
    with_workers(pool, 3, || {
        for _ in 0..ROUNDS {
            let mut lines: Vec<Vec<_>> = nears
                .iter()
                .map(|&near| {
                    let recv = || Box::pin(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
                    (0..LINE).map(|_| recv()).collect()
                })
                .collect();
            for recv in lines.iter_mut().flatten() {
                recv.as_mut().submit().expect("submit");
            }
            // In two parts, so that lines are met waiting and being served.
            for part in [&b"abc"[..], b"def"] {
                fars.iter_mut().for_each(|far| far.write_all(part).expect("write"));
            }
            for line in lines {
                let bytes: Vec<u8> = line
                    .into_iter()
                    .map(|mut recv| {
                        let (got, buf) = recv.as_mut().wait().expect("a result");
                        assert_eq!(got, Ok(1));
                        buf[0]
                    })
                    .collect();
                assert_eq!(bytes, b"abcdef");
            }
        }
    });
}

/// What waits in a line holds no worker and costs nothing; cancels come while workers serve the line.
#[test]
fn cancels_race_with_workers_that_serve_the_line() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 500 } else { 5_000 };
    let pool = shared();
    let (near, mut far) = pair();
    let near = register(pool, near);
    with_workers(pool, 2, || {
        for round in 0..ROUNDS {
            let mut recvs: Vec<_> =
                (0..4).map(|_| Box::pin(pool.recv(near, [0_u8; 1], MsgFlags::empty()))).collect();
            for recv in &mut recvs {
                recv.as_mut().submit().expect("submit");
            }
            far.write_all(b"xy").expect("write");
            recvs[round % 4].as_mut().cancel();
            recvs[3].as_mut().cancel();
            recvs[2].as_mut().cancel();
            let mut got = 0;
            for recv in &mut recvs[..2] {
                // The one that was cancelled may have been served before.
                got += recv.as_mut().wait().expect("a result").0.unwrap_or(0);
            }
            for recv in &mut recvs[2..] {
                got += recv.as_mut().wait().expect("a result").0.unwrap_or(0);
            }
            let mut rest = pin!(pool.recv(near, [0_u8; 2], MsgFlags::empty()));
            while got < 2 {
                rest.as_mut().submit().expect("submit");
                got += rest.as_mut().wait().expect("a result").0.expect("recv");
                rest.set(pool.recv(near, [0_u8; 2], MsgFlags::empty()));
            }
            assert_eq!(got, 2, "no byte is lost");
        }
    });
}

/// A source is detached while workers serve it.
#[test]
fn a_source_goes_while_workers_serve_it() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 300 } else { 3_000 };
    let pool = shared();
    let (near, mut far) = pair();
    let near: &'static OwnedFd = leaked(Box::new(owned(near)));
    with_workers(pool, 2, || {
        for _ in 0..ROUNDS {
            let source = Box::pin(Registered::new(pool, near));
            source.as_ref().attach();
            let mut recv = pin!(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
            recv.as_mut().submit().expect("submit");
            far.write_all(b"x").expect("write");
            drop(source);
            let left = match recv.as_mut().wait().expect("a result").0 {
                Ok(got) => 1 - got,
                Err(errno) => {
                    assert_eq!(errno, Errno::CANCELED);
                    1
                }
            };
            if left > 0 {
                let mut bare = pin!(pool.recv(near, [0_u8; 1], MsgFlags::empty()));
                bare.as_mut().submit().expect("submit");
                assert_eq!(bare.as_mut().wait().expect("a result").0, Ok(1));
            }
        }
    });
}
