//! What the cells do with a backend while something goes wrong, and afterwards.

use core::pin::Pin;
use io_conformance::Desc;
use io_conformance::mem::Mem;
use io_conformance::raw::Raw;
use io_conformance::rig::{Form, Note, Rig};
use io_core::op::Nop;
use io_core::{IoBackend, Op};

/// What a backend and a [`batch`] call: to wait, and for operations.
pub(crate) static CALLS: &[i64] = &[
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
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
];

/// An operation whose completions are counted.
pub(crate) struct Noted<'b, B: IoBackend> {
    pub(crate) raw: Pin<Box<Raw<Pin<&'b B>>>>,
    pub(crate) note: Note,
}

impl<'b, B: IoBackend> Noted<'b, B> {
    /// Submits it.
    pub(crate) fn submit(rig: &Rig<'b, B>, op: Op, keep: &[Mem]) -> Noted<'b, B> {
        let (mut raw, note) = (rig.raw(op, keep), Note::new(rig.signal()));
        raw.submit_callback(note.hook()).expect("submit");
        Noted { raw, note }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.note.calls() > 0
    }

    /// The result, after it was seen done once and not twice.
    pub(crate) fn result(&mut self) -> i64 {
        assert_eq!(self.note.calls(), 1, "one completion of {:?}", self.raw);
        let result = self.note.result();
        assert_eq!(self.raw.result(), Some(result), "the callback's result is the operation's");
        result
    }
}

/// Files, pipes and memory for [`Batch`]es, made once, so that batches make no system calls of their own but
/// the writes that end their reads.
pub(crate) struct Props {
    file: Desc,
    pipes: Vec<(Desc, Desc)>,
    sockets: (Desc, Desc),
}

impl Props {
    pub(crate) fn new(pipes: usize) -> Props {
        let pipes = (0..pipes).map(|_| Desc::pipe()).collect();
        Props { file: Desc::file(b"0123456789"), pipes, sockets: Desc::pair() }
    }
}

/// Operations of several kinds, with the results they are to have.
pub(crate) struct Batch<'b, B: IoBackend> {
    ops: Vec<(Noted<'b, B>, i64)>,
    reads: Vec<Mem>,
}

impl<'b, B: IoBackend> Batch<'b, B> {
    /// Submits no-ops, reads of a file and of a socket, and one read of each pipe, which waits.
    pub(crate) fn submit(rig: &Rig<'b, B>, props: &Props) -> Batch<'b, B> {
        let mut batch = Batch { ops: Vec::new(), reads: Vec::new() };
        for (reader, _) in &props.pipes {
            let (mem, word) = (Mem::zeroed(4), Mem::copy_of(b"word"));
            batch.add(rig, reader.read_op(&mem), &mem, 4);
            batch.add(rig, Op::Nop(Nop {}), &mem, 0);
            let file = Mem::zeroed(4);
            batch.add(rig, props.file.pread_op(&file, 8), &file, 2);
            batch.add(rig, props.sockets.0.write_op(&word), &word, 4);
            let word = Mem::zeroed(4);
            batch.add(rig, props.sockets.1.read_op(&word), &word, 4);
            batch.reads.push(mem);
        }
        batch
    }

    fn add(&mut self, rig: &Rig<'b, B>, op: Op, mem: &Mem, result: i64) {
        self.ops.push((Noted::submit(rig, op, mem.only()), result));
    }

    /// Ends the reads of the pipes, drives everything to its end, and looks at every result.
    pub(crate) fn finish(mut self, rig: &Rig<'b, B>, props: &Props) {
        for (_, writer) in &props.pipes {
            writer.put(b"data");
        }
        rig.until(|| self.ops.iter().all(|(noted, _)| noted.is_done()));
        for _ in 0..3 {
            rig.poll(Some(core::time::Duration::ZERO));
        }
        for (i, (noted, expected)) in self.ops.iter_mut().enumerate() {
            assert_eq!(noted.result(), *expected, "operation {i}");
        }
        assert!(self.reads.iter().all(|mem| mem.bytes(4) == b"data"), "what was read");
    }
}

/// A batch while something goes wrong: part of it is with the kernel when its data comes.
pub(crate) fn batch<B: IoBackend>(rig: &Rig<'_, B>, props: &Props) {
    let batch = Batch::submit(rig, props);
    for _ in 0..4 {
        rig.poll(Some(core::time::Duration::ZERO));
    }
    batch.finish(rig, props);
}

/// The backend works: a no-op, a file and a pipe, in each form.
pub(crate) fn works<B: IoBackend>(rig: &Rig<'_, B>) {
    let file = Desc::file(b"0123456789");
    let (reader, writer) = Desc::pipe();
    let mem = Mem::zeroed(4);
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, Op::Nop(Nop {}), &[]), 0, "{form:?}");
        assert_eq!(rig.run_as(form, file.pread_op(&mem, 3), mem.only()), 4, "{form:?}");
        assert_eq!(mem.bytes(4), b"3456");
        assert_eq!(rig.run_as(form, writer.write_op(&mem), mem.only()), 4, "{form:?}");
        mem.fill(0);
        assert_eq!(rig.run_as(form, reader.read_op(&mem), mem.only()), 4, "{form:?}");
        assert_eq!(mem.bytes(4), b"3456");
    }
    assert_eq!(rig.backend().in_flight(), 0, "nothing is left");
}
