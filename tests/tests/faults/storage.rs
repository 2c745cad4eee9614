//! Files that are full, broken, or slow to give.

use crate::load::{Noted, Props, batch, works};
use core::time::Duration;
use io_conformance::Desc;
use io_conformance::fault::{Behaviour, FaultyFile, FileSize, Tmpfs, flat};
use io_conformance::fixture::Fixture;
use io_conformance::mem::Mem;
use io_conformance::oracle::oracle;
use io_conformance::rig::{Form, Note};
use io_conformance::watchdog::rounds;
use io_core::op::{Fsync, Ftruncate, Pread, Preadv, Pwrite, Pwritev, Write, Writev};
use io_core::syscall::{deadline_in, now_ns};
use io_core::{Errno, Op, Seekable};

fn pread(file: &Desc, mem: &Mem, offset: i64) -> Op {
    let (buf, len) = (mem.ptr(), mem.len());
    Op::Pread(Pread { fd: file.raw(), seekable: Seekable::Unknown, buf, len, offset })
}

fn pwrite(file: &Desc, mem: &Mem, offset: i64) -> Op {
    let (buf, len) = (mem.ptr(), mem.len());
    Op::Pwrite(Pwrite { fd: file.raw(), seekable: Seekable::Unknown, buf, len, offset })
}

/// Four pieces of 24 KiB for a file system of 64 KiB: the write ends in the third, as the plain call does, and
/// the next one says that there is no space.
pub(crate) fn no_space<F: Fixture>(fx: &F) {
    flat(rounds(3), "a full file system", || {
        let full = Tmpfs::of_kib(64);
        let file = Desc::from(full.file("full"));
        let parts: Vec<_> = (1..=4).map(|byte| Mem::filled(24 << 10, byte)).collect();
        let table = Mem::table(&parts);
        let keep: Vec<_> = parts.iter().chain([&table]).cloned().collect();
        let (fd, iov, count) = (file.raw(), table.ptr().cast_const().cast(), parts.len());
        let at_position = Op::Writev(Writev { fd, iov, count });
        let seekable = Seekable::Unknown;
        let at_offset = Op::Pwritev(Pwritev { fd, seekable, iov, count, offset: 0 });
        let one = Op::Write(Write { fd, buf: parts[0].ptr(), len: 1 });
        let clear = || {
            file.std().set_len(0).expect("truncating");
            file.seek_to(0);
        };
        let plain = oracle(&at_position, &keep);
        assert_eq!(plain, 64 << 10, "what fits");
        let content = file.content();
        fx.started(|rig| {
            for form in Form::ALL {
                for op in [at_position, at_offset] {
                    clear();
                    assert_eq!(rig.run_as(form, op, &keep), plain, "{form:?}");
                    assert!(file.content() == content, "what was written");
                    let no_space = Errno::NOSPC.to_result();
                    assert_eq!(rig.run_as(form, one, &keep), no_space, "{form:?}");
                }
            }
            clear();
            assert_eq!(rig.run(one, &keep), 1, "there is space again");
            works(rig);
        });
    });
}

/// A limit on the size of files cuts a write short, as it does the plain call's; nothing is written behind it.
pub(crate) fn file_too_large<F: Fixture>(fx: &F) {
    flat(rounds(3), "a limit on the size of files", || {
        let file = Desc::file(b"");
        let mem = Mem::filled(8192, 9);
        let (cut, behind) = (pwrite(&file, &mem, 5000), pwrite(&file, &mem, 10_000));
        let longer = Op::Ftruncate(Ftruncate { fd: file.raw(), len: 10_001 });
        let too_large = Errno::FBIG.to_result();
        fx.started(|rig| {
            for form in Form::ALL {
                let limit = FileSize::at_most(10_000);
                assert_eq!(oracle(&cut, mem.only()), 5000, "the plain call");
                assert_eq!(rig.run_as(form, cut, mem.only()), 5000, "{form:?}");
                for op in [behind, longer] {
                    assert_eq!(oracle(&op, mem.only()), too_large, "the plain call");
                    assert_eq!(rig.run_as(form, op, mem.only()), too_large, "{form:?}: {op:?}");
                }
                assert_eq!(file.content().len(), 10_000);
                drop(limit);
                assert_eq!(rig.run_as(form, cut, mem.only()), 8192, "without the limit");
                file.std().set_len(0).expect("truncating");
            }
            works(rig);
        });
    });
}

