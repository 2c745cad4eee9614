//! Close: through the backend it ends what waits on the descriptor; behind the backend's back it cannot be
//! seen, and the number's next file is safe from what was meant for the last one.
#![allow(unsafe_code, reason = "closes and duplicates descriptors by number")]
//! # Safety
//! The numbers are this module's own, and no value that owns one is left when it is closed.

use super::Case;
use crate::clock::{deadline_in, now_ns};
use crate::closer;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::raw::Raw;
use crate::rig::{Form, Note, Rig};
use crate::skip::skip;
use core::pin::Pin;
use core::time::Duration;
use io_core::op::{
    Accept, AcceptFlags, Cancel, Close, Fdatasync, Fsync, MsgFlags, Poll, PollEvents, Pread,
    Pwrite, Read, Readv, Recv, Sendfile,
};
use io_core::ops::Ops;
use io_core::{Deadline, Errno, Fd, IoBackend, Op, OwnedFd, Phase, Scope, Seekable, Way};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_close_ends_what_waits::<F>),
        Case::of(a_typed_close_ends_what_waits::<F>),
        Case::of(a_close_ends_a_sendfile_that_waits_for_room::<F>),
        Case::of(a_close_ends_what_queues_behind_a_full_ring::<F>),
        Case::of(a_close_leaves_other_descriptors_alone::<F>),
        Case::of(work_before_a_close_is_done_before_it::<F>),
        Case::of(a_close_that_is_waited_for_overtakes_nothing::<F>),
        Case::of(a_closed_number_is_free_for_the_next_file::<F>),
        Case::of(a_close_costs_the_same_with_thousands_in_flight::<F>).needs(Needs::Clock),
        Case::of(closed_behind_our_back::<F>),
        Case::of(closed_behind_our_back_while_a_duplicate_lives::<F>),
        Case::of(replaced_behind_our_back::<F>),
        Case::of(closed_behind_our_back_it_expires_and_stops::<F>),
    ]
}

fn canceled() -> i64 {
    Errno::CANCELED.to_result()
}

/// A number for a file, to be closed by number.
struct Number(Option<OwnedFd>);

impl Number {
    fn of(desc: Desc) -> Number {
        Number(Some(desc.to_owned_fd()))
    }

    fn fd(&self) -> Fd {
        self.0.as_ref().map_or(Fd::new(-1), io_core::IoFd::fd)
    }

    /// Gives it up to an operation.
    fn give(&mut self) -> Fd {
        self.0.take().map_or(Fd::new(-1), OwnedFd::into_raw)
    }

    /// Closes it without telling anybody.
    fn close(&mut self) -> Fd {
        let fd = self.give();
        // SAFETY: just given up.
        unsafe { closer()(fd) };
        fd
    }

    /// Puts another file under the number, at once.
    fn replace(&self, by: &Desc) {
        by.dup_at(self.fd());
    }

    /// The same number again, for another file.
    fn again(fd: Fd, file: &Desc) -> Number {
        assert!(!crate::is_open(fd), "the number is taken");
        file.dup_at(fd);
        // SAFETY: just made, and nobody else's; closed as its kind is.
        Number(Some(unsafe { OwnedFd::from_raw(fd, closer()) }))
    }
}

fn read_op(fd: Fd, mem: &Mem) -> Op {
    Op::Read(Read { fd, buf: mem.ptr(), len: mem.len() })
}

type Raws<'b, B> = Vec<Pin<Box<Raw<Pin<&'b B>>>>>;

fn submit_all<'b, B: IoBackend>(rig: &Rig<'b, B>, ops: &[Op], keep: &[Mem]) -> Raws<'b, B> {
    let submit = |&op| {
        let mut raw = rig.raw(op, keep);
        raw.submit().expect("submit");
        raw
    };
    ops.iter().map(submit).collect()
}

