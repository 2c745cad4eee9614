//! Sockets from nothing: socket, bind, listen, connect, shutdown.

use super::Case;
use super::net::waits;
use crate::desc::Desc;
use crate::fixture::{Blocking, Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Note, Rig};
use crate::skip::skip;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use io_core::op::{
    Accept, AcceptFlags, Bind, Connect, Family, Listen, MsgFlags, Recv, Shutdown, Socket,
    SocketFlags, SocketKind,
};
use io_core::ops::{How, Ops};
use io_core::{Address, Errno, Fd, IoBackend, Op};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(sockets_are_as_asked_for::<F>).needs(Needs::Object),
        Case::of(sockets_that_cannot_be::<F>),
        Case::of(a_server_over_ipv4::<F>),
        Case::of(a_server_over_ipv6::<F>),
        Case::of(a_server_over_unix_names::<F>).needs(Needs::Object),
        Case::of(bind_fails_as_the_system_call_does::<F>).needs(Needs::Object),
        Case::of(listen_on_what_cannot_listen::<F>).needs(Needs::Object),
        Case::of(connect_is_refused::<F>).needs(Needs::Object),
        Case::of(connect_after_connect::<F>),
        Case::of(connect_waits_for_the_connection::<F>),
        Case::of(connect_in_progress_can_be_cancelled::<F>),
        Case::of(a_crowd_of_connects::<F>),
        Case::of(a_full_unix_listener::<F>).needs(Needs::Object),
        Case::of(datagram_sockets_have_a_peer_at_once::<F>).needs(Needs::Object),
        Case::of(bad_addresses::<F>).needs(Needs::Memory),
        Case::of(shutdown_wakes_a_recv::<F>),
        Case::of(shutdown_fails_as_the_system_call_does::<F>).needs(Needs::Object),
    ]
}

const STREAM: SocketKind = SocketKind::STREAM;
const DGRAM: SocketKind = SocketKind::DGRAM;
const PLAIN: SocketFlags = SocketFlags::empty();

/// Blocking and non-blocking.
const MODES: [SocketFlags; 2] = [PLAIN, SocketFlags::NONBLOCK];

fn socket(family: Family, kind: SocketKind, flags: SocketFlags) -> Op {
    Op::Socket(Socket { family, kind, flags, protocol: 0 })
}

/// A socket made outside of the backend.
pub(super) fn plain(family: Family, kind: SocketKind, flags: SocketFlags) -> Desc {
    Desc::adopt(oracle(&socket(family, kind, flags), &[]))
}

fn memory(address: impl Into<Address>) -> Mem {
    Mem::copy_of(address.into().as_bytes())
}

fn length(mem: &Mem) -> u32 {
    u32::try_from(mem.len()).expect("at most 128 bytes")
}

fn bind(socket: &Desc, to: &Mem) -> Op {
    Op::Bind(Bind { fd: socket.raw(), addr: to.ptr(), addr_len: length(to) })
}

pub(super) fn connect(socket: &Desc, to: &Mem) -> Op {
    Op::Connect(Connect { fd: socket.raw(), addr: to.ptr(), addr_len: length(to) })
}

fn unix(path: &std::path::Path) -> Address {
    Address::unix(path.as_os_str().as_bytes()).expect("a short path")
}

/// Runs `op` in every form and compares with the system call.
fn same<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], label: &str) {
    let expected = oracle(&op, keep);
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, op, keep), expected, "{label}, {form:?}: {op:?}");
    }
}

/// A socket is of the kind and mode that was asked for, and close-on-exec.
pub fn sockets_are_as_asked_for<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            for flags in MODES {
                let op = socket(Family::INET, DGRAM, flags);
                let made = Desc::adopt(rig.run_as(form, op, &[]));
                assert!(made.is_cloexec(), "{form:?}");
                let nonblocking = made.status_flags() & libc::O_NONBLOCK != 0;
                assert_eq!(nonblocking, flags == SocketFlags::NONBLOCK, "{form:?}");
                // It can send and be sent to, so it is what it was to be.
                let far = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
                let to = memory(far.local_addr().expect("its address"));
                assert_eq!(rig.run_as(form, connect(&made, &to), to.only()), 0);
                made.put(b"datagram");
                assert_eq!(far.recv(&mut [0; 100]).expect("recv"), 8);
            }
        }
        // With a protocol, and of families and kinds that take another way.
        let be = rig.backend();
        let made = rig.block_on(be.socket(Family::INET, STREAM, PLAIN, 6)).expect("TCP");
        assert!(Desc::adopt_owned(made).is_cloexec());
        let made = rig.call_back(be.socket(Family::NETLINK, SocketKind::RAW, PLAIN, 0));
        assert!(Desc::adopt_owned(made.expect("netlink")).is_cloexec());
        let made = rig.block_on(be.socket(Family::UNIX, SocketKind::SEQPACKET, PLAIN, 0));
        assert!(Desc::adopt_owned(made.expect("a packet socket")).is_cloexec());
    });
}

