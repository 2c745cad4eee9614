//! The objects of a program, made anew for each run, and what is left of them at its end.
#![allow(unsafe_code, reason = "calls the kernel with descriptors")]
//! # Safety
//! System calls get numbers of descriptors that the table owns, and addresses of locals.

use super::script::{Access, Kind, Object, Target};
use core::ffi::{CStr, c_int};
use core::fmt::Write as _;
use io_core::{Address, Fd};
use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The names in the directory, besides `dir`, `link` (to `there`), `dangling` and `loop`.
const THERE: &str = "there";
const CONTENT: &[u8] = b"what is there";
/// The names that programs may make.
const NEW: [&str; 3] = ["new0", "new1", "nowhere"];

/// Where the files of one runner are. Making one lets the process ignore `SIGPIPE`.
#[derive(Debug)]
pub struct Place {
    memory: TempDir,
    disk: PathBuf,
}

impl Place {
    /// A new place.
    ///
    /// # Panics
    /// If its files cannot be made.
    #[must_use]
    pub fn new() -> Place {
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let memory = TempDir::with_prefix_in("io-differential", root).expect("a folder");
        let at = |name: &str| memory.path().join(name);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name));
        fs::create_dir(at("dir")).expect("a folder");
        link(THERE, "link").expect("a link");
        link("nowhere", "dangling").expect("a link");
        link("loop", "loop").expect("a link");
        Place { memory, disk: std::env::temp_dir() }
    }

    /// The files with names as they are at the start of a program.
    fn reset(&self) {
        for name in NEW {
            // It need not be there.
            let _ = fs::remove_file(self.memory.path().join(name));
        }
        fs::write(self.memory.path().join(THERE), CONTENT).expect("a file");
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

struct Slot {
    fd: Option<OwnedFd>,
    kind: Kind,
    /// Descriptions that touch the same data are of one group.
    group: usize,
}

/// The objects of a running program.
pub(super) struct Table<'p> {
    place: &'p Place,
    nonblocking: bool,
    slots: Vec<Slot>,
    groups: usize,
    named: bool,
}

fn check(result: i32, what: &str) -> i32 {
    assert!(result >= 0, "{what}: {}", io::Error::last_os_error());
    result
}

/// A descriptor that was just made.
fn own(result: i32, what: &str) -> OwnedFd {
    let number = check(result, what);
    // SAFETY: just made, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn open(path: &CStr, flags: i32) -> OwnedFd {
    // SAFETY: a NUL-terminated path.
    own(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) }, "open")
}

/// What the byte at `at` of something with this seed is.
pub(super) fn pattern(seed: u8, at: usize) -> u8 {
    u8::try_from((at % 251) ^ (at / 251 % 256)).unwrap_or(0) ^ seed
}

fn file(place: &Place, len: usize, access: Access, disk: bool) -> OwnedFd {
    let folder = if disk { place.disk.as_path() } else { place.memory.path() };
    let folder = CString::new(folder.as_os_str().as_bytes()).expect("a path");
    let fd = open(&folder, libc::O_TMPFILE | libc::O_RDWR);
    let mut file = fs::File::from(fd);
    let bytes: Vec<u8> = (0..len).map(|at| pattern(0, at)).collect();
    file.write_all(&bytes).expect("filling a file");
    file.rewind().expect("rewinding a file");
    match access {
        Access::Both => file.into(),
        Access::Append => {
            // SAFETY: takes numbers.
            check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_APPEND) }, "fcntl");
            file.into()
        }
        Access::Read => again(file.as_raw_fd(), libc::O_RDONLY),
        Access::Write => again(file.as_raw_fd(), libc::O_WRONLY),
    }
}

/// A new description of the same file.
fn again(fd: i32, flags: i32) -> OwnedFd {
    open(&CString::new(format!("/proc/self/fd/{fd}")).expect("a path"), flags)
}

