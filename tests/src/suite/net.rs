//! Sockets: accept, recv, send.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Note, Rig};
use core::pin::pin;
use core::ptr;
use core::time::Duration;
use io_core::op::{Accept, AcceptFlags, MsgFlags, Recv, Send};
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, Op};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(recv_and_send_in_every_form::<F>),
        Case::of(typed_recv_and_send::<F>),
        Case::of(accept_in_every_form::<F>),
        Case::of(accept_stores_the_address::<F>).needs(Needs::Object),
        Case::of(accept_waits_for_a_connection::<F>),
        Case::of(accepted_descriptors_are_as_asked_for::<F>),
        Case::of(recv_waits_for_data::<F>),
        Case::of(send_waits_for_room::<F>),
        Case::of(dontwait_asks_for_eagain::<F>),
        Case::of(recv_flags_are_obeyed::<F>).needs(Needs::Object),
        Case::of(waitall_fills_the_buffer::<F>).needs(Needs::Threads),
        Case::of(the_end_of_a_stream_is_zero::<F>),
        Case::of(send_to_nobody_is_epipe::<F>),
        Case::of(a_datagram_is_one_piece::<F>).needs(Needs::Object),
        Case::of(two_hundred_idle_receives_hold_nobody_up::<F>),
        Case::of(an_echo_over_loopback::<F>),
    ]
}

fn recv(socket: &Desc, mem: &Mem, flags: MsgFlags) -> Op {
    Op::Recv(Recv { fd: socket.raw(), flags, buf: mem.ptr(), len: mem.len() })
}

fn send(socket: &Desc, mem: &Mem, flags: MsgFlags) -> Op {
    Op::Send(Send { fd: socket.raw(), flags, buf: mem.ptr(), len: mem.len() })
}

fn accept(listener: &Desc, flags: AcceptFlags) -> Op {
    let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
    Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len })
}

const NONE: MsgFlags = MsgFlags::empty();
const PLAIN: AcceptFlags = AcceptFlags::empty();

/// `recv` and `send` move bytes over a stream.
pub fn recv_and_send_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        for form in Form::ALL {
            let out = Mem::read_only(b"ping");
            assert_eq!(rig.run_as(form, send(&near, &out, NONE), out.only()), 4, "{form:?}");
            assert_eq!(far.get(4), b"ping");
            far.put(b"pong");
            let back = Mem::filled(8, 0xaa);
            assert_eq!(rig.run_as(form, recv(&near, &back, NONE), back.only()), 4, "{form:?}");
            assert_eq!(back.bytes(5), b"pong\xaa");
        }
    });
}

/// The typed forms.
pub fn typed_recv_and_send<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let (near, far) = Desc::pair();
        assert_eq!(rig.block_on(be.send(near.clone(), *b"ab", NONE)), (Ok(2), *b"ab"));
        assert_eq!(rig.call_back(be.send(near.clone(), "cd", NONE)).0, Ok(2));
        assert_eq!(far.get(4), b"abcd");
        far.put(b"xy");
        let vec = Vec::with_capacity(10);
        assert_eq!(rig.block_on(be.recv(near.clone(), vec, NONE)), (Ok(2), b"xy".to_vec()));
        far.put(b"z");
        assert_eq!(rig.call_back(be.recv(near.clone(), [0; 2], NONE)), (Ok(1), *b"z\0"));
        far.put(b"w");
        assert_eq!(pin!(be.recv(near, [0; 1], NONE)).wait(), Some((Ok(1), *b"w")));
    });
}

/// `accept` takes the connection that is there.
pub fn accept_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (listener, address) = Desc::listener();
        for form in Form::ALL {
            let client = Desc::connect(address);
            let server = Desc::adopt(rig.run_as(form, accept(&listener, PLAIN), &[]));
            client.put(b"hello");
            assert_eq!(server.get(5), b"hello", "{form:?}");
        }
        let be = rig.backend();
        let client = Desc::connect(address);
        let server = rig.block_on(be.accept(listener.clone(), PLAIN)).expect("accept");
        client.put(b"typed");
        assert_eq!(Desc::adopt_owned(server).get(5), b"typed");
        let client = Desc::connect(address);
        let server = rig.call_back(be.accept(listener, PLAIN)).expect("accept");
        client.put(b"callback");
        assert_eq!(Desc::adopt_owned(server).get(8), b"callback");
    });
}

/// The peer's address is stored, cut to the room there is, with its whole length.
pub fn accept_stores_the_address<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (listener, address) = Desc::listener();
        for room in [16_u32, 128, 4, 0] {
            let addr = Mem::filled(128, 0xaa);
            let len = Mem::copy_of(&room.to_ne_bytes());
            let op = Op::Accept(Accept {
                fd: listener.raw(),
                flags: PLAIN,
                addr: addr.ptr(),
                addr_len: len.ptr().cast(),
            });
            let client = std::net::TcpStream::connect(address).expect("a connection");
            let server = Desc::adopt(rig.run(op, &[addr.clone(), len.clone()]));
            assert_eq!(len.bytes(4), 16_u32.to_ne_bytes(), "the length of an IPv4 address");
            let written = usize::try_from(room.min(16)).expect("small");
            let port = client.local_addr().expect("an address").port().to_be_bytes();
            if written >= 4 {
                assert_eq!(addr.bytes(4)[2..], port, "with room for {room}");
            }
            assert!(addr.bytes(128)[written..].iter().all(|&b| b == 0xaa), "room for {room}");
            drop(server);
        }
    });
}

