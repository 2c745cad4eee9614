//! The other end of a connection goes away at once (`SO_LINGER` of 0: a reset instead of an orderly end).
#![allow(unsafe_code, reason = "sets an option of a socket")]
//! # Safety
//! The system call reads a local.

use crate::load::{Noted, works};
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::flat;
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::oracle::oracle;
use io_conformance::watchdog::rounds;
use io_core::op::{MsgFlags, Poll, PollEvents, Recv, Send};
use io_core::{Errno, Op};

/// Closes a connection by a reset.
fn reset(end: Desc) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = libc::socklen_t::try_from(size_of_val(&linger)).expect("small");
    let (fd, value) = (end.raw().raw(), (&raw const linger).cast());
    // SAFETY: reads a local of that length.
    let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, value, len) };
    assert_eq!(set, 0, "setsockopt");
    drop(end);
}

fn connection() -> (Desc, Desc) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let near = Desc::connect(listener.local_addr().expect("its address"));
    (near, Desc::from(listener.accept().expect("a connection").0))
}

/// What waits hears of it, once each and with the plain call's error; what comes later hears what that hears.
pub(crate) fn peer_resets<F: Fixture>(fx: &F) {
    flat(rounds(5), "a reset", || {
        fx.started(|rig| {
            let (near, far) = connection();
            let fd = near.raw();
            let (mem, flags) = (Mem::zeroed(16), MsgFlags::empty());
            let recv = Op::Recv(Recv { fd, flags, buf: mem.ptr(), len: 16 });
            let send = Op::Send(Send { fd, flags, buf: mem.ptr(), len: 16 });
            let poll = |events| Op::Poll(Poll { fd, events });
            let mut recvs: Vec<_> = (0..3).map(|_| Noted::submit(rig, recv, mem.only())).collect();
            let mut hup = Noted::submit(rig, poll(PollEvents::RDHUP), &[]);
            rig.poll(Some(Duration::ZERO));
            rig.poll(Some(Duration::ZERO));
            reset(far);
            rig.until(|| recvs.iter().chain([&hup]).all(Noted::is_done));
            // The error is told once; after it there is nothing but the end.
            let mut results: Vec<_> = recvs.iter_mut().map(Noted::result).collect();
            results.sort_unstable();
            assert_eq!(results, [Errno::CONNRESET.to_result(), 0, 0]);
            let gone = PollEvents::HUP | PollEvents::RDHUP;
            let said = u16::try_from(hup.result()).expect("events");
            assert!(PollEvents::from_bits_retain(said).contains(gone), "{said:#x}");
            assert_eq!(rig.run(send, mem.only()), Errno::PIPE.to_result());
            for op in [send, recv, poll(PollEvents::IN | PollEvents::OUT)] {
                assert_eq!(rig.run(op, mem.only()), oracle(&op, mem.only()), "{op:?}");
            }
            works(rig);
        });
    });
}

/// Sends that wait for room hear of it too.
pub(crate) fn peer_resets_a_full_connection<F: Fixture>(fx: &F) {
    flat(rounds(3), "a reset of a full connection", || {
        fx.started(|rig| {
            let (near, far) = connection();
            let mem = Mem::zeroed(1 << 20);
            let (fd, flags) = (near.raw(), MsgFlags::empty());
            let send = Op::Send(Send { fd, flags, buf: mem.ptr(), len: mem.len() });
            let mut sends: Vec<_> = (0..16).map(|_| Noted::submit(rig, send, mem.only())).collect();
            for _ in 0..4 {
                rig.poll(Some(Duration::from_millis(1)));
            }
            assert!(!sends.iter().all(Noted::is_done), "there is no room for 16 MiB");
            reset(far);
            rig.until(|| sends.iter().all(Noted::is_done));
            let (reset, broken) = (Errno::CONNRESET.to_result(), Errno::PIPE.to_result());
            for send in &mut sends {
                let result = send.result();
                assert!(result > 0 || result == reset || result == broken, "{result}");
            }
            works(rig);
        });
    });
}
