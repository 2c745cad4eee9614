//! Sockets: TCP and Unix streams and their listeners, on any backend.
//!
//! The sockets made here are non-blocking and close-on-exec. Every operation owns its buffer while it runs
//! and gives it back beside the result; each is a [`Call`](crate::Call), which can be given a deadline. A
//! dropped future cancels its operation and waits for it.
//!
//! An address is an IP address and port; names are not looked up here.

mod listener;
mod shared;
mod stream;

pub use io_core::Address;
pub use io_core::op::{MsgFlags, PollEvents};
pub use io_core::ops::How;
pub use listener::{Listener, TcpListener, UnixListener};
pub use shared::SharedSocket;
pub use stream::{Stream, TcpStream, UnixStream};

use core::net::SocketAddr;
use std::io;

/// What a socket speaks: [`Tcp`] or [`Unix`]. Nothing else implements it.
pub trait Protocol: sealed::Sealed {
    /// What its addresses are.
    type Address;

    /// An address that the kernel gave.
    ///
    /// # Errors
    /// `InvalidData` if it is of another family.
    fn address(address: Address) -> io::Result<Self::Address>;
}

/// The transmission control protocol, on IPv4 and IPv6 (`tcp(7)`).
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

/// Local streams (`unix(7)`).
#[derive(Clone, Copy, Debug)]
pub struct Unix;

impl Protocol for Tcp {
    type Address = SocketAddr;

    fn address(address: Address) -> io::Result<SocketAddr> {
        address.ip().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Protocol for Unix {
    /// A path, a name, or nothing: most clients have no address.
    type Address = Address;

    fn address(address: Address) -> io::Result<Address> {
        Ok(address)
    }
}

mod sealed {
    //! Keeps the trait to the types of this module.

    /// See [`Protocol`](super::Protocol).
    pub trait Sealed {}

    impl Sealed for super::Tcp {}
    impl Sealed for super::Unix {}
}
