//! Each system call of a mixed load in turn: interrupted, or short of memory.

use crate::load::{CALLS, Noted, Props, batch, works};
use io_conformance::Desc;
use io_conformance::fault::{Answer, Call, Supervisor, flat, nth};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::Form;
use io_conformance::watchdog::rounds;
use io_core::op::Close;
use io_core::{Errno, Op};

/// Those that wait, and those that a signal may end before they have moved anything. The backends' own `read(2)` and
/// `write(2)` are of eventfds that never block, and so are never interrupted.
fn may_be_interrupted(call: &Call) -> bool {
    match call.number {
        libc::SYS_epoll_ctl | libc::SYS_read | libc::SYS_write => false,
        // FUTEX_WAIT and FUTEX_WAIT_BITSET.
        libc::SYS_futex => matches!(call.int(1) & 0x7f, 0 | 9),
        _ => true,
    }
}

/// `EINTR` from the `k`-th call that may say so, for each `k`; then from every second and every third.
pub(crate) fn interrupted<F: Fixture>(fx: &F) {
    in_turn(fx, "interrupted calls", may_be_interrupted, Answer::Fail(Errno::INTR));
}

/// A load with this answer to the `k`-th call that is picked, for each `k`; then to every second and every third, but for
/// `EAGAIN`.
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
        // That there is nothing where there is something is believed the second time: readiness that stays in vain is
        // waited for by edges, and the kernel gives none for what was there before.
        let often: &[u64] = if answer == Answer::Fail(Errno::AGAIN) { &[] } else { &[2, 3] };
        for &n in often {
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

/// A wait that is over at once, with nothing to show for it: of `epoll_wait(2)`, `poll(2)` and `futex(2)`.
pub(crate) fn spurious<F: Fixture>(fx: &F) {
    let waits = |call: &Call| {
        let interruptible = may_be_interrupted(call);
        match call.number {
            libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_poll | libc::SYS_ppoll => true,
            _ => call.number == libc::SYS_futex && interruptible,
        }
    };
    in_turn(fx, "spurious wake-ups", waits, Answer::Return(0));
}

/// Whether this reads or writes what may have nothing for it, and would say so: never a file with an offset.
fn may_come_too_late(call: &Call) -> bool {
    match call.number {
        libc::SYS_recvfrom | libc::SYS_sendto => true,
        libc::SYS_preadv2 | libc::SYS_pwritev2 => call.args[3] == u64::MAX,
        _ => false,
    }
}

/// What was said to be ready is not, when it is read or written: somebody else was faster.
pub(crate) fn ready_and_yet_not<F: Fixture>(fx: &F) {
    in_turn(fx, "readiness that is none", may_come_too_late, Answer::Fail(Errno::AGAIN));
}

/// `ENOMEM` from the `k`-th system call of an operation, for each `k`: that operation's result, and nobody
/// else's.
pub(crate) fn no_memory_for_one<F: Fixture>(fx: &F) {
    let calls = Supervisor::over(CALLS);
    let moves = |call: &Call| {
        matches!(
            call.number,
            libc::SYS_preadv
                | libc::SYS_preadv2
                | libc::SYS_pwritev2
                | libc::SYS_readv
                | libc::SYS_writev
                | libc::SYS_recvfrom
                | libc::SYS_sendto
        )
    };
    flat(rounds(2), "an operation without memory", || {
        let file = Desc::file(b"0123456789");
        let mut failed = 0;
        for k in 1.. {
            let (_reader, writer) = Desc::pipe();
            let mems: Vec<_> = (0..8).map(|_| Mem::zeroed(4)).collect();
            let op = |i: usize, mem: &Mem| {
                if i < 5 { file.pread_op(mem, 3) } else { writer.write_op(mem) }
            };
            let mut changed = 0;
            fx.started(|rig| {
                let mut results = Vec::new();
                changed = calls.during(nth(k, moves, Answer::Fail(Errno::NOMEM)), || {
                    let mut ops: Vec<_> = mems
                        .iter()
                        .enumerate()
                        .map(|(i, mem)| Noted::submit(rig, op(i, mem), mem.only()))
                        .collect();
                    rig.until(|| ops.iter().all(Noted::is_done));
                    results.extend(ops.iter_mut().map(Noted::result));
                });
                let told = results.iter().filter(|&&result| result == Errno::NOMEM.to_result());
                assert_eq!(told.count() as u64, changed, "call {k}: {results:?}");
                assert!(results.iter().all(|&result| result == 4 || result < 0), "{results:?}");
                works(rig);
            });
            if changed == 0 {
                break;
            }
            failed += changed;
        }
        assert!(failed >= 8, "each operation makes a call");
    });
}

static CLOSES: &[i64] = &[libc::SYS_close];

/// A close that says that it was interrupted, or that what was written is lost, has closed: the number is not
/// closed again, which may be somebody else's by then.
pub(crate) fn close_fails<F: Fixture>(fx: &F) {
    let calls = Supervisor::over(CLOSES);
    flat(rounds(2), "closes that fail", || {
        for (errno, told) in [(Errno::INTR, 0), (Errno::IO, Errno::IO.to_result())] {
            for form in Form::ALL {
                let closed = Desc::file(b"").to_owned_fd().into_raw();
                let others = Desc::file(b"another");
                let mut count = 0;
                let script = move |call: &Call| {
                    if call.int(0) != closed.raw() {
                        return Answer::Go;
                    }
                    count += 1;
                    match count {
                        // Closed, and its number is another file's when the caller hears of it.
                        1 if call.perform_with(0, call.args[0]) == 0 => {
                            others.dup_at(closed);
                            Answer::Return(errno.to_result())
                        }
                        _ => Answer::Go,
                    }
                };
                fx.started(|rig| {
                    let changed = calls.during(script, || {
                        let close = Op::Close(Close { fd: closed });
                        assert_eq!(rig.run_as(form, close, &[]), told, "{form:?}");
                        rig.poll(Some(core::time::Duration::ZERO));
                        let next = Desc::adopt(i64::from(closed.raw()));
                        assert_eq!(next.content(), b"another", "closed twice");
                    });
                    assert_eq!(changed, 1, "one close");
                    works(rig);
                });
            }
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
