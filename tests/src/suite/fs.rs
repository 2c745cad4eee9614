//! Files as objects: open, close, fsync, ftruncate, fstat, lseek, sendfile.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Blocking, Fixture, Needs};
use crate::mem::Mem;
use crate::oracle::oracle;
use crate::rig::{Form, Rig};
use crate::skip::skip;
use core::pin::pin;
use core::time::Duration;
use io_core::op::{Close, Fdatasync, Fstat, Fsync, Ftruncate, Open, OpenFlags, Sendfile};
use io_core::ops::{Ops, Whence};
use io_core::{Errno, Fd, IoBackend, Op, OpKind, PathBytes, Stat};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(open_makes_and_finds_files::<F>).needs(Needs::Object),
        Case::of(typed_open_close_and_paths::<F>).needs(Needs::Object),
        Case::of(open_fails_as_the_system_call_does::<F>).needs(Needs::Object),
        Case::of(long_and_odd_paths::<F>).needs(Needs::Object),
        Case::of(open_adds_no_flags::<F>).needs(Needs::Object),
        Case::of(open_relative_to_a_directory::<F>).needs(Needs::Object),
        Case::of(close_closes_once::<F>),
        Case::of(fsync_in_every_form::<F>),
        Case::of(fdatasync_in_every_form::<F>),
        Case::of(ftruncate_in_every_form::<F>),
        Case::of(fstat_fills_the_memory::<F>).needs(Needs::Object),
        Case::of(fstat_of_every_kind_of_file::<F>).needs(Needs::Object),
        Case::of(lseek_in_every_form::<F>),
        Case::of(sendfile_to_every_kind_of_file::<F>),
        Case::of(sendfile_waits_for_room::<F>),
        Case::of(a_path_that_cannot_be_read_is_efault::<F>),
        Case::of(fstat_to_a_closed_page_is_efault::<F>),
        Case::of(a_fifo_without_a_reader_is_no_error::<F>).needs(Needs::Object),
        Case::of(a_life_of_one_file::<F>).needs(Needs::Object),
    ]
}

fn open(path: &Mem, flags: OpenFlags, mode: u32) -> Op {
    Op::Open(Open { dir: Fd::CWD, path: path.ptr().cast(), flags, mode })
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}

fn mem_path(path: &Path) -> Mem {
    Mem::path(path.as_os_str().as_bytes())
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// `open` creates with the mode it was given, and opens what is there, in every form.
pub fn open_makes_and_finds_files<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        for (i, form) in Form::ALL.into_iter().enumerate() {
            let place = dir.path().join(format!("file-{i}"));
            let path = mem_path(&place);
            let keep = [path.clone()];
            let create = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::EXCL | OpenFlags::CLOEXEC;
            let file = Desc::adopt(rig.run_as(form, open(&path, create, 0o600), &keep));
            file.put(b"abc");
            assert_eq!(std::fs::read(&place).expect("reading it"), b"abc");
            let mode = std::fs::metadata(&place).expect("its metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let again = rig.run_as(form, open(&path, create, 0o600), &keep);
            assert_eq!(again, Errno::EXIST.to_result(), "{form:?}");
            let file = Desc::adopt(rig.run_as(form, open(&path, OpenFlags::RDONLY, 0), &keep));
            assert_eq!(file.get(3), b"abc");
            let cut = OpenFlags::WRONLY | OpenFlags::TRUNC;
            drop(Desc::adopt(rig.run_as(form, open(&path, cut, 0), &keep)));
            assert_eq!(std::fs::read(&place).expect("reading it"), b"");
        }
    });
}

/// The typed `open` takes every kind of path and gives an owner that closes.
pub fn typed_open_close_and_paths<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let dir = tempfile::tempdir().expect("a directory");
        let path = c_path(&dir.path().join("f"));
        let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::CLOEXEC;
        let file = rig.block_on(be.open(path.clone(), flags, 0o644)).expect("open");
        assert_eq!(rig.block_on(be.close(file)), Ok(()));
        let stored = PathBytes::<4096>::new(path.as_bytes()).expect("it fits");
        let file = rig.call_back(be.open(stored, flags, 0)).expect("open");
        assert_eq!(rig.call_back(be.close(file)), Ok(()));
        let file = pin!(be.open(c"/dev/null", OpenFlags::RDONLY, 0)).wait().expect("a result");
        assert_eq!(pin!(be.close(file.expect("open"))).wait(), Some(Ok(())));
        let none = rig.block_on(be.open(c"/no/such/file", OpenFlags::RDONLY, 0));
        assert_eq!(none.err(), Some(Errno::NOENT));
    });
}

