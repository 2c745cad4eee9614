//! Dropping an operation in flight: it is over when the drop returns, and the memory is the caller's.

use super::Case;
use crate::desc::Desc;
use crate::fixture::Fixture;
use crate::mem::Mem;
use crate::rig::{Note, Rig};
use core::pin::Pin;
use core::time::Duration;
use io_core::op::{Accept, AcceptFlags, MsgFlags, Nop, Open, OpenFlags, Readv, Recv};
use io_core::ops::Ops;
use io_core::{Fd, IoBackend, Op};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_dropped_read_leaves_the_data::<F>),
        Case::of(a_dropped_typed_read_leaves_the_data::<F>),
        Case::of(a_dropped_operation_touches_no_memory::<F>),
        Case::of(drop_before_the_first_poll_of_the_backend::<F>),
        Case::of(drop_at_each_await_point::<F>),
        Case::of(drop_a_thousand_in_flight::<F>),
        Case::of(drop_in_any_order::<F>),
        Case::of(drop_when_the_result_is_there_already::<F>),
        Case::of(drop_while_unwinding::<F>),
        Case::of(drop_delivers_nothing_else::<F>),
        Case::of(a_descriptor_nobody_took_is_closed::<F>),
        Case::of(a_descriptor_given_to_a_callback_is_the_callbacks::<F>),
        Case::of(a_typed_open_that_called_back_and_nobody_took_is_closed::<F>),
        Case::of(a_dropped_write_to_a_full_pipe_writes_nothing::<F>),
    ]
}

/// What comes after the drop is there for the next reader.
pub fn a_dropped_read_leaves_the_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(8, 0xaa);
        for polled in [false, true] {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            if polled {
                rig.poll(Some(Duration::ZERO));
            }
            drop(read);
            assert_eq!(rig.backend().in_flight(), 0);
            writer.put(b"later");
            assert_eq!(reader.get(5), b"later", "polled: {polled}");
            assert!(mem.all(0xaa));
        }
    });
}

/// The same for a typed future that owns its buffer.
pub fn a_dropped_typed_read_leaves_the_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        for _ in 0..20 {
            let mut read = Box::pin(rig.backend().read(reader.clone(), [0_u8; 64]));
            assert!(rig.poll_once(read.as_mut()).is_pending());
            rig.poll(Some(Duration::ZERO));
            drop(read);
            let mut vec = Box::pin(rig.backend().read(reader.clone(), vec![0_u8; 64]));
            assert!(rig.poll_once(vec.as_mut()).is_pending());
            drop(vec);
            writer.put(b"later");
            let (count, buf) = rig.block_on(rig.backend().read(reader.clone(), [0_u8; 5]));
            assert_eq!((count, &buf), (Ok(5), b"later"));
        }
    });
}

/// Operations of each kind that wait, made over this memory.
fn waiting_ops(mem: &Mem, table: &Mem) -> (Vec<Op>, Vec<Desc>) {
    let (pipe_out, pipe_in) = Desc::pipe();
    let (near, far) = Desc::pair();
    let (listener, _) = Desc::listener();
    let (buf, len) = (mem.ptr(), mem.len());
    let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    let ops = vec![
        pipe_out.read_op(mem),
        Op::Readv(Readv { fd: pipe_out.raw(), iov: table.ptr().cast(), count: 1 }),
        Op::Recv(Recv { fd: near.raw(), flags: MsgFlags::empty(), buf, len }),
        Op::Recv(Recv { fd: near.raw(), flags: MsgFlags::WAITALL, buf, len }),
        Op::Accept(Accept { fd: listener.raw(), flags: AcceptFlags::empty(), addr, addr_len }),
    ];
    (ops, vec![pipe_out, near, listener, pipe_in, far])
}

/// The memory may be unmapped as soon as the drop has returned, whatever arrives then.
pub fn a_dropped_operation_touches_no_memory<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for _ in 0..10 {
            let mem = Mem::filled(64, 0xaa);
            let table = Mem::table(mem.only());
            let (ops, descs) = waiting_ops(&mem, &table);
            for op in ops {
                let mut raw = rig.raw(op, &[mem.clone(), table.clone()]);
                assert!(rig.poll_once(raw.as_mut()).is_pending(), "{op:?}");
                rig.poll(Some(Duration::ZERO));
                drop(raw);
            }
            descs[3].put(&[0x55; 100]);
            descs[4].put(&[0x55; 100]);
            rig.poll(Some(Duration::ZERO));
            assert!(mem.all(0xaa), "a dropped operation wrote");
            // Unmapped now: who still writes is found.
            drop((mem, table));
            assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            assert_eq!(descs[0].get(100), [0x55; 100]);
            assert_eq!(descs[1].get(100), [0x55; 100]);
        }
    });
}

