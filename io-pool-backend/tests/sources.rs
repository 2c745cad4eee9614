//! Sockets that keep their registration: what they cost, and that caching their readiness loses nothing.
#![cfg(not(miri))]
#![allow(unsafe_code, reason = "takes descriptors over")]

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::MsgFlags;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, IoBackend, OwnedFd, Phase, Registered};
use io_pool_backend::{LocalPool, PoolBackend, Worker};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;

type Local = Pin<&'static LocalPool>;
type Shared = Pin<&'static PoolBackend>;
type Socket<H> = &'static Registered<H, OwnedFd>;

fn local() -> Local {
    Pin::static_ref(Box::leak(Box::new(LocalPool::new().expect("a backend"))))
}

fn owned(fd: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives the ownership up.
    unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let far = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    let (near, _) = listener.accept().expect("accept");
    near.set_nonblocking(true).expect("non-blocking");
    near.set_nodelay(true).expect("no delay");
    far.set_nodelay(true).expect("no delay");
    (near, far)
}

fn register<H: io_core::Handle + 'static>(handle: H, near: impl IntoRawFd) -> Socket<H> {
    let source = Box::leak(Box::new(Registered::new(handle, owned(near))));
    Pin::static_ref(&*source).attach();
    source
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

/// One round: the client's bytes are there before the server looks.
fn echo(backend: Local, near: Socket<Local>, far: &mut TcpStream) {
    let mut recv = pin!(backend.recv(near, [0_u8; 64], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    far.write_all(b"ping").expect("write");
    let (got, buf) = drive(&*backend, recv);
    assert_eq!((got, &buf[..4]), (Ok(4), &b"ping"[..]));
    let (sent, _) = drive(&*backend, backend.send(near, *b"pong", MsgFlags::empty()));
    assert_eq!(sent, Ok(4));
    let mut answer = [0; 4];
    far.read_exact(&mut answer).expect("read");
    assert_eq!(&answer, b"pong");
}

#[test]
fn a_round_trip_on_a_warm_connection_is_one_recv_one_send_and_one_wait() {
    let backend = local();
    let (near, mut far) = pair();
    let near = register(backend, near);
    echo(backend, near, &mut far);
    let before = backend.counters().syscalls;
    for _ in 0..100 {
        echo(backend, near, &mut far);
    }
    assert_eq!(backend.counters().syscalls - before, 3 * 100, "recv, epoll_wait, send");
}

#[test]
fn many_connections_share_their_waits_and_cost_one_registration_each() {
    const CONNECTIONS: usize = 32;
    let backend = local();
    let (mut nears, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let (near, far) = pair();
        nears.push(register(backend, near));
        fars.push(far);
    }
    let round = |fars: &mut Vec<TcpStream>| {
        let mut recvs: Vec<_> = nears
            .iter()
            .map(|&near| Box::pin(backend.recv(near, [0_u8; 16], MsgFlags::empty())))
            .collect();
        for recv in &mut recvs {
            recv.as_mut().submit().expect("submit");
        }
        for far in &mut *fars {
            far.write_all(b"x").expect("write");
        }
        while recvs.iter().any(|recv| recv.phase() != Phase::Done) {
            backend.poll(None).expect("poll");
        }
        for (near, far) in nears.iter().zip(fars) {
            let sent = drive(&*backend, backend.send(*near, *b"y", MsgFlags::empty())).0;
            assert_eq!(sent, Ok(1));
            far.read_exact(&mut [0]).expect("read");
        }
    };
    let start = backend.counters().syscalls;
    round(&mut fars);
    let first = backend.counters().syscalls - start;
    // A recv that would block, its registration, the recv, the send; and a wait for all.
    assert!(first <= 4 * CONNECTIONS as u64 + 3, "{first} calls in the first round");
    let start = backend.counters().syscalls;
    for _ in 0..10 {
        round(&mut fars);
    }
    let each = backend.counters().syscalls - start;
    assert!(each <= 10 * (2 * CONNECTIONS as u64 + 2), "{each} calls in ten rounds");
}

#[test]
fn data_and_the_end_before_the_first_recv_are_both_seen() {
    for late in [false, true] {
        let backend = local();
        let (near, mut far) = pair();
        let near = register(backend, near);
        let recv = || backend.recv(near, [0_u8; 16], MsgFlags::empty());
        let mut early = pin!(recv());
        if late {
            // Registered before anything has come.
            early.as_mut().submit().expect("submit");
        }
        far.write_all(b"last words").expect("write");
        drop(far);
        assert_eq!(drive(&*backend, early).0, Ok(10));
        assert_eq!(drive(&*backend, recv()).0, Ok(0), "the end of the stream");
        assert_eq!(drive(&*backend, recv()).0, Ok(0), "and again");
    }
}

#[test]
fn a_reset_ends_what_waits() {
    let backend = local();
    let (near, far) = pair();
    let near = register(backend, near);
    let mut recv = pin!(backend.recv(near, [0_u8; 16], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    drive(&*backend, backend.send(near, *b"unread", MsgFlags::empty())).0.expect("send");
    // Closed with unread data: a reset.
    drop(far);
    assert_eq!(drive(&*backend, recv).0, Err(Errno::CONNRESET));
}

#[test]
fn operations_on_a_source_are_served_in_the_order_of_submission() {
    let backend = local();
    let (near, mut far) = pair();
    let near = register(backend, near);
    let mut recvs: Vec<_> =
        (0..8).map(|_| Box::pin(backend.recv(near, [0_u8; 4], MsgFlags::empty()))).collect();
    for recv in &mut recvs {
        recv.as_mut().submit().expect("submit");
    }
    far.write_all(b"aaaabbbbccccdddd").expect("write");
    while recvs[3].phase() != Phase::Done {
        backend.poll(None).expect("poll");
    }
    // In the middle of the line, and the first.
    recvs[5].as_mut().cancel();
    recvs[4].as_mut().cancel();
    far.write_all(b"eeeeffff").expect("write");
    let words: Vec<_> = recvs
        .into_iter()
        .map(|recv| match drive(&*backend, recv) {
            (Ok(4), buf) => String::from_utf8_lossy(&buf).into_owned(),
            (Err(Errno::CANCELED), _) => "-".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(words, ["aaaa", "bbbb", "cccc", "dddd", "-", "-", "eeee", "ffff"]);
}

#[test]
fn a_full_socket_is_waited_for_and_goes_on() {
    let backend = local();
    let (near, mut far) = pair();
    let near = register(backend, near);
    let chunk = vec![7_u8; 48 * 1024];
    let mut sent = 0;
    let mut blocked = Box::pin(backend.send(near, chunk.clone(), MsgFlags::empty()));
    loop {
        blocked.as_mut().submit().expect("submit");
        if blocked.phase() != Phase::Done {
            break;
        }
        sent += blocked.as_mut().take().expect("done").0.expect("send");
        blocked = Box::pin(backend.send(near, chunk.clone(), MsgFlags::empty()));
    }
    let before = backend.counters().syscalls;
    assert_eq!(backend.poll(Some(Duration::ZERO)), Ok(0), "nothing has changed");
    assert!(backend.counters().syscalls - before <= 2, "an event at the most, and no try");
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("read");
        all.len()
    });
    sent += drive(&*backend, blocked).0.expect("send");
    drive(&*backend, backend.shutdown(near, io_core::ops::How::Write)).expect("shutdown");
    assert_eq!(reader.join().expect("the reader"), sent);
}

#[test]
fn a_source_that_goes_ends_what_waits_on_it_and_frees_its_number() {
    let backend = local();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    let near: &'static OwnedFd = Box::leak(Box::new(owned(near)));
    let source = Box::pin(Registered::new(backend, near));
    source.as_ref().attach();
    source.as_ref().attach();
    let mut recv = pin!(backend.recv(near, [0_u8; 4], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    assert_eq!(recv.phase(), Phase::Queued);
    drop(source);
    assert_eq!(drive(&*backend, recv).0, Err(Errno::CANCELED));
    // A bare number from here on, although its old registration is still in epoll.
    let mut recv = pin!(backend.recv(near, [0_u8; 4], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    far.write_all(b"bare").expect("write");
    assert_eq!(drive(&*backend, recv).0, Ok(4));
    // And a source again, with an operation that waits from before.
    let mut recv = pin!(backend.recv(near, [0_u8; 4], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    let source = Box::pin(Registered::new(backend, near));
    source.as_ref().attach();
    far.write_all(b"more").expect("write");
    assert_eq!(drive(&*backend, recv).0, Ok(4));
    drop(source);
}

#[test]
fn a_watcher_and_a_reader_both_hear_of_an_event() {
    use io_core::op::PollEvents;
    let backend = local();
    let (near, mut far) = pair();
    let near = register(backend, near);
    let mut watch = pin!(backend.poll_fd(near, PollEvents::IN));
    watch.as_mut().submit().expect("submit");
    let mut recv = pin!(backend.recv(near, [0_u8; 4], MsgFlags::PEEK));
    recv.as_mut().submit().expect("submit");
    far.write_all(b"seen").expect("write");
    assert_eq!(drive(&*backend, recv).0, Ok(4));
    assert!(drive(&*backend, watch).expect("events").contains(PollEvents::IN));
}

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
    Pin::static_ref(Box::leak(Box::new(PoolBackend::new().expect("a pool"))))
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
    let near: &'static OwnedFd = Box::leak(Box::new(owned(near)));
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

#[test]
fn what_waits_on_a_number_keeps_its_turn_when_that_becomes_a_source() {
    let backend = local();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    let near: &'static OwnedFd = Box::leak(Box::new(owned(near)));
    let recv = || Box::pin(backend.recv(near, [0_u8; 4], MsgFlags::empty()));
    let (mut first, mut second, mut third) = (recv(), recv(), recv());
    first.as_mut().submit().expect("submit");
    second.as_mut().submit().expect("submit");
    assert_eq!(second.phase(), Phase::Queued);
    let source = Box::pin(Registered::new(backend, near));
    source.as_ref().attach();
    far.write_all(b"aaaabbbbcccc").expect("write");
    third.as_mut().submit().expect("submit");
    let (third, second) = (drive(&*backend, third), drive(&*backend, second));
    let first = drive(&*backend, first);
    assert_eq!((first.0, &first.1), (Ok(4), b"aaaa"), "the first");
    assert_eq!((second.0, &second.1), (Ok(4), b"bbbb"), "the second");
    assert_eq!((third.0, &third.1), (Ok(4), b"cccc"), "the third");
}