/// The operations on a descriptor that can wait on it, and the file.
fn waiting(mem: &Mem, table: &Mem) -> Vec<(Vec<Op>, Number, Vec<Desc>)> {
    let (reader, writer) = Desc::pipe();
    let (near, far) = Desc::pair();
    let (listener, _) = Desc::listener();
    let (pipe, socket, listen) = (Number::of(reader), Number::of(near), Number::of(listener));
    let (buf, len, flags) = (mem.ptr(), mem.len(), MsgFlags::empty());
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let of_pipe = vec![
        read_op(pipe.fd(), mem),
        Op::Readv(Readv { fd: pipe.fd(), iov: table.ptr().cast(), count: 1 }),
        Op::Poll(Poll { fd: pipe.fd(), events: PollEvents::IN }),
    ];
    let of_socket = vec![
        read_op(socket.fd(), mem),
        Op::Recv(Recv { fd: socket.fd(), flags, buf, len }),
        Op::Recv(Recv { fd: socket.fd(), flags: MsgFlags::WAITALL, buf, len }),
    ];
    let flags = AcceptFlags::empty();
    let of_listener = vec![Op::Accept(Accept { fd: listen.fd(), flags, addr, addr_len })];
    vec![
        (of_pipe, pipe, vec![writer]),
        (of_socket, socket, vec![far]),
        (of_listener, listen, vec![]),
    ]
}

/// Whatever waits on a descriptor when it is closed ends with `ECANCELED`, once, in whatever stage it is.
pub fn a_close_ends_what_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for (form, polled) in Form::ALL.into_iter().flat_map(|form| [(form, false), (form, true)]) {
            let mem = Mem::filled(8, 0xaa);
            let table = Mem::table(mem.only());
            let keep = [mem.clone(), table.clone()];
            for (ops, mut number, _ends) in waiting(&mem, &table) {
                let notes: Vec<Note> = ops.iter().map(|_| Note::new(rig.signal())).collect();
                let mut called: Raws<'_, _> = ops.iter().map(|&op| rig.raw(op, &keep)).collect();
                for (raw, note) in called.iter_mut().zip(&notes) {
                    raw.submit_callback(note.hook()).expect("submit");
                }
                let mut quiet = submit_all(rig, &ops, &keep);
                if polled {
                    rig.poll(Some(Duration::ZERO));
                }
                let fd = number.give();
                assert_eq!(rig.run_as(form, Op::Close(Close { fd }), &[]), 0, "{form:?}");
                for (raw, op) in quiet.iter_mut().zip(&ops) {
                    assert_eq!(raw.wait(), canceled(), "{form:?}, polled: {polled}, {op:?}");
                }
                rig.until_seen(|| notes.iter().all(|note| note.calls() > 0));
                for (note, op) in notes.iter().zip(&ops) {
                    assert_eq!((note.calls(), note.result()), (1, canceled()), "{op:?}");
                }
                assert_eq!(rig.backend().in_flight(), 0);
            }
            assert!(mem.all(0xaa), "a read that was cancelled wrote");
        }
    });
}

/// The typed form, with a deadline that is then of no use.
pub fn a_typed_close_ends_what_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let owned = reader.to_owned_fd();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(read_op(io_core::IoFd::fd(&owned), &mem), mem.only());
        assert!(rig.poll_once(read.as_mut()).is_pending());
        let hour = deadline_in(Duration::from_secs(3600));
        let mut timed = rig.timed(read_op(io_core::IoFd::fd(&owned), &mem), mem.only(), hour);
        assert!(rig.poll_once(timed.as_mut()).is_pending());
        assert_eq!(rig.block_on(rig.backend().close(owned)), Ok(()));
        assert_eq!(rig.block_on(read.as_mut()), canceled());
        assert_eq!(rig.block_on(timed.as_mut()), canceled());
        writer.put(b"x");
        assert_eq!(reader.get(1), b"x");
    });
}

/// A sendfile ends with the descriptor that it waits for.
pub fn a_close_ends_a_sendfile_that_waits_for_room<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (reader, writer) = Desc::pipe();
            writer.set_nonblocking();
            let full = writer.fill_up();
            let mut number = Number::of(writer);
            let file = Desc::file(b"data");
            let (out_fd, in_fd) = (number.fd(), file.raw());
            let op = Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(0), len: 4 });
            let mut sendfile = submit_all(rig, &[op], &[]);
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.run(Op::Close(Close { fd: number.give() }), &[]), 0);
            assert_eq!(sendfile[0].wait(), canceled(), "polled: {polled}");
            assert_eq!(reader.get(full).len(), full);
            assert_eq!(reader.read_byte(), None);
        }
    });
}

/// More than a ring has entries, never handed on.
pub fn a_close_ends_what_queues_behind_a_full_ring<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mut number = Number::of(reader.clone());
        let mem = Mem::filled(1, 0xaa);
        let mut reads = submit_all(rig, &[read_op(number.fd(), &mem); 1500], mem.only());
        assert_eq!(rig.run(Op::Close(Close { fd: number.give() }), &[]), 0);
        for (i, read) in reads.iter_mut().enumerate() {
            assert_eq!(read.wait(), canceled(), "operation {i}");
        }
        writer.put(b"x");
        assert_eq!(reader.get(1), b"x");
        assert!(mem.all(0xaa));
    });
}

