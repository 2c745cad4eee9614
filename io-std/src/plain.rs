//! [`Plain`]: what the free functions use where no backend is current. Each operation is its plain
//! system call, made when the future is first polled.
//!
//! It blocks, which no backend may; so it stays private to the free functions, and futures over it
//! are done at the first poll.
#![allow(unsafe_code, reason = "implements the unsafe backend trait")]
//! # Safety
//! An operation is completed inside `submit` and never kept.

use core::time::Duration;
use io_core::syscall::{close_fd, now_ns, perform};
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, Interest, IoBackend, Node, NodePtr, Op, Route,
    StopError, WakeHandle, Way,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;

/// No backend at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

/// The one there is.
pub(crate) static PLAIN: Plain = Plain;

/// The system call, repeated after a wait where a non-blocking descriptor gives `EAGAIN`.
fn perform_waiting(op: &Op) -> i64 {
    loop {
        // SAFETY: the operation of a node that is not completed: `submit` holds it.
        let result = unsafe { perform(op) };
        match op.interest() {
            Some((fd, interest)) if result == Errno::AGAIN.to_result() && !op.wants_eagain() => {
                wait_ready(fd, interest);
            }
            _ => return result,
        }
    }
}

/// Blocks until the descriptor is ready. Whatever goes wrong, the system call will say it again.
fn wait_ready(fd: Fd, interest: Interest) {
    // The number is signed where rustix goes through libc.
    let flags = PollFlags::from_bits_retain(interest.events().bits() as _);
    // SAFETY: the system call just answered EAGAIN, so the descriptor is open; whoever closes it
    // meanwhile makes `poll` say so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.raw()) };
    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None);
}

/// Blocks until the deadline; the result is that of a cancel, which the node tells as 0.
fn sleep(node: &Node) -> i64 {
    loop {
        let Some(left) = node.deadline().remaining(now_ns()) else {
            // Nobody could ever end it.
            return Errno::DEADLK.to_result();
        };
        if node.overdue(now_ns) {
            return Errno::CANCELED.to_result();
        }
        std::thread::sleep(left);
    }
}

fn run(node: &Node) -> i64 {
    match node.op() {
        Op::Timeout(_) => sleep(node),
        // Nothing is ever in flight.
        Op::Cancel(_) => 0,
        // None of the free functions gives its operation a deadline.
        op => perform_waiting(op),
    }
}

// SAFETY: each node is completed inside `submit`, once; so `wait` and the drop have nothing to wait
// for. There is no state, so any thread may call.
unsafe impl IoBackend for Plain {
    fn name(&self) -> &'static str {
        "none"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        let result = run(&node);
        if node.has_callback() {
            node.complete(result).run();
        } else {
            node.complete_inline(result);
        }
    }

    unsafe fn cancel(&self, _: NodePtr) {}

    unsafe fn wait(&self, _: NodePtr) {}

    fn closer(&self) -> unsafe fn(Fd) {
        close_fd
    }

    fn start(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn stop(&self, _: Deadline) -> Result<(), StopError> {
        Ok(())
    }

    fn poll(&self, _: Option<Duration>) -> Result<usize, Errno> {
        Ok(0)
    }

    fn flush(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        // SAFETY: the function does nothing.
        unsafe { WakeHandle::new(core::ptr::null(), |_| {}) }
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn route(&self, _: &Op) -> Route {
        Route { way: Way::Inline, why: "no backend is current: the plain system call" }
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
