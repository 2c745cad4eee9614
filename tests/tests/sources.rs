//! Sockets that keep their registration, on the backends that wait in epoll: what they cost, that caching
//! their readiness loses nothing, and that they may go at any time.

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_core::op::{MsgFlags, PollEvents};
use io_core::ops::Ops;
use io_core::{Errno, InFlight, IoBackend, IoFd, OpKind, OwnedFd, Phase, Registered};
use io_epoll_backend::{EpollBackend, LocalEpoll};
use io_pool_backend::{LocalPool, PoolBackend};
use leaked::leaked;
use libtest_mimic::{Arguments, Trial};
use sockets::{Socket, drive, owned, pair, register};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Barrier, mpsc};
use std::thread;

#[path = "../src/leaked.rs"]
mod leaked;

#[path = "support/sockets.rs"]
mod sockets;

/// A backend in its two forms.
trait Kind: 'static {
    /// For one thread.
    type Local: IoBackend;
    /// For several.
    type Shared: IoBackend + Sync;

    fn local() -> Pin<&'static Self::Local>;
    fn shared() -> Pin<&'static Self::Shared>;
}

struct Epoll;

impl Kind for Epoll {
    type Local = LocalEpoll;
    type Shared = EpollBackend;

    fn local() -> Pin<&'static LocalEpoll> {
        made(LocalEpoll::new())
    }

    fn shared() -> Pin<&'static EpollBackend> {
        made(EpollBackend::new())
    }
}

struct Pool;

impl Kind for Pool {
    type Local = LocalPool;
    type Shared = PoolBackend;

    fn local() -> Pin<&'static LocalPool> {
        made(LocalPool::new())
    }

    fn shared() -> Pin<&'static PoolBackend> {
        made(PoolBackend::new())
    }
}

fn made<B>(backend: Result<B, Errno>) -> Pin<&'static B> {
    Pin::static_ref(leaked(Box::new(backend.expect("a backend"))))
}

