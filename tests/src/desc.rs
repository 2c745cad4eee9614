//! [`Desc`]: descriptors for tests (files, pipes, sockets), made and used outside of the backend.
#![allow(unsafe_code, reason = "calls fcntl, and proves descriptors open")]
//! # Safety
//! The system calls here take numbers only; the proof is a counted owner.

use core::net::SocketAddr;
use io_core::op::{Lseek, Op, PollEvents, Pread, Read, Write};
use io_core::{Fd, IoFd, OwnedFd, Seekable};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::mem::Mem;
use crate::world::{Shared, World};

/// A counted descriptor; clones are the same open file. In a simulated world ([`Shared::enter`]) it is of
/// that world.
#[derive(Clone, Debug)]
pub struct Desc(Arc<Inner>);

/// Who has the file.
#[derive(Debug)]
enum Inner {
    Kernel(File),
    World(Shared, Fd),
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Inner::World(world, fd) = self {
            // A test may have closed it by its number.
            let _ = world.with(|world| world.close(*fd));
        }
    }
}

// SAFETY: a counted owner keeps its descriptor open for as long as it exists, a forgotten one for ever.
unsafe impl IoFd for Desc {
    fn fd(&self) -> Fd {
        self.raw()
    }
}

/// As [`Desc`], with the promise that positional operations are possible.
#[derive(Clone, Debug)]
pub struct Seeking(pub Desc);

// SAFETY: as for `Desc`; used for regular files, where `lseek` succeeds.
unsafe impl IoFd for Seeking {
    fn fd(&self) -> Fd {
        self.0.raw()
    }

    fn seekable(&self) -> Seekable {
        Seekable::Proven
    }
}

impl<T: Into<std::os::fd::OwnedFd>> From<T> for Desc {
    fn from(owner: T) -> Desc {
        Desc(Arc::new(Inner::Kernel(File::from(owner.into()))))
    }
}

