//! Forks that the conformance suite does not make: what lies in memory from before, and forks in the middle
//! of something.
#![cfg(not(miri))]
#![allow(unsafe_code, reason = "forks, and raw operations")]

use core::pin::Pin;
use core::time::Duration;
use io_core::op::{Close, Timeout};
use io_core::syscall::deadline_in;
use io_core::{Errno, Fd, IoAwaitable, Op};
use io_pool_backend::LocalPool;

unsafe extern "C" {
    fn fork() -> i32;
    fn alarm(seconds: u32) -> u32;
    fn _exit(code: i32) -> !;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
}

/// Runs `body` in a forked child, which is given some seconds.
fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs `body` and ends.
    let child = unsafe { fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: takes a number.
        unsafe { alarm(10) };
        let end = std::panic::catch_unwind(core::panic::AssertUnwindSafe(body));
        // SAFETY: ends this process.
        unsafe { _exit(i32::from(end.is_err())) }
    }
    assert_eq!(wait_for(child), 0, "the child's status");
}

fn wait_for(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: writes the local.
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    status
}

fn leaked<T>(pool: T) -> Pin<&'static T> {
    Pin::static_ref(Box::leak(Box::new(pool)))
}

/// Storage that was in flight with a deadline at the fork is used again in the child: its timer is in no heap
/// there, whatever it still says.
#[test]
fn a_deadline_of_before_the_fork_is_forgotten() {
    let pool = leaked(LocalPool::new().expect("a pool"));
    let mut timed = [100, 50, 70].map(|seconds| {
        // SAFETY: no pointers, no descriptor.
        let op = unsafe { IoAwaitable::new(pool, Op::Timeout(Timeout)) };
        let mut timed = Box::pin(op.with_deadline(deadline_in(Duration::from_secs(seconds))));
        timed.as_mut().op().submit().expect("submit");
        timed
    });
    let ops = [
        (Op::Timeout(Timeout), Errno::CANCELED),
        // Never armed.
        (Op::Close(Close { fd: Fd::new(-1) }), Errno::BADF),
    ];
    for (op, errno) in ops {
        in_child(|| {
            pool.reinit().expect("a new pool");
            let mut op_again = timed[0].as_mut().op();
            assert_eq!(op_again.as_mut().wait(), Errno::OWNERDEAD.to_result());
            // SAFETY: as above; -1 is nobody's.
            unsafe { op_again.as_mut().reset(op) }.expect("it is done");
            op_again.as_mut().submit().expect("submit");
            op_again.as_mut().cancel();
            assert_eq!(op_again.wait(), errno.to_result());
        });
    }
    for timed in &mut timed {
        timed.as_mut().op().cancel();
        assert_eq!(timed.as_mut().op().wait(), Errno::CANCELED.to_result());
    }
}