/// Neither another descriptor of the same file nor another file's is disturbed.
pub fn a_close_leaves_other_descriptors_alone<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (reader, writer) = Desc::pipe();
            let (other, feed) = Desc::pipe();
            let mut number = Number::of(reader.clone());
            let mem = Mem::zeroed(4);
            let mut closed = submit_all(rig, &[read_op(number.fd(), &mem)], mem.only());
            let mut double = submit_all(rig, &[reader.read_op(&mem)], mem.only());
            let mut others = submit_all(rig, &[other.read_op(&mem); 10], mem.only());
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.run(Op::Close(Close { fd: number.give() }), &[]), 0);
            assert_eq!(closed[0].wait(), canceled());
            writer.put(b"data");
            assert_eq!(double[0].wait(), 4, "polled: {polled}");
            feed.put(&[b'f'; 40]);
            for read in &mut others {
                assert_eq!(read.wait(), 4, "polled: {polled}");
            }
        }
    });
}

/// What need not wait for a peer is done first: a close ends none of it, and takes its descriptor from none.
pub fn work_before_a_close_is_done_before_it<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for round in 0..20 {
            let file = Desc::file(&[b'f'; 1 << 18]);
            let mut number = Number::of(file.clone());
            let (fd, seekable) = (number.fd(), Seekable::Unknown);
            // The longer one is not copied inside submit.
            let (long, short) = (Mem::zeroed(1 << 18), Mem::filled(4, b'w'));
            let keep = [long.clone(), short.clone()];
            let (buf, len, offset) = (long.ptr(), long.len(), 0);
            let read = Op::Pread(Pread { fd, seekable, buf, len, offset });
            let (buf, len) = (short.ptr(), short.len());
            let write = Op::Pwrite(Pwrite { fd, seekable, buf, len, offset: 1 << 18 });
            let ops = [read, Op::Fsync(Fsync { fd }), write, Op::Fdatasync(Fdatasync { fd }), read];
            let mut before = submit_all(rig, &ops, &keep);
            if round % 2 == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.run(Op::Close(Close { fd: number.give() }), &[]), 0);
            let results: Vec<i64> = before.iter_mut().map(Raw::wait).collect();
            assert_eq!(results, [1 << 18, 0, 4, 0, 1 << 18], "round {round}");
            assert!(long.all(b'f'));
            assert_eq!(file.content().len(), (1 << 18) + 4);
        }
    });
}

/// Who blocks for a close does not bring it before what was there first.
pub fn a_close_that_is_waited_for_overtakes_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mut number = Number::of(Desc::file(b"there first"));
        let mut before = rig.raw(Op::Fsync(Fsync { fd: number.fd() }), &[]);
        before.submit().expect("submit");
        let mut close = rig.raw(Op::Close(Close { fd: number.give() }), &[]);
        close.submit().expect("submit");
        assert_eq!(close.wait(), 0);
        assert_eq!(before.wait(), 0);
    });
}

/// Closed through the backend with reads waiting; the number's next file is read by the next file's
/// reads alone.
pub fn a_closed_number_is_free_for_the_next_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (next, feed) = Desc::pipe();
        let old = Mem::filled(4, 0xaa);
        for round in 0..50_u8 {
            let (reader, writer) = Desc::pipe();
            let mut number = Number::of(reader);
            let fd = number.fd();
            let mut before = submit_all(rig, &[read_op(fd, &old); 3], old.only());
            if round % 2 == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.run(Op::Close(Close { fd: number.give() }), &[]), 0);
            let number = Number::again(fd, &next);
            let mem = Mem::zeroed(4);
            let mut after = rig.raw(read_op(number.fd(), &mem), mem.only());
            assert!(rig.poll_once(after.as_mut()).is_pending());
            feed.put(&[round; 4]);
            assert_eq!(rig.block_on(after.as_mut()), 4);
            assert_eq!(mem.bytes(4), [round; 4]);
            for read in &mut before {
                assert_eq!(read.wait(), canceled(), "round {round}");
            }
            drop(writer);
        }
        assert!(old.all(0xaa), "an old read got the new file's data");
    });
}

