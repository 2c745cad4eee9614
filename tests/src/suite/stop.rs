//! Stopping: new operations are refused, the others complete, and what is still owned is counted.

use super::Case;
use crate::clock::{Moment, deadline_in, now_ns};
use crate::desc::Desc;
use crate::fixture::{Blocking, Fixture, Needs};
use crate::mem::Mem;
use crate::rig::{Form, Note, Rig};
use crate::skip::skip;
use crate::watchdog::{rounds, tell};
use core::time::Duration;
use io_core::op::{Close, Nop, Open, OpenFlags};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, Fd, IoBackend, Op, Phase, StopError};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(stop_completes_everything_once::<F>),
        Case::of(stop_delivers_at_the_next_poll::<F>),
        Case::of(submit_after_stop_is_ecanceled::<F>),
        Case::of(close_after_stop_closes::<F>),
        Case::of(start_after_stop_works::<F>),
        Case::of(stop_twice_is_fine::<F>),
        Case::of(stop_before_start_is_fine::<F>),
        Case::of(stop_wakes_what_is_awaited::<F>),
        Case::of(stop_takes_no_data::<F>),
        Case::of(stop_a_thousand::<F>),
        Case::of(stop_with_queued_work_accounts_for_it::<F>),
        Case::of(a_deadline_that_passed_still_stops_what_can_be::<F>),
        Case::of(a_blocked_open_is_cancelled_or_counted::<F>).needs(Needs::Object),
        Case::of(stop_ends_great_reads_for_good::<F>).needs(Needs::Object),
        Case::of(many_starts_and_stops_leave_nothing_behind::<F>),
    ]
}

fn canceled() -> i64 {
    Errno::CANCELED.to_result()
}

/// A read of an empty pipe among 200 file reads: each completes once, with its data or `ECANCELED`.
pub fn stop_completes_everything_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let file = Desc::file(b"data");
        let notes: Vec<Note> = (0..201).map(|_| Note::new(rig.signal())).collect();
        let mems: Vec<Mem> = (0..201).map(|_| Mem::zeroed(4)).collect();
        let mut raws = Vec::new();
        for (i, (note, mem)) in notes.iter().zip(&mems).enumerate() {
            let op = if i == 100 { reader.read_op(mem) } else { file.pread_op(mem, 0) };
            let mut raw = rig.raw(op, mem.only());
            raw.submit_callback(note.hook()).expect("submit");
            raws.push(raw);
        }
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        rig.until_seen(|| notes.iter().all(|note| note.calls() > 0));
        for (i, (note, mem)) in notes.iter().zip(&mems).enumerate() {
            assert_eq!(note.calls(), 1, "operation {i}");
            match note.result() {
                4 if i != 100 => assert_eq!(mem.bytes(4), b"data"),
                result => assert_eq!(result, canceled(), "operation {i}"),
            }
        }
        assert_eq!(notes[100].result(), canceled(), "the read that waited");
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Stop itself runs no callback on a backend that only its owner drives; the next poll does.
pub fn stop_delivers_at_the_next_poll<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let notes: Vec<Note> = (0..10).map(|_| Note::new(rig.signal())).collect();
        let mut raws = Vec::new();
        for (i, note) in notes.iter().enumerate() {
            let op = if i % 2 == 0 { reader.read_op(&mem) } else { Op::Nop(Nop) };
            let mut raw = rig.raw(op, mem.only());
            raw.submit_callback(note.hook()).expect("submit");
            raws.push(raw);
        }
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        assert!(notes.iter().all(|note| note.calls() == 0), "stop delivered");
        assert!(raws.iter().all(|raw| raw.phase() != Phase::Idle));
        let mut delivered = 0;
        while notes.iter().any(|note| note.calls() == 0) {
            delivered += rig.poll(Some(Duration::ZERO));
        }
        assert_eq!(delivered, 10);
    });
}

/// Every form of a submit to a stopped backend completes with `ECANCELED`, and does nothing.
pub fn submit_after_stop_is_ecanceled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        let file = Desc::file(b"data");
        let mem = Mem::filled(4, 0xaa);
        let keep = [mem.clone()];
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, Op::Nop(Nop), &[]), canceled(), "{form:?}");
            assert_eq!(rig.run_as(form, file.pread_op(&mem, 0), &keep), canceled(), "{form:?}");
            assert_eq!(rig.run_as(form, file.write_op(&mem), &keep), canceled(), "{form:?}");
            assert_eq!(rig.run_as(form, file.lseek_op(0, 1), &keep), canceled(), "{form:?}");
        }
        let mut buf = [0; 4];
        let sync = rig.backend().submit_read_sync(&file, &mut buf, 0);
        assert_eq!(sync, Err(Errno::CANCELED));
        assert!(mem.all(0xaa));
        assert_eq!(file.content(), b"data");
    });
}

