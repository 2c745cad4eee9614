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
use io_core::op::{MsgFlags, Recv, Send};
use io_core::{Errno, IoBackend, Op, Phase, Registered};
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
        Case::of(room_at_the_peer_that_nobody_is_told_of::<F>).needs(Needs::Object),
        Case::of(what_stood_behind_a_stale_operation_takes_its_place::<F>).needs(Needs::Object),
        Case::of(readers_of_a_terminal_leave_nothing_behind::<F>).needs(Needs::Object),
        Case::of(a_duplicate_outlives_the_number_that_was_waited_on::<F>).needs(Needs::Clock),
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

/// A netlink socket with an address of its own, which is also returned.
fn netlink() -> (Desc, libc::sockaddr_nl) {
    // SAFETY: numbers only.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 2) };
    let desc = Desc::adopt(i64::from(fd));
    // SAFETY: a structure of numbers.
    let mut address: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    address.nl_family = 16;
    let mut len = NETLINK_LEN;
    // SAFETY: an address of that length.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), len) };
    assert_eq!(bound, 0, "bind");
    // SAFETY: room for so much.
    let named = unsafe { libc::getsockname(fd, (&raw mut address).cast(), &raw mut len) };
    assert_eq!(named, 0, "getsockname");
    (desc, address)
}

#[expect(clippy::cast_possible_truncation, reason = "twelve bytes")]
const NETLINK_LEN: libc::socklen_t = size_of::<libc::sockaddr_nl>() as libc::socklen_t;

/// A netlink socket may always be written to, and has to wait when its peer is full; that the peer has room again,
/// nothing tells it.
pub fn room_at_the_peer_that_nobody_is_told_of<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        waits_for_room(rig, false);
        waits_for_room(rig, true);
    });
}

/// Sends to a peer that is full, from a source or not.
fn waits_for_room<B: IoBackend>(rig: &Rig<'_, B>, registered: bool) {
    let ((far, address), (near, _)) = (netlink(), netlink());
    option(far.std(), libc::SOL_SOCKET, libc::SO_RCVBUF, &2048_i32);
    let fd = near.raw().raw();
    // SAFETY: an address of that length.
    let done = unsafe { libc::connect(fd, (&raw const address).cast(), NETLINK_LEN) };
    assert_eq!(done, 0, "connect");
    let source = registered.then(|| {
        near.set_nonblocking();
        Box::pin(Registered::new(rig.backend(), near.clone()))
    });
    if let Some(source) = &source {
        source.as_ref().attach();
    }
    let mem = Mem::zeroed(512);
    let send = |flags| Op::Send(Send { fd: near.raw(), flags, buf: mem.ptr(), len: mem.len() });
    let mut full = 0;
    while oracle(&send(MsgFlags::DONTWAIT), mem.only()) == 512 {
        full += 1;
    }
    let mut raw = rig.raw(send(MsgFlags::empty()), mem.only());
    raw.submit().expect("submit");
    for _ in 0..10 {
        rig.poll(Some(QUIET / 10));
    }
    assert_eq!(raw.result(), None);
    for _ in 0..full {
        assert_eq!(far.get(512).len(), 512);
    }
    rig.until_seen(|| raw.phase() == Phase::Done);
    assert_eq!(raw.result(), Some(512));
}

/// An epoll set knows a file, and not its number: where the number is another file's and a duplicate keeps the one that
/// was waited for, what comes there must not be taken, told of again and again, or stand in the way of who waits by the
/// number now.
pub fn a_duplicate_outlives_the_number_that_was_waited_on<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let ((reader, writer), (next, fills)) = (Desc::pipe(), Desc::pipe());
            if nonblocking {
                reader.set_nonblocking();
                next.set_nonblocking();
            }
            let (kept, mems) = (reader.dup(), [Mem::zeroed(4), Mem::zeroed(4)]);
            let mut first = rig.raw(reader.read_op(&mems[0]), mems[0].only());
            first.submit().expect("submit");
            rig.poll(Some(Duration::ZERO));
            next.dup_at(reader.raw());
            writer.put(b"left");
            quiet(rig);
            first.cancel();
            rig.until_seen(|| first.phase() == Phase::Done);
            // A ring holds the file, and has taken what is that file's.
            let holds = first.result() == Some(4) && mems[0].bytes(4) == b"left";
            assert!(holds || first.result() == Some(Errno::CANCELED.to_result()), "{first:?}");
            let op = reader.read_op(&mems[1]);
            waits_for(rig, op, &mems[1], || fills.put(b"next"), 4);
            assert_eq!(mems[1].bytes(4), b"next", "{nonblocking}");
            quiet(rig);
            assert!(holds || kept.get(4) == b"left", "{nonblocking}");
        }
    });
}

/// A peek at what is not there yet keeps those behind it waiting; when it is given up, the next one has its place,
/// and what is there.
pub fn what_stood_behind_a_stale_operation_takes_its_place<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for round in 0..4 {
            let (near, far) = Desc::pair();
            option(near.std(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0_i32);
            far.put(b"seen");
            let mem = [Mem::zeroed(8), Mem::zeroed(8)];
            let op = recv(&near, &mem[0], MsgFlags::PEEK);
            assert_eq!(rig.run(op, mem[0].only()), 4);
            let mut first = rig.raw(op, mem[0].only());
            first.submit().expect("submit");
            let settle = || {
                for _ in 0..5 {
                    rig.poll(Some(Duration::from_millis(2)));
                }
            };
            if round % 2 == 0 {
                settle();
            }
            let mut second = rig.raw(near.read_op(&mem[1]), mem[1].only());
            second.submit().expect("submit");
            if round < 2 {
                settle();
            }
            first.cancel();
            rig.until_seen(|| second.phase() == Phase::Done);
            assert_eq!(second.result(), Some(4), "round {round}");
            rig.until_seen(|| first.phase() == Phase::Done);
        }
    });
}

/// A terminal refuses a read that would not wait while somebody else is reading, though there may be enough for
/// both: each gets a line, and none waits for more to come.
pub fn readers_of_a_terminal_leave_nothing_behind<F: Fixture>(fx: &F) {
    const READERS: usize = 4;
    fx.both(|rig| {
        let (mut near, mut far) = (-1, -1);
        let none = core::ptr::null_mut();
        // SAFETY: room for two numbers, and nothing else is wanted.
        let made = unsafe {
            libc::openpty(&raw mut near, &raw mut far, none, core::ptr::null(), core::ptr::null())
        };
        assert_eq!(made, 0, "openpty");
        let (near, far) = (Desc::adopt(i64::from(near)), Desc::adopt(i64::from(far)));
        far.set_nonblocking();
        let mem: Vec<_> = (0..READERS).map(|_| Mem::zeroed(8)).collect();
        for round in 0..rounds(300) {
            let mut all: Vec<_> =
                mem.iter().map(|mem| rig.raw(far.read_op(mem), mem.only())).collect();
            all.iter_mut().for_each(|raw| raw.submit().expect("submit"));
            rig.poll(Some(Duration::ZERO));
            near.put(b"a\n");
            rig.until_seen(|| done(&all) == 1);
            rig.poll(Some(Duration::ZERO));
            near.put(b"b\nc\nd\n");
            rig.until_seen(|| done(&all) == READERS);
            all.iter_mut().for_each(|raw| assert_eq!(raw.result(), Some(2), "round {round}"));
        }
    });
}
