//! Readiness that stays though nothing can be taken: who waits beside it waits, and does not try for ever; and
//! hears of what comes.
#![allow(unsafe_code, reason = "sets options of sockets")]
//! # Safety
//! The descriptors are those of sockets that the test has.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::Rig;
use crate::watchdog::rounds;
use core::net::SocketAddr;
use core::time::Duration;
use io_core::op::{MsgFlags, Recv};
use io_core::{Errno, IoBackend, Op, Phase};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(an_unread_error_lets_a_receive_wait::<F>).needs(Needs::Object),
        Case::of(what_was_peeked_at_lets_a_peek_wait::<F>).needs(Needs::Object),
        Case::of(several_wait_beside_an_unread_error::<F>).needs(Needs::Object),
    ]
}

/// For so long it is counted how often a backend calls the kernel while nothing happens.
const QUIET: Duration = Duration::from_millis(100);
/// Many more than it needs to find out that there is nothing to take, and many fewer than it makes in that time if
/// it tries again and again.
const FEW: u64 = 500;

fn option<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) {
    let len = libc::socklen_t::try_from(size_of::<T>()).expect("a few bytes");
    let value = core::ptr::from_ref(value).cast();
    // SAFETY: so many bytes are there.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, len) };
    assert_eq!(done, 0, "setsockopt");
}

/// A socket whose error queue holds an error that nobody reads, and the address that it is connected to, where
/// nobody listens yet.
fn erring() -> (UdpSocket, SocketAddr) {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    option(&socket, libc::SOL_IP, libc::IP_RECVERR, &1_i32);
    socket.connect(nobody).expect("connect");
    socket.send(b"to nobody").expect("send");
    let refused = socket.recv(&mut [0]).expect_err("nobody listens");
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
    (socket, nobody)
}

fn recv(socket: &Desc, mem: &Mem, flags: MsgFlags) -> Op {
    Op::Recv(Recv { fd: socket.raw(), flags, buf: mem.ptr(), len: mem.len() })
}

/// Polls for a while in which nothing happens.
fn quiet<B: IoBackend>(rig: &Rig<'_, B>) {
    let before = rig.backend().counters().syscalls;
    let begin = Instant::now();
    while begin.elapsed() < QUIET {
        rig.poll(Some(QUIET / 10));
    }
    let calls = rig.backend().counters().syscalls - before;
    assert!(calls < FEW, "{calls} system calls in {:?}, and nothing happened", begin.elapsed());
}

/// `op` waits, and ends with `len` bytes once `send` was called; so also when they come at any moment.
fn waits_for<B: IoBackend>(rig: &Rig<'_, B>, op: Op, mem: &Mem, send: impl Fn(), len: i64) {
    let mut raw = rig.raw(op, mem.only());
    raw.submit().expect("submit");
    quiet(rig);
    assert_ne!(raw.phase(), Phase::Done, "{op:?}");
    send();
    rig.until_seen(|| raw.phase() == Phase::Done);
    assert_eq!(raw.result(), Some(len), "{op:?}");
}

/// The error is read by who asks for errors; until then the socket is always ready for that, and so for nothing
/// else.
pub fn an_unread_error_lets_a_receive_wait<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let (socket, address) = erring();
            socket.set_nonblocking(nonblocking).expect("a flag");
            let desc = Desc::from(socket);
            let mem = Mem::zeroed(8);
            let now = recv(&desc, &mem, MsgFlags::DONTWAIT);
            assert_eq!(oracle(&now, mem.only()), Errno::AGAIN.to_result(), "nothing but errors");
            let peer = UdpSocket::bind(address).expect("a socket");
            let send = || {
                peer.send_to(b"data", desc.local_address()).expect("send");
            };
            let op = recv(&desc, &mem, MsgFlags::empty());
            waits_for(rig, op, &mem, send, 4);
            waits_for(rig, desc.read_op(&mem), &mem, send, 4);
            // A datagram may come while it is found out that there was none, before and after.
            for round in 0..rounds(100) {
                let mut raw = rig.raw(op, mem.only());
                raw.submit().expect("submit");
                for _ in 0..round % 5 {
                    rig.poll(Some(Duration::ZERO));
                }
                send();
                rig.until_seen(|| raw.phase() == Phase::Done);
                assert_eq!(raw.result(), Some(4), "round {round}");
            }
        }
    });
}

/// With `SO_PEEK_OFF` a peek goes on where the last one ended, and waits for what is not there yet; but there is
/// something to read.
pub fn what_was_peeked_at_lets_a_peek_wait<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        option(near.std(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0_i32);
        far.put(b"seen");
        let mem = Mem::zeroed(8);
        let op = recv(&near, &mem, MsgFlags::PEEK);
        assert_eq!(rig.run(op, mem.only()), 4);
        waits_for(rig, op, &mem, || far.put(b"new"), 3);
        waits_for(rig, op, &mem, || far.put(b"newer"), 5);
    });
}

/// Each gets a datagram, whether they come one by one or all at once.
pub fn several_wait_beside_an_unread_error<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (socket, address) = erring();
        let desc = Desc::from(socket);
        let peer = UdpSocket::bind(address).expect("a socket");
        let send = || {
            peer.send_to(b"data", desc.local_address()).expect("send");
        };
        let mem: Vec<_> = (0..4).map(|_| Mem::zeroed(4)).collect();
        for together in [false, true] {
            let mut all: Vec<_> = (mem.iter())
                .map(|mem| rig.raw(recv(&desc, mem, MsgFlags::empty()), mem.only()))
                .collect();
            all.iter_mut().for_each(|raw| raw.submit().expect("submit"));
            quiet(rig);
            for sent in 1..=all.len() {
                send();
                if !together {
                    rig.until_seen(|| done(&all) == sent);
                }
            }
            rig.until_seen(|| done(&all) == all.len());
            all.iter_mut().for_each(|raw| assert_eq!(raw.result(), Some(4)));
            mem.iter().for_each(|mem| assert_eq!(mem.bytes(4), b"data"));
        }
    });
}

fn done<H: io_core::Handle>(all: &[core::pin::Pin<Box<crate::raw::Raw<H>>>]) -> usize {
    all.iter().filter(|raw| raw.phase() == Phase::Done).count()
}
