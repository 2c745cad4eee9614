//! The server on the library: one future per connection, which receives, sends back what came, and
//! receives again; on any backend of one thread.
//!
//! Its sockets are registered with the backend for as long as they are open, as those of `io-std` are.
#![allow(unsafe_code, reason = "shares a socket between the operations of its connection")]
//! # Safety
//! A [`Socket`] is a counted owner of its descriptor.

use crate::Failure;
use crate::executor::Executor;
use crate::measure::Server;
use core::cell::Cell;
use core::future::Future;
use core::pin::{Pin, pin};
use io_core::op::{AcceptFlags, MsgFlags};
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, IoBackend, IoFd, OwnedFd, Registered};
use rustix::net::sockopt;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::rc::Rc;

/// A socket as the operations of one thread hold it.
struct Socket<B: IoBackend + 'static>(Pin<Rc<Registered<Pin<&'static B>, OwnedFd>>>);

impl<B: IoBackend> Socket<B> {
    fn new(backend: Pin<&'static B>, fd: OwnedFd) -> Socket<B> {
        let socket = Rc::pin(Registered::new(backend, fd));
        socket.as_ref().attach();
        Socket(socket)
    }
}

impl<B: IoBackend> Clone for Socket<B> {
    fn clone(&self) -> Socket<B> {
        Socket(self.0.clone())
    }
}

// SAFETY: a counted owner; a forgotten clone keeps the descriptor open for ever.
unsafe impl<B: IoBackend> IoFd for Socket<B> {
    fn fd(&self) -> Fd {
        self.0.file().fd()
    }
}

/// How far a server has come.
#[derive(Default)]
struct Progress {
    /// Bytes sent back since the start.
    sent: Cell<u64>,
    /// What ended a connection.
    failed: Cell<Option<Errno>>,
}

/// Sends back what comes, for ever.
async fn echo<B: IoBackend + 'static>(
    io: Pin<&'static B>,
    socket: Socket<B>,
    room: usize,
    progress: Rc<Progress>,
) -> Errno {
    // Given to each operation, which gives it back: the one buffer of this connection.
    let mut buf = Vec::with_capacity(room);
    loop {
        let (received, back) = io.recv(socket.clone(), buf, MsgFlags::empty()).await;
        buf = back;
        match received {
            Ok(0) => return Errno::PIPE,
            Ok(_) => {}
            Err(errno) => return errno,
        }
        while !buf.is_empty() {
            let (sent, back) = io.send(socket.clone(), buf, MsgFlags::empty()).await;
            buf = back;
            match sent {
                Ok(count) => {
                    progress.sent.set(progress.sent.get() + count as u64);
                    buf.drain(..count);
                }
                Err(errno) => return errno,
            }
        }
    }
}

/// The server.
struct Service<B: IoBackend + 'static, F> {
    connections: Executor<F>,
    begun: bool,
    progress: Rc<Progress>,
    backend: Pin<&'static B>,
}

/// A server of `count` connections on `backend`, with room for `room` bytes each.
///
/// # Errors
/// Those of the operations that accept them.
///
/// # Safety
/// * The backend does everything on the calling thread.
pub(crate) unsafe fn service<B: IoBackend>(
    backend: Pin<&'static B>,
    listener: rustix::fd::OwnedFd,
    count: usize,
    room: usize,
) -> Result<Box<dyn Server>, Failure> {
    let listener = Fd::new(listener.into_raw_fd());
    // SAFETY: just given up by its only owner, and `close_fd` is `close(2)`.
    let listener = unsafe { OwnedFd::from_raw(listener, close_fd) };
    let listener = Socket::new(backend, listener);
    let progress = Rc::new(Progress::default());
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let accept = pin!(backend.accept(listener.clone(), AcceptFlags::NONBLOCK));
        // A first result is there to be taken.
        let accepted = accept.wait().unwrap_or(Err(Errno::INVAL))?;
        // SAFETY: open: just accepted.
        let borrowed = unsafe { BorrowedFd::borrow_raw(accepted.fd().raw()) };
        sockopt::set_tcp_nodelay(borrowed, true)?;
        let socket = Socket::new(backend, accepted);
        connections.push(connection(backend, socket, room, progress.clone()));
    }
    // SAFETY: the futures give their wakers to the backend, which stays on this thread.
    let connections = unsafe { Executor::new(connections) };
    Ok(Box::new(Service { connections, begun: false, progress, backend }))
}

/// One connection's future.
async fn connection<B: IoBackend + 'static>(
    io: Pin<&'static B>,
    socket: Socket<B>,
    room: usize,
    progress: Rc<Progress>,
) {
    let errno = echo(io, socket, room, progress.clone()).await;
    progress.failed.set(Some(errno));
}

impl<B: IoBackend, F: Future<Output = ()>> Server for Service<B, F> {
    fn serve(&mut self, bytes: u64) -> Result<(), Failure> {
        let target = self.progress.sent.get() + bytes;
        if !core::mem::replace(&mut self.begun, true) {
            self.connections.begin();
        }
        loop {
            if let Some(errno) = self.progress.failed.get() {
                return Err(format!("a connection has ended: {errno}").into());
            }
            if self.progress.sent.get() >= target {
                return Ok(());
            }
            self.backend.poll(None)?;
        }
    }

    fn syscalls(&self) -> u64 {
        self.backend.counters().syscalls
    }
}
