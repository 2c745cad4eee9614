//! What a test does to the world by hand, outside of any operation.

use super::memory::Pieces;
use super::table::{Object, Open};
use super::transfers::At;
use super::{Done, Stop, World};
use core::net::Ipv4Addr;
use io_core::op::{Family, OpenFlags, Socket, SocketFlags, SocketKind};
use io_core::{Address, Errno, Fd};

impl World {
    /// A file without a name, with this content, open for both, at position 0.
    ///
    /// # Panics
    /// If there is no number left, as all that make descriptors here.
    pub fn file(&mut self, content: &[u8]) -> Fd {
        let id = self.files.add(None, 0o600);
        self.fill(id, content);
        self.number(Open::new(Object::File(id), true, true))
    }

    /// A file of this name in `/`, with this content, not open. One that was there is another file now.
    pub fn named_file(&mut self, name: &str, content: &[u8]) {
        self.files.unlink(name.as_bytes());
        let id = self.files.add(Some(name.as_bytes().to_vec()), 0o600);
        self.fill(id, content);
        self.files.close(id);
    }

    /// Takes the name of a file away; `false` if there is none.
    pub fn unlink(&mut self, name: &str) -> bool {
        self.files.unlink(name.as_bytes())
    }

    /// The directory `/`, open for reading.
    ///
    /// # Panics
    /// As [`file`](Self::file).
    pub fn directory(&mut self) -> Fd {
        self.number(Open::new(Object::Directory, true, false))
    }

    /// The directory `/` as a place in the tree (`O_PATH`).
    ///
    /// # Panics
    /// As [`file`](Self::file).
    pub fn o_path(&mut self) -> Fd {
        self.number(Open { is_path: true, ..Open::new(Object::Directory, false, false) })
    }

    /// A pipe's reading and writing end.
    ///
    /// # Panics
    /// As [`file`](Self::file).
    pub fn pipe(&mut self) -> (Fd, Fd) {
        let id = self.pipes.add();
        let reader = self.number(Open::new(Object::Reader(id), true, false));
        (reader, self.number(Open::new(Object::Writer(id), false, true)))
    }

    /// The two ends of a local stream.
    ///
    /// # Panics
    /// As [`file`](Self::file).
    pub fn pair(&mut self) -> (Fd, Fd) {
        let (a, b) = self.sockets.add_pair();
        let a = self.number(Open::new(Object::Socket(a), true, true));
        (a, self.number(Open::new(Object::Socket(b), true, true)))
    }

    /// A socket that listens on the IPv4 loopback interface, and where.
    ///
    /// # Panics
    /// As [`file`](Self::file).
    pub fn listener(&mut self) -> (Fd, Address) {
        self.listener_at(&Address::v4(Ipv4Addr::LOCALHOST, 0), 128)
    }

    /// A socket that listens at this address, and where that is.
    ///
    /// # Panics
    /// As [`file`](Self::file), and if it cannot.
    pub fn listener_at(&mut self, address: &Address, backlog: i32) -> (Fd, Address) {
        let fd = self.stream(address.family());
        let id = self.socket(fd).expect("a socket");
        self.sockets.bind(id, Some(address.as_bytes())).expect("a free address");
        self.sockets.listen(id, backlog).expect("a socket that listens");
        (fd, self.local_address(fd))
    }

    /// A connection to a listener that has room for it.
    ///
    /// # Panics
    /// As [`file`](Self::file), and if nobody takes it.
    pub fn connect(&mut self, address: &Address) -> Fd {
        let fd = self.stream(address.family());
        let id = self.socket(fd).expect("a socket");
        self.sockets.connect(id, address.as_bytes()).expect("somebody who listens");
        fd
    }

    /// The next connection of a listener, if there is one.
    ///
    /// # Panics
    /// As [`file`](Self::file), and if it does not listen.
    pub fn accept(&mut self, fd: Fd) -> Option<Fd> {
        let id = self.socket(fd).expect("a socket");
        match self.sockets.accept(id) {
            Ok((accepted, _)) => Some(self.number(Open::new(Object::Socket(accepted), true, true))),
            Err(Stop::Wait) => None,
            Err(Stop::Failed(errno)) => panic!("accept: {errno}"),
        }
    }

    /// A stream socket of this family and nothing more.
    ///
    /// # Panics
    /// As [`file`](Self::file), and for a family that is not here.
    pub fn stream(&mut self, family: Family) -> Fd {
        let (kind, flags) = (SocketKind::STREAM, SocketFlags::empty());
        let id = self.sockets.add(&Socket { family, kind, flags, protocol: 0 }).expect("a family");
        self.number(Open::new(Object::Socket(id), true, true))
    }