/// Families, kinds, flags and protocols that do not go together.
pub fn sockets_that_cannot_be<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let odd = SocketFlags::from_bits_retain(0x100);
        for (family, kind, flags, protocol) in [
            (Family(u16::MAX), STREAM, PLAIN, 0),
            (Family::UNSPEC, STREAM, PLAIN, 0),
            (Family::INET, SocketKind(9), PLAIN, 0),
            (Family::INET, SocketKind(0), PLAIN, 0),
            (Family::INET, STREAM, odd, 0),
            (Family::INET, STREAM, PLAIN, 17),
            (Family::INET, STREAM, PLAIN, u32::MAX),
            (Family::UNIX, STREAM, PLAIN, 99),
        ] {
            let op = Op::Socket(Socket { family, kind, flags, protocol });
            assert!(oracle(&op, &[]) < 0, "{op:?}");
            same(rig, op, &[], "socket");
        }
    });
}

/// Makes a server at `at` and a client, all with typed operations, speaks over the connection, and returns
/// what the server takes for the client's address.
fn serve<B: IoBackend>(
    rig: &Rig<'_, B>,
    family: Family,
    at: Address,
    mode: SocketFlags,
) -> Address {
    let be = rig.backend();
    rig.block_on(async {
        let server = be.socket(family, STREAM, mode, 0).await.expect("socket");
        let server = Desc::adopt_owned(server);
        be.bind(server.clone(), at).await.expect("bind");
        be.listen(server.clone(), 4).await.expect("listen");
        let at = if family == Family::UNIX { at } else { server.local_address().into() };
        let client = be.socket(family, STREAM, mode, 0).await.expect("socket");
        let client = Desc::adopt_owned(client);
        be.connect(client.clone(), at).await.expect("connect");
        let accepted = be.accept_from(server, AcceptFlags::empty()).await;
        let (near, peer) = accepted.expect("accept");
        let near = Desc::adopt_owned(near);
        assert!(near.is_cloexec());
        let none = MsgFlags::empty();
        assert_eq!(be.send(client.clone(), *b"ping", none).await.0, Ok(4));
        assert_eq!(be.recv(near.clone(), [0; 4], none).await, (Ok(4), *b"ping"));
        be.shutdown(client.clone(), How::Write).await.expect("shutdown");
        assert_eq!(be.recv(near, [0; 4], none).await.0, Ok(0), "the end");
        if family != Family::UNIX {
            assert_eq!(peer, Address::from(client.local_address()), "the client's address");
        }
        peer
    })
}

/// A server and a client from nothing, over IPv4.
pub fn a_server_over_ipv4<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for mode in MODES {
            let peer = serve(rig, Family::INET, Address::v4(Ipv4Addr::LOCALHOST, 0), mode);
            assert_eq!(peer.ip().expect("an address").ip(), Ipv4Addr::LOCALHOST);
        }
    });
}

/// The same over IPv6.
pub fn a_server_over_ipv6<F: Fixture>(fx: &F) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skip("this machine has no IPv6 loopback address");
    }
    fx.both(|rig| {
        for mode in MODES {
            let peer = serve(rig, Family::INET6, Address::v6(Ipv6Addr::LOCALHOST, 0), mode);
            assert_eq!(peer.ip().expect("an address").ip(), Ipv6Addr::LOCALHOST);
        }
    });
}

