//! Cancel: of one operation, of a descriptor's, of all; queued, in flight, racing with the result, and done.

use super::Case;
use crate::clock::deadline_in;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::raw::Raw;
use crate::rig::{Form, Note, Rig};
use crate::watchdog::rounds;
use core::pin::{Pin, pin};
use core::time::Duration;
use io_core::op::{
    Accept, AcceptFlags, Cancel, Close, MsgFlags, Nop, Poll, PollEvents, Readv, Recv, Sendfile,
};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, Fd, IoBackend, Op, Phase, RawOps, Scope};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(all_of_nothing_is_none::<F>),
        Case::of(all_ends_everything_and_says_how_many::<F>),
        Case::of(a_descriptors_operations_end_and_no_others::<F>),
        Case::of(a_sendfile_is_cancelled_by_either_descriptor::<F>),
        Case::of(a_descriptor_nobody_uses_is_none::<F>),
        Case::of(nothing_is_counted_twice::<F>),
        Case::of(what_is_done_is_not_cancelled::<F>),
        Case::of(a_close_is_not_cancelled::<F>),
        Case::of(a_sleep_is_cancelled::<F>),
        Case::of(cancelled_behind_a_full_ring::<F>),
        Case::of(queued_work_is_cancelled_or_done::<F>),
        Case::of(a_result_that_wins_is_delivered::<F>),
        Case::of(cancelled_typed_operations_give_their_buffer_back::<F>),
        Case::of(what_comes_after_a_cancel_is_not_cancelled::<F>),
    ]
}

const ALL: Op = Op::Cancel(Cancel { scope: Scope::All });
const NOP: Op = Op::Nop(Nop);

fn of(fd: Fd) -> Op {
    Op::Cancel(Cancel { scope: Scope::Fd(fd) })
}

fn canceled() -> i64 {
    Errno::CANCELED.to_result()
}

type Raws<'b, B> = Vec<Pin<Box<Raw<Pin<&'b B>>>>>;

/// Submits with nobody to hear of it.
fn submit_all<'b, B: IoBackend>(rig: &Rig<'b, B>, ops: &[Op], keep: &[Mem]) -> Raws<'b, B> {
    let submit = |&op| {
        let mut raw = rig.raw(op, keep);
        raw.submit().expect("submit");
        raw
    };
    ops.iter().map(submit).collect()
}

fn each_is<B: IoBackend>(raws: &mut Raws<'_, B>, expected: i64) {
    for (i, raw) in raws.iter_mut().enumerate() {
        assert_eq!(raw.wait(), expected, "operation {i}");
    }
}

/// Operations of every kind that wait, and what they wait on: a pipe, a socket, a listener.
fn waiting(mem: &Mem, table: &Mem) -> (Vec<Op>, Vec<Desc>) {
    let (reader, writer) = Desc::pipe();
    let (near, far) = Desc::pair();
    let (listener, _) = Desc::listener();
    let (buf, len, fd) = (mem.ptr(), mem.len(), near.raw());
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let ops = vec![
        reader.read_op(mem),
        Op::Readv(Readv { fd: reader.raw(), iov: table.ptr().cast(), count: 1 }),
        Op::Recv(Recv { fd, flags: MsgFlags::empty(), buf, len }),
        Op::Recv(Recv { fd, flags: MsgFlags::WAITALL, buf, len }),
        Op::Poll(Poll { fd: reader.raw(), events: PollEvents::IN }),
        Op::Accept(Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len }),
    ];
    (ops, vec![reader, near, listener, writer, far])
}

