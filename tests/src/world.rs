//! [`World`]: a kernel in memory, without any adversary: files, pipes, sockets, descriptors and a clock.
//!
//! It answers each operation of [`io_core::Op`] as Linux does on ext4 and x86-64, with the same result
//! word and the same bytes, or says that the operation would wait. It is deterministic, makes no system
//! call, and runs under Miri. A test holds it against the real kernel, operation by operation.
//!
//! # Where it is not like the kernel
//!
//! * The tree is flat: `/` and the files in it. The working directory is `/`.
//! * Files have no times, owners or access rights; `O_DIRECT` and the like mean nothing.
//! * Bad addresses are the first page, and what is not an address; anything else is believed.
//! * Sockets are streams: of the local family, and of IPv4 and IPv6 over the loopback interface. Other
//!   kinds are `ESOCKTNOSUPPORT`. There is no out-of-band data, and no file of a bound path to open.
//! * A write that meets a bad address at once leaves the file alone. (ext4 extends it up to where the
//!   write would have begun, and makes data of a hole there.)
//! * A sendfile copies. (The kernel may pass on pages of the file, so that who reads them later sees what
//!   was written to the file meanwhile.)
//! * An accept from a local listener that was shut down is `EINVAL` also when the listener is non-blocking.
//!   (There the kernel says `EAGAIN`, for ever.)
//! * A network's socket whose connection is over, or that does not listen any more, is not used again:
//!   binding, listening and connecting anew are refused as on a connected one.
//! * How much a socket takes before a writer waits is a fixed number here.
//! * What a socket has to say is heard at once: data, ends and resets do not travel.
//! * A `MSG_WAITALL` that waits has taken nothing yet; its peer may send as if it had.
#![allow(unsafe_code, reason = "reads and writes the memory that raw operations name")]
//! # Safety
//! The addresses of an operation are used inside [`World::perform`] only, whose caller makes the promise.

mod clock;
mod connections;
mod files;
mod hands;
mod memory;
mod pipes;
mod shared;
mod sockets;
mod table;
#[cfg(test)]
mod tests;
mod transfers;
mod tree;

use clock::Clock;
use files::Files;
use io_core::op::{Connect, MsgFlags, Poll, PollEvents};
use io_core::{Errno, Fd, Op};
use memory::Pieces;
use pipes::Pipes;
pub use shared::{Entered, Shared, close_fd};
use sockets::Sockets;
use table::{Object, Open, Table};
use transfers::At;

/// The lowest descriptor number: no process of a test has so many real ones.
pub const BASE: i32 = 1000;

/// What kind of file a descriptor is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileKind {
    /// A regular file, or the directory.
    File,
    /// One end of a pipe.
    Pipe,
    /// A socket of the local family.
    Local,
    /// A socket of IPv4 or IPv6.
    Network,
}

impl FileKind {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FileKind::File => "file",
            FileKind::Pipe => "pipe",
            FileKind::Local => "local",
            FileKind::Network => "network",
        }
    }
}

/// What an attempt came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// This is the result word.
    Done(i64),
    /// It would block, on [`Op::interest`] if it has one. Nothing has happened.
    Wait,
}

/// Why an attempt has no count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    Failed(Errno),
    Wait,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Failed(errno)
    }
}

type Done = Result<i64, Stop>;

