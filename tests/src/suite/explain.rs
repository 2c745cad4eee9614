//! What a backend says of itself: how each kind of operation would run, and what is in flight.

use super::Case;
use crate::clock::deadline_in;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use core::ptr::{null, null_mut};
use core::time::Duration;
use io_core::op::{
    Accept, AcceptFlags, Bind, Cancel, Close, Connect, Family, Fdatasync, Fstat, Fsync, Ftruncate,
    Listen, Lseek, MsgFlags, Nop, Open, OpenFlags, Poll, PollEvents, Pread, Preadv, Pwrite,
    Pwritev, Read, Readv, Recv, Send, Sendfile, Shutdown, Socket, SocketFlags, SocketKind, Timeout,
    Write, Writev,
};
use io_core::{Deadline, Fd, InFlight, IoBackend, Op, OpKind, Phase, Scope, Seekable, Way};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(every_kind_has_a_route_and_a_cause::<F>),
        Case::of(an_idle_backend_has_nothing_in_flight::<F>),
        Case::of(a_dump_shows_what_hangs::<F>),
        Case::of(a_dump_counts_what_it_has_no_room_for::<F>),
    ]
}

/// One operation of this kind, which nobody submits.
fn op_of(kind: OpKind, fd: Fd) -> Op {
    let (buf, len, offset, seekable) = (null_mut(), 1, 0, Seekable::Unknown);
    let (iov, count, flags) = (null(), 1, MsgFlags::empty());
    let (addr, addr_len) = (null(), 0);
    match kind {
        OpKind::Accept => {
            let (flags, addr, addr_len) = (AcceptFlags::empty(), null_mut(), null_mut());
            Op::Accept(Accept { fd, flags, addr, addr_len })
        }
        OpKind::Bind => Op::Bind(Bind { fd, addr, addr_len }),
        OpKind::Cancel => Op::Cancel(Cancel { scope: Scope::All }),
        OpKind::Close => Op::Close(Close { fd }),
        OpKind::Connect => Op::Connect(Connect { fd, addr, addr_len }),
        OpKind::Fdatasync => Op::Fdatasync(Fdatasync { fd }),
        OpKind::Fstat => Op::Fstat(Fstat { fd, out: null_mut() }),
        OpKind::Fsync => Op::Fsync(Fsync { fd }),
        OpKind::Ftruncate => Op::Ftruncate(Ftruncate { fd, len: 0 }),
        OpKind::Listen => Op::Listen(Listen { fd, backlog: 1 }),
        OpKind::Lseek => Op::Lseek(Lseek { fd, whence: 0, offset }),
        OpKind::Nop => Op::Nop(Nop),
        OpKind::Open => {
            Op::Open(Open { dir: Fd::CWD, path: null(), flags: OpenFlags::CLOEXEC, mode: 0 })
        }
        OpKind::Poll => Op::Poll(Poll { fd, events: PollEvents::IN }),
        OpKind::Pread => Op::Pread(Pread { fd, seekable, buf, len, offset }),
        OpKind::Preadv => Op::Preadv(Preadv { fd, seekable, iov, count, offset }),
        OpKind::Pwrite => Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
        OpKind::Pwritev => Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
        OpKind::Read => Op::Read(Read { fd, buf, len }),
        OpKind::Readv => Op::Readv(Readv { fd, iov, count }),
        OpKind::Recv => Op::Recv(Recv { fd, flags, buf, len }),
        OpKind::Send => Op::Send(Send { fd, flags, buf, len }),
        OpKind::Sendfile => Op::Sendfile(Sendfile { out_fd: fd, in_fd: fd, offset: Some(0), len }),
        OpKind::Shutdown => Op::Shutdown(Shutdown { fd, how: 2 }),
        OpKind::Socket => {
            let (family, kind, flags) = (Family::INET, SocketKind::STREAM, SocketFlags::empty());
            Op::Socket(Socket { family, kind, flags, protocol: 0 })
        }
        OpKind::Timeout => Op::Timeout(Timeout),
        OpKind::Write => Op::Write(Write { fd, buf, len }),
        OpKind::Writev => Op::Writev(Writev { fd, iov, count }),
    }
}