/// A read of an address that is not there, through `/proc/self/mem`, and one that begins before it.
pub(crate) fn no_such_memory<F: Fixture>(fx: &F) {
    flat(rounds(3), "a read of no memory", || {
        let memory = Desc::open("/proc/self/mem");
        // It ends at a page that nobody may touch; the page behind that is nobody's or another mapping's.
        let source = Mem::filled(4096, 7);
        let hole = Mem::no_access(4096);
        drop(hole.clone());
        let mem = Mem::zeroed(64);
        let at = |address: usize| pread(&memory, &mem, i64::try_from(address).expect("user space"));
        fx.started(|rig| {
            for form in Form::ALL {
                let low = at(4096);
                let expected = oracle(&low, mem.only());
                assert_eq!(expected, Errno::IO.to_result(), "the plain call");
                assert_eq!(rig.run_as(form, low, mem.only()), expected, "{form:?}");
                let good = at(source.ptr().addr());
                assert_eq!(rig.run_as(form, good, mem.only()), 64, "{form:?}");
                assert!(mem.all(7));
            }
            works(rig);
        });
    });
}

const HALF: u64 = 512 << 10;

/// A file whose second half cannot be read, written or synced.
pub(crate) fn a_broken_file<F: Fixture>(fx: &F, errno: Errno) {
    let broken = Behaviour { fails_from: HALF, errno, at_most: 128 << 10, cached: false };
    // One mount for all rounds, because the kernel ends one in its own time.
    let broken = FaultyFile::new(broken);
    flat(rounds(3), "a broken file", || {
        let file = Desc::from(broken.open());
        let mem = Mem::zeroed(8192);
        let half = i64::try_from(HALF).expect("small");
        fx.started(|rig| {
            for form in Form::ALL {
                let run = |op| {
                    let plain = oracle(&op, mem.only());
                    assert_eq!(rig.run_as(form, op, mem.only()), plain, "{form:?}: {op:?}");
                    plain
                };
                let broken = errno.to_result();
                assert_eq!(run(pread(&file, &mem, half)), broken);
                assert_eq!(run(pread(&file, &mem, half + 12_345)), broken);
                assert_eq!(run(pwrite(&file, &mem, half)), broken);
                assert_eq!(run(Op::Fsync(Fsync { fd: file.raw() })), broken);
                // What begins before it ends there.
                assert_eq!(run(pwrite(&file, &mem, half - 4096)), 4096);
                assert_eq!(run(pread(&file, &mem, 0)), 8192);
                assert!(mem.bytes(8192).iter().zip(0..).all(|(&b, at)| b == FaultyFile::byte(at)));
                file.seek_to(HALF);
                assert_eq!(rig.run_as(form, file.read_op(&mem), mem.only()), broken);
                assert_eq!(file.position(), HALF, "a failed read moves nothing");
            }
            works(rig);
        });
    });
}

/// At most 1000 bytes at a time, and none from the middle on.
const SHORT: Behaviour =
    Behaviour { fails_from: HALF, errno: Errno::IO, at_most: 1000, cached: false };

/// A file that takes at most 1000 bytes at a time: the result says so.
pub(crate) fn short_writes<F: Fixture>(fx: &F) {
    let short = FaultyFile::new(SHORT);
    flat(rounds(3), "short writes", || {
        let file = Desc::from(short.open());
        let mem = Mem::zeroed(8192);
        fx.started(|rig| {
            for form in Form::ALL {
                let op = pwrite(&file, &mem, 5);
                assert_eq!(oracle(&op, mem.only()), 1000, "the plain call");
                assert_eq!(rig.run_as(form, op, mem.only()), 1000, "{form:?}");
            }
            works(rig);
        });
    });
}