/// Submits an operation that has to wait, sees that it does, releases it, and returns its result.
pub(super) fn waits<B: IoBackend>(
    rig: &Rig<'_, B>,
    op: Op,
    keep: &[Mem],
    release: impl FnOnce(),
) -> i64 {
    let note = Note::new(rig.signal());
    let mut raw = rig.raw(op, keep);
    raw.submit_callback(note.hook()).expect("submit");
    rig.poll(Some(Duration::ZERO));
    assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    rig.poll(Some(Duration::from_millis(2)));
    assert_eq!(note.calls(), 0, "{op:?} did not wait: {}", note.result());
    release();
    let result = note.wait(rig);
    assert_eq!(raw.result(), Some(result), "read, so that a descriptor in it is ours");
    result
}

/// `accept` completes when a connection comes, and not before; on a non-blocking listener too.
pub fn accept_waits_for_a_connection<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let (listener, address) = Desc::listener();
            if nonblocking {
                listener.set_nonblocking();
            }
            let mut client = None;
            let come = || client = Some(Desc::connect(address));
            let server = Desc::adopt(waits(rig, accept(&listener, PLAIN), &[], come));
            client.expect("the client").put(b"x");
            assert_eq!(server.get(1), b"x");
        }
    });
}

/// Accepted descriptors are close-on-exec, non-blocking only on demand, and can be waited on at once.
pub fn accepted_descriptors_are_as_asked_for<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (listener, address) = Desc::listener();
        for flags in [PLAIN, AcceptFlags::NONBLOCK] {
            let client = Desc::connect(address);
            let server = Desc::adopt(rig.run(accept(&listener, flags), &[]));
            assert!(server.is_cloexec(), "{flags:?}: not close-on-exec");
            let nonblocking = server.status_flags() & libc::O_NONBLOCK != 0;
            assert_eq!(nonblocking, flags == AcceptFlags::NONBLOCK, "{flags:?}");
            let mem = Mem::zeroed(4);
            let op = recv(&server, &mem, NONE);
            assert_eq!(waits(rig, op, mem.only(), || client.put(b"data")), 4, "{flags:?}");
            assert_eq!(mem.bytes(4), b"data");
        }
    });
}

/// `recv` completes when data comes, and not before, on a non-blocking socket too.
pub fn recv_waits_for_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let (near, far) = Desc::pair();
            if nonblocking {
                near.set_nonblocking();
            }
            let flags = near.status_flags();
            let mem = Mem::zeroed(4);
            let op = recv(&near, &mem, NONE);
            assert_eq!(waits(rig, op, mem.only(), || far.put(b"data")), 4);
            assert_eq!(mem.bytes(4), b"data");
            assert_eq!(near.status_flags(), flags, "the description's flags were changed");
        }
    });
}

/// `send` completes when there is room, on a non-blocking socket too.
pub fn send_waits_for_room<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let (near, far) = Desc::pair();
            let chunk = Mem::filled(4096, 0xee);
            let fill = send(&near, &chunk, MsgFlags::DONTWAIT);
            let mut full = 0;
            loop {
                match oracle(&fill, chunk.only()) {
                    count @ 1.. => full += usize::try_from(count).expect("a count"),
                    errno => break assert_eq!(errno, Errno::AGAIN.to_result()),
                }
            }
            if nonblocking {
                near.set_nonblocking();
            }
            let mem = Mem::read_only(b"tail");
            let drain = || drop(far.get(full));
            assert_eq!(waits(rig, send(&near, &mem, NONE), mem.only(), drain), 4);
            assert_eq!(far.get(4), b"tail");
        }
    });
}

/// Who asks with `MSG_DONTWAIT` is told `EAGAIN`.
pub fn dontwait_asks_for_eagain<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mem = Mem::zeroed(4096);
        let again = Errno::AGAIN.to_result();
        for form in Form::ALL {
            let op = recv(&near, &mem, MsgFlags::DONTWAIT);
            assert_eq!(rig.run_as(form, op, mem.only()), again, "{form:?}");
            far.put(b"x");
            assert_eq!(rig.run_as(form, op, mem.only()), 1, "{form:?}");
        }
        let op = send(&near, &mem, MsgFlags::DONTWAIT);
        let mut rounds = 0;
        while rig.run(op, mem.only()) > 0 {
            rounds += 1;
            assert!(rounds < 100_000, "a socket that is never full");
        }
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, op, mem.only()), again, "{form:?}");
        }
    });
}