/// The errors of `open` are those of the system call.
pub fn open_fails_as_the_system_call_does<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, b"x").expect("a file");
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).expect("a link");
        let looping = dir.path().join("looping");
        std::os::unix::fs::symlink("looping", &looping).expect("a link");
        let read = OpenFlags::RDONLY;
        let excl = OpenFlags::CREATE | OpenFlags::EXCL;
        for (path, flags, errno) in [
            (dangling.clone(), read, Errno::NOENT),
            (dangling, OpenFlags::NOFOLLOW, Errno::LOOP),
            (looping, read, Errno::LOOP),
            (file.join("below"), read, Errno::NOTDIR),
            (file.clone(), OpenFlags::DIRECTORY, Errno::NOTDIR),
            (file, excl, Errno::EXIST),
            (dir.path().to_owned(), OpenFlags::WRONLY, Errno::ISDIR),
            (dir.path().join("none"), read, Errno::NOENT),
            ("".into(), read, Errno::NOENT),
        ] {
            let mem = mem_path(&path);
            let op = open(&mem, flags, 0);
            assert_eq!(oracle(&op, mem.only()), errno.to_result(), "{path:?} {flags:?}");
            same(rig, op, &[mem], &format!("{path:?} {flags:?}"));
        }
        let null = Op::Open(Open { dir: Fd::CWD, path: core::ptr::null(), flags: read, mode: 0 });
        same(rig, null, &[], "null path");
    });
}

/// Compares one operation that fails, in every form, with its system call.
fn same<B: IoBackend>(rig: &Rig<'_, B>, op: Op, keep: &[Mem], label: &str) {
    let expected = oracle(&op, keep);
    assert!(expected < 0, "{label}: meant to fail, but {expected}");
    for form in Form::ALL {
        assert_eq!(rig.run_as(form, op, keep), expected, "{label}, {form:?}");
    }
}

/// Paths of 4095 and 4096 bytes, of bytes that are no text, and flags of all ones.
pub fn long_and_odd_paths<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe\x80 \n"));
        std::fs::write(&odd, b"odd").expect("a file");
        let path = mem_path(&odd);
        let found = Desc::adopt(rig.run(open(&path, OpenFlags::RDONLY, 0), path.only()));
        assert_eq!(found.get(3), b"odd");
        let mut longest = b"/".repeat(4095 - 9);
        longest.extend_from_slice(b"/dev/null");
        let path = Mem::path(&longest);
        for form in Form::ALL {
            let result = rig.run_as(form, open(&path, OpenFlags::RDONLY, 0), path.only());
            drop(Desc::adopt(result));
        }
        longest.insert(0, b'/');
        let path = Mem::path(&longest);
        same(rig, open(&path, OpenFlags::RDONLY, 0), path.only(), "4096 bytes");
        let name = Mem::path(&b"n".repeat(256));
        same(rig, open(&name, OpenFlags::RDONLY, 0), name.only(), "a name of 256 bytes");
        let all = OpenFlags::from_bits_retain(u32::MAX);
        let null = Mem::path(b"/dev/null");
        let op = open(&null, all, u32::MAX);
        let expected = oracle(&op, null.only());
        for form in Form::ALL {
            let result = rig.run_as(form, op, null.only());
            assert_eq!(result.signum(), expected.signum(), "{form:?}: {result} for {expected}");
            if result < 0 {
                assert_eq!(result, expected, "{form:?}: flags of all ones");
            } else {
                drop(Desc::adopt(result));
            }
        }
        if expected >= 0 {
            drop(Desc::adopt(expected));
        }
    });
}

