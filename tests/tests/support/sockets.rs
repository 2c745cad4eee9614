//! Connections whose one end a backend knows as a source.
#![allow(unsafe_code, reason = "takes descriptors over")]

use crate::leaked::leaked;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use io_core::syscall::close_fd;
use io_core::{Fd, Handle, IoBackend, OwnedFd, Registered};
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;

pub(crate) type Socket<H> = &'static Registered<H, OwnedFd>;

pub(crate) fn owned(fd: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives the ownership up.
    unsafe { OwnedFd::from_raw(Fd::new(fd.into_raw_fd()), close_fd) }
}

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let far = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    let (near, _) = listener.accept().expect("accept");
    near.set_nonblocking(true).expect("non-blocking");
    near.set_nodelay(true).expect("no delay");
    far.set_nodelay(true).expect("no delay");
    (near, far)
}

pub(crate) fn register<H: Handle + 'static>(handle: H, near: impl IntoRawFd) -> Socket<H> {
    let source = leaked(Box::new(Registered::new(handle, owned(near))));
    Pin::static_ref(&*source).attach();
    source
}

pub(crate) fn drive<B: IoBackend, F: Future>(backend: &B, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        backend.poll(None).expect("poll");
    }
}
