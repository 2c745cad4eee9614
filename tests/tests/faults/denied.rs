//! io_uring forbidden: by the sysctl, for root too. And no thread to be had.

use crate::load::works;
use io_conformance::fault::{Answer, Disabled, Supervisor, flat};
use io_conformance::fixture::Fixture;
use io_conformance::watchdog::rounds;
use io_core::Errno;
use io_core::ops::Ops;
use io_std::{Backend, Io};
use io_uring_backend::{Cause, Config, Local, UringBackend};

static RING: &[i64] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// A backend that makes no system call of io_uring does not care.
pub(crate) fn never_asked<F: Fixture>(fx: &F) {
    let ring = Supervisor::over(RING);
    ring.script(|_| Answer::Fail(Errno::PERM));
    flat(rounds(3), "no ring", || fx.both(works));
    assert_eq!(ring.seen(), 0, "calls of io_uring");
}

/// 2 forbids it to everybody.
pub(crate) fn by_sysctl_2() {
    let _: Result<_, _> = UringBackend::<Local>::new(&Config::new());
    flat(rounds(2), "no ring by sysctl", || {
        let disabled = Disabled::set("2");
        let refused = UringBackend::<Local>::new(&Config::new());
        drop(disabled);
        let error = refused.expect_err("forbidden");
        assert_eq!((error.errno, error.cause), (Errno::PERM, Cause::DeniedBySysctl));
    });
    drop(UringBackend::<Local>::new(&Config::new()).expect("allowed again"));
}

/// Epoll takes over, and says why.
pub(crate) fn auto_by_sysctl_2() {
    flat(rounds(2), "another backend by sysctl", || {
        let disabled = Disabled::set("2");
        let built = Io::builder().backend(Backend::Auto).build();
        drop(disabled);
        let io = built.expect("epoll needs no ring");
        assert_eq!(io.chosen().backend, Backend::Epoll);
        assert!(io.chosen().to_string().contains("kernel.io_uring_disabled"), "{}", io.chosen());
        assert_eq!(io.block_on(io.nop()), Ok(()));
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
                Ok(io) => assert_eq!(io.block_on(io.nop()), Ok(())),
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