/// Only what was asked for: not `O_CLOEXEC`, not `O_NONBLOCK`.
pub fn open_adds_no_flags<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let path = Mem::path(b"/dev/null");
        for form in Form::ALL {
            let plain = rig.run_as(form, open(&path, OpenFlags::RDWR, 0), path.only());
            let plain = Desc::adopt(plain);
            assert!(!plain.is_cloexec(), "{form:?}: O_CLOEXEC was added");
            assert_eq!(plain.status_flags() & libc::O_NONBLOCK, 0, "{form:?}");
            assert_eq!(plain.status_flags() & libc::O_ACCMODE, libc::O_RDWR, "{form:?}");
            let flags = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK;
            let both = Desc::adopt(rig.run_as(form, open(&path, flags, 0), path.only()));
            assert!(both.is_cloexec(), "{form:?}: O_CLOEXEC was lost");
            assert_ne!(both.status_flags() & libc::O_NONBLOCK, 0, "{form:?}");
        }
    });
}

/// `open` starts from the directory it is given; bad ones fail as in the system call.
pub fn open_relative_to_a_directory<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("inside"), b"in").expect("a file");
        let dir = Desc::open(place.path().to_str().expect("text"));
        let name = Mem::path(b"inside");
        let at = |dir: Fd| {
            Op::Open(Open { dir, path: name.ptr().cast(), flags: OpenFlags::RDONLY, mode: 0 })
        };
        let file = Desc::adopt(rig.run(at(dir.raw()), name.only()));
        assert_eq!(file.get(2), b"in");
        same(rig, at(file.raw()), name.only(), "below a file");
        same(rig, at(Fd::new(-1)), name.only(), "below -1");
        same(rig, at(Fd::new(i32::MAX)), name.only(), "below a closed number");
        let (be, read) = (rig.backend(), OpenFlags::RDONLY | OpenFlags::CLOEXEC);
        let file = rig.block_on(be.open_at(dir.clone(), c"inside", read, 0)).expect("open_at");
        assert_eq!(Desc::adopt_owned(file).get(2), b"in");
        let below = be.open_at(Desc::file(b""), c"inside", read, 0);
        assert_eq!(rig.call_back(below).map(drop), Err(Errno::NOTDIR));
        assert_eq!(rig.block_on(be.open_at(dir, c"outside", read, 0)).map(drop), Err(Errno::NOENT));
    });
}

/// `fdatasync` of a file is 0, of what has no data on a device what the system call says.
pub fn fdatasync_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"data");
        let (reader, _writer) = Desc::pipe();
        let (socket, _peer) = Desc::pair();
        for form in Form::ALL {
            let op = Op::Fdatasync(Fdatasync { fd: file.raw() });
            assert_eq!(rig.run_as(form, op, &[]), 0, "{form:?}");
        }
        for fd in [reader.raw(), socket.raw(), Fd::new(-1), Fd::new(i32::MAX)] {
            same(rig, Op::Fdatasync(Fdatasync { fd }), &[], "fdatasync");
        }
        let be = rig.backend();
        assert_eq!(rig.block_on(be.fdatasync(file.clone())), Ok(()));
        assert_eq!(rig.call_back(be.fdatasync(file)), Ok(()));
        assert_eq!(rig.block_on(be.fdatasync(reader)), Err(Errno::INVAL));
    });
}

/// `close` closes; a second one is `EBADF`; it runs in every form.
pub fn close_closes_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for form in Form::ALL {
            let (reader, writer) = Desc::pipe();
            let fd = writer.to_owned_fd().into_raw();
            drop(writer);
            assert_eq!(rig.run_as(form, Op::Close(Close { fd }), &[]), 0, "{form:?}");
            // The only writer is gone: the end.
            assert_eq!(rig.block_on(rig.backend().read(reader, [0_u8; 1])).0, Ok(0), "{form:?}");
            let bad = Errno::BADF.to_result();
            assert_eq!(rig.run_as(form, Op::Close(Close { fd }), &[]), bad, "{form:?}");
            for fd in [-1, -100, i32::MAX, i32::MIN] {
                let close = Op::Close(Close { fd: Fd::new(fd) });
                assert_eq!(rig.run_as(form, close, &[]), bad, "{form:?} of {fd}");
            }
        }
    });
}