fn socket(kind: i32) -> OwnedFd {
    // SAFETY: takes numbers.
    own(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) }, "socket")
}

fn listener() -> OwnedFd {
    let fd = socket(libc::SOCK_STREAM);
    let family = io_core::op::Family::UNIX.0;
    // SAFETY: an address of the family alone, a local: the kernel chooses a name.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const family).cast(), 2) }, "bind");
    // SAFETY: takes numbers.
    check(unsafe { libc::listen(fd.as_raw_fd(), 64) }, "listen");
    fd
}

fn two(make: impl FnOnce(*mut i32) -> i32, what: &str) -> [OwnedFd; 2] {
    let mut fds = [-1; 2];
    check(make(fds.as_mut_ptr()), what);
    fds.map(|fd| own(fd, what))
}

impl<'p> Table<'p> {
    /// An empty one.
    pub(super) fn new(place: &'p Place, nonblocking: bool) -> Table<'p> {
        Table { place, nonblocking, slots: Vec::new(), groups: 0, named: false }
    }

    /// Makes an object.
    pub(super) fn make(&mut self, object: Object) {
        self.groups += 1;
        let folder = || {
            let path = self.place.memory.path().as_os_str().as_bytes();
            CString::new(path).expect("a path")
        };
        match object {
            Object::File { len, access, disk } => {
                self.push(file(self.place, len, access, disk), Kind::File);
            }
            Object::Pipe => {
                // SAFETY: room for two numbers.
                let [out, into] = two(|fds| unsafe { libc::pipe2(fds, libc::O_CLOEXEC) }, "pipe");
                self.push(out, Kind::PipeOut);
                self.push(into, Kind::PipeIn);
            }
            Object::Pair(kind) => {
                let kind = kind | libc::SOCK_CLOEXEC;
                // SAFETY: room for two numbers.
                let pair = |fds| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds) };
                two(pair, "pair").into_iter().for_each(|end| self.push(end, Kind::Socket));
            }
            Object::Listener => self.push(listener(), Kind::Listener),
            Object::Client => self.push(socket(libc::SOCK_STREAM), Kind::Socket),
            Object::Directory => {
                let fd = open(&folder(), libc::O_RDONLY | libc::O_DIRECTORY);
                if !core::mem::replace(&mut self.named, true) {
                    self.place.reset();
                }
                self.push(fd, Kind::Directory);
            }
            Object::Place => self.push(open(&folder(), libc::O_PATH), Kind::Directory),
            Object::Null => self.push(open(c"/dev/null", libc::O_RDWR), Kind::Device),
            Object::Full => self.push(open(c"/dev/full", libc::O_RDWR), Kind::Device),
            Object::Counter(count) => {
                // SAFETY: takes numbers.
                let fd = own(unsafe { libc::eventfd(count, libc::EFD_CLOEXEC) }, "eventfd");
                self.push(fd, Kind::Counter);
            }
        }
    }

    /// What is behind a descriptor that an operation made takes the next place, in this group or, if that is
    /// `None`, in one of its own.
    pub(super) fn adopt(&mut self, number: i64, kind: Kind, group: Option<usize>) {
        let fd = own(i32::try_from(number).expect("a descriptor"), "an operation's descriptor");
        self.groups += 1;
        let group = group.unwrap_or(self.groups);
        self.push_in(fd, kind, group);
    }

    fn push(&mut self, fd: OwnedFd, kind: Kind) {
        self.push_in(fd, kind, self.groups);
    }

    fn push_in(&mut self, fd: OwnedFd, kind: Kind, group: usize) {
        let waits = !matches!(kind, Kind::File | Kind::Directory | Kind::Device);
        if waits && self.nonblocking {
            // SAFETY: takes numbers.
            let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
            let flags = check(flags, "fcntl") | libc::O_NONBLOCK;
            // SAFETY: takes numbers.
            check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }, "fcntl");
        }
        self.slots.push(Slot { fd: Some(fd), kind, group });
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What is there, if it is open.
    pub(super) fn kind(&self, target: Target) -> Option<Kind> {
        let Target::Slot(slot) = target else { return None };
        let slot = self.slots.get(slot)?;
        slot.fd.is_some().then_some(slot.kind)
    }

    /// Says what it has become.
    pub(super) fn set_kind(&mut self, slot: usize, kind: Kind) {
        self.slots[slot].kind = kind;
    }

    /// Descriptions of one group touch the same data.
    pub(super) fn group(&self, target: Target) -> usize {
        match target {
            Target::Slot(slot) => self.slots[slot].group,
            Target::Number(_) => usize::MAX,
        }
    }

    /// What is behind both touches the same data from now on.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        for slot in &mut self.slots {
            if slot.group == one {
                slot.group = other;
            }
        }
    }

    /// The number; -1 for what is closed.
    pub(super) fn fd(&self, target: Target) -> Fd {
        match target {
            Target::Number(number) => Fd::new(number),
            Target::Slot(slot) => {
                Fd::new(self.slots[slot].fd.as_ref().map_or(-1, |fd| fd.as_raw_fd()))
            }
        }
    }

    /// Gives a descriptor up that an operation has closed, or will.
    pub(super) fn forget(&mut self, target: Target) {
        if let Target::Slot(slot) = target
            && let Some(fd) = self.slots[slot].fd.take()
        {
            let _: i32 = fd.into_raw_fd();
        }
    }

    /// Whether nothing is on its way from a pipe's writing end or a socket.
    pub(super) fn has_room(&self, target: Target) -> bool {
        let fd = self.fd(target).raw();
        let mut count: c_int = 0;
        let asked = match self.kind(target) {
            Some(Kind::PipeIn) => libc::FIONREAD,
            _ => libc::TIOCOUTQ,
        };
        // SAFETY: room for one number.
        unsafe { libc::ioctl(fd, asked, &raw mut count) };
        count == 0
    }

    /// Whether there is nothing in a stream but urgent data, or the place where it was: `poll(2)` offers it,
    /// and a read waits.
    pub(super) fn has_urgent_alone(&self, target: Target) -> bool {
        if self.kind(target) != Some(Kind::Socket) || !self.is_stream(target) {
            return false;
        }
        let fd = self.fd(target).raw();
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, a local.
        unsafe { libc::poll(&raw mut entry, 1, 0) };
        if entry.revents != libc::POLLIN {
            // No data, or an error, of which the read below would be told instead of the program's.
            return false;
        }
        let (mut byte, looks) = (0_u8, libc::MSG_PEEK | libc::MSG_DONTWAIT);
        // SAFETY: room for one byte.
        let count = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, looks) };
        count < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
    }

    /// Whether it is a socket that does not keep messages apart, and does not listen.
    pub(super) fn is_stream(&self, target: Target) -> bool {
        let fd = self.fd(target).raw();
        let (mut kind, mut len): (c_int, libc::socklen_t) = (0, 4);
        let to = (&raw mut kind).cast();
        // SAFETY: room for one number.
        let asked =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, to, &raw mut len) };
        asked == 0 && kind == libc::SOCK_STREAM && self.kind(target) != Some(Kind::Listener)
    }

    /// The size of a file.
    pub(super) fn size(&self, target: Target) -> u64 {
        // SAFETY: any bytes are one.
        let mut stat: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: room for one.
        let result = unsafe { libc::fstat(self.fd(target).raw(), &raw mut stat) };
        if result < 0 { 0 } else { stat.st_size.cast_unsigned() }
    }

    /// Where a Unix socket is bound; `None` if there is none.
    pub(super) fn address(&self, target: Target) -> Option<Address> {
        let mut bytes = [0_u8; 128];
        let mut len = 128;
        let fd = self.fd(target).raw();
        // SAFETY: room for 128 bytes.
        let result = unsafe { libc::getsockname(fd, bytes.as_mut_ptr().cast(), &raw mut len) };
        let len = usize::try_from(len).ok().filter(|_| result == 0)?;
        Address::from_bytes(bytes.get(..len)?).ok()
    }

    /// Whether it is a socket of the Internet's protocols.
    pub(super) fn is_internet(&self, target: Target) -> bool {
        let family = io_core::op::Family::INET.0.to_ne_bytes();
        self.address(target).is_some_and(|address| address.as_bytes().starts_with(&family))
    }

    /// What is behind a descriptor that was opened by a name.
    pub(super) fn behind(number: i64) -> Kind {
        let number = i32::try_from(number).expect("a descriptor");
        // SAFETY: any bytes are one.
        let mut stat: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: room for one.
        check(unsafe { libc::fstat(number, &raw mut stat) }, "fstat");
        // SAFETY: takes numbers.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
        let regular = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
        if regular && flags & libc::O_PATH == 0 { Kind::File } else { Kind::Directory }
    }

    /// What is left, place by place; takes what is in pipes and sockets.
    pub(super) fn left(&self) -> Vec<String> {
        self.slots.iter().map(look).collect()
    }
}