    /// Binds a socket.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(&mut self, fd: Fd, address: &Address) -> Result<(), Errno> {
        let id = self.socket(fd);
        match id.and_then(|id| self.sockets.bind(id, Some(address.as_bytes()))) {
            Ok(_) => Ok(()),
            Err(Stop::Failed(errno)) => Err(errno),
            Err(Stop::Wait) => Err(Errno::AGAIN),
        }
    }

    /// A second number for the same open file (`dup(2)`).
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub fn dup(&mut self, fd: Fd) -> Result<Fd, Errno> {
        self.table.dup(fd)
    }

    /// The number `at` for the same open file; what it stood for is closed (`dup2(2)`).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn dup_at(&mut self, fd: Fd, at: Fd) -> Result<(), Errno> {
        self.table.any(fd)?;
        if fd == at {
            return Ok(());
        }
        // It may be free.
        let _ = self.close(at);
        self.table.dup_at(fd, at)
    }

    /// Writes at the position, or sends, what is taken without a wait; returns how much that is.
    ///
    /// # Errors
    /// As `write(2)`; `EAGAIN` if nothing is taken.
    pub fn put(&mut self, fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        let mut copy = bytes.to_vec();
        count(self.write(fd, Ok(Pieces::of(&mut copy)), At::Position, usize::MAX))
    }

    /// Reads at the position, or receives, what is there, at most `max` bytes; nothing at the end.
    ///
    /// # Errors
    /// As `read(2)`; `EAGAIN` if nothing is there yet.
    pub fn get(&mut self, fd: Fd, max: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; max];
        let got = count(self.read(fd, Ok(Pieces::of(&mut bytes)), At::Position, usize::MAX))?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Everything in a file, wherever its position.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn content(&self, fd: Fd) -> Vec<u8> {
        let Ok(Open { object: Object::File(id), .. }) = self.table.get(fd) else {
            panic!("{fd:?} is no file");
        };
        let mut bytes = vec![0; self.len(fd)];
        self.files.read(*id, 0, &mut Pieces::of(&mut bytes)).expect("memory of our own");
        bytes
    }

    /// The size of a file, or how much there is to read from a pipe or socket.
    #[must_use]
    pub fn len(&self, fd: Fd) -> usize {
        match self.table.get(fd).map(|open| open.object) {
            Ok(Object::File(id)) => usize::try_from(self.files.size(id)).unwrap_or(usize::MAX),
            Ok(Object::Reader(id) | Object::Writer(id)) => self.pipes.len(id),
            Ok(Object::Socket(id)) => self.sockets.len(id),
            _ => 0,
        }
    }

    /// The position of an open file; 0 of what has none.
    #[must_use]
    pub fn position(&self, fd: Fd) -> u64 {
        self.table.get(fd).map_or(0, |open| open.position)
    }

    /// Sets the position of an open file.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn seek_to(&mut self, fd: Fd, position: u64) -> Result<(), Errno> {
        self.table.get_mut(fd)?.position = position;
        Ok(())
    }

    /// Makes an open file non-blocking, or blocking.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_nonblocking(&mut self, fd: Fd, nonblocking: bool) -> Result<(), Errno> {
        self.table.get_mut(fd)?.nonblocking = nonblocking;
        Ok(())
    }

    /// The status flags of an open file (`F_GETFL`), as far as they mean something here.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn status_flags(&self, fd: Fd) -> Result<OpenFlags, Errno> {
        let open = self.table.any(fd)?;
        let mut flags = match (open.reads, open.writes) {
            (true, true) => OpenFlags::RDWR,
            (false, true) => OpenFlags::WRONLY,
            _ => OpenFlags::RDONLY,
        };
        flags.set(OpenFlags::PATH, open.is_path);
        flags.set(OpenFlags::APPEND, open.appends);
        flags.set(OpenFlags::NONBLOCK, open.nonblocking);
        Ok(flags)
    }

    /// Whether the number is closed by `execve(2)`.
    #[must_use]
    pub fn is_cloexec(&self, fd: Fd) -> bool {
        self.table.ends_at_exec(fd)
    }

    /// Where a socket is bound; nowhere if it is none.
    #[must_use]
    pub fn local_address(&self, fd: Fd) -> Address {
        self.socket(fd).map_or(Address::EMPTY, |id| self.sockets.local_address(id))
    }

    /// Whether the number is in use.
    #[must_use]
    pub fn is_open(&self, fd: Fd) -> bool {
        self.table.any(fd).is_ok()
    }

    /// How many numbers are in use.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.table.count()
    }

    /// The numbers in use, the lowest first.
    #[must_use]
    pub fn open_fds(&self) -> Vec<Fd> {
        self.table.fds().collect()
    }

    /// How many numbers there may be in use (`RLIMIT_NOFILE`): more is `EMFILE`.
    pub fn set_most_fds(&mut self, most: usize) {
        self.table.set_most(most);
    }

    fn fill(&mut self, id: u32, content: &[u8]) {
        let mut copy = content.to_vec();
        self.files.write(id, 0, &mut Pieces::of(&mut copy)).expect("memory of our own");
    }

    fn number(&mut self, open: Open) -> Fd {
        self.table.add(open).expect("a free descriptor number")
    }
}

fn count(done: Done) -> Result<usize, Errno> {
    match done {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(Stop::Wait) => Err(Errno::AGAIN),
        Err(Stop::Failed(errno)) => Err(errno),
    }
}
