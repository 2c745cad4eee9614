//! Reading and writing: content, positions, ends, vectors, waiting.

use super::Case;
use crate::desc::{Desc, Seeking};
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::rig::{Form, Note, Rig};
use core::time::Duration;
use io_core::op::{Preadv, Pwrite, Pwritev, Readv, Writev};
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, IoFd, Op, Seekable};
use std::thread;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(raw_reads_fill_the_memory::<F>),
        Case::of(raw_writes_reach_the_file::<F>),
        Case::of(raw_vectors_are_used_in_turn::<F>),
        Case::of(typed_reads_and_writes::<F>),
        Case::of(typed_vectors::<F>),
        Case::of(typed_callbacks::<F>),
        Case::of(positions_move_only_without_an_offset::<F>),
        Case::of(the_end_of_a_file_is_zero::<F>),
        Case::of(an_empty_buffer_is_zero::<F>),
        Case::of(a_mebibyte_arrives_whole::<F>),
        Case::of(a_mebibyte_through_a_pipe::<F>).needs(Needs::Threads),
        Case::of(a_read_waits_for_data::<F>),
        Case::of(a_read_of_a_nonblocking_pipe_waits::<F>),
        Case::of(a_write_to_a_full_pipe_waits::<F>),
        Case::of(the_end_of_a_pipe_is_zero::<F>),
        Case::of(a_broken_pipe_is_epipe::<F>),
        Case::of(both_directions_of_one_socket::<F>),
        Case::of(devices_and_special_files::<F>).needs(Needs::Object),
        Case::of(a_proven_seekable_file_reads_the_same::<F>),
        Case::of(append_goes_to_the_end::<F>).needs(Needs::Object),
    ]
}

const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog.";
const UNKNOWN: Seekable = Seekable::Unknown;

fn word(count: usize) -> i64 {
    i64::try_from(count).expect("a count")
}

fn pwrite(file: &Desc, mem: &Mem, offset: i64) -> Op {
    let (fd, buf, len) = (file.raw(), mem.ptr(), mem.len());
    Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset })
}

fn readv(file: &Desc, iov: &Mem, count: usize) -> Op {
    Op::Readv(Readv { fd: file.raw(), iov: iov.ptr().cast(), count })
}

fn writev(file: &Desc, iov: &Mem, count: usize) -> Op {
    Op::Writev(Writev { fd: file.raw(), iov: iov.ptr().cast(), count })
}

fn preadv(file: &Desc, iov: &Mem, count: usize, offset: i64) -> Op {
    let (fd, iov) = (file.raw(), iov.ptr().cast());
    Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset })
}

fn pwritev(file: &Desc, iov: &Mem, count: usize, offset: i64) -> Op {
    let (fd, iov) = (file.raw(), iov.ptr().cast());
    Op::Pwritev(Pwritev { fd, seekable: UNKNOWN, iov, count, offset })
}

/// `read` and `pread` fill exactly the memory they were given, in every form.
pub fn raw_reads_fill_the_memory<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(TEXT);
        for form in Form::ALL {
            let mem = Mem::zeroed(9);
            file.seek_to(4);
            assert_eq!(rig.run_as(form, file.read_op(&mem), mem.only()), 9, "{form:?}");
            assert_eq!(mem.bytes(9), &TEXT[4..13], "{form:?}");
            let mem = Mem::zeroed(5);
            assert_eq!(rig.run_as(form, file.pread_op(&mem, 20), mem.only()), 5, "{form:?}");
            assert_eq!(mem.bytes(5), &TEXT[20..25], "{form:?}");
        }
    });
}

/// `write` and `pwrite` store what they were given where it belongs, in every form.
pub fn raw_writes_reach_the_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            let file = Desc::file(b"..........");
            let (one, two) = (Mem::read_only(b"abc"), Mem::read_only(b"xyz"));
            file.seek_to(1);
            assert_eq!(rig.run_as(form, file.write_op(&one), one.only()), 3, "{form:?}");
            assert_eq!(rig.run_as(form, pwrite(&file, &two, 6), two.only()), 3, "{form:?}");
            assert_eq!(file.content(), b".abc..xyz.", "{form:?}");
        }
    });
}