fn look(slot: &Slot) -> String {
    let Some(fd) = &slot.fd else { return "closed".to_owned() };
    match slot.kind {
        Kind::File => look_at_file(fd),
        Kind::PipeOut | Kind::Socket | Kind::Counter => drain(fd),
        Kind::Listener => connections(fd),
        Kind::PipeIn | Kind::Directory | Kind::Device => flags(fd),
    }
}

/// Those that operations and openers may set, but for being non-blocking.
fn flags(fd: &OwnedFd) -> String {
    // SAFETY: takes numbers.
    let of_number = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    // SAFETY: takes numbers.
    let of_file = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    format!("flags {of_number:#x} {:#x}", of_file & !libc::O_NONBLOCK)
}

fn look_at_file(fd: &OwnedFd) -> String {
    // SAFETY: takes numbers.
    let position = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) };
    let mut text = format!("{}, position {position}", flags(fd));
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let Ok(mut file) = fs::File::open(path) else { return text };
    let size = file.metadata().map_or(0, |data| data.len());
    let mut bytes = Vec::new();
    // Whether it can be read is the same for all.
    let _ = (&file).take(1 << 17).read_to_end(&mut bytes);
    if size > 1 << 17 {
        let _ = file.seek(io::SeekFrom::Start(size - 64));
        let _ = file.read_to_end(&mut bytes);
    }
    let _ = write!(text, ", {size} bytes, {}", digest(&bytes));
    text
}