/// `fsync` of a file works, of a pipe it does not.
pub fn fsync_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"abc");
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, Op::Fsync(Fsync { fd: file.raw() }), &[]), 0, "{form:?}");
        }
        assert_eq!(rig.block_on(rig.backend().fsync(file.clone())), Ok(()));
        assert_eq!(rig.call_back(rig.backend().fsync(file)), Ok(()));
        let (reader, _writer) = Desc::pipe();
        same(rig, Op::Fsync(Fsync { fd: reader.raw() }), &[], "fsync of a pipe");
        assert_eq!(rig.block_on(rig.backend().fsync(reader)), Err(Errno::INVAL));
    });
}

/// `ftruncate` cuts and extends.
pub fn ftruncate_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"abcdef");
        let op = |len| Op::Ftruncate(Ftruncate { fd: file.raw(), len });
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, op(2), &[]), 0, "{form:?}");
            assert_eq!(file.content(), b"ab");
            assert_eq!(rig.run_as(form, op(4), &[]), 0, "{form:?}");
            assert_eq!(file.content(), b"ab\0\0");
        }
        assert_eq!(rig.block_on(rig.backend().ftruncate(file.clone(), 1)), Ok(()));
        assert_eq!(rig.call_back(rig.backend().ftruncate(file.clone(), 3)), Ok(()));
        assert_eq!(file.content(), b"a\0\0");
        same(rig, op(-1), &[], "a negative length");
        same(rig, op(i64::MIN), &[], "the most negative length");
        let (reader, _writer) = Desc::pipe();
        same(rig, Op::Ftruncate(Ftruncate { fd: reader.raw(), len: 0 }), &[], "of a pipe");
        let read_only = Desc::open("/proc/self/status");
        same(rig, Op::Ftruncate(Ftruncate { fd: read_only.raw(), len: 0 }), &[], "read-only");
    });
}

fn fstat(fd: Fd, out: &Mem) -> Op {
    Op::Fstat(Fstat { fd, out: out.ptr().cast() })
}

/// `fstat` fills the memory with what the standard library finds.
pub fn fstat_fills_the_memory<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"0123456789");
        let meta = file.std().metadata().expect("metadata");
        let check = |stat: &Stat, form: &str| {
            assert_eq!(stat.size, 10, "{form}");
            assert_eq!(stat.ino, meta.ino(), "{form}");
            assert_eq!(u32::from(stat.mode), meta.mode(), "{form}");
            assert_eq!(u64::from(stat.nlink), meta.nlink(), "{form}");
            assert_eq!((stat.uid, stat.gid), (meta.uid(), meta.gid()), "{form}");
            assert_eq!(stat.mtime.sec, meta.mtime(), "{form}");
            assert_eq!(i64::from(stat.mtime.nsec), meta.mtime_nsec(), "{form}");
            assert_eq!(stat.blocks, meta.blocks(), "{form}");
            assert_eq!(u64::from(stat.blksize), meta.blksize(), "{form}");
        };
        for form in Form::ALL {
            let out = Mem::filled(size_of::<Stat>(), 0xaa);
            assert_eq!(rig.run_as(form, fstat(file.raw(), &out), out.only()), 0, "{form:?}");
            check(&out.stat(), &format!("{form:?}"));
        }
        check(&rig.block_on(rig.backend().fstat(file.clone())).expect("fstat"), "typed");
        check(&rig.call_back(rig.backend().fstat(file.clone())).expect("fstat"), "typed callback");
        let null = Op::Fstat(Fstat { fd: file.raw(), out: core::ptr::null_mut() });
        same(rig, null, &[], "fstat to null");
        let out = Mem::zeroed(size_of::<Stat>());
        for fd in [-1, i32::MAX, i32::MIN] {
            same(rig, fstat(Fd::new(fd), &out), out.only(), "fstat of a bad number");
        }
    });
}

/// `fstat` works on whatever a descriptor can be.
pub fn fstat_of_every_kind_of_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let (pipe, _writer) = Desc::pipe();
        let (socket, _peer) = Desc::pair();
        let kinds = [pipe, socket, Desc::directory(), Desc::o_path(), Desc::open("/dev/null")];
        for file in kinds {
            let out = Mem::zeroed(size_of::<Stat>());
            let op = fstat(file.raw(), &out);
            assert_eq!(oracle(&op, out.only()), 0);
            let expected = out.stat();
            out.fill(0);
            assert_eq!(rig.run(op, out.only()), 0);
            let got = out.stat();
            assert_eq!((got.mode, got.ino, got.size), (expected.mode, expected.ino, expected.size));
        }
    });
}

