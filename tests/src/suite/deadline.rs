//! Deadlines: an operation ends with `ETIMEDOUT` when its time is over, and not before; a result that is
//! there first wins; no timer is left behind, and thousands cost no more than a few.

use super::Case;
use super::drain::forget;
use crate::clock::{Moment, deadline_in, now_ns, pass_until};
use crate::desc::Desc;
use crate::fixture::{Fixture, Flavour};
use crate::mem::Mem;
use crate::rig::{Form, Note};
use core::pin::pin;
use core::time::Duration;
use io_core::op::{Close, Fstat, Nop, OpenFlags, Timeout};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, IoBackend, Op, Phase, Stat};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_read_times_out_in_every_form::<F>),
        Case::of(a_typed_read_times_out_with_its_buffer::<F>),
        Case::of(what_is_overdue_is_not_started::<F>),
        Case::of(a_far_deadline_changes_nothing::<F>),
        Case::of(the_time_limit_of_poll_holds_with_any_deadline::<F>),
        Case::of(a_result_before_the_deadline_wins::<F>),
        Case::of(data_at_the_deadline_is_not_lost::<F>),
        Case::of(a_cancel_before_the_deadline_is_ecanceled::<F>),
        Case::of(queued_operations_expire::<F>),
        Case::of(every_kind_that_waits_expires::<F>),
        Case::of(a_close_has_no_deadline::<F>),
        Case::of(storage_keeps_its_deadline::<F>),
        Case::of(dropped_before_and_after_the_deadline::<F>),
        Case::of(forgotten_with_a_deadline::<F>),
        Case::of(stop_with_deadlines::<F>),
        Case::of(a_wait_lets_others_expire::<F>),
    ]
}

const TIMEOUT: Op = Op::Timeout(Timeout);

/// Longer than any answer takes that does not wait for something.
const SOON: Duration = Duration::from_secs(5);

fn timed_out() -> i64 {
    Errno::TIMEDOUT.to_result()
}

fn canceled() -> i64 {
    Errno::CANCELED.to_result()
}

/// A read that waits for data ends with `ETIMEDOUT` soon after its deadline and never before; the data
/// that comes later is there for the next reader.
pub fn a_read_times_out_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        for form in Form::ALL {
            let mem = Mem::filled(8, 0xaa);
            let deadline = deadline_in(Duration::from_millis(15));
            let begin = Moment::now();
            let result = rig.run_timed(form, reader.read_op(&mem), mem.only(), deadline);
            assert_eq!(result, timed_out(), "{form:?}");
            assert!(deadline.is_over(now_ns), "{form:?}: too early");
            assert!(begin.elapsed() < SOON, "{form:?}: {:?}", begin.elapsed());
            writer.put(b"late");
            assert_eq!(reader.get(4), b"late", "{form:?}");
            assert!(mem.all(0xaa), "{form:?}: it wrote");
        }
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Relative and absolute, typed: the buffer comes back.
pub fn a_typed_read_times_out_with_its_buffer<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let be = rig.backend();
        let gone = Err(Errno::TIMEDOUT);
        let timeout = Duration::from_millis(10);
        let begin = Moment::now();
        let read = be.read(reader.clone(), vec![7_u8; 4]).with_timeout(timeout);
        assert_eq!(rig.block_on(read), (gone, vec![7_u8; 4]));
        assert!(begin.elapsed() >= timeout);
        let deadline = deadline_in(timeout);
        let read = be.read(reader.clone(), [7_u8; 4]).with_deadline(deadline);
        assert_eq!(read.deadline(), deadline);
        assert_eq!(rig.block_on(read), (gone, [7_u8; 4]));
        assert!(deadline.is_over(now_ns));
        let mut read = pin!(be.read(reader.clone(), [7_u8; 4]).with_timeout(timeout));
        read.as_mut().op().submit().expect("submit");
        assert_eq!(read.op().wait(), Some((gone, [7_u8; 4])));
        writer.put(b"late");
        let read = be.read(reader.clone(), [0_u8; 4]).with_timeout(SOON);
        assert_eq!(rig.block_on(read), (Ok(4), *b"late"));
    });
}