/// The same over a path and over an abstract name.
pub fn a_server_over_unix_names<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for mode in MODES {
            let dir = tempfile::tempdir().expect("a directory");
            let place = dir.path().join("socket");
            let peer = serve(rig, Family::UNIX, unix(&place), mode);
            assert_eq!((peer.family(), peer.unix_path()), (Family::UNIX, None), "unnamed");
            assert!(place.symlink_metadata().is_ok(), "bind makes the file");
            let name = format!("io-conformance-{:?}", place).into_bytes();
            let name = Address::unix_abstract(&name).expect("a short name");
            let _ = serve(rig, Family::UNIX, name, mode);
        }
    });
}

/// Addresses in use, of another family, not here, and sockets that have one.
pub fn bind_fails_as_the_system_call_does<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (listener, used) = Desc::listener();
        let used = memory(used);
        let free = memory(Address::v4(Ipv4Addr::LOCALHOST, 0));
        let elsewhere = memory(Address::v4(Ipv4Addr::new(192, 0, 2, 1), 0));
        let fresh = plain(Family::INET, STREAM, PLAIN);
        same(rig, bind(&fresh, &used), used.only(), "in use");
        same(rig, bind(&fresh, &elsewhere), elsewhere.only(), "not of this machine");
        same(rig, bind(&listener, &free), free.only(), "bound before");
        let dir = tempfile::tempdir().expect("a directory");
        let here = memory(unix(&dir.path().join("here")));
        same(rig, bind(&fresh, &here), here.only(), "another family");
        let local = plain(Family::UNIX, STREAM, PLAIN);
        assert_eq!(rig.run(bind(&local, &here), here.only()), 0);
        let other = plain(Family::UNIX, STREAM, PLAIN);
        same(rig, bind(&other, &here), here.only(), "a path in use");
        let nowhere = memory(unix(&dir.path().join("no/such/place")));
        same(rig, bind(&other, &nowhere), nowhere.only(), "a path to nowhere");
        let file = Desc::file(b"");
        same(rig, bind(&file, &free), free.only(), "a file");
    });
}

/// TCP listens unbound, Unix sockets do not, datagrams never.
pub fn listen_on_what_cannot_listen<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let listen = |fd: Fd, backlog| Op::Listen(Listen { fd, backlog });
        let unbound = plain(Family::INET, STREAM, PLAIN);
        for backlog in [5, 0, -1, i32::MAX, i32::MIN] {
            same(rig, listen(unbound.raw(), backlog), &[], "unbound");
        }
        drop(Desc::connect(unbound.local_address()));
        let connected = Desc::connect(Desc::listener().1);
        let (pair, _peer) = Desc::pair();
        for socket in [
            plain(Family::UNIX, STREAM, PLAIN),
            plain(Family::INET, DGRAM, PLAIN),
            connected,
            pair,
            Desc::file(b""),
        ] {
            assert!(oracle(&listen(socket.raw(), 5), &[]) < 0);
            same(rig, listen(socket.raw(), 5), &[], "listen");
        }
        let be = rig.backend();
        assert_eq!(rig.block_on(be.listen(unbound, 1)), Ok(()));
    });
}

/// Nobody listens: `ECONNREFUSED`, and the socket is as good as before.
pub fn connect_is_refused<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let refused = Errno::CONNREFUSED.to_result();
        let closed = memory(Desc::listener().1);
        let (listener, open) = Desc::listener();
        let open = memory(open);
        for flags in MODES {
            for form in Form::ALL {
                let socket = plain(Family::INET, STREAM, flags);
                let keep = [closed.clone(), open.clone()];
                let label = format!("{flags:?}, {form:?}");
                assert_eq!(rig.run_as(form, connect(&socket, &closed), &keep), refused, "{label}");
                assert_eq!(rig.run_as(form, connect(&socket, &closed), &keep), refused, "{label}");
                assert_eq!(rig.run_as(form, connect(&socket, &open), &keep), 0, "{label}");
                drop(rig.block_on(rig.backend().accept(listener.clone(), AcceptFlags::empty())));
            }
            let dir = tempfile::tempdir().expect("a directory");
            let (gone, never) = (dir.path().join("gone"), dir.path().join("never"));
            drop(UnixListener::bind(&gone).expect("a listener"));
            let socket = plain(Family::UNIX, STREAM, flags);
            for (place, errno) in [(gone, Errno::CONNREFUSED), (never, Errno::NOENT)] {
                let to = memory(unix(&place));
                same(rig, connect(&socket, &to), to.only(), "a Unix path");
                assert_eq!(rig.run(connect(&socket, &to), to.only()), errno.to_result());
            }
        }
    });
}

