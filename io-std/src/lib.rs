#![doc = include_str!("../README.md")]

mod block_on;
mod buf;
mod call;
mod choose;
mod current;
mod driver;
mod error;
pub mod fs;
mod io;
mod plain;
mod process;
mod threads;
pub mod time;

pub use block_on::block_on;
pub use call::Call;
pub use choose::{Backend, BuildError, Builder, Refusal, Report, UnknownBackend};
pub use current::{
    Enter, accept, close, current, fstat, fsync, ftruncate, lseek, open, pread, preadv, pwrite,
    pwritev, read, readv, recv, send, sendfile, write, writev,
};
pub use error::{IntoIo, Partial, io_error};
pub use fs::{File, OpenOptions};
pub use io::Io;