/// The vectors of `readv`, `preadv`, `writev` and `pwritev` are used in turn, empty ones included.
pub fn raw_vectors_are_used_in_turn<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            let parts = [Mem::zeroed(3), Mem::zeroed(0), Mem::zeroed(6), Mem::zeroed(1)];
            let iov = Mem::table(&parts);
            let keep = [&parts[..], iov.only()].concat();
            let whole = || parts.iter().flat_map(|part| part.bytes(part.len())).collect::<Vec<_>>();
            let file = Desc::file(TEXT);
            assert_eq!(rig.run_as(form, readv(&file, &iov, 4), &keep), 10, "{form:?}");
            assert_eq!(whole(), &TEXT[..10], "{form:?}");
            assert_eq!(file.position(), 10);
            assert_eq!(rig.run_as(form, preadv(&file, &iov, 4, 30), &keep), 10, "{form:?}");
            assert_eq!(whole(), &TEXT[30..40], "{form:?}");
            assert_eq!(file.position(), 10, "an offset does not move the position");
            let file = Desc::file(b"");
            assert_eq!(rig.run_as(form, writev(&file, &iov, 4), &keep), 10, "{form:?}");
            assert_eq!(rig.run_as(form, pwritev(&file, &iov, 4, 15), &keep), 10, "{form:?}");
            let expected = [&TEXT[30..40], &[0; 5], &TEXT[30..40]].concat();
            assert_eq!(file.content(), expected, "{form:?}");
        }
    });
}

/// The typed forms own their buffers and give them back.
pub fn typed_reads_and_writes<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let file = Desc::file(b"");
        let (count, back) = rig.block_on(be.write(file.clone(), b"hello ".to_vec()));
        assert_eq!((count, &back[..]), (Ok(6), &b"hello "[..]));
        let (count, back) = rig.block_on(be.pwrite(file.clone(), *b"world", 6));
        assert_eq!((count, back), (Ok(5), *b"world"));
        file.seek_to(0);
        let (count, buf) = rig.block_on(be.read(file.clone(), [0_u8; 6]));
        assert_eq!((count, &buf), (Ok(6), b"hello "));
        let (count, buf) = rig.block_on(be.pread(file.clone(), Vec::with_capacity(64), 3));
        assert_eq!(
            (count, &buf[..]),
            (Ok(8), &b"lo world"[..]),
            "a Vec is as long as what was read"
        );
        let boxed = vec![0_u8; 4].into_boxed_slice();
        let (count, buf) = rig.block_on(be.pread(file.clone(), boxed, 9));
        assert_eq!((count, &buf[..2]), (Ok(2), &b"ld"[..]));
        let (count, buf) = rig.block_on(be.pread(file, vec![7_u8; 4], -1));
        assert_eq!((count, &buf[..]), (Err(Errno::INVAL), &[7_u8; 4][..]), "back on error too");
    });
}

/// The typed vectored forms.
pub fn typed_vectors<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let file = Desc::file(b"");
        let (count, _) = rig.block_on(be.writev(file.clone(), [*b"ab", *b"cd", *b"ef"]));
        assert_eq!(count, Ok(6));
        let (count, _) = rig.block_on(be.pwritev(file.clone(), [b"XY".to_vec(), b"Z".to_vec()], 1));
        assert_eq!(count, Ok(3));
        file.seek_to(0);
        let (count, bufs) = rig.block_on(be.readv(file.clone(), [[0_u8; 4], [0_u8; 4]]));
        assert_eq!((count, bufs), (Ok(6), [*b"aXYZ", *b"ef\0\0"]));
        let bufs = [Vec::with_capacity(3), Vec::with_capacity(8)];
        let (count, bufs) = rig.block_on(be.preadv(file, bufs, 1));
        assert_eq!(count, Ok(5));
        assert_eq!((&bufs[0][..], &bufs[1][..]), (&b"XYZ"[..], &b"ef"[..]));
    });
}