/// `lseek` moves the position and returns it, for every whence.
pub fn lseek_in_every_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let file = Desc::file(b"0123456789");
        for form in Form::ALL {
            assert_eq!(rig.run_as(form, file.lseek_op(3, 0), &[]), 3, "{form:?}");
            assert_eq!(rig.run_as(form, file.lseek_op(4, 1), &[]), 7, "{form:?}");
            assert_eq!(rig.run_as(form, file.lseek_op(-1, 2), &[]), 9, "{form:?}");
            assert_eq!(rig.run_as(form, file.lseek_op(5 << 32, 0), &[]), 5 << 32, "{form:?}");
        }
        assert_eq!(rig.block_on(be.lseek(file.clone(), 2, Whence::Set)), Ok(2));
        assert_eq!(rig.call_back(be.lseek(file.clone(), 1, Whence::Current)), Ok(3));
        assert_eq!(rig.block_on(be.lseek(file.clone(), 0, Whence::End)), Ok(10));
        assert_eq!(rig.block_on(be.lseek(file.clone(), 4, Whence::Data)), Ok(4));
        assert_eq!(rig.block_on(be.lseek(file.clone(), 4, Whence::Hole)), Ok(10));
        for whence in [5, 99, u32::MAX] {
            same(rig, file.lseek_op(0, whence), &[], "an unknown whence");
        }
        same(rig, file.lseek_op(-1, 0), &[], "before the start");
        same(rig, file.lseek_op(i64::MAX, 1), &[], "past the largest offset");
        same(rig, file.lseek_op(11, 3), &[], "data behind the end");
        let (pipe, _writer) = Desc::pipe();
        same(rig, pipe.lseek_op(0, 1), &[], "of a pipe");
    });
}

/// `sendfile` copies from the offset or from the position, to a file, a pipe and a socket.
pub fn sendfile_to_every_kind_of_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let input = Desc::file(b"0123456789");
        let op = |output: &Desc, offset, len| {
            let (out_fd, in_fd) = (output.raw(), input.raw());
            Op::Sendfile(Sendfile { out_fd, in_fd, offset, len })
        };
        for form in Form::ALL {
            for (far, near) in [Desc::pipe(), Desc::pair()] {
                assert_eq!(rig.run_as(form, op(&near, Some(2), 4), &[]), 4, "{form:?}");
                assert_eq!(input.position(), 0, "an offset leaves the position alone");
                assert_eq!(rig.run_as(form, op(&near, None, 3), &[]), 3, "{form:?}");
                assert_eq!(input.position(), 3);
                assert_eq!(far.get(7), b"2345012", "{form:?}");
                assert_eq!(rig.run_as(form, op(&near, Some(8), 100), &[]), 2, "up to the end");
                assert_eq!(rig.run_as(form, op(&near, Some(10), 100), &[]), 0, "the end");
                assert_eq!(far.get(2), b"89");
                input.seek_to(0);
            }
            let output = Desc::file(b"");
            assert_eq!(rig.run_as(form, op(&output, Some(5), usize::MAX), &[]), 5, "{form:?}");
            assert_eq!(output.content(), b"56789");
            same(rig, op(&output, Some(-1), 1), &[], "a negative offset");
        }
        let (far, near) = Desc::pipe();
        assert_eq!(rig.block_on(be.sendfile(near.clone(), input.clone(), Some(1), 2)), Ok(2));
        assert_eq!(rig.call_back(be.sendfile(near.clone(), input.clone(), None, 1)), Ok(1));
        assert_eq!(far.get(3), b"120");
        let broken = { Desc::pipe().1 };
        same(rig, op(&broken, Some(0), 1), &[], "to a broken pipe");
        let from_pipe = Op::Sendfile(Sendfile {
            out_fd: near.raw(),
            in_fd: far.raw(),
            offset: Some(0),
            len: 1,
        });
        same(rig, from_pipe, &[], "from a pipe at an offset");
        let (bad, good) = (Fd::new(-1), input.raw());
        for (out_fd, in_fd) in [(bad, good), (near.raw(), bad)] {
            let op = Op::Sendfile(Sendfile { out_fd, in_fd, offset: None, len: 1 });
            same(rig, op, &[], "of a bad number");
        }
    });
}

