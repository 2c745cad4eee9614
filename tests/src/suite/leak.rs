//! Descriptors do not leak, whoever wins between a result and a cancel.

use super::Case;
use crate::count_fds;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::watchdog::{rounds, tell};
use core::time::Duration;
use io_core::op::{AcceptFlags, Cancel, Family, OpenFlags, SocketFlags, SocketKind};
use io_core::ops::Ops;
use io_core::{Fd, IoBackend, Op, Phase, Scope};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(opens_cancelled_anywhere_leak_nothing::<F>),
        Case::of(accepts_cancelled_anywhere_leak_nothing::<F>),
        Case::of(typed_opens_dropped_anywhere_leak_nothing::<F>),
        Case::of(sockets_dropped_anywhere_leak_nothing::<F>),
        Case::of(a_stop_leaks_nothing::<F>),
    ]
}

const ALL: Op = Op::Cancel(Cancel { scope: Scope::All });

/// Small numbers in no order, the same every time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// 10 000 raw opens, half of them on a backend of each flavour, each cancelled, dropped or read at some point of its life.
pub fn opens_cancelled_anywhere_leak_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = Mem::path(b"/");
        let (dir, flags) = (Fd::CWD, OpenFlags::CLOEXEC);
        let op = Op::Open(io_core::op::Open { dir, path: path.ptr().cast(), flags, mode: 0 });
        let mut dice = Dice(u64::from(u32::MAX));
        let before = count_fds();
        let mut live = Vec::new();
        let rounds = rounds(5000);
        for _ in 0..rounds {
            let mut raw = rig.raw(op, path.only());
            raw.submit().expect("submit");
            if dice.throw(3) == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            match dice.throw(5) {
                4 => {
                    live.push(raw);
                    assert!(rig.run(ALL, &[]) >= 0);
                }
                0 => drop(raw),
                1 => {
                    raw.cancel();
                    drop(raw);
                }
                2 => {
                    raw.cancel();
                    live.push(raw);
                }
                _ => live.push(raw),
            }
            if live.len() > 50 {
                let mut raw = live.swap_remove(usize::try_from(dice.throw(50)).expect("small"));
                if dice.throw(2) == 0 {
                    let result = raw.wait();
                    if result >= 0 {
                        drop(Desc::adopt(result));
                    }
                }
            }
        }
        drop(live);
        assert_eq!(count_fds(), before);
        tell(rounds, "opens");
    });
}

/// The same with 1000 accepts, whose connections come at some point, or not at all. (10 000 with
/// `IO_TEST_ROUNDS=10`.)
pub fn accepts_cancelled_anywhere_leak_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut dice = Dice(7);
        let before = count_fds();
        let rounds = rounds(20);
        for _ in 0..rounds {
            // A fresh one each time: connections that nobody accepts fill its queue.
            let (listener, address) = Desc::listener();
            for _ in 0..25 {
                let flags = AcceptFlags::empty();
                let mut accept = Box::pin(rig.backend().accept(listener.clone(), flags));
                let early = (dice.throw(2) == 0).then(|| Desc::connect(address));
                let pending = rig.poll_once(accept.as_mut()).is_pending();
                if dice.throw(2) == 0 {
                    rig.poll(Some(Duration::ZERO));
                }
                let late = (dice.throw(2) == 0).then(|| Desc::connect(address));
                if pending && dice.throw(2) == 0 {
                    accept.as_mut().cancel();
                }
                if pending && accept.phase() == Phase::Done && dice.throw(2) == 0 {
                    drop(accept.as_mut().take());
                }
                drop(accept);
                drop((early, late));
            }
        }
        assert_eq!(count_fds(), before);
        tell(rounds * 25, "accepts");
    });
}

/// Typed opens that are dropped after each number of polls, read or not.
pub fn typed_opens_dropped_anywhere_leak_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut dice = Dice(99);
        let before = count_fds();
        for _ in 0..rounds(500) {
            let mut open = Box::pin(rig.backend().open(c"/", OpenFlags::CLOEXEC, 0));
            for _ in 0..dice.throw(4) {
                if rig.poll_once(open.as_mut()).is_ready() {
                    break;
                }
                rig.poll(Some(Duration::ZERO));
            }
        }
        assert_eq!(count_fds(), before);
    });
}

/// Sockets that are dropped after each number of polls, read or not; of a kind that is made at once, and
/// of one that is not.
pub fn sockets_dropped_anywhere_leak_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (be, plain) = (rig.backend(), SocketFlags::empty());
        let mut dice = Dice(7);
        let before = count_fds();
        for _ in 0..rounds(200) {
            for (family, kind) in
                [(Family::INET, SocketKind::STREAM), (Family::NETLINK, SocketKind::RAW)]
            {
                let mut socket = Box::pin(be.socket(family, kind, plain, 0));
                for _ in 0..dice.throw(4) {
                    if rig.poll_once(socket.as_mut()).is_ready() {
                        break;
                    }
                    rig.poll(Some(Duration::ZERO));
                }
            }
        }
        assert_eq!(count_fds(), before);
    });
}

/// Opens that were in flight when the backend was stopped.
pub fn a_stop_leaks_nothing<F: Fixture>(fx: &F) {
    let before = count_fds();
    for _ in 0..10 {
        fx.both(|rig| {
            let open = || Box::pin(rig.backend().open(c"/", OpenFlags::CLOEXEC, 0));
            let mut opens: Vec<_> = (0..100).map(|_| open()).collect();
            for open in &mut opens {
                let _ = rig.poll_once(open.as_mut());
            }
            assert_eq!(rig.backend().stop(io_core::Deadline::NEVER), Ok(()));
            for open in opens.iter_mut().step_by(2) {
                drop(open.as_mut().take());
            }
        });
    }
    assert_eq!(count_fds(), before);
}
