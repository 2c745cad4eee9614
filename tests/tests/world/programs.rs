//! Random operations, good and bad, on the objects of both sides.

use crate::both::{Both, Buf, Compared, Kind, Side};
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, Ordering};
use io_conformance::Desc;
use io_conformance::choices::Choices;
use io_core::op::{
    Accept, AcceptFlags, Bind, Close, Connect, Family, Fdatasync, Fsync, Ftruncate, Listen, Lseek,
    MsgFlags, Nop, Open, OpenFlags, Poll, PollEvents, Pread, Preadv, Pwrite, Pwritev, Read, Readv,
    Recv, Send, Sendfile, Shutdown, Socket, SocketFlags, SocketKind, Write, Writev,
};
use io_core::{Address, Errno, Fd, Op, OpKind, Seekable};
use std::path::Path;

/// How many programs there were in this process.
static PROGRAMS: AtomicU32 = AtomicU32::new(0);

const UNKNOWN: Seekable = Seekable::Unknown;
/// What is not open.
const BAD: usize = 3;
/// How many objects there may be at once.
const MOST: usize = 40;

/// One random program.
pub(crate) struct Program<'c> {
    choices: &'c Choices,
    both: Both,
    /// The directory, and a place that is the same.
    trees: [usize; 2],
    /// A file was left alone where the kernel's got data in place of a hole.
    differs: bool,
    /// Of the sockets that are made.
    family: Family,
    number: u32,
}

impl Side<'_> {
    fn bind(&self, slot: usize) -> Bind {
        let (addr, len) = self.buf();
        let addr_len = u32::try_from(len).expect("small");
        Bind { fd: self.fd(slot), addr: addr.cast_const(), addr_len }
    }

    fn connect(&self, slot: usize) -> Connect {
        let Bind { fd, addr, addr_len } = self.bind(slot);
        Connect { fd, addr, addr_len }
    }
}

impl<'c> Program<'c> {
    /// Makes the first objects.
    pub(crate) fn new(choices: &'c Choices, tree: &Path, family: Family) -> Self {
        let mut both = Both::new(family != Family::UNIX);
        let world = both.world.file(b"0123456789");
        both.add(Kind::File, &Desc::file(b"0123456789"), world);
        let (reader, writer) = Desc::pipe();
        let (world_reader, world_writer) = both.world.pipe();
        both.add(Kind::Reader, &reader, world_reader);
        both.add(Kind::Writer, &writer, world_writer);
        let (a, b) = Desc::pair();
        let (world_a, world_b) = both.world.pair();
        both.add(Kind::Stream, &a, world_a);
        both.add(Kind::Stream, &b, world_b);
        let world = both.world.directory();
        let real = Desc::open(tree.to_str().expect("a path"));
        let directory = both.add(Kind::Directory, &real, world);
        both.run(&[Buf::Bytes(b".\0".to_vec())], |side| {
            let (dir, path) = (side.fd(directory), side.buf().0.cast_const().cast());
            Op::Open(Open { dir, path, flags: OpenFlags::PATH, mode: 0 })
        });
        let place = both.slots.len() - 1;
        let content: Vec<u8> =
            (0..20_000_u32).map(|i| i.to_le_bytes()[usize::from(i % 7 == 0)]).collect();
        std::fs::write(tree.join("source"), &content).expect("filling a file");
        both.world.named_file("source", &content);
        both.run(&[Buf::Bytes(b"source\0".to_vec())], |side| {
            let (dir, path) = (side.fd(directory), side.buf().0.cast_const().cast());
            Op::Open(Open { dir, path, flags: OpenFlags::RDONLY, mode: 0 })
        });
        both.slots.last_mut().expect("just opened").kind = Kind::Source;
        let trees = [directory, place];
        // Several tests run at a time, each with the same seeds.
        let number = PROGRAMS.fetch_add(1, Ordering::Relaxed);
        let mut program = Program { choices, both, trees, differs: false, family, number };
        program.join();
        program
    }