/// `MSG_PEEK` leaves the data, and `MSG_TRUNC` says how long a datagram was.
pub fn recv_flags_are_obeyed<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        far.put(b"look");
        let mem = Mem::zeroed(4);
        assert_eq!(rig.run(recv(&near, &mem, MsgFlags::PEEK), mem.only()), 4);
        assert_eq!(rig.run(recv(&near, &mem, NONE), mem.only()), 4);
        assert_eq!(mem.bytes(4), b"look");
        let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
        far.send(&[7; 100]).expect("send");
        let near = Desc::from(near);
        let (count, buf) = rig.block_on(rig.backend().recv(near, [0_u8; 10], MsgFlags::TRUNC));
        assert_eq!(count, Ok(100), "the datagram's length");
        assert_eq!(buf, [7; 10], "what fits");
        // On a stream the bytes are thrown away: a growable buffer must not show what was not written.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut far = std::net::TcpStream::connect(address).expect("connect");
        let near = Desc::from(listener.accept().expect("accept").0);
        std::io::Write::write_all(&mut far, &[7; 10]).expect("write");
        let empty = Vec::with_capacity(10);
        let (count, buf) = rig.block_on(rig.backend().recv(near, empty, MsgFlags::TRUNC));
        assert_eq!((count, buf.len()), (Ok(10), 0), "nothing was written");
    });
}

/// `MSG_WAITALL` waits until the buffer is full.
pub fn waitall_fills_the_buffer<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mem = Mem::zeroed(6);
        far.put(b"abc");
        let note = Note::new(rig.signal());
        let mut raw = rig.raw(recv(&near, &mem, MsgFlags::WAITALL), mem.only());
        raw.submit_callback(note.hook()).expect("submit");
        let writer = std::thread::spawn(move || {
            far.put(b"def");
            far
        });
        assert_eq!(note.wait(rig), 6);
        assert_eq!(mem.bytes(6), b"abcdef");
        drop(writer.join());
    });
}

/// When the peer closes, a waiting `recv` ends with 0.
pub fn the_end_of_a_stream_is_zero<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mem = Mem::zeroed(4);
        let op = recv(&near, &mem, NONE);
        assert_eq!(waits(rig, op, mem.only(), || drop(far)), 0);
        assert_eq!(rig.run(op, mem.only()), 0, "again");
    });
}

/// A send to a peer that is gone is `EPIPE`, in every form.
pub fn send_to_nobody_is_epipe<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        drop(far);
        let mem = Mem::read_only(b"x");
        for form in Form::ALL {
            let result = rig.run_as(form, send(&near, &mem, NONE), mem.only());
            assert_eq!(result, Errno::PIPE.to_result(), "{form:?}");
        }
        assert_eq!(rig.block_on(rig.backend().send(near, *b"x", NONE)).0, Err(Errno::PIPE));
    });
}

/// A datagram is received as it was sent; an empty one is 0.
pub fn a_datagram_is_one_piece<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
        let near = Desc::from(near);
        for payload in [&b"one"[..], b"", b"three"] {
            far.send(payload).expect("send");
            let vec = Vec::with_capacity(64);
            let (count, buf) = rig.block_on(rig.backend().recv(near.clone(), vec, NONE));
            assert_eq!((count, &buf[..]), (Ok(payload.len()), payload));
        }
        let (count, _) = rig.block_on(rig.backend().send(near, *b"back", NONE));
        assert_eq!(count, Ok(4));
        let mut buf = [0; 8];
        assert_eq!(far.recv(&mut buf).expect("recv"), 4);
    });
}

/// 200 receives that wait for ever do not delay a file read.
pub fn two_hundred_idle_receives_hold_nobody_up<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let pairs: Vec<_> = (0..200).map(|_| Desc::pair()).collect();
        let mem = Mem::zeroed(1);
        let mut idle = Vec::new();
        for (near, _) in &pairs {
            let mut raw = rig.raw(recv(near, &mem, NONE), mem.only());
            assert!(rig.poll_once(raw.as_mut()).is_pending());
            idle.push(raw);
        }
        let file = Desc::file(b"abc");
        for _ in 0..100 {
            let (count, buf) = rig.block_on(rig.backend().pread(file.clone(), [0_u8; 3], 0));
            assert_eq!((count, &buf), (Ok(3), b"abc"));
        }
        for (_, far) in &pairs {
            far.put(b"x");
        }
        for raw in &mut idle {
            assert_eq!(rig.block_on(raw.as_mut()), 1);
        }
    });
}

/// A server and a client on one backend.
pub fn an_echo_over_loopback<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let (listener, address) = Desc::listener();
        let client = Desc::connect(address);
        rig.block_on(async {
            let server = Desc::adopt_owned(be.accept(listener, PLAIN).await.expect("accept"));
            for round in 0..100_u8 {
                assert_eq!(be.send(client.clone(), [round; 100], NONE).await.0, Ok(100));
                let (count, buf) = be.recv(server.clone(), [0; 100], MsgFlags::WAITALL).await;
                assert_eq!((count, buf), (Ok(100), [round; 100]));
                assert_eq!(be.send(server.clone(), buf, NONE).await.0, Ok(100));
                let (count, buf) = be.recv(client.clone(), [0; 100], MsgFlags::WAITALL).await;
                assert_eq!((count, buf), (Ok(100), [round; 100]));
            }
        });
    });
}