/// What is read until there is no more, and how that ends.
fn drain(fd: &OwnedFd) -> String {
    let mut text = flags(fd);
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let (mut bytes, mut sizes) = (vec![0_u8; 1 << 16], Vec::new());
    let mut all = Vec::new();
    loop {
        // SAFETY: room for so many bytes.
        let count = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        let Ok(count @ 1..) = usize::try_from(count) else {
            let end =
                if count == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(0) };
            let _ = write!(text, ", {}, in {} pieces, end {end}", digest(&all), sizes.len());
            return text;
        };
        sizes.push(count);
        all.extend_from_slice(&bytes[..count]);
    }
}

fn connections(fd: &OwnedFd) -> String {
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let mut count = 0;
    let (address, len) = (core::ptr::null_mut(), core::ptr::null_mut());
    loop {
        // SAFETY: nobody asks for the address.
        let accepted = unsafe { libc::accept(fd.as_raw_fd(), address, len) };
        if accepted < 0 {
            return format!("{count} connections");
        }
        count += 1;
        drop(own(accepted, "accept"));
    }
}

/// A length and a sum, and the bytes themselves if they are few.
pub(super) fn digest(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let head = &bytes[..bytes.len().min(8)];
    format!("{} bytes {head:02x?}… {sum:016x}", bytes.len())
}
