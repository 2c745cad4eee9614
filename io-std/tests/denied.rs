//! Where io_uring is denied: an error value with its cause, a fallback that says why, and never a crash.
//!
//! Each test denies one system call to a thread of its own, by a seccomp filter that the threads it starts
//! inherit.

use io_core::ops::Ops;
use io_core::{OpKind, OpSet};
use io_std::{Backend, File, Io};
use io_uring_backend::{Cause, Config, Local, UringBackend};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::thread;

/// Runs `body` on a thread for which this system call fails with `errno`.
fn denied(call: i64, errno: i32, body: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let arch = std::env::consts::ARCH.try_into().expect("an architecture of seccomp's");
        let deny = SeccompAction::Errno(errno.unsigned_abs());
        let rules = [(call, vec![])].into_iter().collect();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).expect("a filter");
        let program: BpfProgram = filter.try_into().expect("a program");
        seccompiler::apply_filter(&program).expect("seccomp");
        body();
    })
    .join()
    .expect("the body's assertions");
}

/// Epoll takes over, works, and the report has the kernel's reason.
fn auto_falls_back(errno: i32, cause: Cause) {
    let io = Io::builder().backend(Backend::Auto).build().expect("epoll needs no ring");
    assert_eq!(io.chosen().backend, Backend::Epoll);
    let refused = &io.chosen().refused;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let report = io.chosen().to_string();
    assert!(report.contains(cause.text()), "{report}");
    assert_eq!(refused[0].backend, Backend::Uring);
    assert_eq!(refused[0].errno.map(io_core::Errno::raw), Some(errno), "{refused:?}");
    let file = io.block_on(File::open(&io, "/proc/sys/kernel/ostype")).expect("open");
    let (count, buf) = io.block_on(io.pread(file, [0_u8; 16], 0));
    assert_eq!((count, &buf[..6]), (Ok(6), &b"Linux\n"[..]));
    // Forced, it is an error and no silent substitute.
    let error = Io::builder().backend(Backend::Uring).build().expect_err("no ring here");
    assert_eq!(error.refused()[0].errno.map(io_core::Errno::raw), Some(errno), "{error}");
}

fn ring_setup_fails(errno: i32, cause: Cause) {
    denied(libc::SYS_io_uring_setup, errno, move || {
        let error = UringBackend::<Local>::new(&Config::new()).expect_err("denied");
        assert_eq!((error.errno.raw(), error.cause), (errno, cause), "{error}");
        auto_falls_back(errno, cause);
    });
}

#[test]
fn a_kernel_without_the_system_call() {
    ring_setup_fails(libc::ENOSYS, Cause::MissingSyscall);
}

/// What a filter's EPERM is taken for: a sysctl that forbids it too comes first.
fn denial() -> Cause {
    let forbidden = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .is_ok_and(|value| value.trim() != "0");
    if forbidden { Cause::DeniedBySysctl } else { Cause::Denied }
}

#[test]
fn a_filter_that_forbids_it() {
    assert!(Cause::Denied.text().contains("seccomp"));
    ring_setup_fails(libc::EPERM, denial());
}

#[test]
fn too_little_lockable_memory() {
    ring_setup_fails(libc::ENOMEM, Cause::Memlock);
}

#[test]
fn no_descriptor_left() {
    ring_setup_fails(libc::EMFILE, Cause::TooManyFiles);
}

#[test]
fn entering_is_denied_and_setting_up_is_not() {
    denied(libc::SYS_io_uring_enter, libc::EPERM, || {
        let error = UringBackend::<Local>::new(&Config::new()).expect_err("useless");
        assert_eq!(error.cause, denial(), "{error}");
        auto_falls_back(libc::EPERM, denial());
    });
}

#[test]
fn registering_is_denied_and_setting_up_is_not() {
    denied(libc::SYS_io_uring_register, libc::EPERM, || {
        let error = UringBackend::<Local>::new(&Config::new()).expect_err("useless");
        assert_eq!((error.errno.raw(), error.cause), (libc::EPERM, denial()), "{error}");
        auto_falls_back(libc::EPERM, denial());
    });
}

/// A kernel without some opcodes has a ring all the same, and the report names them.
#[test]
fn missing_opcodes_are_named() {
    let lacks = OpSet::of(OpKind::Open) | OpSet::of(OpKind::Send);
    match Io::builder().backend(Backend::Uring).ring_lacks(lacks).build() {
        Ok(io) => {
            let report = io.chosen();
            assert!(report.missing.has(OpKind::Open) && report.missing.has(OpKind::Send));
            assert!(report.why.contains("opcode missing in this kernel: "), "{report}");
            assert!(report.why.contains("open") && report.why.contains("send"), "{report}");
            let file =
                io.block_on(File::open(&io, "/proc/sys/kernel/ostype")).expect("by a worker");
            let (count, _) = io.block_on(io.pread(file, [0_u8; 16], 0));
            assert_eq!(count, Ok(6));
        }
        Err(error) => println!("SKIPPED: {error}"),
    }
}