/// A backend with nothing to do has nothing to cancel, in every form; the cancel is not its own object.
pub fn all_of_nothing_is_none<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, ALL, &[]), 0, "{form:?}");
        }
        assert_eq!(rig.block_on(rig.backend().cancel_all()), Ok(0));
        assert_eq!(pin!(rig.backend().submit_cancel(Scope::All)).wait(), 0);
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// Everything that waits ends with `ECANCELED`, once, whether the kernel has seen it or not; nobody takes
/// the data that comes later.
pub fn all_ends_everything_and_says_how_many<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for (form, polled) in Form::ALL.into_iter().flat_map(|form| [(form, false), (form, true)]) {
            let mem = Mem::filled(8, 0xaa);
            let table = Mem::table(mem.only());
            let keep = [mem.clone(), table.clone()];
            let (ops, descs) = waiting(&mem, &table);
            let notes: Vec<Note> = ops.iter().map(|_| Note::new(rig.signal())).collect();
            let mut called: Raws<'_, _> = ops.iter().map(|&op| rig.raw(op, &keep)).collect();
            for (raw, note) in called.iter_mut().zip(&notes) {
                raw.submit_callback(note.hook()).expect("submit");
            }
            let mut quiet = submit_all(rig, &ops, &keep);
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            let count = i64::try_from(ops.len() * 2).expect("small");
            assert_eq!(rig.run_as(form, ALL, &[]), count, "{form:?}, polled: {polled}");
            each_is(&mut quiet, canceled());
            rig.until_seen(|| notes.iter().all(|note| note.calls() > 0));
            for (note, op) in notes.iter().zip(&ops) {
                assert_eq!((note.calls(), note.result()), (1, canceled()), "{op:?}");
            }
            assert_eq!(rig.backend().in_flight(), 0);
            descs[3].put(b"pipe");
            descs[4].put(b"pair");
            rig.poll(Some(Duration::ZERO));
            assert_eq!((descs[0].get(4), descs[1].get(4)), (b"pipe".to_vec(), b"pair".to_vec()));
            assert!(mem.all(0xaa), "a cancelled operation wrote");
        }
    });
}

/// A cancel by descriptor ends what works on that number; others go on, on a duplicate too.
pub fn a_descriptors_operations_end_and_no_others<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (one, other) = (Desc::pipe(), Desc::pipe());
            let double = Desc::adopt(i64::from(one.0.to_owned_fd().into_raw().raw()));
            let mem = Mem::zeroed(4);
            let mut ended = submit_all(rig, &[one.0.read_op(&mem); 20], mem.only());
            let mut others = submit_all(rig, &[other.0.read_op(&mem); 20], mem.only());
            let mut doubles = submit_all(rig, &[double.read_op(&mem)], mem.only());
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.run(of(one.0.raw()), &[]), 20, "polled: {polled}");
            each_is(&mut ended, canceled());
            assert!(others.iter().chain(&doubles).all(|raw| raw.phase() != Phase::Done));
            one.1.put(b"once");
            each_is(&mut doubles, 4);
            assert_eq!(mem.bytes(4), b"once");
            // In whatever order.
            other.1.put(&[b'd'; 20 * 4]);
            each_is(&mut others, 4);
            let cancel = rig.backend().cancel_fd(&other.0);
            assert_eq!(rig.block_on(cancel), Ok(0), "they are done");
        }
    });
}

/// A sendfile works on two descriptors: a cancel of either ends it.
pub fn a_sendfile_is_cancelled_by_either_descriptor<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (_reader, writer) = Desc::pipe();
        writer.set_nonblocking();
        let _full = writer.fill_up();
        let file = Desc::file(b"data");
        let (out_fd, in_fd) = (writer.raw(), file.raw());
        let op = Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(0), len: 4 });
        for fd in [out_fd, in_fd] {
            let mut raw = submit_all(rig, &[op], &[]);
            assert_eq!(rig.run(of(fd), &[]), 1, "{fd:?}");
            each_is(&mut raw, canceled());
        }
    });
}

/// Numbers that nobody uses, closed ones and impossible ones: none, and no error.
pub fn a_descriptor_nobody_uses_is_none<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        for fd in [writer.raw(), Fd::new(-1), Fd::CWD, Fd::new(999_999), Fd::new(i32::MAX)] {
            for form in Form::ALL {
                assert_eq!(rig.run_as(form, of(fd), &[]), 0, "{fd:?}, {form:?}");
            }
        }
        writer.put(b"x");
        assert_eq!(read.wait(), 1);
    });
}