/// A close is never refused: its descriptor would leak.
pub fn close_after_stop_closes<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        for form in Form::ALL {
            let (reader, writer) = Desc::pipe();
            let fd = writer.to_owned_fd().into_raw();
            drop(writer);
            assert_eq!(rig.run_as(form, Op::Close(Close { fd }), &[]), 0, "{form:?}");
            assert_eq!(reader.read_byte(), None);
        }
        let (reader, writer) = Desc::pipe();
        let last = writer.to_owned_fd();
        drop(writer);
        assert_eq!(rig.block_on(rig.backend().close(last)), Ok(()));
        assert_eq!(reader.read_byte(), None);
    });
}

/// A stopped backend can be started, many times over.
pub fn start_after_stop_works<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for round in 0..20_u8 {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            read.submit().expect("submit");
            assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()), "round {round}");
            assert_eq!(read.wait(), canceled(), "round {round}");
            assert_eq!(rig.backend().start(), Ok(()), "round {round}");
            read.reset(reader.read_op(&mem)).expect("reset");
            writer.put(&[round]);
            assert_eq!(rig.block_on(read.as_mut()), 1, "round {round}");
            assert_eq!(mem.bytes(1), [round]);
        }
    });
}

/// The second stop has nothing to do.
pub fn stop_twice_is_fine<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for deadline in [Deadline::NEVER, Deadline::NOW, deadline_in(Duration::from_secs(1))] {
            assert_eq!(rig.backend().stop(deadline), Ok(()));
        }
        assert_eq!(rig.poll(Some(Duration::ZERO)), 0);
    });
}

/// A backend that was never started is stopped, refuses, and is started.
pub fn stop_before_start_is_fine<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        assert_eq!(rig.run(Op::Nop(Nop), &[]), canceled());
        assert_eq!(rig.backend().start(), Ok(()));
        assert_eq!(rig.run(Op::Nop(Nop), &[]), 0);
    });
}

/// A future that waits for data is woken, and yields `ECANCELED`.
pub fn stop_wakes_what_is_awaited<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mut read = core::pin::pin!(rig.backend().read(reader, vec![7_u8; 4]));
        assert!(rig.poll_once(read.as_mut()).is_pending());
        rig.poll(Some(Duration::ZERO));
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        let (result, buf) = rig.block_on(read);
        assert_eq!((result, &buf[..]), (Err(Errno::CANCELED), &[7_u8; 4][..]));
    });
}

/// What arrives after a stop is there for the next reader, and nobody writes to the memory.
pub fn stop_takes_no_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let (near, far) = Desc::pair();
        let mem = Mem::filled(16, 0xaa);
        let mut reads = Vec::new();
        for from in [&reader, &near] {
            for _ in 0..50 {
                let mut read = rig.raw(from.read_op(&mem), mem.only());
                read.submit().expect("submit");
                reads.push(read);
            }
        }
        rig.poll(Some(Duration::ZERO));
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        writer.put(b"pipe data");
        far.put(b"socket data");
        rig.poll(Some(Duration::ZERO));
        for read in &mut reads {
            assert_eq!(read.wait(), canceled());
        }
        assert!(mem.all(0xaa));
        assert_eq!(reader.get(9), b"pipe data");
        assert_eq!(near.get(11), b"socket data");
    });
}

/// A thousand operations that wait, and a thousand that need not.
pub fn stop_a_thousand<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut raws = Vec::new();
        for i in 0..2000 {
            let op = if i % 2 == 0 { reader.read_op(&mem) } else { Op::Nop(Nop) };
            let mut raw = rig.raw(op, mem.only());
            raw.submit().expect("submit");
            raws.push(raw);
        }
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        for (i, raw) in raws.iter_mut().enumerate() {
            let result = raw.wait();
            let nop_done = i % 2 == 1 && result == 0;
            assert!(nop_done || result == canceled(), "operation {i}: {result}");
        }
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Operations that were never handed on are not forgotten: one fewer than any batch.
pub fn stop_with_queued_work_accounts_for_it<F: Fixture>(fx: &F) {
    for count in [1, 7, 8, 9, 31, 63, 127, 255] {
        fx.unstarted(|rig| {
            let notes: Vec<Note> = (0..count).map(|_| Note::new(rig.signal())).collect();
            let mut raws: Vec<_> = notes.iter().map(|_| rig.raw(Op::Nop(Nop), &[])).collect();
            for (raw, note) in raws.iter_mut().zip(&notes) {
                raw.submit_callback(note.hook()).expect("submit");
            }
            assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
            rig.until_seen(|| notes.iter().all(|note| note.calls() == 1));
            assert!(notes.iter().all(|note| [0, canceled()].contains(&note.result())));
        });
    }
}