/// What is connected stays so: `EISCONN`, as after a plain connect, also from a non-blocking socket.
pub fn connect_after_connect<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_listener, address) = Desc::listener();
        let to = memory(address);
        for flags in MODES {
            for form in Form::ALL {
                let socket = plain(Family::INET, STREAM, flags);
                assert_eq!(rig.run_as(form, connect(&socket, &to), to.only()), 0, "{flags:?}");
                same(rig, connect(&socket, &to), to.only(), "connected");
                let connected = Errno::ISCONN.to_result();
                assert_eq!(rig.run_as(form, connect(&socket, &to), to.only()), connected);
                assert_eq!(
                    socket.status_flags(),
                    plain(Family::INET, STREAM, flags).status_flags()
                );
            }
        }
        let (listener, address) = Desc::listener();
        let to = memory(address);
        same(rig, connect(&listener, &to), to.only(), "a listener");
    });
}

/// A listener with no room: a connect to it waits until somebody is accepted (and the kernel tries again,
/// a second later).
pub(super) struct Full {
    listener: Desc,
    pub(super) to: Mem,
    _first: Desc,
}

impl Full {
    pub(super) fn new() -> Full {
        let listener = plain(Family::INET, STREAM, PLAIN);
        let any = memory(Address::v4(Ipv4Addr::LOCALHOST, 0));
        assert_eq!(oracle(&bind(&listener, &any), any.only()), 0);
        let listen = Op::Listen(Listen { fd: listener.raw(), backlog: 0 });
        assert_eq!(oracle(&listen, &[]), 0);
        let address: SocketAddr = listener.local_address();
        let _first = Desc::connect(address);
        Full { listener, to: memory(address), _first }
    }

    pub(super) fn make_room(&self) {
        accept_one(&self.listener);
    }
}

/// Takes a connection outside of the backend, and closes it.
fn accept_one(listener: &Desc) {
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let accept = Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len };
    loop {
        match oracle(&Op::Accept(accept), &[]) {
            // A signal, in the tests with signals.
            result if result == Errno::INTR.to_result() => {}
            result => return drop(Desc::adopt(result)),
        }
    }
}

/// A connect completes when the connection is made, and not before; two on one socket both do.
pub fn connect_waits_for_the_connection<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let full = Full::new();
        let socket = plain(Family::INET, STREAM, SocketFlags::NONBLOCK);
        let second = Note::new(rig.signal());
        let mut also = rig.raw(connect(&socket, &full.to), full.to.only());
        let result = waits(rig, connect(&socket, &full.to), full.to.only(), || {
            also.submit_callback(second.hook()).expect("submit");
            rig.poll(Some(Duration::from_millis(2)));
            assert_eq!(second.calls(), 0, "{}", second.result());
            full.make_room();
        });
        assert_eq!((result, second.wait(rig)), (0, 0));
        same(rig, connect(&socket, &full.to), full.to.only(), "connected");
    });
    if fx.caps().blocking == Blocking::HoldsPoll {
        return;
    }
    fx.started(|rig| {
        let full = Full::new();
        let socket = plain(Family::INET, STREAM, PLAIN);
        let op = connect(&socket, &full.to);
        assert_eq!(waits(rig, op, full.to.only(), || full.make_room()), 0, "blocking");
        same(rig, op, full.to.only(), "connected");
    });
}