/// Submitted and dropped with nothing in between.
pub fn drop_before_the_first_poll_of_the_backend<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        drop(read);
        assert_eq!(rig.backend().in_flight(), 0);
    });
}

/// A task of several steps, dropped after each number of polls.
pub fn drop_at_each_await_point<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for polls in 0..12 {
            let (reader, writer) = Desc::pipe();
            let file = Desc::file(b"0123456789");
            let mem = Mem::filled(16, 0xaa);
            let mut task = Box::pin(steps(rig, &reader, &writer, &file, &mem));
            for _ in 0..polls {
                if rig.poll_once(task.as_mut()).is_ready() {
                    break;
                }
                rig.poll(Some(Duration::from_millis(1)));
            }
            drop(task);
            assert_eq!(rig.backend().in_flight(), 0, "after {polls} polls");
            let seen = mem.bytes(16);
            writer.put(&[0x55; 64]);
            rig.poll(Some(Duration::ZERO));
            assert_eq!(mem.bytes(16), seen, "the dropped task wrote, after {polls} polls");
        }
    });
}

async fn steps<B: IoBackend>(
    rig: &Rig<'_, B>,
    reader: &Desc,
    writer: &Desc,
    file: &Desc,
    mem: &Mem,
) {
    let be = rig.backend();
    let keep = [mem.clone()];
    assert_eq!(be.nop().await, Ok(()));
    assert_eq!(be.write(writer.clone(), *b"ab").await.0, Ok(2));
    assert_eq!(rig.raw(file.pread_op(mem, 3), &keep).await, 7);
    assert_eq!(be.read(reader.clone(), [0_u8; 2]).await, (Ok(2), *b"ab"));
    assert_eq!(be.fstat(file.clone()).await.map(|stat| stat.size), Ok(10));
    // Waits for ever.
    rig.raw(reader.read_op(mem), &keep).await;
}

type Reads<'b, B> = Vec<Pin<Box<crate::raw::Raw<Pin<&'b B>>>>>;

fn thousand_reads<'b, B: IoBackend>(rig: &Rig<'b, B>, reader: &Desc, mem: &Mem) -> Reads<'b, B> {
    let read = |_| {
        let mut read = rig.raw(reader.read_op(mem), mem.only());
        read.submit().expect("submit");
        read
    };
    (0..1000).map(read).collect()
}

/// A thousand operations in flight on one pipe are dropped, first to last.
pub fn drop_a_thousand_in_flight<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        let reads = thousand_reads(rig, &reader, &mem);
        rig.poll(Some(Duration::ZERO));
        assert_eq!(rig.backend().in_flight(), 1000);
        drop(reads);
        assert_eq!(rig.backend().in_flight(), 0);
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    });
}

/// Last to first, and from the middle; some before the backend has seen them.
pub fn drop_in_any_order<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        let mut reads = thousand_reads(rig, &reader, &mem);
        while !reads.is_empty() {
            let at = reads.len() * 7 / 11;
            drop(reads.remove(at));
            drop(reads.pop());
            if reads.len().is_multiple_of(13) {
                rig.poll(Some(Duration::ZERO));
            }
            assert_eq!(rig.backend().in_flight(), reads.len());
        }
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    });
}

/// The data came before the drop: the drop returns, and the backend is whole.
pub fn drop_when_the_result_is_there_already<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for round in 0..200 {
            let (reader, writer) = Desc::pipe();
            let mem = Mem::zeroed(1);
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            if round % 2 == 0 {
                rig.poll(Some(Duration::ZERO));
            }
            writer.put(b"x");
            drop(read);
            assert_eq!(rig.backend().in_flight(), 0);
        }
        assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    });
}

/// A panic of the task drops its operation in flight.
pub fn drop_while_unwinding<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::filled(4, 0xaa);
        let unwound = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            let mut read = rig.raw(reader.read_op(&mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            std::panic::resume_unwind(Box::new("intended"));
        }));
        assert!(unwound.is_err());
        assert_eq!(rig.backend().in_flight(), 0);
        writer.put(b"data");
        assert_eq!(reader.get(4), b"data");
        assert!(mem.all(0xaa));
    });
}

