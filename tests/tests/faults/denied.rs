//! io_uring forbidden: by a sandbox, by the sysctl, by limits. And no thread to be had.

use crate::load::works;
use io_conformance::fault::{
    Answer, Disabled, LockedMemory, Supervisor, as_nobody, denied, flat, not_here,
};
use io_conformance::fixture::Fixture;
use io_conformance::watchdog::rounds;
use io_core::ops::Ops;
use io_core::{Errno, OpKind, OpSet};
use io_std::{Backend, File, Io};
use io_uring_backend::{BuildError, Cause, Config, Local, UringBackend};

static RING: &[i64] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// A backend that makes no system call of io_uring does not care.
pub(crate) fn never_asked<F: Fixture>(fx: &F) {
    let ring = Supervisor::over(RING);
    ring.script(|_| Answer::Fail(Errno::PERM));
    flat(rounds(3), "no ring", || fx.both(works));
    assert_eq!(ring.seen(), 0, "calls of io_uring");
}

/// A system call that is denied.
pub(crate) struct Denial {
    call: i64,
    errno: Errno,
    cause: Cause,
}

pub(crate) const SETUP_ENOSYS: Denial =
    Denial { call: libc::SYS_io_uring_setup, errno: Errno::NOSYS, cause: Cause::MissingSyscall };
pub(crate) const SETUP_EPERM: Denial =
    Denial { call: libc::SYS_io_uring_setup, errno: Errno::PERM, cause: Cause::Denied };
pub(crate) const SETUP_ENOMEM: Denial =
    Denial { call: libc::SYS_io_uring_setup, errno: Errno::NOMEM, cause: Cause::Memlock };
pub(crate) const SETUP_EMFILE: Denial =
    Denial { call: libc::SYS_io_uring_setup, errno: Errno::MFILE, cause: Cause::TooManyFiles };
pub(crate) const ENTER_EPERM: Denial =
    Denial { call: libc::SYS_io_uring_enter, errno: Errno::PERM, cause: Cause::Denied };
pub(crate) const REGISTER_EPERM: Denial =
    Denial { call: libc::SYS_io_uring_register, errno: Errno::PERM, cause: Cause::Denied };

impl Denial {
    /// Takes it apart, where there is a ring unless it is denied.
    fn here(&self) -> (i64, Errno, Cause) {
        if let Err(error) = UringBackend::<Local>::new(&Config::new()) {
            not_here(error.to_string());
        }
        (self.call, self.errno, self.cause)
    }
}

/// There is no ring, and the error says why.
pub(crate) fn ring(denial: &Denial) {
    let (call, errno, cause) = denial.here();
    flat(rounds(3), "a ring that is denied", || {
        denied(call, errno, || {
            let error = UringBackend::<Local>::new(&Config::new()).expect_err("denied");
            assert_eq!((error.errno, error.cause), (errno, cause), "{error}");
            // Forced, it is an error and no silent substitute.
            let error = Io::builder().backend(Backend::Uring).build().expect_err("no ring here");
            assert_eq!(error.refused().len(), 1, "{error}");
            assert_eq!(error.refused()[0].errno, Some(errno), "{error}");
        });
    });
    assert!(Cause::Denied.text().contains("seccomp"));
}

/// Epoll takes over, works, and the report has the kernel's reason.
pub(crate) fn auto(denial: &Denial) {
    let (call, errno, cause) = denial.here();
    flat(rounds(3), "another backend for a ring that is denied", || {
        denied(call, errno, || {
            let io = Io::builder().backend(Backend::Auto).build().expect("epoll needs no ring");
            assert_eq!(io.chosen().backend, Backend::Epoll);
            let refused = &io.chosen().refused;
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert_eq!((refused[0].backend, refused[0].errno), (Backend::Uring, Some(errno)));
            assert!(io.chosen().to_string().contains(cause.text()), "{}", io.chosen());
            reads(&io);
        });
    });
}

/// A backend that was chosen works.
fn reads(io: &Io) {
    assert_eq!(io.block_on(io.nop()), Ok(()));
    let file = io.block_on(File::open(io, "/proc/sys/kernel/ostype")).expect("open");
    let (count, buf) = io.block_on(io.pread(file, [0_u8; 16], 0));
    assert_eq!((count, &buf[..6]), (Ok(6), &b"Linux\n"[..]));
}

/// No ring, because the sysctl says so.
fn refused_by_sysctl(refused: Result<UringBackend<Local>, BuildError>) {
    let error = refused.expect_err("forbidden");
    assert_eq!((error.errno, error.cause), (Errno::PERM, Cause::DeniedBySysctl));
}

