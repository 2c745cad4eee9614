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
mod files;
mod hands;
mod memory;
mod pipes;
mod shared;
mod sockets;
mod table;

use clock::Clock;
use files::{Files, Found};
use io_core::op::{
    Accept, Connect, Fstat, Lseek, MAX_RW_COUNT, MsgFlags, Open as OpenOp, OpenFlags, Poll,
    PollEvents, Sendfile,
};
use io_core::{Errno, Fd, Op};
use memory::Pieces;
use pipes::Pipes;
pub use shared::{Entered, Shared, close_fd};
use sockets::Sockets;
use table::{Object, Open, Table};

/// The lowest descriptor number: no process of a test has so many real ones.
pub const BASE: i32 = 1000;

const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;

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

/// Which bytes of a file a transfer is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Position,
    Offset(i64),
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

    /// Performs the operation if it need not wait, moving at most `limit` bytes (at least one) through a
    /// pipe or socket, where a short count is a result that the kernel gives: not of a `MSG_WAITALL`, nor of
    /// a small write to a pipe, nor of a file, which moves what there is. `EAGAIN` is the result only of what asks for it ([`Op::wants_eagain`]).
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
        const IS_CONNECTED: Outcome = Outcome::Done(Errno::ISCONN.to_result());
        // SAFETY: promised by the caller.
        let outcome = unsafe { self.perform(op, limit) };
        if let (IS_CONNECTED, Op::Connect(Connect { fd, .. })) = (outcome, op)
            && let Ok(Object::Socket(id)) = self.table.get(*fd).map(|open| open.object)
        {
            return Outcome::Done(self.sockets.take_error(id).map_or(0, Errno::to_result));
        }
        outcome
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

    // --- sockets --------------------------------------------------------------------------------

    fn make_socket(&mut self, op: &io_core::op::Socket) -> Done {
        let id = self.sockets.add(op)?;
        let nonblocking = op.flags.bits() & OpenFlags::NONBLOCK.bits() != 0;
        self.add(Open { nonblocking, ..Open::new(Object::Socket(id), true, true) })
    }

    fn connect_socket(&mut self, fd: Fd, id: u32, address: &[u8]) -> Done {
        let nonblocking = self.table.get(fd)?.nonblocking;
        match self.sockets.connect(id, address) {
            // The one wait of a local socket that the kernel offers no event for.
            Err(Stop::Wait) if nonblocking && self.sockets.is_unix(id) => {
                self.sockets.give_up(id);
                Err(Errno::AGAIN.into())
            }
            done => done,
        }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    unsafe fn accept_next(&mut self, op: &Accept) -> Done {
        const FLAGS: u32 = OpenFlags::NONBLOCK.union(OpenFlags::CLOEXEC).bits();
        self.table.get(op.fd)?;
        if op.flags.bits() & !FLAGS != 0 {
            return Err(Errno::INVAL.into());
        }
        // The kernel makes sure of a number first.
        if self.table.is_full() {
            return Err(Errno::MFILE.into());
        }
        let id = self.socket(op.fd)?;
        let (accepted, peer) = self.sockets.accept(id)?;
        if !op.addr.is_null() && !op.addr_len.is_null() {
            // SAFETY: valid for a length, promised by the caller.
            let mut room = unsafe { Pieces::one(op.addr_len.cast(), size_of::<u32>()) };
            let mut len = [0; size_of::<u32>()];
            room.take(&mut len);
            let room = usize::try_from(u32::from_ne_bytes(len)).unwrap_or(0);
            let bytes = peer.as_bytes();
            // SAFETY: valid for that much room, promised by the caller.
            unsafe { Pieces::one(op.addr, room) }.give(&bytes[..bytes.len().min(room)]);
            let len = u32::try_from(bytes.len()).unwrap_or(0).to_ne_bytes();
            // SAFETY: valid for a length, promised by the caller.
            unsafe { Pieces::one(op.addr_len.cast(), len.len()) }.give(&len);
        }
        let nonblocking = op.flags.contains(io_core::op::AcceptFlags::NONBLOCK);
        self.add(Open { nonblocking, ..Open::new(Object::Socket(accepted), true, true) })
    }

    // --- files ----------------------------------------------------------------------------------

    fn open(&mut self, op: &OpenOp, path: Option<&[u8]>) -> Done {
        const OF_PATHS: OpenFlags = OpenFlags::PATH
            .union(OpenFlags::DIRECTORY)
            .union(OpenFlags::NOFOLLOW)
            .union(OpenFlags::CLOEXEC);
        let is_path = op.flags.contains(OpenFlags::PATH);
        let flags = if is_path { op.flags & OF_PATHS } else { op.flags };
        let (access, temporary) = (flags.bits() & 3, flags.contains(OpenFlags::TMPFILE));
        if temporary && (access == 0 || flags.contains(OpenFlags::CREATE)) {
            return Err(Errno::INVAL.into());
        }
        if !temporary && flags.contains(OpenFlags::DIRECTORY | OpenFlags::CREATE) {
            return Err(Errno::INVAL.into());
        }
        let path = path.ok_or(Errno::FAULT)?;
        if path.len() >= 4096 {
            return Err(Errno::NAMETOOLONG.into());
        }
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if self.table.is_full() {
            return Err(Errno::MFILE.into());
        }
        if path.first() != Some(&b'/') && op.dir != Fd::CWD {
            match self.table.any(op.dir)?.object {
                Object::Directory => {}
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        let (reads, writes) = (matches!(access, 0 | 2), matches!(access, 1 | 2));
        let object = self.find(op, flags, path)?;
        let appends = flags.contains(OpenFlags::APPEND);
        let nonblocking = flags.contains(OpenFlags::NONBLOCK);
        let open = Open::new(object, reads && !is_path, writes && !is_path);
        self.add(Open { is_path, appends, nonblocking, ..open })
    }

    fn find(&mut self, op: &OpenOp, flags: OpenFlags, path: &[u8]) -> Result<Object, Errno> {
        let writes = flags.bits() & 3 != 0 || flags.contains(OpenFlags::TRUNC);
        let creates = flags.contains(OpenFlags::CREATE);
        if creates && path.ends_with(b"/") {
            // Whatever is there: only a file could be made, and this is no file's name.
            let last = path.iter().rposition(|&byte| byte != b'/').unwrap_or(0);
            let bare = &path[..=last];
            if !matches!(self.files.find(bare)?, Found::Directory) {
                return Err(Errno::ISDIR);
            }
        }
        match self.files.find(path)? {
            Found::Directory if flags.contains(OpenFlags::TMPFILE) => {
                Ok(Object::File(self.files.add(None, op.mode)))
            }
            Found::Directory if creates && flags.contains(OpenFlags::EXCL) => Err(Errno::EXIST),
            Found::Directory if creates || writes => Err(Errno::ISDIR),
            Found::Directory => Ok(Object::Directory),
            Found::File(_) if creates && flags.contains(OpenFlags::EXCL) => Err(Errno::EXIST),
            Found::File(_) if flags.contains(OpenFlags::DIRECTORY) => Err(Errno::NOTDIR),
            Found::File(id) => {
                self.files.open(id);
                if flags.contains(OpenFlags::TRUNC) {
                    // It is a file, and 0 is not too long.
                    let _: Done = self.files.truncate(id, 0);
                }
                Ok(Object::File(id))
            }
            Found::Free { slash: true, .. } if creates => Err(Errno::ISDIR),
            Found::Free { name, .. } if creates => {
                Ok(Object::File(self.files.add(Some(name), op.mode)))
            }
            Found::Free { .. } => Err(Errno::NOENT),
        }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    unsafe fn fstat(&self, op: &Fstat) -> Done {
        let stat = match self.table.any(op.fd)?.object {
            Object::Directory => files::stat_of_root(),
            Object::File(id) => self.files.stat(id),
            Object::Reader(id) | Object::Writer(id) => files::stat_of(S_IFIFO | 0o600, id.into()),
            Object::Socket(id) => files::stat_of(S_IFSOCK | 0o777, id.into()),
        };
        if op.out.is_null() {
            return Err(Errno::FAULT.into());
        }
        // SAFETY: not null, so valid for a `Stat`, promised by the caller; it may lie at any address.
        unsafe { op.out.write_unaligned(stat) };
        Ok(0)
    }

    fn sync(&self, fd: Fd) -> Done {
        let object = self.table.get(fd)?.object;
        if object.is_seekable() { Ok(0) } else { Err(Errno::INVAL.into()) }
    }

    fn ftruncate(&mut self, fd: Fd, len: i64) -> Done {
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        match self.table.get(fd)? {
            Open { object: Object::File(id), writes: true, .. } => self.files.truncate(*id, len),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn lseek(&mut self, op: &Lseek) -> Done {
        let open = self.table.get(op.fd)?;
        if op.whence > 4 {
            return Err(Errno::INVAL.into());
        }
        let (position, id) = match open.object {
            Object::File(id) => (open.position, Some(id)),
            Object::Directory => (open.position, None),
            _ => return Err(Errno::SPIPE.into()),
        };
        let size = id.map_or(0, |id| self.files.size(id));
        let from = |base: u64| base.checked_add_signed(op.offset);
        let to = match (op.whence, id) {
            (0, _) => from(0),
            (1, _) => from(position),
            (2, _) => from(size),
            (whence, Some(id)) => Some(self.files.next_extent(id, op.offset, whence == 4)?),
            _ => None,
        };
        let to = to.filter(|&to| to <= files::MAX_BYTES).ok_or(Errno::INVAL)?;
        self.table.get_mut(op.fd)?.position = to;
        Ok(to.cast_signed())
    }

    // --- transfers ------------------------------------------------------------------------------

    /// What both directions look at first; returns the open file and where the transfer begins.
    fn begin(&self, fd: Fd, at: At) -> Result<(&Open, u64), Errno> {
        if matches!(at, At::Offset(..0)) {
            return Err(Errno::INVAL);
        }
        let open = self.table.get(fd)?;
        let position = match at {
            At::Offset(_) if !open.object.is_seekable() => return Err(Errno::SPIPE),
            At::Offset(offset) => offset.cast_unsigned(),
            At::Position => open.position,
        };
        Ok((open, position))
    }

    fn read(&mut self, fd: Fd, into: Result<Pieces<'_>, Errno>, at: At, limit: usize) -> Done {
        let (open, position) = self.begin(fd, at)?;
        if !open.reads {
            return Err(Errno::BADF.into());
        }
        let mut into = into?;
        if into.is_empty_table() {
            return Ok(0);
        }
        verify(position, into.left())?;
        if !open.object.is_seekable() {
            into.cut(limit);
        }
        match open.object {
            Object::Directory => Err(Errno::ISDIR.into()),
            Object::File(id) => {
                let done = self.files.read(id, position, &mut into)?;
                self.moved(fd, at, position, done)
            }
            Object::Reader(id) => self.pipes.read(id, &mut into),
            // Nothing asked for is nothing waited for, other than with recv.
            Object::Socket(_) if into.left() == 0 => Ok(0),
            Object::Socket(id) => self.sockets.recv(id, MsgFlags::empty(), &mut into),
            Object::Writer(_) => Err(Errno::BADF.into()),
        }
    }

    fn write(&mut self, fd: Fd, from: Result<Pieces<'_>, Errno>, at: At, limit: usize) -> Done {
        let (open, mut position) = self.begin(fd, at)?;
        if !open.writes {
            return Err(Errno::BADF.into());
        }
        let mut from = from?;
        if from.is_empty_table() {
            return Ok(0);
        }
        verify(position, from.left())?;
        match open.object {
            Object::File(id) => {
                if open.appends {
                    // Also with an offset: see the bugs of `pwrite(2)`.
                    position = self.files.size(id);
                }
                let done = self.files.write(id, position, &mut from)?;
                self.moved(fd, at, position, done)
            }
            Object::Writer(id) => {
                if from.left() > pipes::PIPE_BUF {
                    from.cut(limit);
                }
                self.pipes.write(id, &mut from)
            }
            Object::Socket(id) => {
                from.cut(limit);
                self.sockets.send(id, MsgFlags::empty(), &mut from)
            }
            Object::Directory | Object::Reader(_) => Err(Errno::BADF.into()),
        }
    }

    /// A transfer without an offset moves the position.
    fn moved(&mut self, fd: Fd, at: At, position: u64, done: i64) -> Done {
        if at == At::Position && done > 0 {
            self.table.get_mut(fd)?.position = position + done.cast_unsigned();
        }
        Ok(done)
    }

    fn sendfile(&mut self, op: &Sendfile, limit: usize) -> Done {
        let (input, out) = (self.table.get(op.in_fd)?, self.table.get(op.out_fd));
        if !input.reads {
            return Err(Errno::BADF.into());
        }
        let at = op.offset.map_or(At::Position, At::Offset);
        if at != At::Position && !input.object.is_seekable() {
            return Err(Errno::SPIPE.into());
        }
        let len = op.len.min(MAX_RW_COUNT);
        let (_, position) = self.begin(op.in_fd, at)?;
        verify(position, len)?;
        let out = out?;
        if !out.writes {
            return Err(Errno::BADF.into());
        }
        if position >= files::MAX_BYTES && position + len as u64 > files::MAX_BYTES {
            return Err(Errno::OVERFLOW.into());
        }
        if let Object::Writer(pipe) = out.object
            && self.pipes.room(pipe)? == 0
        {
            return Err(Stop::Wait);
        }
        if len == 0 && !out.appends && input.object.is_seekable() {
            return Ok(0);
        }
        let Object::File(id) = input.object else { return Err(Errno::INVAL.into()) };
        if out.appends {
            return Err(Errno::INVAL.into());
        }
        let (object, to) = (out.object, out.position);
        let len = if object.is_seekable() { len } else { len.min(limit) };
        let sent = match object {
            Object::Writer(pipe) => self.fill_pipe(pipe, id, position, len)?,
            _ => self.copy(object, to, id, position, len)?,
        };
        let done = sent.cast_unsigned();
        if op.offset.is_none() {
            self.table.get_mut(op.in_fd)?.position = position + done;
        }
        if let Object::File(_) = object {
            self.table.get_mut(op.out_fd)?.position = to + done;
        }
        Ok(sent)
    }

    fn fill_pipe(&mut self, pipe: u32, file: u32, mut position: u64, len: usize) -> Done {
        let (mut done, mut room) = (0, self.pipes.room(pipe)?);
        let rest = self.files.size(file).saturating_sub(position);
        let len = len.min(usize::try_from(rest).unwrap_or(usize::MAX));
        while room > 0 && done < len {
            let bytes = self.files.page(file, position, len - done);
            done += bytes.len();
            position += bytes.len() as u64;
            room -= 1;
            self.pipes.push(pipe, bytes);
        }
        word(done)
    }

    fn copy(&mut self, out: Object, mut to: u64, file: u32, mut from: u64, len: usize) -> Done {
        let mut done = 0;
        while done < len {
            // A socket is given as many pages at once as a pipe has.
            let pages = if let Object::Socket(_) = out { 16 } else { 1 };
            let mut bytes = Vec::new();
            for _ in 0..pages {
                let next = from + bytes.len() as u64;
                bytes.extend(self.files.page(file, next, len - done - bytes.len()));
            }
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len() as u64;
            let mut pieces = Pieces::of(&mut bytes);
            let step = match out {
                Object::File(id) => self.files.write(id, to, &mut pieces),
                Object::Socket(id) => self.sockets.send(id, MsgFlags::empty(), &mut pieces),
                _ => Err(Errno::INVAL.into()),
            };
            let moved = match step {
                Ok(moved) => moved.cast_unsigned(),
                Err(_) if done > 0 => break,
                Err(stop) => return Err(stop),
            };
            done += usize::try_from(moved).unwrap_or(0);
            (from, to) = (from + moved, to + moved);
            if moved < len {
                break;
            }
        }
        word(done)
    }
}

/// An offset is a signed number, also behind the transfer.
fn verify(position: u64, len: usize) -> Result<(), Errno> {
    let end = i64::try_from(len).ok().and_then(|len| position.cast_signed().checked_add(len));
    end.map(|_| ()).ok_or(Errno::INVAL)
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