/// The typed forms with a callback; the result is taken afterwards.
pub fn typed_callbacks<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let file = Desc::file(b"");
        assert_eq!(rig.call_back(be.write(file.clone(), *b"0123456789")).0, Ok(10));
        assert_eq!(rig.call_back(be.pwrite(file.clone(), *b"ab", 2)).0, Ok(2));
        assert_eq!(rig.call_back(be.writev(file.clone(), [*b"x", *b"y"])).0, Ok(2));
        assert_eq!(rig.call_back(be.pwritev(file.clone(), [*b"c", *b"d"], 4)).0, Ok(2));
        file.seek_to(0);
        assert_eq!(rig.call_back(be.read(file.clone(), [0; 4])), (Ok(4), *b"01ab"));
        assert_eq!(rig.call_back(be.pread(file.clone(), [0; 3], 9)), (Ok(3), *b"9xy"));
        assert_eq!(rig.call_back(be.readv(file.clone(), [[0; 2], [0; 2]])).1, [*b"cd", *b"67"]);
        assert_eq!(rig.call_back(be.preadv(file, [[0; 1], [0; 1]], 1)).1, [*b"1", *b"a"]);
    });
}

/// Positional operations leave the position alone; the others move it by their count.
pub fn positions_move_only_without_an_offset<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(TEXT);
        let mem = Mem::zeroed(5);
        let keep = [mem.clone()];
        for at in (0..40_u64).step_by(5) {
            assert_eq!(rig.run(file.pread_op(&mem, 1), &keep), 5);
            assert_eq!(file.position(), at);
            let want = (TEXT.len() - usize::try_from(at).expect("small")).min(5);
            assert_eq!(rig.run(file.read_op(&mem), &keep), word(want));
            let from = usize::try_from(at).expect("small");
            assert_eq!(mem.bytes(want), &TEXT[from..from + want]);
        }
    });
}

/// Behind the end of a file there is nothing to read: 0, and a short count just before it.
pub fn the_end_of_a_file_is_zero<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"abc");
        let mem = Mem::filled(8, 0xaa);
        let keep = [mem.clone()];
        assert_eq!(rig.run(file.pread_op(&mem, 2), &keep), 1);
        assert_eq!(mem.bytes(2), [b'c', 0xaa], "only what was there");
        assert_eq!(rig.run(file.pread_op(&mem, 3), &keep), 0);
        assert_eq!(rig.run(file.pread_op(&mem, i64::MAX - 8), &keep), 0);
        assert_eq!(rig.run(file.read_op(&mem), &keep), 3);
        assert_eq!(rig.run(file.read_op(&mem), &keep), 0);
        assert_eq!(rig.run(file.read_op(&mem), &keep), 0, "again");
    });
}

/// A transfer of no bytes is 0.
pub fn an_empty_buffer_is_zero<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"abc");
        let mem = Mem::zeroed(0);
        let keep = [mem.clone()];
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, file.read_op(&mem), &keep), 0);
            assert_eq!(rig.run_as(form, file.pread_op(&mem, 0), &keep), 0);
            assert_eq!(rig.run_as(form, file.write_op(&mem), &keep), 0);
            assert_eq!(rig.run_as(form, pwrite(&file, &mem, 1), &keep), 0);
        }
        assert_eq!(file.content(), b"abc");
    });
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).expect("a byte")).collect()
}

/// A large transfer to and from a file is not cut.
pub fn a_mebibyte_arrives_whole<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let bytes = pattern(1 << 20);
        let file = Desc::file(b"");
        let out = Mem::copy_of(&bytes);
        assert_eq!(rig.run(pwrite(&file, &out, 7), out.only()), 1 << 20);
        let back = Mem::zeroed(1 << 20);
        assert_eq!(rig.run(file.pread_op(&back, 7), back.only()), 1 << 20);
        assert!(back.bytes(1 << 20) == bytes);
        file.seek_to(7);
        back.fill(0);
        assert_eq!(rig.run(file.read_op(&back), back.only()), 1 << 20);
        assert!(back.bytes(1 << 20) == bytes);
    });
}

/// A megabyte through a pipe, with short transfers as the pipe likes them, arrives in order.
pub fn a_mebibyte_through_a_pipe<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let bytes = pattern(1 << 20);
        let (reader, writer) = Desc::pipe();
        let far = thread::spawn(move || reader.get(1 << 20));
        let mut sent = 0;
        while sent < bytes.len() {
            let (count, _) =
                rig.block_on(rig.backend().write(writer.clone(), bytes[sent..].to_vec()));
            let count = count.expect("a write to a pipe that is read");
            assert!(count > 0);
            sent += count;
        }
        assert!(far.join().expect("the reader") == bytes);

        let (reader, writer) = Desc::pipe();
        let expected = bytes.clone();
        let far = thread::spawn(move || writer.put(&bytes));
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let buf = Vec::with_capacity(200_000);
            let (count, buf) = rig.block_on(rig.backend().read(reader.clone(), buf));
            assert!(count.expect("a read of a pipe that is written to") > 0);
            got.extend_from_slice(&buf);
        }
        far.join().expect("the writer");
        assert!(got == expected);
    });
}

