//! What a process does once, with the first backend: the page by which a forked child is told. Each test is in a
//! child of its own, since this process must not have made one.
#![allow(unsafe_code, reason = "forks")]
//! # Safety
//! The children of this file use the allocator and start threads, which glibc permits after a `fork(2)`
//! of a program with threads, and end with `_exit(2)`.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use io_core::fork::Lineage;
use io_core::{Deadline, Errno, StopError};
use io_std::{Backend, File, Io};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::panic::catch_unwind;
use std::thread;

/// Runs `body` in a forked child, and asserts that it returns within a minute.
#[track_caller]
fn in_child(body: impl FnOnce()) {
    // SAFETY: see the top of the file.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        // SAFETY: only a number; the alarm's default action ends a child that hangs.
        unsafe { libc::alarm(60) };
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends this process, which shares nothing that must be told.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable, and `child` is a child of ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child's assertions");
}

/// From here on no page of this thread's can be wiped in a child, as before Linux 4.14.
fn forbid_wiping() {
    let advice = u64::from(libc::MADV_WIPEONFORK.unsigned_abs());
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, advice);
    let rule = SeccompRule::new(vec![condition.expect("a condition")]).expect("a rule");
    let rules = [(libc::SYS_madvise, vec![rule])].into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture of seccomp's");
    let deny = SeccompAction::Errno(libc::EINVAL.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("seccomp");
}

fn works(io: &Io) {
    let file = io.block_on(File::open(io, "/proc/sys/kernel/ostype")).expect("open");
    let (count, buf) = io.block_on(file.read_at([0_u8; 16], 0));
    assert_eq!((count.expect("read"), &buf[..6]), (6, &b"Linux\n"[..]));
}

/// Pages that are mapped.
fn mapped() -> usize {
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("proc");
    sizes.split(' ').next().and_then(|size| size.parse().ok()).expect("a number")
}

#[test]
fn where_no_page_can_be_wiped_a_child_is_told_all_the_same() {
    in_child(|| {
        forbid_wiping();
        let io = Io::builder().backend(Backend::Pool).build().expect("needs no page");
        works(&io);
        in_child(|| {
            let error =
                io.block_on(File::open(&io, "/dev/null")).expect_err("the backend is the parent's");
            assert_eq!(error.raw_os_error(), Some(Errno::OWNERDEAD.raw()));
            let stopped = io.stop(Deadline::NEVER);
            assert_eq!(stopped, Err(StopError::WrongPlace(Errno::OWNERDEAD)));
            works(&Io::builder().backend(Backend::Pool).build().expect("the child's own"));
        });
        works(&io);
    });
}

/// No page that cannot be wiped is kept.
#[test]
fn nothing_stays_mapped_where_no_page_can_be_wiped() {
    in_child(|| {
        forbid_wiping();
        let before = mapped();
        for _ in 0..100 {
            assert_ne!(Lineage::new().expect("needs no page").generation(), 0);
        }
        assert!(mapped() < before + 50);
    });
}

/// One page wins, and the generation is one.
#[test]
fn threads_that_are_the_first_at_once_agree() {
    const THREADS: usize = 2;
    for _ in 0..200 {
        in_child(|| {
            let ready = AtomicUsize::new(0);
            let first = || {
                ready.fetch_add(1, Ordering::SeqCst);
                // Spinning, so that both go on within nanoseconds where there are two processors.
                while ready.load(Ordering::SeqCst) < THREADS {
                    core::hint::spin_loop();
                }
                Lineage::new().expect("a page")
            };
            let made: Vec<Lineage> = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(first)).collect();
                threads.into_iter().map(|thread| thread.join().expect("the thread")).collect()
            });
            let generation = made[0].generation();
            assert_ne!(generation, 0);
            assert!(made.iter().all(|lineage| lineage.generation() == generation));
            in_child(|| assert!(made.iter().all(Lineage::is_forked)));
        });
    }
}
