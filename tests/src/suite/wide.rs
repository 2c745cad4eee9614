//! Lengths and offsets are 64 bits wide: nothing is cut to 32, and nothing looks like the end of a file.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::rig::{Form, Rig};
use io_core::op::{
    Ftruncate, IoVec, MAX_RW_COUNT, MsgFlags, Pread, Preadv, Pwrite, Read, Recv, Send, Sendfile,
    Write,
};
use io_core::{IoBackend, Op, Seekable};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(long_reads_are_short_transfers::<F>),
        Case::of(long_writes_are_short_transfers::<F>).needs(Needs::Object),
        Case::of(long_receives_and_sends::<F>),
        Case::of(long_sendfile_is_a_short_transfer::<F>).needs(Needs::Object),
        Case::of(long_vectors_are_short_transfers::<F>),
        Case::of(offsets_beyond_4_gib::<F>),
    ]
}

const UNKNOWN: Seekable = Seekable::Unknown;
const LENGTHS: [usize; 6] =
    [(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 100, usize::MAX];

/// How much address space the long transfers are given. None of it is used.
const ROOM: usize = (1 << 32) + 4096;
const SIZE: i64 = 1 << 20;

fn word(len: usize) -> i64 {
    i64::try_from(len).expect("a length")
}

fn full<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], least: i64, most: i64, len: usize) {
    for form in Form::ALL {
        let got = rig.run_as(form, op, keep);
        assert!((least..=most).contains(&got), "{got} for {len:#x}, {form:?}: {op:?}");
    }
}

/// A read of more than the file has, or the kernel moves, is what is there.
pub fn long_reads_are_short_transfers<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(&vec![b'w'; 1 << 20]);
        let mem = Mem::zeroed(ROOM);
        let keep = [mem.clone()];
        let (fd, buf) = (file.raw(), mem.ptr());
        for len in LENGTHS {
            let op = Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset: 0 });
            full(rig, op, &keep, SIZE, SIZE, len);
            assert_eq!(mem.bytes(1), b"w");
            for form in Form::ALL {
                file.seek_to(0);
                let got = rig.run_as(form, Op::Read(Read { fd, buf, len }), &keep);
                assert_eq!(got, SIZE, "{len:#x}, {form:?}");
                assert_eq!(file.position(), 1 << 20);
            }
        }
    });
}

/// A write of more than the kernel moves is as much as it moves.
pub fn long_writes_are_short_transfers<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        // It takes everything and looks at nothing.
        let null = Desc::open_for_write("/dev/null");
        let mem = Mem::zeroed(ROOM);
        let keep = [mem.clone()];
        let (fd, buf) = (null.raw(), mem.ptr());
        for len in LENGTHS {
            let most = word(len.min(MAX_RW_COUNT));
            full(rig, Op::Write(Write { fd, buf, len }), &keep, most, most, len);
            let op = Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset: 0 });
            full(rig, op, &keep, most, most, len);
        }
    });
}

/// A receive into much room gets what is there; a send of much sends something.
pub fn long_receives_and_sends<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (near, far) = Desc::pair();
        let mem = Mem::zeroed(ROOM);
        let keep = [mem.clone()];
        let (fd, buf) = (near.raw(), mem.ptr());
        for len in LENGTHS {
            for form in Form::ALL {
                far.put(b"hello");
                let op = Op::Recv(Recv { fd, flags: MsgFlags::empty(), buf, len });
                assert_eq!(rig.run_as(form, op, &keep), 5, "{len:#x}, {form:?}");
            }
            // Only as much as there is room for, so that it ends.
            let op = Op::Send(Send { fd, flags: MsgFlags::DONTWAIT, buf, len });
            let sent = rig.run(op, &keep);
            assert!(sent > 0, "{sent} for {len:#x}");
            let _: Vec<u8> = far.get(usize::try_from(sent).expect("a count"));
        }
    });
}

/// `sendfile` of more than there is.
pub fn long_sendfile_is_a_short_transfer<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let input = Desc::file(&vec![b'w'; 1 << 20]);
        let output = Desc::open_for_write("/dev/null");
        for len in LENGTHS {
            let (out_fd, in_fd) = (output.raw(), input.raw());
            let op = Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(0), len });
            full(rig, op, &[], 1, SIZE, len);
        }
    });
}

/// Vectors whose lengths add up to more than the kernel moves, or than 64 bits hold.
pub fn long_vectors_are_short_transfers<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(&vec![b'w'; 1 << 20]);
        let mem = Mem::zeroed(ROOM);
        for len in [1 << 31, 1 << 32] {
            let table = Mem::iovecs(&[(mem.ptr(), len), (mem.ptr(), len)]);
            let keep = [mem.clone(), table.clone()];
            let (fd, iov) = (file.raw(), table.ptr().cast::<IoVec>());
            let op = Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count: 2, offset: 0 });
            full(rig, op, &keep, SIZE, SIZE, len);
        }
    });
}

/// Writes, reads, truncation and copies beyond 4 GiB land where they should: in a file with a hole.
pub fn offsets_beyond_4_gib<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"start");
        let mem = Mem::zeroed(8);
        for offset in [(1_i64 << 31) - 3, (1 << 32) - 3, 1 << 32, (1 << 32) + 5, 5 << 32] {
            let out = Mem::read_only(&offset.to_le_bytes());
            let (fd, buf, len) = (file.raw(), out.ptr(), 8);
            let write = Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset });
            assert_eq!(rig.run(write, out.only()), 8);
            assert_eq!(rig.run(file.pread_op(&mem, offset), mem.only()), 8);
            assert_eq!(mem.bytes(8), offset.to_le_bytes());
            let size = file.size();
            assert_eq!(size, offset.unsigned_abs() + 8);
            assert_eq!(rig.run(file.lseek_op(0, 2), &[]), offset + 8);
            let (far, near) = Desc::pipe();
            let (out_fd, in_fd) = (near.raw(), file.raw());
            let copy = Op::Sendfile(Sendfile { out_fd, in_fd, offset: Some(offset), len: 8 });
            assert_eq!(rig.run(copy, &[]), 8);
            assert_eq!(far.get(8), offset.to_le_bytes());
        }
        let len = 3 << 32;
        assert_eq!(rig.run(Op::Ftruncate(Ftruncate { fd: file.raw(), len }), &[]), 0);
        assert_eq!(file.size(), 3 << 32);
        file.seek_to((3 << 32) - 2);
        assert_eq!(rig.run(file.read_op(&mem), mem.only()), 2);
        assert_eq!(rig.run(file.read_op(&mem), mem.only()), 0);
        file.seek_to(0);
        assert_eq!(rig.run(file.read_op(&mem), mem.only()), 8);
        assert_eq!(mem.bytes(5), b"start");
    });
}
