//! What `io_uring_enter(2)` may say, and what it may not do.

use crate::after::delivered_once;
use crate::load::{Noted, Props, batch, works};
use crate::support::uring;
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::{Answer, Supervisor, every, flat, nth, without_threads};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::rig::Form;
use io_conformance::suite::names;
use io_conformance::tally;
use io_conformance::watchdog::rounds;
use io_core::op::{Close, Fsync, Nop, Open, OpenFlags, Poll, PollEvents};
use io_core::{Errno, Fd, IoBackend, Op, OpKind, OpSet};

static ENTER: &[i64] = &[libc::SYS_io_uring_enter];

/// The first, the second, the third, every second, every seventh entry, and twenty in a row.
type Script = Box<dyn FnMut(&io_conformance::fault::Call) -> Answer + Send>;

fn scripts(answer: Answer) -> [Script; 6] {
    let mut left = 20;
    let row = move |_: &_| {
        left -= 1;
        if left >= 0 { answer } else { Answer::Go }
    };
    [
        Box::new(nth(1, |_| true, answer)),
        Box::new(nth(2, |_| true, answer)),
        Box::new(nth(3, |_| true, answer)),
        Box::new(every(2, answer)),
        Box::new(every(7, answer)),
        Box::new(row),
    ]
}

/// The results are those of a quiet run, whatever entering answers now and then.
pub(crate) fn enter_answers<F: Fixture>(fx: &F, answer: Answer) {
    let enter = Supervisor::over(ENTER);
    flat(rounds(2), "entering in vain", || {
        for (i, script) in scripts(answer).into_iter().enumerate() {
            let props = Props::new(12);
            fx.started(|rig| {
                let changed = enter.during(script, || {
                    for _ in 0..4 {
                        batch(rig, &props);
                    }
                });
                assert!(changed > 0, "{answer:?} by script {i} was never given");
                works(rig);
            });
        }
    });
    flat(rounds(2), "drops before anything is sent", || dropped_before_it_is_sent(fx, answer));
}

/// An operation that the kernel did not take at once, and that is dropped, is not left to the kernel: what it
/// would have read is still there.
fn dropped_before_it_is_sent<F: Fixture>(fx: &F, answer: Answer) {
    let enter = Supervisor::over(ENTER);
    for count in 1..=4 {
        fx.started(|rig| {
            let (reader, writer) = Desc::pipe();
            let mem = Mem::zeroed(4);
            let mut left = count;
            let script = move |_: &_| {
                left -= 1;
                if left >= 0 { answer } else { Answer::Go }
            };
            let changed = enter.during(script, || {
                let mut read = rig.raw(reader.read_op(&mem), mem.only());
                read.submit().expect("submit");
                rig.poll(Some(Duration::ZERO));
                drop(read);
                drop(mem);
            });
            assert!(changed > 0, "{answer:?} was never given");
            writer.put(b"late");
            works(rig);
            assert_eq!(reader.get(4), b"late", "nobody has read it");
        });
    }
}

/// Entering takes half of what was pushed.
pub(crate) fn half_is_taken<F: Fixture>(fx: &F) {
    let enter = Supervisor::over(ENTER);
    // By the supervisor's own thread, which the ring allows where it has no single issuer. It must not wait.
    let half = |call: &io_conformance::fault::Call| match (call.int(1), call.int(2)) {
        (count @ 2.., 0) => {
            Answer::Return(call.perform_with(1, u64::from(count.unsigned_abs() / 2)))
        }
        _ => Answer::Go,
    };
    flat(rounds(2), "half a batch", || {
        fx.started(|rig| {
            let props = Props::new(24);
            assert!(enter.during(half, || batch(rig, &props)) > 0, "no batch was halved");
            works(rig);
        });
    });
}

/// The kernel takes a batch up to an entry that it refuses: nobody has to call again for the rest.
pub(crate) fn a_bad_entry_in_mid_batch<F: Fixture>(fx: &F) {
    flat(rounds(3), "a bad entry", || {
        fx.started(|rig| {
            let path = Mem::path(b"");
            let dir = Fd::new(libc::AT_FDCWD);
            let bad = Open { dir, path: path.ptr().cast(), flags: OpenFlags::RDONLY, mode: 0 };
            let mut ops: Vec<_> = (0..64)
                .map(|i| match i % 3 {
                    1 => Noted::submit(rig, Op::Open(bad), path.only()),
                    _ => Noted::submit(rig, Op::Nop(Nop {}), &[]),
                })
                .collect();
            rig.until(|| ops.iter().all(Noted::is_done));
            for (i, op) in ops.iter_mut().enumerate() {
                let expected = if i % 3 == 1 { Errno::NOENT.to_result() } else { 0 };
                assert_eq!(op.result(), expected, "operation {i}");
            }
            works(rig);
        });
    });
}