/// The least of 101 measurements of one close, in nanoseconds. Not the middle one: where a worker does it,
/// that is how long the scheduler takes to bring it.
fn close_ns<B: IoBackend>(rig: &Rig<'_, B>, file: &Desc) -> u64 {
    let times = (0..101).map(|_| {
        let fd = Number::of(file.clone()).give();
        let begin = now_ns();
        assert_eq!(rig.run(Op::Close(Close { fd }), &[]), 0);
        now_ns() - begin
    });
    times.min().unwrap_or(0)
}

/// What waits on other descriptors does not make a close slower.
pub fn a_close_costs_the_same_with_thousands_in_flight<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"");
        let pipes: Vec<_> = (0..60).map(|_| Desc::pipe()).collect();
        let mem = Mem::zeroed(1);
        let mut waiting = submit_all(rig, &[pipes[0].0.read_op(&mem); 10], mem.only());
        rig.poll(Some(Duration::ZERO));
        let few_ns = close_ns(rig, &file);
        for (reader, _) in &pipes[1..] {
            waiting.append(&mut submit_all(rig, &[reader.read_op(&mem); 50], mem.only()));
        }
        rig.poll(Some(Duration::ZERO));
        // The least of some: another thread may have a part in it, and the machine other work.
        let many_ns = (0..5).map(|_| close_ns(rig, &file)).min().expect("five");
        let count = i64::try_from(waiting.len()).expect("small");
        assert_eq!(rig.run(Op::Cancel(Cancel { scope: Scope::All }), &[]), count);
        drop(waiting);
        // Where tables have few lists, a fiftieth of those may be in the same one as the number.
        let neighbours_ns = if cfg!(debug_assertions) { 150_000 } else { 5_000 };
        assert!(
            many_ns <= few_ns * 4 + neighbours_ns,
            "{many_ns} ns with {count}, {few_ns} ns with 10"
        );
    });
}

/// The old read of a number that has another file now: it waits, for its own file, a cancel or a stop.
fn check_old<B: IoBackend>(rig: &Rig<'_, B>, old: &mut Raws<'_, B>, fd: Fd, next: (&Desc, &Desc)) {
    let (reader, feed) = next;
    let mem = Mem::zeroed(4);
    // Data that is there, and data that comes.
    feed.put(b"here");
    assert_eq!(rig.run(read_op(fd, &mem), mem.only()), 4);
    assert_eq!(mem.bytes(4), b"here");
    let mut after = rig.raw(read_op(fd, &mem), mem.only());
    assert!(rig.poll_once(after.as_mut()).is_pending());
    rig.poll(Some(Duration::ZERO));
    feed.put(b"come");
    assert_eq!(rig.block_on(after.as_mut()), 4);
    assert_eq!(mem.bytes(4), b"come");
    // Nobody takes what no new read asked for, and nothing spins over it.
    feed.put(b"left");
    let before = rig.backend().counters().syscalls;
    rig.poll(Some(Duration::from_millis(15)));
    let made = rig.backend().counters().syscalls - before;
    assert!(made < 100, "{made} system calls while nothing happened");
    assert!(old.iter().all(|read| read.phase() != Phase::Done), "an old read ended");
    assert_eq!(reader.get(4), b"left", "an old read took the new file's data");
}

/// Skips where nobody can tell when the kernel has seen the old file: an offload's worker looks at it at a
/// time of its own.
fn not_by_number<B: IoBackend>(rig: &Rig<'_, B>, fd: Fd, mem: &Mem) {
    if rig.backend().route(&read_op(fd, mem)).way == Way::Offload {
        skip("a read is handed on, and may find the next file when it gets there");
    }
}

/// Closed by number while reads wait, without a word to the backend, and the number used again.
pub fn closed_behind_our_back<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polled in [false, true] {
            let (reader, _writer) = Desc::pipe();
            let (next, feed) = Desc::pipe();
            let mut number = Number::of(reader);
            let mem = Mem::filled(4, 0xaa);
            not_by_number(rig, number.fd(), &mem);
            let mut old = submit_all(rig, &[read_op(number.fd(), &mem); 2], mem.only());
            if polled {
                rig.poll(Some(Duration::ZERO));
            } else {
                // What no kernel has seen belongs to whatever the number means by then.
                let flushed = rig.backend().flush();
                assert!(flushed.is_ok(), "{flushed:?}");
            }
            let number = Number::again(number.close(), &next);
            check_old(rig, &mut old, number.fd(), (&next, &feed));
            for read in &mut old {
                read.cancel();
                assert_eq!(read.wait(), canceled());
            }
            assert!(mem.all(0xaa), "an old read got something");
        }
    });
}