/// While a drop waits, other operations' callbacks stay where they are.
pub fn drop_delivers_nothing_else<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let notes: Vec<Note> = (0..10).map(|_| Note::new(rig.signal())).collect();
        let mut raws: Vec<_> =
            notes.iter().map(|_| rig.raw(Op::Nop(io_core::op::Nop), &[])).collect();
        for (raw, note) in raws.iter_mut().zip(&notes) {
            raw.submit_callback(note.hook()).expect("submit");
        }
        let (reader, _writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        let mut read = rig.raw(reader.read_op(&mem), mem.only());
        read.submit().expect("submit");
        drop(read);
        assert!(notes.iter().all(|note| note.calls() == 0), "a drop delivered");
        rig.until_seen(|| notes.iter().all(|note| note.calls() == 1));
    });
}

/// An open or accept that is done but was not read closes what it made when it is dropped.
pub fn a_descriptor_nobody_took_is_closed<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = Mem::path(b"/");
        let (dir, flags) = (Fd::CWD, OpenFlags::CLOEXEC);
        let open = Op::Open(Open { dir, path: path.ptr().cast(), flags, mode: 0 });
        let (listener, address) = Desc::listener();
        let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
        let flags = AcceptFlags::empty();
        let accept = Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len });
        let before = crate::count_fds();
        for _ in 0..20 {
            let mut raw = rig.raw(open, path.only());
            raw.submit().expect("submit");
            rig.until_seen(|| raw.phase() == io_core::Phase::Done);
            drop(raw);
            let client = Desc::connect(address);
            let mut raw = rig.raw(accept, &[]);
            raw.submit().expect("submit");
            rig.until_seen(|| raw.phase() == io_core::Phase::Done);
            drop(raw);
            // The peer is gone: it was closed.
            assert_eq!(rig.block_on(rig.backend().read(client, [0_u8; 1])).0, Ok(0));
            drop(rig.block_on(rig.backend().open(c"/", OpenFlags::CLOEXEC, 0)));
        }
        assert_eq!(crate::count_fds(), before);
    });
}

/// A raw callback gets the descriptor of an open or accept for good: neither the drop of the operation nor
/// the reuse of its storage closes it.
pub fn a_descriptor_given_to_a_callback_is_the_callbacks<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = Mem::path(b"/");
        let (dir, flags) = (Fd::CWD, OpenFlags::CLOEXEC);
        let open = Op::Open(Open { dir, path: path.ptr().cast(), flags, mode: 0 });
        let (listener, address) = Desc::listener();
        let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
        let flags = AcceptFlags::empty();
        let accept = Op::Accept(Accept { fd: listener.raw(), flags, addr, addr_len });
        let before = crate::count_fds();
        for reset in [false, true] {
            for op in [open, accept] {
                let _client = Desc::connect(address);
                let note = Note::new(rig.signal());
                let mut raw = rig.raw(op, path.only());
                raw.submit_callback(note.hook()).expect("submit");
                let given = note.wait(rig);
                let given_fd = Fd::new(i32::try_from(given).expect("a descriptor"));
                assert!(crate::is_open(given_fd), "an open descriptor");
                if reset {
                    raw.reset(Op::Nop(Nop)).expect("it is done");
                    assert_eq!(rig.block_on(raw.as_mut()), 0);
                }
                drop(raw);
                assert!(crate::is_open(given_fd), "reset: {reset}, closed after {op:?}");
                drop(Desc::adopt(given));
                if matches!(op, Op::Open(_)) {
                    // The connection that was not accepted this time.
                    drop(Desc::adopt(rig.run(accept, &[])));
                }
            }
        }
        assert_eq!(crate::count_fds(), before);
    });
}

/// A typed open keeps its descriptor until somebody takes the result: its callback is only told.
pub fn a_typed_open_that_called_back_and_nobody_took_is_closed<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let before = crate::count_fds();
        for _ in 0..20 {
            let note = Note::new(rig.signal());
            let (function, context) = note.hook().parts();
            let open = rig.backend().open(c"/", OpenFlags::CLOEXEC, 0);
            let mut open = Box::pin(open);
            open.as_mut().submit_with_callback(function, context).expect("submit");
            assert!(note.wait(rig) >= 0);
            assert_eq!(crate::count_fds(), before + 1);
            drop(open);
            assert_eq!(crate::count_fds(), before, "nobody closed it");
        }
    });
}

/// A write that waits for room and is dropped has written nothing.
pub fn a_dropped_write_to_a_full_pipe_writes_nothing<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let full = writer.fill_up();
        let mem = Mem::read_only(b"never");
        let mut write = rig.raw(writer.write_op(&mem), mem.only());
        assert!(rig.poll_once(write.as_mut()).is_pending());
        rig.poll(Some(Duration::ZERO));
        drop(write);
        drop(reader.get(full));
        writer.put(b"next");
        assert_eq!(reader.get(4), b"next");
    });
}