fn main() -> ExitCode {
    let mut trials = of::<Epoll>("epoll");
    trials.extend(of::<Pool>("pool"));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn of<K: Kind>(name: &str) -> Vec<Trial> {
    let cases: [(&str, fn()); 12] = [
        (
            "a_round_trip_on_a_warm_connection_is_one_recv_one_send_and_one_wait",
            a_round_trip_on_a_warm_connection_is_one_recv_one_send_and_one_wait::<K>,
        ),
        (
            "many_connections_share_their_waits_and_cost_one_registration_each",
            many_connections_share_their_waits_and_cost_one_registration_each::<K>,
        ),
        (
            "data_and_the_end_before_the_first_recv_are_both_seen",
            data_and_the_end_before_the_first_recv_are_both_seen::<K>,
        ),
        ("a_reset_ends_what_waits", a_reset_ends_what_waits::<K>),
        (
            "operations_on_a_source_are_served_in_the_order_of_submission",
            operations_on_a_source_are_served_in_the_order_of_submission::<K>,
        ),
        ("a_full_socket_is_waited_for_and_goes_on", a_full_socket_is_waited_for_and_goes_on::<K>),
        (
            "a_source_that_goes_ends_what_waits_on_it_and_frees_its_number",
            a_source_that_goes_ends_what_waits_on_it_and_frees_its_number::<K>,
        ),
        (
            "a_cancel_of_everything_finds_what_waits_on_a_source",
            a_cancel_of_everything_finds_what_waits_on_a_source::<K>,
        ),
        (
            "a_watcher_and_a_reader_both_hear_of_an_event",
            a_watcher_and_a_reader_both_hear_of_an_event::<K>,
        ),
        (
            "events_between_a_try_and_its_note_are_not_lost",
            events_between_a_try_and_its_note_are_not_lost::<K>,
        ),
        (
            "a_detach_hears_of_a_try_that_goes_back_to_wait",
            a_detach_hears_of_a_try_that_goes_back_to_wait::<K>,
        ),
        (
            "what_waits_on_a_number_keeps_its_turn_when_that_becomes_a_source",
            what_waits_on_a_number_keeps_its_turn_when_that_becomes_a_source::<K>,
        ),
    ];
    let trial = |(case, run): (&str, fn())| {
        Trial::test(format!("{name}::{case}"), move || {
            run();
            Ok(())
        })
    };
    cases.into_iter().map(trial).collect()
}

/// One round: the client's bytes are there before the server looks.
fn echo<B: IoBackend>(
    backend: Pin<&'static B>,
    near: Socket<Pin<&'static B>>,
    far: &mut TcpStream,
) {
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

fn a_round_trip_on_a_warm_connection_is_one_recv_one_send_and_one_wait<K: Kind>() {
    let backend = K::local();
    let (near, mut far) = pair();
    let near = register(backend, near);
    echo(backend, near, &mut far);
    let before = backend.counters().syscalls;
    for _ in 0..100 {
        echo(backend, near, &mut far);
    }
    assert_eq!(backend.counters().syscalls - before, 3 * 100, "recv, epoll_wait, send");
}

fn many_connections_share_their_waits_and_cost_one_registration_each<K: Kind>() {
    const CONNECTIONS: usize = 32;
    let backend = K::local();
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

fn data_and_the_end_before_the_first_recv_are_both_seen<K: Kind>() {
    for late in [false, true] {
        let backend = K::local();
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

fn a_reset_ends_what_waits<K: Kind>() {
    let backend = K::local();
    let (near, far) = pair();
    let near = register(backend, near);
    let mut recv = pin!(backend.recv(near, [0_u8; 16], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    drive(&*backend, backend.send(near, *b"unread", MsgFlags::empty())).0.expect("send");
    // Closed with unread data: a reset.
    drop(far);
    assert_eq!(drive(&*backend, recv).0, Err(Errno::CONNRESET));
}

fn operations_on_a_source_are_served_in_the_order_of_submission<K: Kind>() {
    let backend = K::local();
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

fn a_full_socket_is_waited_for_and_goes_on<K: Kind>() {
    let backend = K::local();
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

fn a_source_that_goes_ends_what_waits_on_it_and_frees_its_number<K: Kind>() {
    let backend = K::local();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    let near: &'static OwnedFd = leaked(Box::new(owned(near)));
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

fn a_cancel_of_everything_finds_what_waits_on_a_source<K: Kind>() {
    let backend = K::local();
    let (first, mut far) = pair();
    let (second, _open) = pair();
    let (first, second) = (register(backend, first), register(backend, second));
    let mut waits = [first, first, second]
        .map(|near| Box::pin(backend.recv(near, [0_u8; 4], MsgFlags::empty())));
    let mut out = [InFlight::EMPTY; 4];
    for recv in &mut waits {
        recv.as_mut().submit().expect("submit");
    }
    assert_eq!(backend.dump(&mut out), waits.len());
    let listed = |near: Socket<_>| {
        out.iter().filter(|op| op.kind == OpKind::Recv && op.fd == Some(near.fd())).count()
    };
    assert_eq!((listed(first), listed(second)), (2, 1), "{out:?}");
    assert_eq!(drive(&*backend, backend.cancel_all()), Ok(waits.len()));
    for recv in waits {
        assert_eq!(drive(&*backend, recv).0, Err(Errno::CANCELED));
    }
    assert_eq!(backend.dump(&mut out), 0);
    // The line is free again.
    let mut recv = pin!(backend.recv(first, [0_u8; 4], MsgFlags::empty()));
    recv.as_mut().submit().expect("submit");
    far.write_all(b"next").expect("write");
    assert_eq!(drive(&*backend, recv).0, Ok(4));
}

fn a_watcher_and_a_reader_both_hear_of_an_event<K: Kind>() {
    let backend = K::local();
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

fn what_waits_on_a_number_keeps_its_turn_when_that_becomes_a_source<K: Kind>() {
    let backend = K::local();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    let near: &'static OwnedFd = leaked(Box::new(owned(near)));
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

/// A recv of one thread while another polls: an event between the try that would have blocked and the
/// note that it did is not lost.
fn events_between_a_try_and_its_note_are_not_lost<K: Kind>() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 5_000 } else { 100_000 };
    let backend = K::shared();
    let (near, mut far) = pair();
    let near = register(backend, near);
    let (together, over) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                together.wait();
                far.write_all(b"x").expect("write");
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                backend.poll(None).expect("poll");
            }
        });
        for _ in 0..ROUNDS {
            together.wait();
            let mut recv = pin!(backend.recv(near, [0_u8; 1], MsgFlags::empty()));
            recv.as_mut().submit().expect("submit");
            assert_eq!(recv.as_mut().wait().expect("a result").0, Ok(1));
        }
        over.store(true, Ordering::SeqCst);
        backend.wake_handle().wake();
    });
}

/// Each event is tried and says nothing, so the operation goes back to wait again and again: who detaches
/// meanwhile hears of it, although nothing is completed.
fn a_detach_hears_of_a_try_that_goes_back_to_wait<K: Kind>() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let backend = K::shared();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let mut drain = near.try_clone().expect("a second number");
    near.set_nonblocking(true).expect("non-blocking");
    let near: &'static OwnedFd = leaked(Box::new(owned(near)));
    let over = AtomicBool::new(false);
    let (gone, heard) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                backend.poll(None).expect("poll");
            }
        });
        scope.spawn(move || {
            for round in 0..ROUNDS {
                let source = Box::pin(Registered::new(backend, near));
                source.as_ref().attach();
                let mut watch = pin!(backend.poll_fd(near, PollEvents::PRI));
                watch.as_mut().submit().expect("submit");
                far.write_all(b"x").expect("write");
                for _ in 0..round % 97 * 20 {
                    core::hint::spin_loop();
                }
                drop(source);
                let ended = watch.as_mut().wait().expect("a result");
                assert_eq!(ended, Err(Errno::CANCELED));
                drain.read_exact(&mut [0]).expect("read");
                gone.send(round).expect("told");
            }
        });
        let mut rounds = 0;
        while rounds < ROUNDS {
            match heard.recv_timeout(Duration::from_secs(5)) {
                Ok(_) => rounds += 1,
                Err(_) => {
                    over.store(true, Ordering::SeqCst);
                    // Wakes also the one that sleeps in its detach, so that the test ends.
                    for _ in 0..100 {
                        backend.wake_handle().wake();
                        thread::sleep(Duration::from_millis(1));
                    }
                    panic!("the detach of round {rounds} sleeps");
                }
            }
        }
        over.store(true, Ordering::SeqCst);
        backend.wake_handle().wake();
    });
}