/// Thousands of completions for a queue of two, many of them at the same moment.
pub(crate) fn overflow<F: Fixture>(fx: &F) {
    flat(rounds(2), "an overflow", || {
        fx.started(|rig| {
            let (reader, writer) = Desc::pipe();
            let poll = Op::Poll(Poll { fd: reader.raw(), events: PollEvents::IN });
            let mut polls: Vec<_> = (0..500).map(|_| Noted::submit(rig, poll, &[])).collect();
            rig.poll(Some(Duration::ZERO));
            // All of them are in the kernel now, and complete at once.
            writer.put(b"x");
            let mut nops: Vec<_> =
                (0..5_000).map(|_| Noted::submit(rig, Op::Nop(Nop {}), &[])).collect();
            rig.until(|| nops.iter().chain(&polls).all(Noted::is_done));
            let ready = i64::from(PollEvents::IN.bits());
            assert!(polls.iter_mut().all(|poll| poll.result() == ready));
            assert!(nops.iter_mut().all(|nop| nop.result() == 0));
            works(rig);
        });
    });
}

/// On each variant of the column, whose backends do not work afterwards: their ring is dead.
pub(crate) fn denied_later(errno: Errno) {
    let [shared, _, old, ..] = uring::shared();
    for fx in [shared, old] {
        delivered_once(fx, |fx| denied_after_the_start(fx, errno));
    }
}

/// A filter that comes after the start: everything ends, with the filter's error, and a close is performed.
fn denied_after_the_start<F: Fixture>(fx: &F, errno: Errno) {
    let enter = Supervisor::over(ENTER);
    flat(rounds(3), "a ring that died", || {
        fx.started(|rig| {
            works(rig);
            let (reader, writer) = Desc::pipe();
            let closed = Desc::file(b"").to_owned_fd().into_raw();
            let mem = Mem::zeroed(4);
            let read = || Noted::submit(rig, reader.read_op(&mem), mem.only());
            let mut ops: Vec<_> = (0..20).map(|_| read()).collect();
            rig.poll(Some(Duration::ZERO));
            enter.script(move |_| Answer::Fail(errno));
            ops.extend((0..20).map(|_| read()));
            let mut close = Noted::submit(rig, Op::Close(Close { fd: closed }), &[]);
            let mut said = None;
            while !ops.iter().chain([&close]).all(Noted::is_done) {
                // The result of a poll that found the ring dead; what has ended is delivered by the next.
                said = rig.backend().poll(Some(Duration::from_millis(1))).err().or(said);
            }
            assert_eq!(said, Some(errno), "poll says why");
            assert!(ops.iter_mut().all(|op| op.result() == errno.to_result()));
            assert_eq!(close.result(), 0, "a close is performed all the same");
            let mut late = rig.raw(Op::Nop(Nop {}), &[]);
            assert_eq!(late.wait(), errno.to_result(), "what comes later");
            writer.put(b"late");
            enter.calm();
            assert_eq!(reader.get(4), b"late", "nobody has read it");
            assert_eq!(rig.backend().in_flight(), 0);
        });
        // It was that ring, and not this process.
        fx.started(works);
    });
}

/// The kernel cannot start a worker: what would need one is done all the same, and nobody hears that it was
/// cancelled.
pub(crate) fn no_worker<F: Fixture>(fx: &F) {
    let file = Desc::file(b"0123456789");
    let path = Mem::path(b"/proc/self/status");
    let dir = Fd::new(libc::AT_FDCWD);
    let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::TRUNC;
    let made = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(made.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("chmod");
    let new = Mem::path(made.path().join("new").as_os_str().as_encoded_bytes());
    flat(rounds(3), "a kernel without workers", || {
        without_threads(|| {
            fx.started(|rig| {
                let fsync = Op::Fsync(Fsync { fd: file.raw() });
                let open = |path: &Mem, flags| {
                    Op::Open(Open { dir, path: path.ptr().cast(), flags, mode: 0o600 })
                };
                for form in Form::ALL {
                    assert_eq!(rig.run_as(form, fsync, &[]), 0, "{form:?}");
                    let opened = rig.run_as(form, open(&new, flags), new.only());
                    drop(Desc::adopt(opened));
                    let opened = rig.run_as(form, open(&path, OpenFlags::RDONLY), path.only());
                    drop(Desc::adopt(opened));
                }
                batch(rig, &Props::new(8));
                works(rig);
            });
        });
    });
}

/// Each operation in turn without its opcode, and none with it: every operation has its result, and the one that
/// lacks its opcode does not have it from the ring.
pub(crate) fn one_opcode_missing() {
    let all = OpKind::ALL.into_iter().map(OpSet::of).chain([OpSet::all()]);
    let all: Vec<_> = all.collect();
    flat(rounds(2), "a ring without an opcode", || {
        for &lacking in &all {
            let ring = uring::lacking(lacking);
            let before = tally::ring_ops(ring.name());
            ring.started(|rig| {
                batch(rig, &Props::new(4));
                works(rig);
            });
            names::files_by_the_names_of_the_original(&ring);
            names::sockets_by_their_names(&ring);
            names::a_listener_by_its_names(&ring);
            let after = tally::ring_ops(ring.name());
            for (kind, (before, after)) in OpKind::ALL.into_iter().zip(before.iter().zip(after)) {
                let by_the_ring = after - before;
                assert!(!lacking.has(kind) || by_the_ring == 0, "{} by the ring", kind.name());
            }
        }
    });
}