/// What one cancel asked, the next one does not count; nor what was asked by itself.
pub fn nothing_is_counted_twice<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut reads = submit_all(rig, &[reader.read_op(&mem); 10], mem.only());
        for read in &mut reads[..4] {
            read.cancel();
            read.cancel();
        }
        assert_eq!(rig.run(of(reader.raw()), &[]), 6);
        assert_eq!(rig.run(ALL, &[]), 0);
        for read in &mut reads {
            read.cancel();
        }
        each_is(&mut reads, canceled());
        assert_eq!(rig.run(ALL, &[]), 0);
    });
}

/// Results that are there, read or not, delivered or not, stay as they are.
pub fn what_is_done_is_not_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"data");
        let mem = Mem::zeroed(4);
        let ops = [NOP, file.pread_op(&mem, 0), file.lseek_op(0, 1)];
        let mut quiet = submit_all(rig, &ops, mem.only());
        rig.until_seen(|| quiet.iter().all(|raw| raw.phase() == Phase::Done));
        let note = Note::new(rig.signal());
        let mut called = rig.raw(NOP, &[]);
        called.submit_callback(note.hook()).expect("submit");
        assert_eq!(note.wait(rig), 0);
        assert_eq!(rig.run(ALL, &[]), 0);
        let results: Vec<i64> = quiet.iter_mut().map(Raw::wait).collect();
        assert_eq!(results, [0, 4, 0]);
        assert_eq!(note.calls(), 1);
    });
}

/// A close is carried out whoever cancels, and is not counted.
pub fn a_close_is_not_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for scope in [true, false] {
            let (reader, writer) = Desc::pipe();
            let fd = writer.to_owned_fd().into_raw();
            drop(writer);
            let note = Note::new(rig.signal());
            let mut close = rig.raw(Op::Close(Close { fd }), &[]);
            close.submit_callback(note.hook()).expect("submit");
            close.cancel();
            assert_eq!(rig.run(if scope { ALL } else { of(fd) }, &[]), 0);
            assert_eq!(note.wait(rig), 0);
            assert_eq!(reader.read_byte(), None);
        }
    });
}

/// A sleep, and a timeout without an end, are over when they are cancelled, by themselves or with all.
pub fn a_sleep_is_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let hour = deadline_in(Duration::from_secs(3600));
        for deadline in [hour, Deadline::NEVER] {
            let mut sleep = Box::pin(rig.backend().sleep_until(deadline));
            assert!(rig.poll_once(sleep.as_mut()).is_pending());
            rig.poll(Some(Duration::ZERO));
            assert_eq!(rig.run(of(Fd::new(0)), &[]), 0, "it has no descriptor");
            sleep.as_mut().op().cancel();
            assert_eq!(rig.block_on(sleep.as_mut()), Err(Errno::CANCELED));
            let mut sleeps: Vec<_> = (0..20)
                .map(|_| rig.timed(Op::Timeout(io_core::op::Timeout), &[], deadline))
                .collect();
            for sleep in &mut sleeps {
                sleep.submit().expect("submit");
            }
            assert_eq!(rig.run(ALL, &[]), 20);
            for sleep in &mut sleeps {
                assert_eq!(sleep.wait(), canceled());
            }
        }
        let mut bare = rig.raw(Op::Timeout(io_core::op::Timeout), &[]);
        bare.submit().expect("submit");
        bare.cancel();
        assert_eq!(bare.wait(), canceled(), "a timeout without a deadline");
    });
}

/// More operations than a ring has entries, in all stages: some cancelled by themselves, the rest by
/// their descriptor.
pub fn cancelled_behind_a_full_ring<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (reader, writer) = Desc::pipe();
            let mem = Mem::filled(1, 0xaa);
            let mut reads = submit_all(rig, &[reader.read_op(&mem); 900], mem.only());
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            for read in reads.iter_mut().step_by(15) {
                read.cancel();
            }
            assert_eq!(rig.run(of(reader.raw()), &[]), 840, "polled: {polled}");
            each_is(&mut reads, canceled());
            writer.put(b"x");
            assert_eq!(reader.get(1), b"x");
            assert!(mem.all(0xaa));
        }
    });
}