/// A deadline that is over at the submit: nothing is read, written or opened, though it could be.
pub fn what_is_overdue_is_not_started<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        writer.put(b"here");
        let file = Desc::file(b"file");
        let mem = Mem::filled(4, 0xaa);
        let keep = mem.only();
        let past = [Deadline::NOW, Deadline::from_nanos(1), deadline_in(Duration::ZERO)];
        for (deadline, form) in past.into_iter().flat_map(|past| Form::ALL.map(|form| (past, form)))
        {
            for op in [reader.read_op(&mem), file.write_op(&mem), file.pread_op(&mem, 0)] {
                let result = rig.run_timed(form, op, keep, deadline);
                assert_eq!(result, timed_out(), "{form:?}, {op:?}");
            }
            assert_eq!(rig.run_timed(form, TIMEOUT, &[], deadline), 0, "{form:?}: a timeout");
        }
        let before = crate::count_fds();
        let flags = OpenFlags::CLOEXEC;
        let open = rig.backend().open(c"/", flags, 0).with_timeout(Duration::ZERO);
        assert_eq!(rig.block_on(open).map(|_| ()), Err(Errno::TIMEDOUT));
        assert_eq!(crate::count_fds(), before);
        assert!(mem.all(0xaa), "an overdue read wrote");
        assert_eq!(file.content(), b"file");
        assert_eq!(reader.get(4), b"here");
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// The last instants before never, and never itself.
fn far() -> [Deadline; 4] {
    [
        Deadline::NEVER,
        Deadline::from_nanos(u64::MAX - 1),
        deadline_in(Duration::MAX),
        deadline_in(Duration::from_secs(u64::MAX / 2_000_000_000)),
    ]
}

/// With a deadline that does not come, every operation has the result it has without one.
pub fn a_far_deadline_changes_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let file = Desc::file(b"0123");
        let (mem, out) = (Mem::zeroed(4), Mem::zeroed(size_of::<Stat>()));
        let keep = [mem.clone(), out.clone()];
        let fstat = Op::Fstat(Fstat { fd: file.raw(), out: out.ptr().cast() });
        for (deadline, form) in far().into_iter().flat_map(|far| Form::ALL.map(|form| (far, form)))
        {
            let run = |op| rig.run_timed(form, op, &keep, deadline);
            assert_eq!(run(Op::Nop(Nop)), 0, "{deadline:?}, {form:?}");
            assert_eq!(run(file.pread_op(&mem, 1)), 3, "{deadline:?}, {form:?}");
            assert_eq!(run(file.pread_op(&mem, -1)), Errno::INVAL.to_result());
            assert_eq!(run(fstat), 0, "{deadline:?}, {form:?}");
            assert_eq!(run(writer.write_op(&mem)), 4, "{deadline:?}, {form:?}");
            assert_eq!(run(reader.read_op(&mem)), 4, "{deadline:?}, {form:?}");
        }
        // And where it has to wait.
        for deadline in far() {
            let mut read = rig.timed(reader.read_op(&mem), &keep, deadline);
            assert!(rig.poll_once(read.as_mut()).is_pending());
            rig.poll(Some(Duration::ZERO));
            writer.put(b"data");
            assert_eq!(rig.block_on(read.as_mut()), 4, "{deadline:?}");
        }
    });
}

/// A poll returns when its own time is over, however many deadlines are armed, and does not spin.
pub fn the_time_limit_of_poll_holds_with_any_deadline<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for deadline in far().into_iter().chain([deadline_in(Duration::from_secs(3600))]) {
            let mut sleeps: Vec<_> = (0..3).map(|_| rig.timed(TIMEOUT, &[], deadline)).collect();
            for sleep in &mut sleeps {
                sleep.submit().expect("submit");
            }
            rig.poll(Some(Duration::ZERO));
            let (begin, before) = (Moment::now(), rig.backend().counters().syscalls);
            assert_eq!(rig.poll(Some(Duration::from_millis(10))), 0, "{deadline:?}");
            assert!(begin.elapsed() >= Duration::from_millis(10), "{deadline:?}");
            let made = rig.backend().counters().syscalls - before;
            assert!(made < 50, "{made} system calls, {deadline:?}");
            rig.backend().get_ref().wake_handle().wake();
            // Would hang.
            rig.poll(None);
            drop(sleeps);
            assert_eq!(rig.backend().in_flight(), 0, "{deadline:?}");
        }
    });
}

