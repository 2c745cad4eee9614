//! [`SharedSocket`]: an open socket as its operations hold it, registered with its backend for as long as it
//! is open.
#![allow(unsafe_code, reason = "implements the unsafe trait that proves a descriptor open")]
//! # Safety
//! The descriptor is owned behind an `Arc`; whoever uses it holds a clone.

use crate::error::io_error;
use crate::io::Io;
use core::fmt;
use core::pin::Pin;
use io_core::op::{Family, SocketFlags, SocketKind};
use io_core::ops::Ops;
use io_core::{Address, Fd, IoFd, OwnedFd, Registered};
use rustix::net::SocketAddrAny;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A socket's descriptor, as its operations hold it.
#[derive(Clone)]
pub struct SharedSocket(Pin<Arc<Registered<Io, OwnedFd>>>);

// SAFETY: a counted owner; forgetting a clone keeps the descriptor open for ever.
unsafe impl IoFd for SharedSocket {
    fn fd(&self) -> Fd {
        self.0.fd()
    }
}

impl SharedSocket {
    /// Of an open socket that is used on `io`.
    pub(super) fn new(io: &Io, fd: OwnedFd) -> SharedSocket {
        let socket = Arc::pin(Registered::new(io.clone(), fd));
        socket.as_ref().attach();
        SharedSocket(socket)
    }

    /// A new stream socket of this family, non-blocking.
    pub(super) async fn stream(io: &Io, family: Family) -> io::Result<SharedSocket> {
        let made = io.socket(family, SocketKind::STREAM, SocketFlags::NONBLOCK, 0).await;
        Ok(SharedSocket::new(io, made.map_err(io_error)?))
    }

    pub(super) fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: open for as long as `self` is, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.fd().raw()) }
    }

    /// `getsockname(2)`.
    pub(super) fn local_address(&self) -> io::Result<Address> {
        address(&rustix::net::getsockname(self.borrow())?)
    }

    /// `getpeername(2)`.
    pub(super) fn peer_address(&self) -> io::Result<Address> {
        match rustix::net::getpeername(self.borrow())? {
            Some(any) => address(&any),
            // A Unix socket without a name.
            None => Ok(Address::EMPTY),
        }
    }
}

fn address(any: &SocketAddrAny) -> io::Result<Address> {
    let (start, len) = (any.as_ptr().cast::<u8>(), any.addr_len());
    // SAFETY: rustix promises that so many bytes from there are initialised; borrowed from `any`.
    let bytes = unsafe { core::slice::from_raw_parts(start, len as usize) };
    Address::from_bytes(bytes).map_err(io_error)
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedSocket").field(&self.fd()).finish()
    }
}