/// Epoll in its place.
fn epoll_by_sysctl(io: &Io) {
    assert_eq!(io.chosen().backend, Backend::Epoll);
    assert!(io.chosen().to_string().contains("kernel.io_uring_disabled"), "{}", io.chosen());
    let refused = &io.chosen().refused[0];
    assert!(refused.why.contains(Cause::DeniedBySysctl.text()), "{refused}");
    reads(io);
}

/// 1 forbids it to the unprivileged: programs of root that run beside this one keep theirs.
pub(crate) fn by_sysctl_1() {
    flat(rounds(2), "no ring by sysctl", || {
        let _disabled = Disabled::set("1");
        as_nobody(|| {
            refused_by_sysctl(UringBackend::<Local>::new(&Config::new()));
            let error = Io::builder().backend(Backend::Uring).build().expect_err("forced");
            assert!(error.to_string().contains("kernel.io_uring_disabled"), "{error}");
        });
        drop(UringBackend::<Local>::new(&Config::new()).expect("root may"));
    });
}

/// Epoll takes over for the unprivileged, and says why.
pub(crate) fn auto_by_sysctl_1() {
    flat(rounds(2), "another backend by sysctl", || {
        let _disabled = Disabled::set("1");
        as_nobody(|| epoll_by_sysctl(&Io::builder().build().expect("epoll needs no ring")));
    });
}

/// 2 forbids it to everybody.
pub(crate) fn by_sysctl_2() {
    let _: Result<_, _> = UringBackend::<Local>::new(&Config::new());
    flat(rounds(2), "no ring by sysctl", || {
        let disabled = Disabled::set("2");
        let refused = UringBackend::<Local>::new(&Config::new());
        drop(disabled);
        refused_by_sysctl(refused);
    });
    drop(UringBackend::<Local>::new(&Config::new()).expect("allowed again"));
}

/// Epoll takes over, and says why.
pub(crate) fn auto_by_sysctl_2() {
    flat(rounds(2), "another backend by sysctl", || {
        let disabled = Disabled::set("2");
        let built = Io::builder().backend(Backend::Auto).build();
        drop(disabled);
        epoll_by_sysctl(&built.expect("epoll needs no ring"));
    });
}

/// With little to lock: kernels before 5.12 count a ring as locked memory, newer ones do not.
fn with_little_to_lock(body: impl Fn() + Sync) {
    flat(rounds(2), "little memory to lock", || {
        for bytes in [0, 64 << 10] {
            let _limit = LockedMemory::at_most(bytes);
            as_nobody(&body);
        }
    });
}

/// A ring, or its cause.
pub(crate) fn little_to_lock() {
    with_little_to_lock(|| match UringBackend::<Local>::new(&Config::new()) {
        Ok(ring) => drop(ring),
        Err(error) => assert_eq!((error.errno, error.cause), (Errno::NOMEM, Cause::Memlock)),
    });
}

/// A ring, or another backend and the cause.
pub(crate) fn auto_with_little_to_lock() {
    with_little_to_lock(|| {
        let io = Io::builder().build().expect("one of them works");
        if io.chosen().backend != Backend::Uring {
            let refused = &io.chosen().refused[0];
            assert!(refused.why.contains(Cause::Memlock.text()), "{refused}");
        }
        reads(&io);
    });
}

/// A kernel without some opcodes has a ring all the same, and the report names them.
pub(crate) fn missing_opcodes_are_named() {
    let lacks = OpSet::of(OpKind::Open) | OpSet::of(OpKind::Send);
    flat(rounds(2), "a ring without opcodes", || {
        let io = match Io::builder().backend(Backend::Uring).ring_lacks(lacks).build() {
            Ok(io) => io,
            Err(error) => not_here(error.to_string()),
        };
        let report = io.chosen();
        assert!(report.missing.has(OpKind::Open) && report.missing.has(OpKind::Send));
        assert!(report.why.contains("opcode missing in this kernel: "), "{report}");
        assert!(report.why.contains("open") && report.why.contains("send"), "{report}");
        reads(&io);
    });
}

static CLONE: &[i64] = &[libc::SYS_clone3, libc::SYS_clone];

/// The process may have no more threads: an error with the reasons, whichever thread it is, and nothing is
/// left behind.
pub(crate) fn no_thread_to_be_had() {
    let clone = Supervisor::over(CLONE);
    flat(rounds(3), "a backend without threads", || {
        let mut refused = 0;
        for k in 1.. {
            let mut count = 0;
            // From the k-th thread on.
            let script = move |_: &_| {
                count += 1;
                if count >= k { Answer::Fail(Errno::AGAIN) } else { Answer::Go }
            };
            let mut built = None;
            let changed = clone.during(script, || built = Some(Io::builder().build()));
            match built.expect("it was built or not") {
                Ok(io) => reads(&io),
                Err(error) => assert!(error.refused().len() == 3, "{error}"),
            }
            if changed == 0 {
                break;
            }
            refused += changed;
        }
        assert!(refused > 0, "it starts threads");
    });
}