/// Data before the deadline: the result stays when the deadline passes, and nobody is told again.
pub fn a_result_before_the_deadline_wins<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(4);
        for form in Form::ALL {
            let deadline = deadline_in(Duration::from_millis(20));
            let mut read = rig.timed(reader.read_op(&mem), mem.only(), deadline);
            let note = Note::new(rig.signal());
            match form {
                Form::Callback => read.submit_callback(note.hook()).expect("submit"),
                _ => assert!(rig.poll_once(read.as_mut()).is_pending()),
            }
            rig.poll(Some(Duration::ZERO));
            writer.put(b"data");
            let result = match form {
                Form::Future => rig.block_on(read.as_mut()),
                Form::Callback => note.wait(rig),
                Form::Wait => read.wait(),
            };
            if deadline.is_over(now_ns) && result == timed_out() {
                // This machine was too slow for the test; the data is still there.
                assert_eq!(reader.get(4), b"data");
                continue;
            }
            assert_eq!(result, 4, "{form:?}");
            pass_until(deadline);
            rig.poll(Some(Duration::ZERO));
            assert_eq!(read.result(), Some(4), "{form:?}");
            assert!(note.calls() <= 1);
        }
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// Data and deadline at the same time: the count, with the data in the memory, or `ETIMEDOUT`, with the
/// data in the pipe.
pub fn data_at_the_deadline_is_not_lost<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for round in 0..60_u8 {
            let deadline = deadline_in(Duration::from_micros(300));
            let mut read = rig.timed(reader.read_op(&mem), mem.only(), deadline);
            let first = rig.poll_once(read.as_mut());
            if round % 2 == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            match round % 3 {
                0 => {
                    writer.put(&[round]);
                    pass_until(deadline);
                }
                1 => {
                    pass_until(deadline);
                    writer.put(&[round]);
                }
                _ => writer.put(&[round]),
            }
            let result = match first {
                core::task::Poll::Ready(result) => result,
                core::task::Poll::Pending => rig.block_on(read.as_mut()),
            };
            if result == 1 {
                assert_eq!(mem.bytes(1), [round]);
            } else {
                assert_eq!(result, timed_out(), "round {round}");
                assert_eq!(reader.get(1), [round], "round {round}");
            }
        }
    });
}

/// Cancelled first, it is cancelled, also when the deadline passes before anybody looks.
pub fn a_cancel_before_the_deadline_is_ecanceled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for op in [reader.read_op(&mem), TIMEOUT] {
            let deadline = deadline_in(Duration::from_secs(3600));
            let mut timed = rig.timed(op, mem.only(), deadline);
            assert!(rig.poll_once(timed.as_mut()).is_pending());
            timed.cancel();
            assert_eq!(rig.block_on(timed.as_mut()), canceled(), "{op:?}");
            assert_eq!(rig.run_timed(Form::Future, TIMEOUT, &[], Deadline::NOW), 0);
        }
    });
}

/// More than any ring has entries, never handed on by the time they are over: all expire.
pub fn queued_operations_expire<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (reader, writer) = Desc::pipe();
            let mem = Mem::filled(1, 0xaa);
            let deadline = deadline_in(Duration::from_millis(20));
            let mut reads: Vec<_> =
                (0..1500).map(|_| rig.timed(reader.read_op(&mem), mem.only(), deadline)).collect();
            for read in &mut reads {
                read.submit().expect("submit");
            }
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            pass_until(deadline);
            rig.until_seen(|| reads.iter_mut().all(|read| read.phase() == Phase::Done));
            for (i, read) in reads.iter_mut().enumerate() {
                assert_eq!(read.result(), Some(timed_out()), "operation {i}, polled: {polled}");
            }
            writer.put(b"x");
            assert_eq!(reader.get(1), b"x");
            assert!(mem.all(0xaa));
        }
    });
}

/// Reads, writes, receives, accepts and polls: whatever waits for a peer.
pub fn every_kind_that_waits_expires<F: Fixture>(fx: &F) {
    use io_core::op::{Accept, AcceptFlags, MsgFlags, Poll, PollEvents, Recv, Sendfile};
    fx.both(|rig| {
        let (reader, _other_end) = Desc::pipe();
        let (_full_end, full) = Desc::pipe();
        full.set_nonblocking();
        let _bytes = full.fill_up();
        let (near, _far) = Desc::pair();
        let (listener, _) = Desc::listener();
        let file = Desc::file(b"data");
        let mem = Mem::zeroed(4);
        let (buf, len, flags) = (mem.ptr(), mem.len(), MsgFlags::empty());
        let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
        let (out_fd, in_fd) = (full.raw(), file.raw());
        let ops = [
            reader.read_op(&mem),
            full.write_op(&mem),
            Op::Recv(Recv { fd: near.raw(), flags, buf, len }),
            Op::Recv(Recv { fd: near.raw(), flags: MsgFlags::WAITALL, buf, len }),
            Op::Accept(Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len }),
            Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(0), len: 4 }),
            Op::Poll(Poll { fd: reader.raw(), events: PollEvents::IN }),
        ];
        for form in Form::ALL {
            for op in ops {
                let deadline = deadline_in(Duration::from_millis(2));
                let result = rig.run_timed(form, op, mem.only(), deadline);
                assert_eq!(result, timed_out(), "{form:?}, {op:?}");
                assert!(deadline.is_over(now_ns), "{form:?}, {op:?}: too early");
            }
        }
    });
}