    /// Makes a listener, and a connection or two, so that there is something to go on with.
    fn join(&mut self) {
        let bufs = [self.named_address()];
        let next = self.both.slots.len();
        self.make_socket(SocketKind::STREAM, self.family, 0);
        self.both.run(&bufs, |side| Op::Bind(side.bind(next)));
        self.both.run(&[], |side| Op::Listen(Listen { fd: side.fd(next), backlog: 1 }));
        self.both.slots[next].kind = Kind::Listener;
        for client in next + 1..=next + 2 {
            self.make_socket(SocketKind::STREAM, self.family, 0);
            self.both.run(&[Buf::Address(next)], |side| Op::Connect(side.connect(client)));
        }
        self.accept_from(next, AcceptFlags::NONBLOCK);
    }

    /// Runs it; returns what was compared.
    pub(crate) fn run(mut self, steps: u32, kinds: &[OpKind]) -> Compared {
        for _ in 0..steps {
            let kind = *self.choices.pick(kinds);
            self.step(kind);
        }
        core::mem::replace(&mut self.both, Both::new(false)).finish()
    }

    fn below(&self, n: u32) -> usize {
        usize::try_from(self.choices.below(n)).expect("a small number")
    }

    /// An object, mostly one of these kinds.
    fn slot(&self, kinds: &[Kind]) -> usize {
        let slots = &self.both.slots;
        let fitting: Vec<usize> =
            (0..slots.len()).filter(|&i| kinds.contains(&slots[i].kind)).collect();
        if fitting.is_empty() || self.choices.chance(10) {
            return self.choices.index(slots.len());
        }
        *self.choices.pick(&fitting)
    }