/// Runs `op`, which has to wait: not done after a poll and a nop, then `release`, then its result.
fn waits<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], release: impl FnOnce()) -> i64 {
    let note = Note::new(rig.signal());
    let mut raw = rig.raw(op, keep);
    raw.submit_callback(note.hook()).expect("submit");
    rig.poll(Some(Duration::ZERO));
    assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
    rig.poll(Some(Duration::from_millis(2)));
    assert_eq!(note.calls(), 0, "{op:?} did not wait: {}", note.result());
    release();
    note.wait(rig)
}

/// A read of an empty pipe or socket completes when data comes, and not before.
pub fn a_read_waits_for_data<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for (reader, writer) in [Desc::pipe(), Desc::pair()] {
            let mem = Mem::filled(8, 0xaa);
            let keep = [mem.clone()];
            assert_eq!(waits(rig, reader.read_op(&mem), &keep, || writer.put(b"hey")), 3);
            assert_eq!(mem.bytes(4), [b'h', b'e', b'y', 0xaa]);
            let iov = Mem::table(&keep);
            let keep = [mem.clone(), iov.clone()];
            assert_eq!(waits(rig, readv(&reader, &iov, 1), &keep, || writer.put(b"you")), 3);
            assert_eq!(mem.bytes(3), b"you");
        }
    });
}

/// `O_NONBLOCK` is for other users of the description: an operation waits all the same.
pub fn a_read_of_a_nonblocking_pipe_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for (reader, writer) in [Desc::pipe(), Desc::pair()] {
            reader.set_nonblocking();
            let flags = reader.status_flags();
            let mem = Mem::zeroed(3);
            let keep = [mem.clone()];
            assert_eq!(waits(rig, reader.read_op(&mem), &keep, || writer.put(b"abc")), 3);
            assert_eq!(mem.bytes(3), b"abc");
            let iov = Mem::table(&keep);
            let keep = [mem.clone(), iov.clone()];
            assert_eq!(waits(rig, readv(&reader, &iov, 1), &keep, || writer.put(b"def")), 3);
            assert_eq!(mem.bytes(3), b"def");
            assert_eq!(reader.status_flags(), flags, "the description's flags were changed");
        }
    });
}

/// A write to a full pipe completes when there is room, on a non-blocking description too.
pub fn a_write_to_a_full_pipe_waits<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for nonblocking in [false, true] {
            let (reader, writer) = Desc::pipe();
            let full = writer.fill_up();
            if nonblocking {
                writer.set_nonblocking();
            }
            let flags = writer.status_flags();
            let mem = Mem::read_only(b"tail");
            let drain = || drop(reader.get(full));
            assert_eq!(waits(rig, writer.write_op(&mem), mem.only(), drain), 4);
            assert_eq!(reader.get(4), b"tail");
            let full = writer.fill_up();
            let iov = Mem::table(mem.only());
            let drain = || drop(reader.get(full));
            assert_eq!(waits(rig, writev(&writer, &iov, 1), &[mem.clone(), iov.clone()], drain), 4);
            assert_eq!(reader.get(4), b"tail");
            assert_eq!(writer.status_flags(), flags, "the description's flags were changed");
        }
    });
}

/// When the last writer goes, a waiting read ends with 0.
pub fn the_end_of_a_pipe_is_zero<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::zeroed(1);
        assert_eq!(waits(rig, reader.read_op(&mem), mem.only(), || drop(writer)), 0);
        assert_eq!(rig.run(reader.read_op(&mem), mem.only()), 0, "again");
    });
}

/// A write to a pipe that nobody reads is `EPIPE`; so is one that waits when the reader goes. (The
/// signal that comes with it is ignored in this process.)
pub fn a_broken_pipe_is_epipe<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (reader, writer) = Desc::pipe();
        let mem = Mem::read_only(b"x");
        let iov = Mem::table(mem.only());
        let keep = [mem.clone(), iov.clone()];
        let _full = writer.fill_up();
        let epipe = Errno::PIPE.to_result();
        assert_eq!(waits(rig, writer.write_op(&mem), &keep, || drop(reader)), epipe);
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, writer.write_op(&mem), &keep), epipe, "{form:?}");
            assert_eq!(rig.run_as(form, writev(&writer, &iov, 1), &keep), epipe, "{form:?}");
        }
    });
}