/// A close is carried out, also after its time.
pub fn a_close_has_no_deadline<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for (deadline, form) in [Deadline::NOW, deadline_in(Duration::from_millis(1))]
            .into_iter()
            .flat_map(|deadline| Form::ALL.map(|form| (deadline, form)))
        {
            let (reader, writer) = Desc::pipe();
            let fd = writer.to_owned_fd().into_raw();
            drop(writer);
            let close = Op::Close(Close { fd });
            assert_eq!(rig.run_timed(form, close, &[], deadline), 0, "{form:?}");
            assert_eq!(reader.read_byte(), None);
        }
    });
}

/// The storage of an operation with a deadline takes another one; the deadline stays what it was.
pub fn storage_keeps_its_deadline<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let deadline = deadline_in(Duration::from_millis(50));
        let mut read = rig.timed(reader.read_op(&mem), mem.only(), deadline);
        let mut wins = 0;
        while !deadline.is_over(now_ns) && wins < 20 {
            let early = rig.poll_once(read.as_mut()).is_ready();
            writer.put(b"x");
            if early || rig.block_on(read.as_mut()) == timed_out() {
                assert_eq!(reader.get(1), b"x");
                break;
            }
            wins += 1;
            read.reset(reader.read_op(&mem)).expect("reset");
        }
        pass_until(deadline);
        // Done or not submitted: it takes another one.
        read.reset(reader.read_op(&mem)).expect("reset");
        writer.put(b"y");
        assert_eq!(read.wait(), timed_out(), "the deadline was over at the submit");
        assert_eq!(reader.get(1), b"y");
    });
}

/// Dropped while it waits, when it has expired and nobody looked, and when it was told.
pub fn dropped_before_and_after_the_deadline<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        for step in 0..4 {
            for op in [reader.read_op(&mem), TIMEOUT] {
                let deadline = deadline_in(Duration::from_millis(2));
                let mut timed = rig.timed(op, mem.only(), deadline);
                let note = Note::new(rig.signal());
                timed.submit_callback(note.hook()).expect("submit");
                if step & 1 != 0 {
                    rig.poll(Some(Duration::ZERO));
                }
                if step & 2 != 0 {
                    pass_until(deadline);
                }
                drop(timed);
                assert!(note.calls() <= 1);
                assert_eq!(rig.backend().in_flight(), 0);
                pass_until(deadline);
                rig.poll(Some(Duration::from_millis(1)));
                assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            }
        }
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    });
}

/// Forgotten with its deadline to come, or long over: the backend's drop ends it.
pub fn forgotten_with_a_deadline<F: Fixture>(fx: &F) {
    for flavour in Flavour::ALL {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        fx.with(flavour, |rig| {
            let soon = deadline_in(Duration::from_millis(1));
            let deadlines = [soon, deadline_in(Duration::from_secs(3600)), Deadline::NEVER];
            for deadline in deadlines.into_iter().cycle().take(60) {
                for op in [reader.read_op(&mem), TIMEOUT] {
                    let mut timed = rig.timed(op, mem.only(), deadline);
                    timed.submit().expect("submit");
                    forget(timed);
                }
            }
            pass_until(soon);
        });
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    }
}

/// A stop ends what has a deadline as it ends everything; a backend that was started again keeps time.
pub fn stop_with_deadlines<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for pass in [false, true] {
            let deadline = deadline_in(Duration::from_millis(if pass { 3 } else { 60_000 }));
            let mut timed = Vec::new();
            for i in 0..200 {
                let op = if i % 2 == 0 { reader.read_op(&mem) } else { TIMEOUT };
                let mut one = rig.timed(op, mem.only(), deadline);
                one.submit().expect("submit");
                timed.push((op, one));
            }
            if pass {
                pass_until(deadline);
            }
            assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
            for (op, one) in &mut timed {
                let result = one.wait();
                let expired = if matches!(op, Op::Timeout(_)) { 0 } else { timed_out() };
                assert!(result == canceled() || (pass && result == expired), "{op:?}: {result}");
            }
            let late = rig.run_timed(Form::Wait, TIMEOUT, &[], deadline_in(SOON));
            assert_eq!(late, canceled(), "a stopped backend");
            assert_eq!(rig.backend().start(), Ok(()));
            assert_eq!(rig.block_on(rig.backend().sleep(Duration::from_millis(1))), Ok(()));
        }
    });
}

/// While a thread waits for one operation, others expire; their callbacks run at the next poll.
pub fn a_wait_lets_others_expire<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let note = Note::new(rig.signal());
        let mut read =
            rig.timed(reader.read_op(&mem), mem.only(), deadline_in(Duration::from_millis(2)));
        read.submit_callback(note.hook()).expect("submit");
        let deadline = deadline_in(Duration::from_millis(20));
        assert_eq!(rig.run_timed(Form::Wait, TIMEOUT, &[], deadline), 0);
        assert_eq!(note.calls(), 0, "a wait delivered");
        assert_eq!(note.wait(rig), timed_out());
    });
}
