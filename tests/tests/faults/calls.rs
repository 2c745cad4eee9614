//! Each system call of a mixed load in turn: interrupted, or short of memory.

use crate::load::{Props, batch, works};
use io_conformance::fault::{Answer, Call, Supervisor, flat};
use io_conformance::fixture::Fixture;
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