/// Every kind of operation runs in some way, and the cause is said, in words. What the backend does by
/// itself runs nowhere else.
pub fn every_kind_has_a_route_and_a_cause<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"x");
        for kind in OpKind::ALL {
            let op = op_of(kind, file.raw());
            assert_eq!(op.kind(), kind);
            let route = rig.backend().route(&op);
            assert!(route.why.len() > 3, "{}: {route}", kind.name());
            assert_ne!(route.way, Way::Unsupported, "{}: {route}", kind.name());
            assert!(route.to_string().contains(route.way.name()), "{route}");
        }
        let cancel = rig.backend().route(&op_of(OpKind::Cancel, file.raw()));
        assert_eq!(cancel.way, Way::Inline, "{cancel}");
    });
}

/// Nothing is shown when nothing is in flight.
pub fn an_idle_backend_has_nothing_in_flight<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        rig.poll(Some(Duration::ZERO));
        let mut table = [InFlight::EMPTY; 4];
        assert_eq!(rig.backend().dump(&mut table), 0);
        assert_eq!(table, [InFlight::EMPTY; 4]);
        assert_eq!(rig.backend().dump(&mut []), 0);
    });
}

/// Each operation in flight is there once, with its descriptor, stage and deadline. (What an offload has is
/// counted, and may be left to the offload to show.)
pub fn a_dump_shows_what_hangs<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        // Where there is an owner, only it can look.
        rig.poll(Some(Duration::ZERO));
        let (reader, _writer) = Desc::pipe();
        let (near, _far) = Desc::pair();
        let mem = Mem::zeroed(1);
        let hour = deadline_in(Duration::from_secs(3600));
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        let (fd, flags, buf, len) = (near.raw(), MsgFlags::empty(), mem.ptr(), mem.len());
        let mut recv = rig.timed(Op::Recv(Recv { fd, flags, buf, len }), mem.only(), hour);
        recv.submit().expect("submit");
        let mut sleep = rig.timed(Op::Timeout(Timeout), &[], hour);
        sleep.submit().expect("submit");
        for polled in [false, true] {
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            let mut table = [InFlight::EMPTY; 8];
            assert_eq!(rig.backend().dump(&mut table), 3, "{table:?}");
            if rig.backend().route(&reader.read_op(&mem)).way == Way::Offload {
                continue;
            }
            assert!(table[3..].iter().all(|place| *place == InFlight::EMPTY), "{table:?}");
            let find = |kind| {
                let mut found = table[..3].iter().filter(|entry| entry.kind == kind);
                let entry = *found.next().unwrap_or_else(|| panic!("{kind:?}: {table:?}"));
                assert!(found.next().is_none(), "{table:?}");
                let waits = matches!(entry.phase, Phase::Queued | Phase::InFlight);
                assert!(waits && !entry.cancel_asked, "{entry:?}");
                (entry.fd, entry.deadline)
            };
            assert_eq!(find(OpKind::Read), (Some(reader.raw()), Deadline::NEVER));
            assert_eq!(find(OpKind::Recv), (Some(near.raw()), hour));
            assert_eq!(find(OpKind::Timeout), (None, hour));
        }
        drop((read, recv, sleep));
        assert_eq!(rig.backend().dump(&mut []), 0);
    });
}

/// A table that is too small is filled, and the number is that of all.
pub fn a_dump_counts_what_it_has_no_room_for<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        rig.poll(Some(Duration::ZERO));
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut reads: Vec<_> =
            (0..500).map(|_| rig.raw(reader.read_op(&mem), mem.only())).collect();
        for read in &mut reads {
            read.submit().expect("submit");
        }
        rig.poll(Some(Duration::ZERO));
        let mut table = [InFlight::EMPTY; 10];
        assert_eq!(rig.backend().dump(&mut table), 500);
        assert_eq!(rig.backend().dump(&mut []), 500);
        let away = rig.backend().route(&reader.read_op(&mem)).way == Way::Offload;
        for entry in table.into_iter().filter(|_| !away) {
            assert_eq!((entry.kind, entry.fd), (OpKind::Read, Some(reader.raw())));
        }
    });
}
