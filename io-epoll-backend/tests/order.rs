//! Nobody overtakes: operations on a number that becomes a source, and a close that somebody waits for.
#![allow(unsafe_code, reason = "takes descriptors over; submits raw operations")]

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use io_core::op::{self, MsgFlags};
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Fd, IoAwaitable, IoBackend, Op, OwnedFd, Phase, Registered};
use io_epoll_backend::LocalEpoll;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

type Local = Pin<&'static LocalEpoll>;

fn local() -> Local {
    Pin::static_ref(Box::leak(Box::new(LocalEpoll::new().expect("a backend"))))
}

fn owned(fd: impl IntoRawFd) -> &'static OwnedFd {
    // SAFETY: `into_raw_fd` gives the ownership up.
    Box::leak(Box::new(unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }))
}

fn drive<B: IoBackend, F: Future>(backend: &B, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        backend.poll(None).expect("poll");
    }
}

#[test]
fn what_waits_on_a_number_keeps_its_turn_when_that_becomes_a_source() {
    let backend = local();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("non-blocking");
    let near = owned(near);
    let recv = || Box::pin(backend.recv(near, [0_u8; 4], MsgFlags::empty()));
    let (mut first, mut second, mut third) = (recv(), recv(), recv());
    first.as_mut().submit().expect("submit");
    second.as_mut().submit().expect("submit");
    assert_eq!(second.phase(), Phase::Queued);
    let source = Box::pin(Registered::new(backend, near));
    source.as_ref().attach();
    far.write_all(b"aaaabbbbcccc").expect("write");
    third.as_mut().submit().expect("submit");
    let (third, second) = (drive(&*backend, third), drive(&*backend, second));
    let first = drive(&*backend, first);
    assert_eq!((first.0, &first.1), (Ok(4), b"aaaa"), "the first");
    assert_eq!((second.0, &second.1), (Ok(4), b"bbbb"), "the second");
    assert_eq!((third.0, &third.1), (Ok(4), b"cccc"), "the third");
}

#[test]
fn a_close_that_is_waited_for_comes_after_what_is_queued_on_its_descriptor() {
    let backend = local();
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    let fd = Fd::new(file.into_raw_fd());
    // SAFETY: no memory is named, and the number is this test's.
    let mut sync = pin!(unsafe { IoAwaitable::new(backend, Op::Fsync(op::Fsync { fd })) });
    sync.as_mut().submit().expect("submit");
    assert_eq!(sync.phase(), Phase::Queued);
    // SAFETY: as above.
    let mut close = pin!(unsafe { IoAwaitable::new(backend, Op::Close(op::Close { fd })) });
    close.as_mut().submit().expect("submit");
    assert_eq!(close.as_mut().wait(), 0);
    assert_eq!(sync.as_mut().wait(), 0, "it was there first");
}
