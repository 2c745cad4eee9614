//! Each system call of a mixed load in turn: interrupted, or short of memory.

use crate::load::{Noted, Props, batch, works};
use io_conformance::Desc;
use io_conformance::fault::{Answer, Call, Supervisor, flat};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::watchdog::rounds;
use io_core::Errno;

/// What a backend calls for operations, and to wait.
static CALLS: &[i64] = &[
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_futex,
    libc::SYS_io_uring_enter,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
];

/// Those that wait, and those that a signal may end before they have moved anything.
fn may_be_interrupted(call: &Call) -> bool {
    match call.number {
        libc::SYS_epoll_ctl => false,
        // FUTEX_WAIT and FUTEX_WAIT_BITSET.
        libc::SYS_futex => matches!(call.int(1) & 0x7f, 0 | 9),
        _ => true,
    }
}

/// `EINTR` from the `k`-th call that may say so, for each `k`; then from every second and every third.
pub(crate) fn interrupted<F: Fixture>(fx: &F) {
    let calls = Supervisor::over(CALLS);
    flat(rounds(1), "interrupted calls", || {
        let mut k = 0_u64;
        loop {
            k += 1;
            let props = Props::new(3);
            let mut count = 0;
            let script = move |call: &Call| {
                count += u64::from(may_be_interrupted(call));
                let hit = may_be_interrupted(call) && count == k;
                if hit { Answer::Fail(Errno::INTR) } else { Answer::Go }
            };
            let mut changed = 0;
            fx.started(|rig| {
                changed = calls.during(script, || batch(rig, &props));
                works(rig);
            });
            if changed == 0 {
                break;
            }
        }
        assert!(k > 2, "a batch makes more calls than {k}");
        for n in 2..=3 {
            let props = Props::new(8);
            let mut count = 0_u64;
            let script = move |call: &Call| {
                count += u64::from(may_be_interrupted(call));
                let hit = may_be_interrupted(call) && count.is_multiple_of(n);
                if hit { Answer::Fail(Errno::INTR) } else { Answer::Go }
            };
            fx.started(|rig| {
                let changed = calls.during(script, || {
                    for _ in 0..4 {
                        batch(rig, &props);
                    }
                });
                assert!(changed > 0, "nothing was interrupted");
                works(rig);
            });
        }
    });
}

/// `epoll_ctl(2)` says that there is no room to wait: what would have to is told so, and holds nobody up; what
/// need not wait is as ever.
pub(crate) fn no_room_to_wait<F: Fixture>(fx: &F, errno: Errno) {
    let calls = Supervisor::over(CALLS);
    flat(rounds(3), "no room to wait", || {
        fx.started(|rig| {
            let (reader, writer) = Desc::pipe();
            let (near, far) = Desc::pair();
            let mem = Mem::zeroed(4);
            let none = move |call: &Call| {
                let refused = call.number == libc::SYS_epoll_ctl;
                if refused { Answer::Fail(errno) } else { Answer::Go }
            };
            let changed = calls.during(none, || {
                let mut waits: Vec<_> = [&reader, &reader, &near]
                    .into_iter()
                    .map(|from| Noted::submit(rig, from.read_op(&mem), mem.only()))
                    .collect();
                rig.until(|| waits.iter().all(Noted::is_done));
                for wait in &mut waits {
                    assert_eq!(wait.result(), errno.to_result());
                }
                writer.put(b"data");
                assert_eq!(rig.run(reader.read_op(&mem), mem.only()), 4);
                assert_eq!(mem.bytes(4), b"data");
            });
            assert!(changed > 0, "nothing was to wait");
            let mut read = Noted::submit(rig, near.read_op(&mem), mem.only());
            rig.poll(Some(core::time::Duration::ZERO));
            far.put(b"word");
            rig.until(|| read.is_done());
            assert_eq!(read.result(), 4, "there is room again");
            works(rig);
        });
    });
}
