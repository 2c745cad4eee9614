//! Waiting for readiness, as system calls.

use super::{borrow, counted, retry};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::op::{Poll, PollEvents};
use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create};
use rustix::event::{PollFd, PollFlags, Timespec, poll as poll_call};
use rustix::fd::BorrowedFd;
use rustix::io::Errno as SysErrno;

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// `poll(2)`: what holds now, 0 if nothing does.
pub(super) fn look(op: &Poll) -> i64 {
    ask(op, Some(&NOW))
}

/// Whether none of this holds now, nor any error. Miri has no `poll`: there it always may hold.
pub(super) fn is_idle(fd: Fd, events: PollEvents) -> bool {
    !cfg!(miri) && look(&Poll { fd, events }) == 0
}

/// Whether it is a socket that receives no more (`EPOLLRDHUP`).
pub(super) fn is_shut(fd: Fd) -> bool {
    let seen = look(&Poll { fd, events: PollEvents::RDHUP });
    seen > 0 && seen & i64::from(PollEvents::RDHUP.bits()) != 0
}

/// `poll(2)` without a timeout; `EPERM` for what can never be ready.
pub(super) fn poll(op: &Poll) -> i64 {
    match look(op) {
        0 if never_ready(op.fd) => Errno::PERM.to_result(),
        0 => ask(op, None),
        result => result,
    }
}

/// Waits for room to write, or for a connection made or refused.
pub(super) fn until_writable(fd: Fd) -> i64 {
    ask(&Poll { fd, events: PollEvents::OUT }, None)
}

fn ask(op: &Poll, timeout: Option<&Timespec>) -> i64 {
    let fd = borrow(op.fd);
    let events = PollFlags::from_bits_retain(op.events.bits() as _);
    let mut asked = [PollFd::from_borrowed_fd(fd, events)];
    match retry(fd, |_| poll_call(&mut asked, timeout)) {
        Ok(_) => {
            let [answer] = &asked;
            if answer.revents().contains(PollFlags::NVAL) {
                return Errno::BADF.to_result();
            }
            i64::from(answer.revents().bits())
        }
        Err(errno) => counted(Err(errno)),
    }
}

/// Whether the file has no readiness to wait for, as regular files: epoll says so, and nobody else.
fn never_ready(fd: Fd) -> bool {
    let try_add = |fd: BorrowedFd<'_>| {
        let epoll = create(CreateFlags::CLOEXEC)?;
        add(&epoll, fd, EventData::new_u64(0), EventFlags::empty())
    };
    try_add(borrow(fd)) == Err(SysErrno::PERM)
}