impl Desc {
    /// A file without a name, with this content, at position 0.
    #[must_use]
    pub fn file(content: &[u8]) -> Desc {
        if let Some(world) = Shared::current() {
            return Desc::make(world, |world| world.file(content));
        }
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content).expect("filling the file");
        file.rewind().expect("rewinding the file");
        Desc::from(file)
    }

    /// A pipe's reading and writing end.
    #[must_use]
    pub fn pipe() -> (Desc, Desc) {
        if let Some(world) = Shared::current() {
            return Desc::make_two(&world, World::pipe);
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        (Desc::from(reader), Desc::from(writer))
    }

    /// The two ends of a stream.
    #[must_use]
    pub fn pair() -> (Desc, Desc) {
        if let Some(world) = Shared::current() {
            return Desc::make_two(&world, World::pair);
        }
        let (a, b) = UnixStream::pair().expect("a socket pair");
        (Desc::from(a), Desc::from(b))
    }

    /// A socket that listens on the loopback interface, and where.
    #[must_use]
    pub fn listener() -> (Desc, SocketAddr) {
        if let Some(world) = Shared::current() {
            let (fd, address) = world.with(World::listener);
            let address = address.ip().expect("an IP address");
            return (Desc(Arc::new(Inner::World(world, fd))), address);
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        (Desc::from(listener), address)
    }

    /// A connection to a listener.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Desc {
        if let Some(world) = Shared::current() {
            return Desc::make(world, |world| world.connect(&address.into()));
        }
        Desc::from(TcpStream::connect(address).expect("a connection"))
    }

    /// A directory.
    #[must_use]
    pub fn directory() -> Desc {
        if let Some(world) = Shared::current() {
            return Desc::make(world, World::directory);
        }
        Desc::from(File::open("/").expect("the root directory"))
    }

    /// Opens a path for reading.
    #[must_use]
    pub fn open(path: &str) -> Desc {
        Desc::from(File::open(path).expect(path))
    }

    /// Opens a path for writing.
    #[must_use]
    pub fn open_for_write(path: &str) -> Desc {
        Desc::from(File::options().write(true).open(path).expect(path))
    }

    /// A handle to a place in the tree (`O_PATH`).
    #[must_use]
    pub fn o_path() -> Desc {
        if let Some(world) = Shared::current() {
            return Desc::make(world, World::o_path);
        }
        // SAFETY: a literal, NUL-terminated path.
        let fd = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        assert!(fd >= 0, "open with O_PATH");
        // SAFETY: just opened, and nobody else's.
        Desc::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
    }

    /// A counter of events, at 0 (`eventfd(2)`).
    #[must_use]
    pub fn eventfd() -> Desc {
        // SAFETY: takes numbers.
        Desc::adopt(i64::from(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }))
    }

    /// A descriptor that a backend made.
    ///
    /// # Panics
    /// If the result word is an error.
    #[must_use]
    pub fn adopt(result: i64) -> Desc {
        let fd = i32::try_from(result).expect("a descriptor");
        assert!(fd >= 0, "no descriptor but {result}");
        if let Some(world) = Shared::current() {
            return Desc::make(world, |_| Fd::new(fd));
        }
        // SAFETY: the result of an open or accept that nobody else has read.
        Desc::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
    }

    /// As [`adopt`](Desc::adopt), from a typed operation.
    #[must_use]
    pub fn adopt_owned(fd: OwnedFd) -> Desc {
        Desc::adopt(i64::from(fd.into_raw().raw()))
    }

    fn make(world: Shared, act: impl FnOnce(&mut World) -> Fd) -> Desc {
        let fd = world.with(act);
        Desc(Arc::new(Inner::World(world, fd)))
    }

    fn make_two(world: &Shared, act: impl FnOnce(&mut World) -> (Fd, Fd)) -> (Desc, Desc) {
        let (one, other) = world.with(act);
        let desc = |fd| Desc(Arc::new(Inner::World(world.clone(), fd)));
        (desc(one), desc(other))
    }

    /// The number.
    #[must_use]
    pub fn raw(&self) -> Fd {
        match &*self.0 {
            Inner::Kernel(file) => Fd::new(file.as_raw_fd()),
            Inner::World(_, fd) => *fd,
        }
    }

    /// The file.
    ///
    /// # Panics
    /// In a simulated world, where there is none.
    #[must_use]
    pub fn std(&self) -> &File {
        match &*self.0 {
            Inner::Kernel(file) => file,
            Inner::World(..) => panic!("a simulated descriptor is no file of the kernel"),
        }
    }

    /// A second number for the same open file.
    #[must_use]
    pub fn dup(&self) -> Desc {
        match &*self.0 {
            Inner::Kernel(file) => Desc::from(file.try_clone().expect("dup")),
            Inner::World(world, fd) => {
                Desc::make(world.clone(), |world| world.dup(*fd).expect("dup"))
            }
        }
    }

    /// The number `at` for the same open file; what it stood for is closed (`dup3(2)`).
    pub fn dup_at(&self, at: Fd) {
        match &*self.0 {
            Inner::Kernel(file) => {
                // SAFETY: takes numbers; whose they are is the test's business.
                let made = unsafe { libc::dup3(file.as_raw_fd(), at.raw(), libc::O_CLOEXEC) };
                assert_eq!(made, at.raw(), "dup3");
            }
            Inner::World(world, fd) => {
                world.with(|world| world.dup_at(*fd, at)).expect("dup");
            }
        }
    }

    /// A second number for the same open file, owned as the library owns one.
    #[must_use]
    pub fn to_owned_fd(&self) -> OwnedFd {
        use std::os::fd::IntoRawFd as _;
        let (number, close): (Fd, unsafe fn(Fd)) = match &*self.0 {
            Inner::Kernel(file) => {
                let number = file.try_clone().expect("dup").into_raw_fd();
                (Fd::new(number), io_core::syscall::close_fd)
            }
            Inner::World(world, fd) => {
                (world.with(|world| world.dup(*fd)).expect("dup"), crate::world::close_fd)
            }
        };
        // SAFETY: a duplicate that nobody else has; the function is its `close(2)`.
        unsafe { OwnedFd::from_raw(number, close) }
    }

    /// Writes all of `bytes`, blocking.
    ///
    /// # Panics
    /// In a simulated world, if that would block: nobody else is there to end it.
    pub fn put(&self, bytes: &[u8]) {
        match &*self.0 {
            Inner::Kernel(file) => {
                (&*file).write_all(bytes).expect("writing outside of the backend");
            }
            Inner::World(world, fd) => {
                let mut done = 0;
                while done < bytes.len() {
                    let put = world.with(|world| world.put(*fd, &bytes[done..]));
                    done += put.expect("writing outside of the backend");
                }
            }
        }
    }

    /// Reads exactly `len` bytes, blocking.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[must_use]
    pub fn get(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        match &*self.0 {
            Inner::Kernel(file) => {
                (&*file).read_exact(&mut bytes).expect("reading outside of the backend");
            }
            Inner::World(world, fd) => {
                let mut done = 0;
                while done < len {
                    let got = world.with(|world| world.get(*fd, len - done));
                    let got = got.expect("reading outside of the backend");
                    assert_ne!(got.len(), 0, "the end outside of the backend");
                    bytes[done..done + got.len()].copy_from_slice(&got);
                    done += got.len();
                }
            }
        }
        bytes
    }

    /// Reads one byte, blocking; `None` at the end.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[must_use]
    pub fn read_byte(&self) -> Option<u8> {
        let mut byte = [0];
        match &*self.0 {
            Inner::Kernel(file) => {
                let got = (&*file).read(&mut byte).expect("reading outside of the backend");
                (got == 1).then_some(byte[0])
            }
            Inner::World(world, fd) => {
                let got = world.with(|world| world.get(*fd, 1));
                got.expect("reading outside of the backend").first().copied()
            }
        }
    }

    /// Everything in a file, from its start; leaves the position at the end.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        match &*self.0 {
            Inner::Kernel(file) => {
                let mut bytes = Vec::new();
                (&*file).rewind().expect("rewinding the file");
                (&*file).read_to_end(&mut bytes).expect("reading the file");
                bytes
            }
            Inner::World(world, fd) => world.with(|world| {
                let bytes = world.content(*fd);
                world.seek_to(*fd, bytes.len() as u64).expect("seeking");
                bytes
            }),
        }
    }

    /// The size of a file.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &*self.0 {
            Inner::Kernel(file) => file.metadata().expect("metadata").len(),
            Inner::World(world, fd) => world.with(|world| world.len(*fd)) as u64,
        }
    }

    /// Lets the kernel drop what it has of a file in memory, if it can.
    pub fn forget_pages(&self) {
        // SAFETY: takes numbers. It is advice: where it cannot be followed, nothing is lost.
        unsafe { libc::posix_fadvise(self.raw().raw(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }

    /// Sets the position of a file.
    pub fn seek_to(&self, position: u64) {
        match &*self.0 {
            Inner::Kernel(file) => {
                (&*file).seek(std::io::SeekFrom::Start(position)).expect("seeking");
            }
            Inner::World(world, fd) => {
                world.with(|world| world.seek_to(*fd, position)).expect("seeking");
            }
        }
    }

    /// The position of a file.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &*self.0 {
            Inner::Kernel(file) => (&*file).stream_position().expect("asking for the position"),
            Inner::World(world, fd) => world.with(|world| world.position(*fd)),
        }
    }

    /// Makes the description non-blocking.
    pub fn set_nonblocking(&self) {
        if let Inner::World(world, fd) = &*self.0 {
            return world.with(|world| world.set_nonblocking(*fd, true)).expect("an open file");
        }
        let fd = self.raw().raw();
        // SAFETY: takes a number.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        // SAFETY: takes numbers.
        let set = unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
        assert_eq!(set, 0, "fcntl");
    }

    /// The status flags of the description (`F_GETFL`).
    #[must_use]
    pub fn status_flags(&self) -> i32 {
        if let Inner::World(world, fd) = &*self.0 {
            let flags = world.with(|world| world.status_flags(*fd)).expect("an open file");
            return flags.bits().cast_signed();
        }
        // SAFETY: takes a number.
        unsafe { libc::fcntl(self.raw().raw(), libc::F_GETFL) }
    }

    /// Where an IP socket is bound.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        if let Inner::World(world, fd) = &*self.0 {
            return world.with(|world| world.local_address(*fd)).ip().expect("an IP socket");
        }
        let dup = self.std().try_clone().expect("dup");
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(dup));
        socket.local_addr().expect("its address")
    }

    /// Whether the descriptor is closed by `execve(2)`.
    #[must_use]
    pub fn is_cloexec(&self) -> bool {
        if let Inner::World(world, fd) = &*self.0 {
            return world.with(|world| world.is_cloexec(*fd));
        }
        // SAFETY: takes a number.
        let flags = unsafe { libc::fcntl(self.raw().raw(), libc::F_GETFD) };
        flags & libc::FD_CLOEXEC != 0
    }

    /// Fills a pipe until it takes no more, and returns how much it took.
    #[must_use]
    pub fn fill_up(&self) -> usize {
        let chunk = [0xee_u8; 4096];
        let mut total = 0;
        loop {
            if let Inner::World(world, fd) = &*self.0 {
                if world.with(|world| world.ready(*fd, PollEvents::OUT)).is_empty() {
                    return total;
                }
                self.put(&chunk);
                total += chunk.len();
                continue;
            }
            let mut poll = libc::pollfd { fd: self.raw().raw(), events: libc::POLLOUT, revents: 0 };
            // SAFETY: one entry, a local.
            if unsafe { libc::poll(&raw mut poll, 1, 0) } == 0 {
                return total;
            }
            // A pipe that polls writable has room for a page.
            self.put(&chunk);
            total += chunk.len();
        }
    }

    /// A read at the position into `mem`.
    #[must_use]
    pub fn read_op(&self, mem: &Mem) -> Op {
        Op::Read(Read { fd: self.raw(), buf: mem.ptr(), len: mem.len() })
    }

    /// A write at the position from `mem`.
    #[must_use]
    pub fn write_op(&self, mem: &Mem) -> Op {
        Op::Write(Write { fd: self.raw(), buf: mem.ptr(), len: mem.len() })
    }

    /// A read at `offset` into `mem`.
    #[must_use]
    pub fn pread_op(&self, mem: &Mem, offset: i64) -> Op {
        let (buf, len) = (mem.ptr(), mem.len());
        Op::Pread(Pread { fd: self.raw(), seekable: Seekable::Unknown, buf, len, offset })
    }

    /// A question for the position.
    #[must_use]
    pub fn lseek_op(&self, offset: i64, whence: u32) -> Op {
        Op::Lseek(Lseek { fd: self.raw(), whence, offset })
    }
}

/// What closes a descriptor: `close(2)`, or the simulated world's.
#[must_use]
pub fn closer() -> unsafe fn(Fd) {
    match Shared::current() {
        Some(_) => crate::world::close_fd,
        None => io_core::syscall::close_fd,
    }
}

/// Whether a number is open, in this process or in the simulated world.
#[must_use]
pub fn is_open(fd: Fd) -> bool {
    match Shared::current() {
        Some(world) => world.with(|world| world.is_open(fd)),
        // SAFETY: takes a number.
        None => unsafe { libc::fcntl(fd.raw(), libc::F_GETFD) != -1 },
    }
}

/// How many descriptors this process has open, or the simulated world that it is in.
#[must_use]
pub fn count_fds() -> usize {
    if let Some(world) = Shared::current() {
        return world.with(|world| world.open_count());
    }
    // The directory's own descriptor is one of those it lists.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}
