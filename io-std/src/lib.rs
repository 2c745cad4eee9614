#![doc = include_str!("../README.md")]

mod block_on;
mod buf;
mod call;
mod choose;
mod current;
mod driver;
#[doc = include_str!("../EMBEDDING.md")]
pub mod embedding {}
mod error;
pub mod fs;
mod io;
pub mod net;
mod plain;
mod process;
mod threads;
pub mod time;

pub use block_on::block_on;
pub use call::Call;
pub use choose::{Backend, BuildError, Builder, Refusal, Report, UnknownBackend};
pub use current::{
    Enter, accept, bind, close, connect, current, fdatasync, fstat, fsync, ftruncate, listen,
    lseek, open, open_at, poll_fd, pread, preadv, pwrite, pwritev, read, readv, recv, send,
    sendfile, shutdown, socket, write, writev,
};
pub use error::{IntoIo, Partial, io_error};
pub use fs::{File, OpenOptions};
pub use io::Io;
pub use io_core::Deadline;
pub use io_core::syscall::deadline_in;
pub use net::{TcpListener, TcpStream, UnixListener, UnixStream};