    fn len(&self) -> usize {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => 4096,
            3 => 4097,
            4 => 9000,
            _ => self.below(300),
        }
    }

    fn buf(&self) -> Buf {
        let len = self.len();
        if self.choices.chance(20) {
            return Buf::Null(len);
        }
        let first = u8::try_from(self.below(200)).expect("a byte");
        Buf::Bytes((0..len).map(|i| first.wrapping_add(i.to_le_bytes()[0])).collect())
    }

    fn bufs(&self) -> Vec<Buf> {
        (0..self.below(5)).map(|_| self.buf()).collect()
    }

    fn offset(&self) -> i64 {
        const ODD: [i64; 8] = [
            -1,
            i64::MIN,
            i64::MAX,
            i64::MAX - 10,
            (1 << 44) - 4096,
            (1 << 44) - 4099,
            1 << 44,
            1 << 40,
        ];
        match self.below(6) {
            0 => *self.choices.pick(&ODD),
            1 => 4096 * i64::from(self.choices.below(5)),
            _ => i64::from(self.choices.below(12_000)),
        }
    }

    fn count(&self, bufs: &[Buf]) -> usize {
        if self.choices.chance(30) {
            *self.choices.pick(&[1025, usize::MAX >> 33])
        } else {
            bufs.len()
        }
    }

    fn step(&mut self, kind: OpKind) {
        const SENDS: [Kind; 4] = [Kind::File, Kind::Writer, Kind::Stream, Kind::Network];
        const RECEIVES: [Kind; 4] = [Kind::File, Kind::Reader, Kind::Stream, Kind::Network];
        match kind {
            OpKind::Read | OpKind::Readv => self.read(self.slot(&RECEIVES), kind),
            OpKind::Write | OpKind::Writev => self.write(self.slot(&SENDS), kind),
            OpKind::Pread | OpKind::Preadv => {
                self.read(self.slot(&[Kind::File, Kind::Source]), kind);
            }
            OpKind::Pwrite | OpKind::Pwritev => self.write(self.slot(&[Kind::File]), kind),
            OpKind::Recv => self.recv(),
            OpKind::Send => self.send(),
            OpKind::Open => self.open(),
            OpKind::Sendfile => self.sendfile(&RECEIVES, &SENDS),
            OpKind::Accept => self.accept(),
            OpKind::Connect | OpKind::Bind | OpKind::Socket | OpKind::Listen => {
                self.connection(kind);
            }
            OpKind::Close => self.close(),
            _ => self.simple(kind),
        }
    }

    fn read(&mut self, slot: usize, kind: OpKind) {
        let (bufs, one, offset) = (self.bufs(), self.buf(), self.offset());
        let count = self.count(&bufs);
        let single = [one];
        let bufs =
            if matches!(kind, OpKind::Read | OpKind::Pread) { &single[..] } else { &bufs[..] };
        self.both.run(bufs, |side| {
            let fd = side.fd(slot);
            let iov = side.table.ptr().cast();
            match kind {
                OpKind::Read => {
                    let (buf, len) = side.buf();
                    Op::Read(Read { fd, buf, len })
                }
                OpKind::Pread => {
                    let (buf, len) = side.buf();
                    Op::Pread(Pread { fd, seekable: UNKNOWN, buf, len, offset })
                }
                OpKind::Readv => Op::Readv(Readv { fd, iov, count }),
                _ => Op::Preadv(Preadv { fd, seekable: UNKNOWN, iov, count, offset }),
            }
        });
    }

    fn write(&mut self, slot: usize, kind: OpKind) {
        let (mut bufs, one, offset) = (self.bufs(), self.buf(), self.offset());
        if self.is_stuffed(slot) {
            return;
        }
        let count = self.count(&bufs);
        let mut single = [one];
        // The one difference in files: see the world's own list.
        if self.both.is_behind(slot, offset) {
            single.iter_mut().chain(&mut bufs).for_each(Buf::fill);
        }
        let bufs =
            if matches!(kind, OpKind::Write | OpKind::Pwrite) { &single[..] } else { &bufs[..] };
        let result = self.both.run(bufs, |side| {
            let fd = side.fd(slot);
            let iov = side.table.ptr().cast();
            match kind {
                OpKind::Write => {
                    let (buf, len) = side.buf();
                    Op::Write(Write { fd, buf, len })
                }
                OpKind::Pwrite => {
                    let (buf, len) = side.buf();
                    Op::Pwrite(Pwrite { fd, seekable: UNKNOWN, buf, len, offset })
                }
                OpKind::Writev => Op::Writev(Writev { fd, iov, count }),
                _ => Op::Pwritev(Pwritev { fd, seekable: UNKNOWN, iov, count, offset }),
            }
        });
        self.differs |= result == Errno::FAULT.to_result();
    }

    /// Whether the real kernel would rather have no more in this socket: how much it takes is its own.
    fn is_stuffed(&mut self, slot: usize) -> bool {
        let kind = self.both.slots[slot].kind;
        matches!(kind, Kind::Stream | Kind::Network) && !self.both.has_room(slot)
    }

    fn recv(&mut self) {
        let slot = self.slot(&[Kind::Stream]);
        let flags = *self.choices.pick(&[
            MsgFlags::empty(),
            MsgFlags::DONTWAIT,
            MsgFlags::PEEK,
            MsgFlags::PEEK | MsgFlags::DONTWAIT,
            MsgFlags::WAITALL | MsgFlags::DONTWAIT,
            MsgFlags::TRUNC,
        ]);
        self.both.run(&[self.buf()], |side| {
            let (buf, len) = side.buf();
            Op::Recv(Recv { fd: side.fd(slot), flags, buf, len })
        });
    }

    fn send(&mut self) {
        let slot = self.slot(&[Kind::Stream]);
        if self.is_stuffed(slot) {
            return;
        }
        // A network would wait for more.
        let more = if self.family == Family::UNIX { MsgFlags::MORE } else { MsgFlags::DONTWAIT };
        let flags = *self.choices.pick(&[MsgFlags::empty(), MsgFlags::DONTWAIT, more]);
        self.both.run(&[self.buf()], |side| {
            let (buf, len) = side.buf();
            Op::Send(Send { fd: side.fd(slot), flags, buf, len })
        });
    }

    fn open(&mut self) {
        const PATHS: [&[u8]; 14] = [
            b"a", b"b", b"c", b".", b"..", b"./a", b"a/", b"a/b", b"new/", b"", b"no/such", b"/",
            b"//.", b"a\xff b",
        ];
        if self.both.slots.len() > MOST {
            return;
        }
        let mut path = self.choices.pick(&PATHS).to_vec();
        if self.choices.chance(30) {
            path = vec![b'x'; *self.choices.pick(&[255, 256, 4095, 4096, 5000])];
        }
        path.push(0);
        let dir = self.directory();
        let mut flags =
            *self.choices.pick(&[OpenFlags::RDWR, OpenFlags::RDONLY, OpenFlags::WRONLY]);
        for flag in [
            OpenFlags::CREATE,
            OpenFlags::EXCL,
            OpenFlags::TRUNC,
            OpenFlags::APPEND,
            OpenFlags::DIRECTORY,
            OpenFlags::PATH,
            OpenFlags::TMPFILE,
        ] {
            let odds = if flag == OpenFlags::CREATE { 2 } else { 8 };
            flags.set(flag, self.choices.chance(odds));
        }
        // A real tree has more in it above.
        let flags = if path.starts_with(b"/") || path.starts_with(b"..") {
            flags & !(OpenFlags::TMPFILE | OpenFlags::CREATE)
        } else {
            flags
        };
        let path = if self.choices.chance(40) { Buf::Null(0) } else { Buf::Bytes(path) };
        self.both.run(&[path], |side| {
            let (dir, path) = (side.fd(dir), side.buf().0.cast_const().cast());
            Op::Open(Open { dir, path, flags: flags | OpenFlags::CLOEXEC, mode: 0o644 })
        });
    }

    /// Where to open something: never in a directory of the machine's own.
    fn directory(&self) -> usize {
        let slot = if self.choices.chance(10) { self.slot(&[]) } else { self.trees[0] };
        let is_tree = matches!(self.both.slots[slot].kind, Kind::Directory | Kind::Path);
        if is_tree && !self.trees.contains(&slot) { self.trees[1] } else { slot }
    }

    fn sendfile(&mut self, inputs: &[Kind], outputs: &[Kind]) {
        let input =
            if self.choices.chance(4) { self.slot(inputs) } else { self.slot(&[Kind::Source]) };
        let out = self.slot(outputs);
        let is_socket =
            |slot: usize| matches!(self.both.slots[slot].kind, Kind::Stream | Kind::Network);
        // What is sent of a file that changes is the kernel's own: see the world's own list.
        let changes =
            self.both.slots[input].kind == Kind::File && self.both.slots[out].kind != Kind::File;
        let odd = changes || is_socket(input) || self.both.slots[input].kind == Kind::Reader;
        if odd && (changes || self.both.slots[out].kind == Kind::Writer)
            || input == out
            || self.is_stuffed(out)
        {
            return;
        }
        let offset = self.choices.chance(2).then(|| self.offset());
        let len = self.len();
        self.both.run(&[], |side| {
            let (out_fd, in_fd) = (side.fd(out), side.fd(input));
            Op::Sendfile(Sendfile { out_fd, in_fd, offset, len })
        });
    }

    fn accept(&mut self) {
        if self.both.slots.len() > MOST {
            return;
        }
        let slot = self.slot(&[Kind::Listener, Kind::Network]);
        let flags = AcceptFlags::NONBLOCK
            | AcceptFlags::from_bits_retain(if self.choices.chance(10) { 1 << 9 } else { 0 });
        self.accept_from(slot, flags);
    }

    fn accept_from(&mut self, slot: usize, flags: AcceptFlags) {
        self.both.run(&[], |side| {
            let (addr, addr_len) = (core::ptr::null_mut(), core::ptr::null_mut());
            Op::Accept(Accept { fd: side.fd(slot), flags, addr, addr_len })
        });
    }

    /// The making of connections: `family` is what new sockets are.
    fn connection(&mut self, kind: OpKind) {
        const SOCKETS: [Kind; 3] = [Kind::Listener, Kind::Stream, Kind::Network];
        let slot = self.slot(&SOCKETS);
        let other = self.slot(&[Kind::Listener, Kind::Listener, Kind::Network]);
        let address = match self.below(6) {
            0 => self.odd_address(),
            1 | 2 => self.named_address(),
            _ => Buf::Address(other),
        };
        let backlog = i32::try_from(self.below(5)).expect("small") - 1;
        match kind {
            // What can be done with it again is the kernel's own: see the world's list.
            _ if kind != OpKind::Socket && self.both.is_over(slot) => {}
            OpKind::Bind | OpKind::Connect => {
                let bufs = [if kind == OpKind::Bind { self.named_address() } else { address }];
                let make = |side: &Side<'_>| match kind {
                    OpKind::Bind => Op::Bind(side.bind(slot)),
                    _ => Op::Connect(side.connect(slot)),
                };
                self.both.run(&bufs, make);
            }
            OpKind::Listen => {
                let done =
                    self.both.run(&[], |side| Op::Listen(Listen { fd: side.fd(slot), backlog }));
                if done == 0 {
                    self.both.slots[slot].kind = Kind::Listener;
                }
            }
            _ => self.socket(),
        }
    }

    fn socket(&mut self) {
        if self.both.slots.len() > MOST {
            return;
        }
        let kind = *self.choices.pick(&[SocketKind::STREAM, SocketKind::STREAM, SocketKind(77)]);
        let odd = self.choices.chance(10);
        let family = if odd { Family(*self.choices.pick(&[0, 46, 999])) } else { self.family };
        let protocol =
            if self.choices.chance(10) { *self.choices.pick(&[1, 6, 17, 255, 300]) } else { 0 };
        self.make_socket(kind, family, protocol);
    }

    fn make_socket(&mut self, kind: SocketKind, family: Family, protocol: u32) {
        let flags = SocketFlags::NONBLOCK;
        self.both.run(&[], |_| Op::Socket(Socket { family, kind, flags, protocol }));
    }

    /// One of a few names; the real one is nobody else's.
    fn named_address(&self) -> Buf {
        if self.family != Family::UNIX {
            return Buf::Bytes(Address::v4(Ipv4Addr::LOCALHOST, 0).as_bytes().to_vec());
        }
        let name = format!("io-world-{}-{}-{}", std::process::id(), self.number, self.below(4));
        Buf::Bytes(Address::unix_abstract(name.as_bytes()).expect("short").as_bytes().to_vec())
    }

    fn odd_address(&self) -> Buf {
        let mut bytes = match self.named_address() {
            Buf::Bytes(bytes) => bytes,
            buf => return buf,
        };
        match self.below(5) {
            0 => return Buf::Null(16),
            1 => bytes.truncate(self.below(10)),
            2 => bytes[0] = 99,
            3 => bytes.resize(*self.choices.pick(&[111, 129, 200]), 7),
            _ => bytes = Address::v4(Ipv4Addr::LOCALHOST, 1).as_bytes().to_vec(),
        }
        Buf::Bytes(bytes)
    }

    fn close(&mut self) {
        let slot = self.slot(&[]);
        if self.choices.chance(2) && !self.trees.contains(&slot) && slot >= BAD {
            self.both.run(&[], |side| Op::Close(Close { fd: side.fd(slot) }));
        }
    }

    fn simple(&mut self, kind: OpKind) {
        let slot = self.slot(&[Kind::File, Kind::Reader, Kind::Writer, Kind::Stream]);
        let (offset, how) = (self.offset(), *self.choices.pick(&[0, 1, 2, 3, 99]));
        let file = self.slot(&[Kind::File]);
        let is_dir = matches!(self.both.slots[file].kind, Kind::Directory);
        let whence = *self.choices.pick(&[0, 1, 2, 5, 99, 3, 4]);
        let whence = if self.differs { whence % 3 } else { whence };
        let events = PollEvents::from_bits_retain(*self.choices.pick(&[
            PollEvents::IN.bits(),
            PollEvents::OUT.bits(),
            (PollEvents::IN | PollEvents::OUT | PollEvents::RDHUP).bits(),
            PollEvents::PRI.bits(),
            0,
            0x23ff,
        ]));
        if kind == OpKind::Poll && self.is_file(slot) && (events.bits() & 0x145) == 0 {
            // The library's own rule, which the system call knows nothing of.
            return;
        }
        if kind == OpKind::Lseek && is_dir {
            return;
        }
        let make = |side: &Side<'_>| {
            let (fd, file): (Fd, Fd) = (side.fd(slot), side.fd(file));
            match kind {
                OpKind::Fdatasync => Op::Fdatasync(Fdatasync { fd }),
                OpKind::Fsync => Op::Fsync(Fsync { fd }),
                OpKind::Ftruncate => Op::Ftruncate(Ftruncate { fd: file, len: offset }),
                OpKind::Lseek => Op::Lseek(Lseek { fd: file, whence, offset }),
                OpKind::Poll => Op::Poll(Poll { fd, events }),
                OpKind::Shutdown => Op::Shutdown(Shutdown { fd, how }),
                _ => Op::Nop(Nop),
            }
        };
        self.both.run(&[], make);
        if kind == OpKind::Fstat {
            self.both.stat(slot);
        }
    }

    fn is_file(&self, slot: usize) -> bool {
        matches!(self.both.slots[slot].kind, Kind::File | Kind::Directory | Kind::Source)
    }
}
