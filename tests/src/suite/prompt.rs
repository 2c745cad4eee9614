//! What the system call answers at once, a backend answers at once: nothing waits for a readiness that never
//! comes, and nothing is tried again and again.
#![allow(unsafe_code, reason = "makes an eventfd")]
//! # Safety
//! The one descriptor made here by number is owned at once.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Rig};
use core::ptr;
use core::time::Duration;
use io_core::op::{Accept, AcceptFlags, IOV_MAX, MsgFlags, Read, Readv, Recv, Send, Write, Writev};
use io_core::{Errno, IoBackend, Op, Phase};
use std::net::{TcpListener, UdpSocket};
use std::time::Instant;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(no_vectors_and_too_many::<F>),
        Case::of(a_short_read_of_an_eventfd_is_einval::<F>).needs(Needs::Object),
        Case::of(socket_operations_on_a_pipe_are_enotsock::<F>),
        Case::of(accept_on_what_does_not_listen::<F>).needs(Needs::Object),
        Case::of(an_empty_error_queue_is_eagain::<F>).needs(Needs::Object),
    ]
}

/// Longer than any answer takes that does not wait for something.
const SOON: Duration = Duration::from_secs(2);

/// Runs `op` in every form, and compares with the system call, which must not block.
fn at_once<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], errno: Option<Errno>) {
    let expected = oracle(&op, keep);
    assert_eq!(expected, errno.map_or(0, Errno::to_result), "the system call itself: {op:?}");
    let mut raw = rig.raw(op, keep);
    raw.submit().expect("submit");
    let begin = Instant::now();
    while raw.phase() != Phase::Done && begin.elapsed() < SOON {
        rig.poll(Some(Duration::from_millis(1)));
    }
    assert_eq!(raw.phase(), Phase::Done, "waits instead of {expected}: {op:?}");
    assert_eq!(raw.result(), Some(expected), "{op:?}");
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, op, keep), expected, "{form:?}: {op:?}");
    }
}

fn accept(socket: &Desc) -> Op {
    let (addr, addr_len) = (ptr::null_mut(), ptr::null_mut());
    Op::Accept(Accept { fd: socket.raw(), flags: AcceptFlags::empty(), addr, addr_len })
}

fn recv(socket: &Desc, mem: &Mem, flags: MsgFlags) -> Op {
    Op::Recv(Recv { fd: socket.raw(), flags, buf: mem.ptr(), len: mem.len() })
}

/// No vectors are 0 and more than [`IOV_MAX`] `EINVAL`, also on an empty pipe and a full one, where any
/// other count would wait.
pub fn no_vectors_and_too_many<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::zeroed(1);
        let table = Mem::iovecs(&vec![(mem.ptr(), 1); IOV_MAX + 1]);
        let keep = [mem.clone(), table.clone()];
        let iov = table.ptr().cast();
        for ((empty, _writer), (_reader, full)) in
            [(Desc::pipe(), Desc::pipe()), (Desc::pair(), Desc::pair())]
        {
            let _bytes = full.fill_up();
            for (count, errno) in [(0, None), (IOV_MAX + 1, Some(Errno::INVAL))] {
                at_once(rig, Op::Readv(Readv { fd: empty.raw(), iov, count }), &keep, errno);
                at_once(rig, Op::Writev(Writev { fd: full.raw(), iov, count }), &keep, errno);
            }
        }
    });
}

/// An eventfd moves eight bytes: less room is `EINVAL`, also while there is nothing to read.
pub fn a_short_read_of_an_eventfd_is_einval<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        // SAFETY: takes numbers.
        let event = Desc::adopt(i64::from(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }));
        let (fd, mem) = (event.raw(), Mem::zeroed(4));
        let (buf, len) = (mem.ptr(), mem.len());
        at_once(rig, Op::Read(Read { fd, buf, len }), mem.only(), Some(Errno::INVAL));
        at_once(rig, Op::Write(Write { fd, buf, len }), mem.only(), Some(Errno::INVAL));
        event.put(&7_u64.to_ne_bytes());
        at_once(rig, Op::Read(Read { fd, buf, len }), mem.only(), Some(Errno::INVAL));
        assert_eq!(event.get(8), 7_u64.to_ne_bytes(), "a read that failed took the count");
    });
}

/// `recv` and `send` on a pipe, with whatever flags.
pub fn socket_operations_on_a_pipe_are_enotsock<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(4);
        let not_a_socket = Some(Errno::NOTSOCK);
        for flags in [MsgFlags::empty(), MsgFlags::WAITALL, MsgFlags::PEEK, MsgFlags::DONTWAIT] {
            at_once(rig, recv(&reader, &mem, flags), mem.only(), not_a_socket);
            let (fd, buf, len) = (writer.raw(), mem.ptr(), mem.len());
            at_once(rig, Op::Send(Send { fd, flags, buf, len }), mem.only(), not_a_socket);
        }
    });
}

/// `accept` on a pipe, on a datagram socket, and on a stream that is connected.
pub fn accept_on_what_does_not_listen<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        at_once(rig, accept(&reader), &[], Some(Errno::NOTSOCK));
        let datagrams = Desc::from(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        at_once(rig, accept(&datagrams), &[], Some(Errno::OPNOTSUPP));
        let (stream, _peer) = Desc::pair();
        at_once(rig, accept(&stream), &[], Some(Errno::INVAL));
    });
}

/// The error queue is never waited for: with nothing in it the answer is `EAGAIN`, whether or not there is
/// data to receive.
pub fn an_empty_error_queue_is_eagain<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::filled(8, 0xaa);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let itself = socket.local_addr().expect("its address");
        let datagrams = Desc::from(socket.try_clone().expect("dup"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let stream = Desc::connect(listener.local_addr().expect("its address"));
        let peer = Desc::from(listener.accept().expect("a connection").0);
        let ask = |socket: &Desc| {
            let op = recv(socket, &mem, MsgFlags::ERRQUEUE);
            at_once(rig, op, mem.only(), Some(Errno::AGAIN));
        };
        ask(&datagrams);
        ask(&stream);
        socket.send_to(b"data", itself).expect("a datagram");
        peer.put(b"data");
        ask(&datagrams);
        ask(&stream);
        assert!(mem.all(0xaa));
        assert_eq!(stream.get(4), b"data");
    });
}