/// A count as a result word.
fn word(count: usize) -> Done {
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// See the [module](self).
#[derive(Debug)]
pub struct World {
    table: Table,
    files: Files,
    pipes: Pipes,
    sockets: Sockets,
    clock: Clock,
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// An empty one, whose numbers begin at [`BASE`].
    #[must_use]
    pub fn new() -> World {
        World::with_base(BASE)
    }

    /// An empty one, whose descriptor numbers begin here.
    #[must_use]
    pub fn with_base(base: i32) -> World {
        World {
            table: Table::new(base),
            files: Files::default(),
            pipes: Pipes::default(),
            sockets: Sockets::default(),
            clock: Clock::new(),
        }
    }

    /// Performs the operation if it need not wait, moving at most `limit` bytes (at least one) where a short
    /// count is a result that the kernel gives: not of a `MSG_WAITALL`, nor of a small write to a pipe. `EAGAIN` is
    /// the result only of what asks for it ([`Op::wants_eagain`]).
    ///
    /// A cancel or a timeout is the backend's own business: `EOPNOTSUPP`.
    ///
    /// # Safety
    /// * As [`IoAwaitable::new`](io_core::IoAwaitable::new), for the length of the call. It holds for the
    ///   operation of a [`Node`](io_core::Node) that is not completed.
    pub unsafe fn perform(&mut self, op: &Op, limit: usize) -> Outcome {
        // SAFETY: promised by the caller.
        let done = unsafe { self.act(op, limit.max(1)) };
        match done {
            Ok(result) => Outcome::Done(result),
            Err(Stop::Failed(errno)) => Outcome::Done(errno.to_result()),
            Err(Stop::Wait) => Outcome::Wait,
        }
    }

    /// [`perform`](Self::perform) for an operation that was told to wait before: a connect that finds the
    /// connection made, by another one, hears how that went.
    ///
    /// # Safety
    /// * As [`perform`](Self::perform).
    pub unsafe fn perform_again(&mut self, op: &Op, limit: usize) -> Outcome {
        if let Op::Connect(Connect { fd, .. }) = op
            && let Ok(Object::Socket(id)) = self.table.get(*fd).map(|open| open.object)
            && self.sockets.was_connected(id)
        {
            return Outcome::Done(self.sockets.take_error(id).map_or(0, Errno::to_result));
        }
        // SAFETY: promised by the caller.
        unsafe { self.perform(op, limit) }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    unsafe fn act(&mut self, op: &Op, limit: usize) -> Done {
        match op {
            Op::Cancel(_) | Op::Timeout(_) => Err(Errno::OPNOTSUPP.into()),
            Op::Nop(_) => Ok(0),
            Op::Close(op) => self.close(op.fd).map(|()| 0).map_err(Stop::from),
            Op::Fdatasync(op) => self.sync(op.fd),
            Op::Fsync(op) => self.sync(op.fd),
            Op::Ftruncate(op) => self.ftruncate(op.fd, op.len),
            Op::Lseek(op) => self.lseek(op),
            Op::Listen(op) => self.socket(op.fd).and_then(|id| self.sockets.listen(id, op.backlog)),
            Op::Poll(op) => self.poll(op),
            Op::Sendfile(op) => self.sendfile(op, limit),
            Op::Shutdown(op) => self.socket(op.fd).and_then(|id| self.sockets.shutdown(id, op.how)),
            Op::Socket(op) => self.make_socket(op),
            // SAFETY: promised by the caller.
            Op::Accept(op) => unsafe { self.accept_next(op) },
            Op::Bind(op) => {
                let id = self.socket(op.fd)?;
                // SAFETY: promised by the caller.
                let address = unsafe { address(op.addr, op.addr_len)? };
                self.sockets.bind(id, address.as_deref())
            }
            Op::Connect(op) => {
                // The kernel looks at the address before it looks whether this is a socket.
                self.table.get(op.fd)?;
                // SAFETY: promised by the caller.
                let address = unsafe { address(op.addr, op.addr_len)? };
                let address = address.ok_or(Errno::FAULT)?;
                let id = self.socket(op.fd)?;
                self.connect_socket(op.fd, id, &address)
            }
            // SAFETY: promised by the caller.
            Op::Fstat(op) => unsafe { self.fstat(op) },
            Op::Open(op) => {
                // One more than a path may have, with its NUL.
                // SAFETY: promised by the caller.
                let path = unsafe { memory::text(op.path.cast(), 4096) };
                self.open(op, path.as_deref())
            }
            // SAFETY: promised by the caller.
            _ => unsafe { self.transfer(op, limit) },
        }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    unsafe fn transfer(&mut self, op: &Op, limit: usize) -> Done {
        match *op {
            Op::Pread(op) => {
                // SAFETY: promised by the caller.
                let into = unsafe { Pieces::one(op.buf, op.len) };
                self.read(op.fd, Ok(into), At::Offset(op.offset), limit)
            }
            Op::Preadv(op) => {
                // SAFETY: promised by the caller.
                let into = unsafe { Pieces::table(op.iov, op.count) };
                self.read(op.fd, into, At::Offset(op.offset), limit)
            }
            Op::Pwrite(op) => {
                // SAFETY: promised by the caller.
                let from = unsafe { Pieces::one(op.buf.cast_mut(), op.len) };
                self.write(op.fd, Ok(from), At::Offset(op.offset), limit)
            }
            Op::Pwritev(op) => {
                // SAFETY: promised by the caller.
                let from = unsafe { Pieces::table(op.iov, op.count) };
                self.write(op.fd, from, At::Offset(op.offset), limit)
            }
            Op::Read(op) => {
                // SAFETY: promised by the caller.
                let into = unsafe { Pieces::one(op.buf, op.len) };
                self.read(op.fd, Ok(into), At::Position, limit)
            }
            Op::Readv(op) => {
                // SAFETY: promised by the caller.
                let into = unsafe { Pieces::table(op.iov, op.count) };
                self.read(op.fd, into, At::Position, limit)
            }
            Op::Write(op) => {
                // SAFETY: promised by the caller.
                let from = unsafe { Pieces::one(op.buf.cast_mut(), op.len) };
                self.write(op.fd, Ok(from), At::Position, limit)
            }
            Op::Writev(op) => {
                // SAFETY: promised by the caller.
                let from = unsafe { Pieces::table(op.iov, op.count) };
                self.write(op.fd, from, At::Position, limit)
            }
            Op::Recv(op) => {
                let id = self.socket(op.fd)?;
                // SAFETY: promised by the caller.
                let mut into = unsafe { Pieces::one(op.buf, op.len) };
                if !op.flags.contains(MsgFlags::WAITALL) {
                    into.cut(limit);
                }
                self.sockets.recv(id, op.flags, &mut into)
            }
            Op::Send(op) => {
                let id = self.socket(op.fd)?;
                // SAFETY: promised by the caller.
                let mut from = unsafe { Pieces::one(op.buf.cast_mut(), op.len) };
                from.cut(limit);
                self.sockets.send(id, op.flags, &mut from).map_err(|stop| match stop {
                    Stop::Wait if op.flags.contains(MsgFlags::DONTWAIT) => Errno::AGAIN.into(),
                    stop => stop,
                })
            }
            // The rest was handled before.
            _ => Err(Errno::OPNOTSUPP.into()),
        }
    }

    /// What holds of a descriptor as `poll(2)` names it; nothing of a closed one.
    #[must_use]
    pub fn ready(&self, fd: Fd, events: PollEvents) -> PollEvents {
        self.holds(fd) & (events | PollEvents::ERR | PollEvents::HUP)
    }

    /// What kind of file this is, `None` if it is not open.
    #[must_use]
    pub fn kind(&self, fd: Fd) -> Option<FileKind> {
        Some(match self.table.get(fd).ok()?.object {
            Object::Directory | Object::File(_) => FileKind::File,
            Object::Reader(_) | Object::Writer(_) => FileKind::Pipe,
            Object::Socket(id) if self.sockets.is_unix(id) => FileKind::Local,
            Object::Socket(_) => FileKind::Network,
        })
    }

    /// Whether it is a pipe or a stream socket: there a short count is a result.
    #[must_use]
    pub fn is_stream(&self, fd: Fd) -> bool {
        self.table.get(fd).is_ok_and(|open| !open.object.is_seekable())
    }

    /// A number that each use of a descriptor number has to itself, `None` if that is not open: whether it
    /// is the same file still.
    #[must_use]
    pub fn stamp(&self, fd: Fd) -> Option<u64> {
        self.table.stamp(fd)
    }

    /// `close(2)`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        if let Some(open) = self.table.remove(fd)? {
            match open.object {
                Object::Directory => {}
                Object::File(id) => self.files.close(id),
                Object::Reader(id) => self.pipes.close_reader(id),
                Object::Socket(id) => self.sockets.close(id),
                Object::Writer(id) => self.pipes.close_writer(id),
            }
        }
        Ok(())
    }

    /// What the clock shows, in nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Moves the clock on to this instant; never back.
    pub fn advance_to(&mut self, ns: u64) {
        self.clock.advance_to(ns);
    }

    // --- descriptors ----------------------------------------------------------------------------

    fn add(&mut self, open: Open) -> Done {
        let object = open.object;
        match self.table.add(open) {
            Ok(fd) => Ok(i64::from(fd.raw())),
            Err(errno) => {
                match object {
                    Object::File(id) => self.files.close(id),
                    Object::Socket(id) => self.sockets.close(id),
                    _ => {}
                }
                Err(errno.into())
            }
        }
    }

    fn socket(&self, fd: Fd) -> Result<u32, Stop> {
        match self.table.get(fd)?.object {
            Object::Socket(id) => Ok(id),
            _ => Err(Errno::NOTSOCK.into()),
        }
    }

    fn holds(&self, fd: Fd) -> PollEvents {
        let both = PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM;
        match self.table.get(fd).map(|open| open.object) {
            Err(_) => PollEvents::empty(),
            Ok(Object::Directory | Object::File(_)) => both,
            Ok(Object::Reader(id)) => self.pipes.reader_events(id),
            Ok(Object::Socket(id)) => self.sockets.events(id),
            Ok(Object::Writer(id)) => self.pipes.writer_events(id),
        }
    }

    fn poll(&self, op: &Poll) -> Done {
        let object = self.table.get(op.fd)?.object;
        match self.ready(op.fd, op.events) {
            none if none.is_empty() && object.is_seekable() => Err(Errno::PERM.into()),
            none if none.is_empty() => Err(Stop::Wait),
            events => Ok(i64::from(events.bits())),
        }
    }
}

/// The address at `at`, as the kernel copies it in; `None` where nothing is mapped.
///
/// # Safety
/// * `at` is null or valid for reads of `len` bytes, if these are not too many.
unsafe fn address(at: *const u8, len: u32) -> Result<Option<Vec<u8>>, Errno> {
    match usize::try_from(len) {
        Ok(0) => Ok(Some(Vec::new())),
        // SAFETY: promised by the caller.
        Ok(len @ ..=128) => Ok(unsafe { memory::bytes(at, len) }),
        _ => Err(Errno::INVAL),
    }
}