/// Work that need not wait: each of a thousand completes once, done or cancelled, and no more are
/// cancelled than were asked.
pub fn queued_work_is_cancelled_or_done<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"data");
        let mem = Mem::zeroed(4);
        let notes: Vec<Note> = (0..1000).map(|_| Note::new(rig.signal())).collect();
        let mut raws = Vec::new();
        for (i, note) in notes.iter().enumerate() {
            let op = if i % 2 == 0 { NOP } else { file.pread_op(&mem, 0) };
            let mut raw = rig.raw(op, mem.only());
            raw.submit_callback(note.hook()).expect("submit");
            raws.push(raw);
        }
        let asked = rig.run(ALL, &[]);
        rig.until_seen(|| notes.iter().all(|note| note.calls() > 0));
        let mut ended = 0;
        for (i, note) in notes.iter().enumerate() {
            assert_eq!(note.calls(), 1, "operation {i}");
            match note.result() {
                result if result == canceled() => ended += 1,
                result => assert_eq!(result, if i % 2 == 0 { 0 } else { 4 }, "operation {i}"),
            }
        }
        assert!((0..=1000).contains(&asked), "{asked} asked");
        assert!(ended <= asked, "{ended} cancelled of {asked} that were asked");
    });
}

/// Data and cancel at the same time: the byte is in the memory, with the count 1, or still in the pipe.
pub fn a_result_that_wins_is_delivered<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for round in 0..rounds(300) {
            let byte = round.to_le_bytes()[0];
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            let turns = round % 8;
            if turns & 1 != 0 {
                rig.poll(Some(Duration::ZERO));
            }
            if turns & 2 != 0 {
                writer.put(&[byte]);
            }
            if turns & 4 != 0 {
                read.cancel();
            } else {
                assert!(rig.run(of(reader.raw()), &[]) <= 1);
            }
            if turns & 2 == 0 {
                writer.put(&[byte]);
            }
            match rig.block_on(read.as_mut()) {
                1 => assert_eq!(mem.bytes(1), [byte], "round {round}"),
                result => {
                    assert_eq!(result, canceled(), "round {round}");
                    assert_eq!(reader.get(1), [byte], "round {round}");
                }
            }
        }
    });
}

/// Typed operations that a scope ended yield `ECANCELED`, with their buffer.
pub fn cancelled_typed_operations_give_their_buffer_back<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mut read = Box::pin(rig.backend().read(reader.clone(), vec![7_u8; 4]));
        let mut array = Box::pin(rig.backend().read(reader.clone(), [7_u8; 4]));
        assert!(rig.poll_once(read.as_mut()).is_pending());
        assert!(rig.poll_once(array.as_mut()).is_pending());
        assert_eq!(rig.block_on(rig.backend().cancel_fd(&reader)), Ok(2));
        let gone = Err(Errno::CANCELED);
        assert_eq!(rig.block_on(read.as_mut()), (gone, vec![7_u8; 4]));
        assert_eq!(rig.block_on(array.as_mut()), (gone, [7_u8; 4]));
    });
}

/// A cancel concerns what was submitted before it.
pub fn what_comes_after_a_cancel_is_not_cancelled<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        for round in 0..200_u8 {
            let mut before = rig.raw(reader.read_op(&mem), mem.only());
            before.submit().expect("submit");
            let mut cancel = rig.raw(if round % 2 == 0 { ALL } else { of(reader.raw()) }, &[]);
            cancel.submit().expect("submit");
            let mut after = rig.raw(reader.read_op(&mem), mem.only());
            after.submit().expect("submit");
            assert_eq!(before.wait(), canceled(), "round {round}");
            assert_eq!(cancel.wait(), 1, "round {round}");
            writer.put(&[round]);
            assert_eq!(after.wait(), 1, "round {round}");
            assert_eq!(mem.bytes(1), [round]);
        }
    });
}