/// A file that gives at most 1000 bytes at a time: the same for reads, and what comes next at the position goes on
/// there.
pub(crate) fn short_reads<F: Fixture>(fx: &F) {
    let short = FaultyFile::new(SHORT);
    let good =
        |bytes: &[u8], at: u64| bytes.iter().zip(at..).all(|(&b, at)| b == FaultyFile::byte(at));
    flat(rounds(3), "short reads", || {
        let file = Desc::from(short.open());
        let mem = Mem::zeroed(8192);
        let parts: Vec<_> = (0..3).map(|_| Mem::zeroed(700)).collect();
        let table = Mem::table(&parts);
        let keep: Vec<_> = parts.iter().chain([&table]).cloned().collect();
        let (fd, iov, count) = (file.raw(), table.ptr().cast_const().cast(), parts.len());
        let vector = Preadv { fd, seekable: Seekable::Unknown, iov, count, offset: 40 };
        fx.started(|rig| {
            for form in Form::ALL {
                let op = pread(&file, &mem, 5);
                assert_eq!(oracle(&op, mem.only()), 1000, "the plain call");
                assert_eq!(rig.run_as(form, op, mem.only()), 1000, "{form:?}");
                assert!(good(&mem.bytes(1000), 5));
                assert_eq!(rig.run_as(form, Op::Preadv(vector), &keep), 1000, "{form:?}");
                assert!(good(&parts[0].bytes(700), 40) && good(&parts[1].bytes(300), 740));
                // What begins before the end of what can be read ends there.
                let last = pread(&file, &mem, i64::try_from(HALF).expect("small") - 10);
                assert_eq!(rig.run_as(form, last, mem.only()), 10, "{form:?}");
                file.seek_to(0);
                for total in 0..5 {
                    let count = rig.run_as(form, file.read_op(&mem), mem.only());
                    assert_eq!((count, file.position()), (1000, 1000 * (total + 1)), "{form:?}");
                    assert!(good(&mem.bytes(1000), 1000 * total));
                }
                let count = rig.run_as(form, file.write_op(&mem), mem.only());
                assert_eq!((count, file.position()), (1000, 6000), "{form:?}");
            }
            works(rig);
        });
    });
}

/// Lets a file answer when dropped.
struct Release<'f>(&'f FaultyFile);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A file that does not answer, in a sleep that no signal ends: everything else goes on; a cancel and a deadline
/// wait for the answer, because the memory is the kernel's until then.
pub(crate) fn no_answer<F: Fixture>(fx: &F, cached: bool) {
    let silent = FaultyFile::holding(cached);
    flat(rounds(2), "a file that does not answer", || {
        let file = Desc::from(silent.open());
        let (props, mems) = (Props::new(4), [Mem::zeroed(64), Mem::zeroed(64), Mem::zeroed(64)]);
        let read = |i: usize| pread(&file, &mems[i], 40 * i64::try_from(i).expect("small"));
        fx.started(|rig| {
            let mut plain = Noted::submit(rig, read(0), mems[0].only());
            let mut cancelled = Noted::submit(rig, read(1), mems[1].only());
            let deadline = deadline_in(Duration::from_millis(5));
            let (mut timed, note) =
                (rig.timed(read(2), mems[2].only(), deadline), Note::new(rig.signal()));
            timed.submit_callback(note.hook()).expect("submit");
            rig.poll(Some(Duration::ZERO));
            silent.wait_for_one();
            // Also when this test fails: whoever drops them waits for the answer.
            let release = Release(&silent);
            cancelled.raw.cancel();
            while !deadline.is_over(now_ns) {
                batch(rig, &props);
            }
            batch(rig, &props);
            assert!(!plain.is_done(), "nobody has answered, but it is {}", plain.result());
            drop(release);
            rig.until(|| plain.is_done() && cancelled.is_done() && note.calls() > 0);
            assert_eq!(plain.result(), 64);
            assert!(mems[0].bytes(64).iter().zip(0..).all(|(&b, at)| b == FaultyFile::byte(at)));
            let (canceled, late) = (Errno::CANCELED.to_result(), Errno::TIMEDOUT.to_result());
            assert!([64, canceled].contains(&cancelled.result()), "{}", cancelled.result());
            assert!([64, late].contains(&note.result()), "{}", note.result());
            assert_eq!(note.calls(), 1, "one completion");
            works(rig);
        });
    });
}