/// A stop that may not wait asks all the same; the next one finds nothing left, or waits for it.
pub fn a_deadline_that_passed_still_stops_what_can_be<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        assert!(rig.poll_once(read.as_mut()).is_pending());
        match rig.backend().stop(Deadline::NOW) {
            Ok(()) => {}
            Err(StopError::StillOwned(owned)) => {
                assert_eq!(owned, 1);
                assert_eq!(rig.backend().start(), Err(Errno::BUSY));
                assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
            }
            Err(other) => panic!("{other}"),
        }
        assert_eq!(rig.block_on(read.as_mut()), canceled());
        assert_eq!(rig.backend().start(), Ok(()));
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// The opening of a FIFO that nobody writes to blocks in the kernel: cancelled where that can be
/// interrupted, counted by stop where a worker is in it, and over when a writer comes.
pub fn a_blocked_open_is_cancelled_or_counted<F: Fixture>(fx: &F) {
    let blocking = fx.caps().blocking;
    if blocking == Blocking::HoldsPoll {
        skip("the only thread would block in it");
    }
    if fx.caps().opens_fifo_at_once {
        skip("the opening of a FIFO returns at once");
    }
    fx.started(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&place).status().expect("mkfifo");
        assert!(made.success());
        let path = Mem::path(place.to_str().expect("text").as_bytes());
        let flags = OpenFlags::RDONLY | OpenFlags::CLOEXEC;
        let op = Op::Open(Open { dir: Fd::CWD, path: path.ptr().cast(), flags, mode: 0 });
        let mut open = rig.raw(op, path.only());
        assert!(rig.poll_once(open.as_mut()).is_pending());
        rig.until_seen(|| {
            open.phase() == Phase::InFlight || rig.backend().counters().in_kernel_now > 0
        });
        in_system_call(rig);
        let begin = Moment::now();
        let stopped = rig.backend().stop(deadline_in(Duration::from_millis(200)));
        if blocking == Blocking::Cancelled {
            assert_eq!(stopped, Ok(()));
            assert_eq!(rig.block_on(open.as_mut()), canceled());
            return;
        }
        assert_eq!(stopped, Err(StopError::StillOwned(1)));
        assert!(begin.elapsed() >= Duration::from_millis(200), "the deadline was not kept");
        assert_eq!(rig.backend().start(), Err(Errno::BUSY));
        assert_eq!(rig.run(Op::Nop(Nop), &[]), canceled(), "still refusing");
        let _writer = std::fs::File::options().write(true).open(&place).expect("a writer");
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        let result = rig.block_on(open.as_mut());
        // What it opened is read, or was closed for us.
        assert!(result == canceled() || result >= 0, "{result}");
        if result >= 0 {
            drop(Desc::adopt(result));
        }
    });
}

/// Waits until some thread of this process is in `openat`: the operation has begun.
fn in_system_call<B: IoBackend>(rig: &Rig<'_, B>) {
    let begin = now_ns();
    let number = libc::SYS_openat.to_string();
    let seen = || {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let me = std::process::id().to_string();
        let calls = tasks
            .filter(|task| task.file_name().to_str() != Some(&me))
            .map(|task| std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default());
        calls.into_iter().any(|call| call.split(' ').next() == Some(&number))
    };
    // A kernel thread is not seen there: a while of polling has to do.
    rig.until_seen(|| seen() || now_ns() - begin > 100_000_000);
}

/// 16 reads of 16 MiB that are not in memory: after the stop nobody writes to theirs any more.
///
/// (That a ring is closed, or all of it cancelled, is no barrier: the kernel was seen to write 200 ms after
/// that. Only each one's final completion is.)
pub fn stop_ends_great_reads_for_good<F: Fixture>(fx: &F) {
    const LEN: usize = 16 << 20;
    let file = Desc::file(b"");
    for _ in 0..16 {
        file.put(&vec![0x55; LEN / 16]);
    }
    fx.started(|rig| {
        file.std().sync_all().expect("fsync");
        file.forget_pages();
        let mems: Vec<Mem> = (0..16).map(|_| Mem::zeroed(LEN)).collect();
        let mut reads: Vec<_> =
            mems.iter().map(|mem| rig.raw(file.pread_op(mem, 0), mem.only())).collect();
        for read in &mut reads {
            read.submit().expect("submit");
        }
        rig.backend().flush().expect("flush");
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        let marked = |mem: &Mem| mem.sample(4096);
        mems.iter().for_each(|mem| mem.mark(4096, 0xaa));
        // Not to win a race: to let somebody lose it.
        std::thread::sleep(Duration::from_millis(100));
        assert!(
            mems.iter().all(|mem| marked(mem).iter().all(|&byte| byte == 0xaa)),
            "a late write"
        );
        for read in &mut reads {
            let result = read.wait();
            assert!(result == canceled() || result > 0, "{result}");
        }
    });
}

/// A thousand stops and starts: descriptors stay as many as they were.
pub fn many_starts_and_stops_leave_nothing_behind<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let before = crate::count_fds();
        let rounds = rounds(1000);
        for _ in 0..rounds {
            // A backend that is not started is stopped before it is.
            assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
            assert_eq!(rig.backend().start(), Ok(()));
            assert_eq!(rig.run(Op::Nop(Nop), &[]), 0);
        }
        assert_eq!(crate::count_fds(), before);
        tell(rounds, "stops and starts");
    });
}