/// The same while another descriptor keeps the old file open. Data for the old file may end the old read,
/// which then has that; or it goes on waiting.
pub fn closed_behind_our_back_while_a_duplicate_lives<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let (next, feed) = Desc::pipe();
        let mut number = Number::of(reader.clone());
        let mem = Mem::filled(4, 0xaa);
        not_by_number(rig, number.fd(), &mem);
        let way = rig.backend().route(&read_op(number.fd(), &mem)).way;
        if rig.backend().name() == "io_uring" && matches!(way, Way::Readiness | Way::Inline) {
            skip("a ring without the opcode waits for the old file, then acts on the number");
        }
        let mut old = submit_all(rig, &[read_op(number.fd(), &mem)], mem.only());
        rig.poll(Some(Duration::ZERO));
        let number = Number::again(number.close(), &next);
        check_old(rig, &mut old, number.fd(), (&next, &feed));
        feed.put(b"next");
        writer.put(b"late");
        let before = rig.backend().counters().syscalls;
        rig.poll(Some(Duration::from_millis(5)));
        rig.poll(Some(Duration::from_millis(10)));
        let made = rig.backend().counters().syscalls - before;
        assert!(made < 100, "{made} system calls while nothing happened");
        old[0].cancel();
        let result = old[0].wait();
        if result == canceled() {
            assert!(mem.all(0xaa));
            assert_eq!(reader.get(4), b"late");
        } else {
            assert_eq!((result, mem.bytes(4)), (4, b"late".to_vec()), "not its own file's data");
        }
        assert_eq!(next.get(4), b"next", "the old read took the new file's data");
    });
}

/// Another file under the number in one step (`dup2(2)`), many times over.
pub fn replaced_behind_our_back<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::filled(4, 0xaa);
        let mut old = Vec::new();
        let (mut reader, mut feed) = Desc::pipe();
        let number = Number::of(reader.clone());
        not_by_number(rig, number.fd(), &mem);
        for round in 0..20_u8 {
            let mut read = submit_all(rig, &[read_op(number.fd(), &mem)], mem.only());
            rig.poll(Some(Duration::ZERO));
            // The old file's end must not come before: an event that is on its way when the number is
            // replaced makes the old read try the new file, which nobody can see.
            let next = Desc::pipe();
            number.replace(&next.0);
            (reader, feed) = next;
            let fresh = Mem::zeroed(4);
            let mut after = rig.raw(read_op(number.fd(), &fresh), fresh.only());
            assert!(rig.poll_once(after.as_mut()).is_pending());
            feed.put(&[round; 4]);
            assert_eq!(rig.block_on(after.as_mut()), 4, "round {round}");
            assert_eq!(fresh.bytes(4), [round; 4]);
            old.append(&mut read);
        }
        let scope = Scope::Fd(number.fd());
        let asked = rig.run(Op::Cancel(Cancel { scope }), &[]);
        for read in &mut old {
            // The writers of all files but the last are gone: where the file is held, that is its end.
            let result = read.wait();
            assert!(result == canceled() || result == 0, "{result}");
        }
        assert!(asked <= 20, "{asked}");
        assert!(mem.all(0xaa), "an old read got a new file's data");
        drop((reader, feed));
    });
}

/// The deadline of such a read passes, and a stop ends it.
pub fn closed_behind_our_back_it_expires_and_stops<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mut number = Number::of(reader);
        let mem = Mem::filled(1, 0xaa);
        not_by_number(rig, number.fd(), &mem);
        let deadline = deadline_in(Duration::from_millis(10));
        let mut timed = rig.timed(read_op(number.fd(), &mem), mem.only(), deadline);
        assert!(rig.poll_once(timed.as_mut()).is_pending());
        let mut read = submit_all(rig, &[read_op(number.fd(), &mem)], mem.only());
        rig.poll(Some(Duration::ZERO));
        let offloaded = rig.backend().route(&read_op(number.fd(), &mem)).way == Way::Offload;
        let _: Fd = number.close();
        // A worker may come to it only now: then there is nothing to read from.
        let ends = |result, end: Errno| {
            result == end.to_result() || offloaded && result == Errno::BADF.to_result()
        };
        let result = rig.block_on(timed.as_mut());
        assert!(ends(result, Errno::TIMEDOUT), "{result}");
        assert_eq!(rig.backend().stop(Deadline::NEVER), Ok(()));
        let result = read[0].wait();
        assert!(ends(result, Errno::CANCELED), "{result}");
        assert!(mem.all(0xaa));
    });
}
