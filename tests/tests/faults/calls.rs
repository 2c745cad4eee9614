//! Each system call of a mixed load in turn: interrupted, or short of memory.

use crate::load::{CALLS, Noted, Props, batch, works};
use io_conformance::Desc;
use io_conformance::fault::{Answer, Call, Supervisor, flat, nth};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::watchdog::rounds;
use io_core::Errno;

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
    in_turn(fx, "interrupted calls", may_be_interrupted, Answer::Fail(Errno::INTR));
}

/// A load with this answer to the `k`-th call that is picked, for each `k`; then to every second and every third.
/// The results are those of a quiet run.
fn in_turn<F: Fixture>(fx: &F, what: &str, picked: fn(&Call) -> bool, answer: Answer) {
    let calls = Supervisor::over(CALLS);
    flat(rounds(1), what, || {
        let mut most = 0;
        for k in 1.. {
            let props = Props::new(3);
            let mut changed = 0;
            fx.started(|rig| {
                changed = calls.during(nth(k, picked, answer), || batch(rig, &props));
                works(rig);
            });
            if changed == 0 {
                break;
            }
            most = k;
        }
        assert!(most > 1, "a batch makes more calls than {most}");
        for n in 2..=3 {
            let props = Props::new(8);
            let mut count = 0_u64;
            let script = move |call: &Call| {
                count += u64::from(picked(call));
                if picked(call) && count.is_multiple_of(n) { answer } else { Answer::Go }
            };
            fx.started(|rig| {
                let changed = calls.during(script, || (0..4).for_each(|_| batch(rig, &props)));
                assert!(changed > 0, "every {n}th call of none");
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
