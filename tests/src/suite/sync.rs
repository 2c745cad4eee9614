//! The blocking forms, on the thread that drives the backend.

use super::Case;
use crate::desc::{Desc, Seeking};
use crate::fixture::Fixture;
use crate::rig::Note;
use io_core::ops::Ops;
use io_core::{Errno, IoBackend, Op};

/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![
        Case::of(every_sync_form::<F>),
        Case::of(sync_forms_go_through_the_backend::<F>),
        Case::of(sync_forms_fail_as_the_others_do::<F>),
        Case::of(sync_forms_deliver_nothing::<F>),
    ]
}

/// Read, write, fsync, ftruncate and fstat, blocking.
pub fn every_sync_form<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let file = Desc::file(b"");
        assert_eq!(be.submit_write_sync(&file, b"hello world", 0), Ok(11));
        let mut buf = [0; 5];
        assert_eq!(be.submit_read_sync(&file, &mut buf, 6), Ok(5));
        assert_eq!(&buf, b"world");
        assert_eq!(be.submit_read_sync(&Seeking(file.clone()), &mut buf, 0), Ok(5));
        assert_eq!(&buf, b"hello");
        assert_eq!(be.submit_fsync_sync(&file), Ok(()));
        assert_eq!(be.submit_ftruncate_sync(&file, 5), Ok(()));
        assert_eq!(be.submit_fstat_sync(&file).map(|stat| stat.size), Ok(5));
        assert_eq!(be.submit_read_sync(&file, &mut buf, 3), Ok(2), "short at the end");
        assert_eq!(be.submit_read_sync(&file, &mut buf, 5), Ok(0), "the end");
    });
}

/// They are operations of the backend, not system calls beside it.
pub fn sync_forms_go_through_the_backend<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let file = Desc::file(b"x");
        for _ in 0..10 {
            assert_eq!(rig.backend().submit_read_sync(&file, &mut [0], 0), Ok(1));
        }
        assert_eq!(rig.backend().counters().submitted, 10);
    });
}

/// Their errors are those of the operations.
pub fn sync_forms_fail_as_the_others_do<F: Fixture>(fx: &F) {
    fx.both(|rig| {
        let be = rig.backend();
        let (pipe, _writer) = Desc::pipe();
        assert_eq!(be.submit_read_sync(&pipe, &mut [0], 0), Err(Errno::SPIPE));
        assert_eq!(be.submit_read_sync(&Desc::file(b""), &mut [0], -1), Err(Errno::INVAL));
        assert_eq!(be.submit_write_sync(&Desc::open("/dev/null"), b"x", 0), Err(Errno::BADF));
        assert_eq!(be.submit_fsync_sync(&pipe), Err(Errno::INVAL));
        assert_eq!(be.submit_ftruncate_sync(&pipe, 0), Err(Errno::INVAL));
        assert_eq!(
            be.submit_fstat_sync(&Desc::o_path()).map(|stat| stat.mode & 0o170_000),
            Ok(0o040_000)
        );
    });
}

/// A blocking form runs nobody's callback.
pub fn sync_forms_deliver_nothing<F: Fixture>(fx: &F) {
    fx.unstarted(|rig| {
        let note = Note::new(rig.signal());
        let mut nop = rig.raw(Op::Nop(io_core::op::Nop), &[]);
        nop.submit_callback(note.hook()).expect("submit");
        let file = Desc::file(b"x");
        for _ in 0..20 {
            assert_eq!(rig.backend().submit_read_sync(&file, &mut [0], 0), Ok(1));
        }
        assert_eq!(note.calls(), 0);
        assert_eq!(note.wait(rig), 0);
    });
}