/// A connect that nobody answers ends when it is cancelled, dropped, or its backend stopped.
pub fn connect_in_progress_can_be_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let full = Full::new();
        let canceled = Errno::CANCELED.to_result();
        for sockets in [1, 2] {
            let sockets: Vec<_> =
                (0..sockets).map(|_| plain(Family::INET, STREAM, SocketFlags::NONBLOCK)).collect();
            let mut ops = Vec::new();
            for socket in &sockets {
                let mut raw = rig.raw(connect(socket, &full.to), full.to.only());
                assert!(rig.poll_once(raw.as_mut()).is_pending());
                ops.push(raw);
            }
            rig.poll(Some(Duration::from_millis(2)));
            for raw in &mut ops {
                raw.cancel();
                assert_eq!(rig.block_on(raw.as_mut()), canceled);
            }
        }
        let socket = plain(Family::INET, STREAM, SocketFlags::NONBLOCK);
        let mut dropped = rig.raw(connect(&socket, &full.to), full.to.only());
        assert!(rig.poll_once(dropped.as_mut()).is_pending());
        drop(dropped);
        let socket = plain(Family::INET, STREAM, SocketFlags::NONBLOCK);
        let mut stopped = rig.raw(connect(&socket, &full.to), full.to.only());
        assert!(rig.poll_once(stopped.as_mut()).is_pending());
        assert_eq!(rig.backend().stop(io_core::Deadline::NEVER), Ok(()));
        assert_eq!(rig.block_on(stopped), canceled);
    });
}

/// 64 connects and as many accepts at once, over both kinds of address.
pub fn a_crowd_of_connects<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let tcp = plain(Family::INET, STREAM, SocketFlags::NONBLOCK);
        let local = plain(Family::UNIX, STREAM, SocketFlags::NONBLOCK);
        let dir = tempfile::tempdir().expect("a directory");
        let place = unix(&dir.path().join("socket"));
        for (server, family, at) in
            [(tcp, Family::INET, Address::v4(Ipv4Addr::LOCALHOST, 0)), (local, Family::UNIX, place)]
        {
            let name = memory(at);
            assert_eq!(oracle(&bind(&server, &name), name.only()), 0);
            assert_eq!(oracle(&Op::Listen(Listen { fd: server.raw(), backlog: 128 }), &[]), 0);
            let at = if family == Family::UNIX { at } else { server.local_address().into() };
            let be = rig.backend();
            let mut all = Vec::new();
            for _ in 0..64 {
                let client = plain(family, STREAM, SocketFlags::NONBLOCK);
                let mut accept = Box::pin(be.accept(server.clone(), AcceptFlags::empty()));
                let mut connect = Box::pin(be.connect(client.clone(), at));
                accept.as_mut().submit().expect("submit");
                connect.as_mut().submit().expect("submit");
                all.push((client, connect, accept));
            }
            let mut accepts = Vec::new();
            for (client, connect, accept) in all {
                assert_eq!(rig.block_on(connect), Ok(()));
                client.put(b"x");
                accepts.push((client, accept));
            }
            for (_open, accept) in accepts {
                let near = Desc::adopt_owned(rig.block_on(accept).expect("accept"));
                assert_eq!(near.get(1), b"x", "one of the clients");
            }
        }
    });
}

/// A Unix listener's queue is full: a non-blocking socket is told so, which is all the kernel offers; a
/// blocking one waits.
pub fn a_full_unix_listener<F: Fixture>(fx: &F) {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("socket");
    let listener = plain(Family::UNIX, STREAM, PLAIN);
    let to = memory(unix(&place));
    assert_eq!(oracle(&bind(&listener, &to), to.only()), 0);
    assert_eq!(oracle(&Op::Listen(Listen { fd: listener.raw(), backlog: 0 }), &[]), 0);
    let _first = UnixStream::connect(&place).expect("the one there is room for");
    fx.both(|rig| {
        let socket = plain(Family::UNIX, STREAM, SocketFlags::NONBLOCK);
        assert_eq!(oracle(&connect(&socket, &to), to.only()), Errno::AGAIN.to_result());
        same(rig, connect(&socket, &to), to.only(), "full");
    });
    if fx.caps().blocking == Blocking::HoldsPoll {
        return;
    }
    fx.started(|rig| {
        let socket = plain(Family::UNIX, STREAM, PLAIN);
        let room = || accept_one(&listener);
        assert_eq!(waits(rig, connect(&socket, &to), to.only(), room), 0);
    });
}

/// A datagram socket only notes its peer, and forgets it when told so.
pub fn datagram_sockets_have_a_peer_at_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let far = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let to = memory(far.local_addr().expect("its address"));
        let nobody = Mem::zeroed(16);
        for flags in MODES {
            let socket = plain(Family::INET, DGRAM, flags);
            for form in Form::ALL {
                assert_eq!(rig.run_as(form, connect(&socket, &to), to.only()), 0);
                socket.put(b"x");
                assert_eq!(far.recv(&mut [0; 8]).expect("recv"), 1);
                assert_eq!(rig.run_as(form, connect(&socket, &nobody), nobody.only()), 0);
                let send = rig.backend().send(socket.clone(), *b"x", MsgFlags::empty());
                assert_eq!(rig.block_on(send).0, Err(Errno::DESTADDRREQ), "{flags:?}");
            }
        }
    });
}