/// `sendfile` to a full pipe goes on when there is room, however much it is to send; the pipe is non-blocking, so that
/// it holds nobody up.
pub fn sendfile_waits_for_room<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        for len in [4, usize::MAX] {
            let input = Desc::file(b"tail");
            let (reader, writer) = Desc::pipe();
            writer.set_nonblocking();
            let full = writer.fill_up();
            let mut send = pin!(rig.backend().sendfile(writer, input, Some(0), len));
            assert!(rig.poll_once(send.as_mut()).is_pending(), "{len}");
            rig.poll(Some(Duration::from_millis(1)));
            assert_eq!(rig.block_on(rig.backend().nop()), Ok(()));
            assert!(rig.poll_once(send.as_mut()).is_pending(), "{len}: did not wait");
            let _old = reader.get(full);
            assert_eq!(rig.block_on(send), Ok(4));
            assert_eq!(reader.get(4), b"tail");
        }
    });
}

fn needs_efault<F: Fixture>(fx: &F, kind: OpKind) {
    if fx.caps().faults.contains(&kind) {
        skip(format!("{} looks at its memory in user space", kind.name()));
    }
}

/// A path in memory that nobody may read.
pub fn a_path_that_cannot_be_read_is_efault<F: Fixture>(fx: &F) {
    needs_efault(fx, OpKind::Open);
    fx.both(|rig| {
        let outside = Mem::no_access(1);
        let op = open(&outside, OpenFlags::RDONLY, 0);
        same(rig, op, outside.only(), "a path that cannot be read");
    });
}

/// Metadata to memory that nobody may write.
pub fn fstat_to_a_closed_page_is_efault<F: Fixture>(fx: &F) {
    needs_efault(fx, OpKind::Fstat);
    fx.both(|rig| {
        let closed = Mem::no_access(size_of::<Stat>());
        let file = Desc::directory();
        let op = fstat(file.raw(), &closed);
        same(rig, op, closed.only(), "fstat to a closed page");
    });
}

/// Opening a FIFO for writing waits for a reader; `ENXIO` is for those who asked for `O_NONBLOCK`.
pub fn a_fifo_without_a_reader_is_no_error<F: Fixture>(fx: &F) {
    if fx.caps().blocking == Blocking::HoldsPoll {
        skip("the only thread would block in it");
    }
    fx.started(|rig| {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&place).status().expect("mkfifo");
        assert!(made.success());
        let path = mem_path(&place);
        let asked = OpenFlags::WRONLY | OpenFlags::NONBLOCK;
        same(rig, open(&path, asked, 0), path.only(), "with O_NONBLOCK");
        let mut raw = rig.raw(open(&path, OpenFlags::WRONLY | OpenFlags::CLOEXEC, 0), path.only());
        raw.submit().expect("submit");
        for _ in 0..20 {
            rig.poll(Some(Duration::from_millis(1)));
        }
        assert_eq!(raw.result(), None, "it did not wait");
        let reader = Desc::open(place.to_str().expect("text"));
        let writer = Desc::adopt(raw.wait());
        writer.put(b"through");
        assert_eq!(reader.get(7), b"through");
    });
}

/// Everything that is done to a file in its life, one after the other.
pub fn a_life_of_one_file<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("life");
        let path = c_path(&place);
        rig.block_on(async {
            let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::CLOEXEC;
            let file = be.open(path, flags, 0o600).await.expect("open");
            let file = Desc::adopt_owned(file);
            assert_eq!(be.write(file.clone(), b"0123456789".to_vec()).await.0, Ok(10));
            assert_eq!(be.fsync(file.clone()).await, Ok(()));
            assert_eq!(be.fstat(file.clone()).await.expect("fstat").size, 10);
            assert_eq!(be.ftruncate(file.clone(), 4).await, Ok(()));
            assert_eq!(be.lseek(file.clone(), 1, Whence::Set).await, Ok(1));
            assert_eq!(be.read(file.clone(), [0_u8; 8]).await, (Ok(3), *b"123\0\0\0\0\0"));
            let last = file.to_owned_fd();
            drop(file);
            assert_eq!(be.close(last).await, Ok(()));
        });
        assert!(exists(&place));
        assert_eq!(std::fs::read(&place).expect("reading it"), b"0123");
    });
}