/// Eight reads and eight writes on one socket and a duplicate of it do not disturb each other.
pub fn both_directions_of_one_socket<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let dup = near.dup();
        let mems: Vec<Mem> = (0..8).map(|_| Mem::zeroed(1)).collect();
        let mut reads = Vec::new();
        for (i, mem) in mems.iter().enumerate() {
            let from = if i % 2 == 0 { &near } else { &dup };
            let mut read = rig.raw(from.read_op(mem), mem.only());
            assert!(rig.poll_once(read.as_mut()).is_pending());
            reads.push(read);
        }
        for i in 0..8_u8 {
            let out = Mem::copy_of(&[b'a' + i]);
            let to = if i % 2 == 0 { &dup } else { &near };
            assert_eq!(rig.run(to.write_op(&out), out.only()), 1);
        }
        assert_eq!(far.get(8), b"abcdefgh");
        far.put(b"01234567");
        for read in &mut reads {
            assert_eq!(rig.block_on(read.as_mut()), 1);
        }
        let mut got: Vec<u8> = mems.iter().flat_map(|mem| mem.bytes(1)).collect();
        got.sort_unstable();
        assert_eq!(got, b"01234567");
    });
}

/// Reads and writes of devices and of the kernel's own files.
pub fn devices_and_special_files<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let mem = Mem::filled(16, 0xaa);
        let keep = [mem.clone()];
        assert_eq!(rig.run(Desc::open("/dev/zero").read_op(&mem), &keep), 16);
        assert!(mem.all(0));
        assert_eq!(rig.run(Desc::open("/dev/null").read_op(&mem), &keep), 0);
        assert_eq!(rig.run(Desc::open("/dev/null").pread_op(&mem, 5), &keep), 0);
        assert_eq!(rig.run(Desc::open_for_write("/dev/null").write_op(&mem), &keep), 16);
        let full = Desc::open_for_write("/dev/full");
        let no_room = Errno::NOSPC.to_result();
        assert_eq!(rig.run(full.write_op(&mem), &keep), no_room);
        assert_eq!(rig.run(pwrite(&full, &mem, 0), &keep), no_room);
        assert_eq!(rig.run(Desc::open("/dev/urandom").read_op(&mem), &keep), 16);
        let status = Desc::open("/proc/self/status");
        assert_eq!(rig.run(status.read_op(&mem), &keep), 16);
        assert_eq!(mem.bytes(5), b"Name:");
        assert_eq!(rig.run(status.pread_op(&mem, 1), &keep), 16);
        assert_eq!(mem.bytes(4), b"ame:");
        let huge = Desc::open("/proc/self/maps");
        let (count, text) = rig.block_on(rig.backend().pread(huge, Vec::with_capacity(1 << 16), 0));
        assert!(count.expect("maps") > 0);
        assert!(text.contains(&b'-'));
    });
}

/// A descriptor that is proven seekable reads as any other.
pub fn a_proven_seekable_file_reads_the_same<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Seeking(Desc::file(TEXT));
        assert_eq!(file.seekable(), Seekable::Proven);
        let (count, buf) = rig.block_on(rig.backend().pread(file.clone(), [0_u8; 3], 4));
        assert_eq!((count, &buf[..]), (Ok(3), &TEXT[4..7]));
        assert_eq!(rig.block_on(rig.backend().pwrite(file.clone(), *b"THE", 0)).0, Ok(3));
        assert_eq!(rig.block_on(rig.backend().pread(file, [0_u8; 3], 0)).1, *b"THE");
    });
}

/// A file opened for appending takes every write at its end.
pub fn append_goes_to_the_end<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let named = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(named.path(), b"start").expect("filling it");
        let opened = std::fs::File::options().append(true).read(true).open(named.path());
        let file = Desc::from(opened.expect("opening it"));
        let mem = Mem::read_only(b"+1");
        assert_eq!(rig.run(file.write_op(&mem), mem.only()), 2);
        assert_eq!(rig.run(file.write_op(&mem), mem.only()), 2);
        assert_eq!(file.content(), b"start+1+1");
    });
}