/// Null, unreadable, too short, too long: at sockets that could, and at a closed number.
pub fn bad_addresses<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let good = memory(Address::v4(Ipv4Addr::LOCALHOST, 1));
        let closed = Mem::no_access(16);
        let keep = [good.clone(), closed.clone()];
        for flags in MODES {
            for family in [Family::INET, Family::UNIX] {
                let socket = plain(family, STREAM, flags);
                for addr in [core::ptr::null(), good.ptr().cast_const(), closed.ptr().cast_const()]
                {
                    for addr_len in [0, 1, 2, 15, 129, 1 << 31, u32::MAX] {
                        let fd = socket.raw();
                        same(rig, Op::Connect(Connect { fd, addr, addr_len }), &keep, "connect");
                        // Two bytes are a Unix socket's wish for any name.
                        if family == Family::INET {
                            same(rig, Op::Bind(Bind { fd, addr, addr_len }), &keep, "bind");
                        }
                    }
                }
            }
        }
        for fd in [-1, i32::MAX] {
            let (fd, addr, addr_len) = (Fd::new(fd), core::ptr::null(), 16);
            same(rig, Op::Connect(Connect { fd, addr, addr_len }), &keep, "no socket");
            same(rig, Op::Bind(Bind { fd, addr, addr_len }), &keep, "no socket");
        }
    });
}

/// A `recv` that waits ends when its own side stops receiving, and when the peer stops sending.
pub fn shutdown_wakes_a_recv<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let shutdown = |socket: &Desc, how| Op::Shutdown(Shutdown { fd: socket.raw(), how });
        let tcp = || {
            let (listener, address) = Desc::listener();
            let near = Desc::connect(address);
            let far = rig.block_on(rig.backend().accept(listener, AcceptFlags::empty()));
            (near, Desc::adopt_owned(far.expect("accept")))
        };
        for make in [&tcp as &dyn Fn() -> (Desc, Desc), &Desc::pair] {
            for (own, how) in [(true, 0), (true, 2), (false, 1), (false, 2)] {
                for form in Form::ALL {
                    let (near, far) = make();
                    let mem = Mem::zeroed(4);
                    let (fd, flags) = (near.raw(), MsgFlags::empty());
                    let recv = Op::Recv(Recv { fd, flags, buf: mem.ptr(), len: 4 });
                    let who = if own { &near } else { &far };
                    let end = || assert_eq!(rig.run_as(form, shutdown(who, how), &[]), 0);
                    assert_eq!(waits(rig, recv, mem.only(), end), 0, "own: {own}, how: {how}");
                }
            }
        }
        let (near, far) = Desc::pair();
        assert_eq!(rig.block_on(rig.backend().shutdown(near.clone(), How::Both)), Ok(()));
        let send = rig.block_on(rig.backend().send(near, *b"x", MsgFlags::empty()));
        assert_eq!(send.0, Err(Errno::PIPE));
        assert_eq!(rig.call_back(rig.backend().shutdown(far, How::Read)), Ok(()));
    });
}

/// Sockets without a peer, things that are no sockets, ways that there are not.
pub fn shutdown_fails_as_the_system_call_does<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (pair, _peer) = Desc::pair();
        for socket in [
            plain(Family::INET, STREAM, PLAIN),
            plain(Family::INET, DGRAM, PLAIN),
            plain(Family::UNIX, STREAM, PLAIN),
            pair,
            Desc::file(b""),
            Desc::o_path(),
        ] {
            for how in [0, 3, 9, u32::MAX] {
                same(rig, Op::Shutdown(Shutdown { fd: socket.raw(), how }), &[], "shutdown");
            }
        }
        for fd in [Fd::new(-1), Fd::new(i32::MAX)] {
            same(rig, Op::Shutdown(Shutdown { fd, how: 1 }), &[], "no descriptor");
        }
    });
}
