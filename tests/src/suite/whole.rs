//! A transfer done in two steps is one transfer: what was moved is reported, and moved once.
#![allow(unsafe_code, reason = "drops pages from the kernel's cache")]
//! # Safety
//! The calls take numbers only, of descriptors that are open.

use super::Case;
use crate::desc::Desc;
use crate::fixture::{Fixture, Needs};
use crate::mem::Mem;
use crate::rig::Form;
use io_core::op::{Pwrite, Pwritev};
use io_core::{Errno, Op, Seekable};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(a_cancelled_read_reports_what_it_took::<F>).needs(Needs::Object),
        Case::of(a_mebibyte_is_appended_once::<F>).needs(Needs::Object),
    ]
}

fn pattern(len: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(len).collect()
}

/// Leaves only the first page of a file in the kernel's cache, so that a read has a part that is there and
/// a part that has to be waited for. A file system without a device keeps it all; the test then sees less.
fn evict_all_but_one_page(file: &Desc) {
    file.std().sync_all().expect("fsync");
    let fd = file.raw().raw();
    for advice in [libc::POSIX_FADV_DONTNEED, libc::POSIX_FADV_RANDOM] {
        // SAFETY: takes numbers.
        let taken = unsafe { libc::posix_fadvise(fd, 0, 0, advice) };
        assert_eq!(taken, 0, "posix_fadvise");
    }
    file.seek_to(0);
    drop(file.get(1));
    file.seek_to(0);
}

/// A read cancelled in the middle ends with the bytes it took from the position, or with `ECANCELED` and
/// the position where it was.
pub fn a_cancelled_read_reports_what_it_took<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let bytes = pattern(64 * 1024);
        for len in [8 * 1024, bytes.len()] {
            let file = Desc::file(&bytes);
            for round in 0..6 {
                evict_all_but_one_page(&file);
                let mem = Mem::zeroed(len);
                let mut read = rig.raw(file.read_op(&mem), mem.only());
                read.submit().expect("submit");
                if round % 2 == 1 {
                    rig.poll(Some(core::time::Duration::ZERO));
                }
                read.cancel();
                let result = read.wait();
                let label = format!("{len} bytes, round {round}: {result}");
                if result == Errno::CANCELED.to_result() {
                    assert_eq!(file.position(), 0, "{label}");
                    continue;
                }
                let count = usize::try_from(result).expect(&label);
                assert!(count > 0, "{label}: not the end");
                assert_eq!(file.position(), count as u64, "{label}");
                assert_eq!(mem.bytes(count), bytes[..count], "{label}");
            }
        }
    });
}

/// With `O_APPEND` a positional write goes to the end whatever its offset is: also a long one is there once
/// and whole.
pub fn a_mebibyte_is_appended_once<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let named = tempfile::NamedTempFile::new().expect("a temporary file");
        let opened = std::fs::File::options().append(true).read(true).open(named.path());
        let file = Desc::from(opened.expect("opening it"));
        let mem = Mem::copy_of(&pattern(1 << 20));
        let table = Mem::table(mem.only());
        let keep = [mem.clone(), table.clone()];
        let (fd, seekable, offset) = (file.raw(), Seekable::Unknown, 0);
        let (buf, len, iov, count) = (mem.ptr(), mem.len(), table.ptr().cast(), 1);
        for op in [
            Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
            Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
            file.write_op(&mem),
        ] {
            for form in Form::ALL {
                std::fs::write(named.path(), b"start").expect("filling it");
                let written = rig.run_as(form, op, &keep);
                assert_eq!(usize::try_from(written), Ok(len), "{form:?}: {op:?}");
                let content = file.content();
                assert_eq!(content.len(), 5 + len, "{form:?}: {op:?}");
                assert!(content.starts_with(b"start"), "{form:?}: {op:?}");
                assert!(content[5..] == mem.bytes(len)[..], "{form:?}: {op:?}");
            }
        }
    });
}
