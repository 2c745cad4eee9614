//! [`Both`]: the same objects in the world and in the real kernel, and operations on both at once.
#![allow(unsafe_code, reason = "performs raw operations")]
//! # Safety
//! `oracle` checks that the addresses of an operation are null or in memory that is kept; both sides get
//! their own copy of the same shape.

use core::time::Duration;
use io_conformance::Desc;
use io_conformance::mem::Mem;
use io_conformance::oracle::oracle;
use io_conformance::world::{Outcome, World};
use io_core::op::{Close, Fstat, Lseek, Poll, PollEvents};
use io_core::{Address, Errno, Fd, Op, OpKind};
use std::time::Instant;

/// What a number stands for, as far as the choice of an operation cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Closed,
    Directory,
    File,
    Reader,
    /// A file that nobody writes to.
    Source,
    Writer,
    Stream,
    Listener,
    /// A socket of a network: what is sent takes its time.
    Network,
    Path,
}

/// One object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    real: Fd,
    world: Fd,
}

/// Memory of an operation: bytes, or a null pointer of this length.
#[derive(Clone, Debug)]
pub(crate) enum Buf {
    Null(usize),
    Bytes(Vec<u8>),
    /// Where the socket of a slot is bound.
    Address(usize),
}

impl Buf {
    /// Puts memory where there is none.
    pub(crate) fn fill(&mut self) {
        if let Buf::Null(len) = *self {
            *self = Buf::Bytes(vec![0xbb; len]);
        }
    }
}

/// One side's numbers and memory.
pub(crate) struct Side<'a> {
    slots: &'a [Slot],
    is_real: bool,
    pub(crate) parts: Vec<(*mut u8, usize)>,
    pub(crate) table: Mem,
    keep: Vec<Mem>,
}

impl Side<'_> {
    /// The number of an object.
    pub(crate) fn fd(&self, slot: usize) -> Fd {
        let slot = self.slots[slot];
        if self.is_real { slot.real } else { slot.world }
    }

    /// The first piece of memory.
    pub(crate) fn buf(&self) -> (*mut u8, usize) {
        self.parts[0]
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.keep.iter().skip(1).map(|mem| mem.bytes(mem.len())).collect()
    }
}

/// See the [module](self).
pub(crate) struct Both {
    pub(crate) world: World,
    /// Whether sockets that are made are a network's.
    network: bool,
    pub(crate) slots: Vec<Slot>,
    /// What was done, and what it came to.
    pub(crate) log: Vec<String>,
    /// How many results of each kind were compared: successes, failures.
    pub(crate) compared: Compared,
}

/// Successes and failures of each kind.
pub(crate) type Compared = [[u32; 2]; OpKind::ALL.len()];

const AGAIN: i64 = Errno::AGAIN.to_result();

impl Both {
    pub(crate) fn new(network: bool) -> Both {
        // Numbers that are open nowhere.
        let bad =
            |number| Slot { kind: Kind::Closed, real: Fd::new(number), world: Fd::new(number) };
        let slots = [-1, i32::MAX, 900_000].map(bad).to_vec();
        Both {
            world: World::new(),
            network,
            slots,
            log: Vec::new(),
            compared: [[0; 2]; OpKind::ALL.len()],
        }
    }

    /// Adds an object that is there on both sides.
    pub(crate) fn add(&mut self, kind: Kind, real: &Desc, world: Fd) -> usize {
        if kind != Kind::Path {
            real.set_nonblocking();
            self.world.set_nonblocking(world, true).expect("it is open");
        }
        let real = real.to_owned_fd().into_raw();
        self.slots.push(Slot { kind, real, world });
        self.slots.len() - 1
    }

    fn add_made(&mut self, kind: Kind, real: i64, world: i64) {
        let number = |result| Fd::new(i32::try_from(result).expect("a descriptor"));
        let (real, world) = (number(real), number(world));
        self.slots.push(Slot { kind, real, world });
    }

    fn address(world: &World, slot: Slot, is_real: bool) -> Vec<u8> {
        if !is_real {
            let address = world.local_address(slot.world);
            return if address == Address::EMPTY { vec![9] } else { address.as_bytes().to_vec() };
        }
        let (mut bytes, mut len) = (vec![0_u8; 128], 128);
        // SAFETY: 128 bytes of room, and their length.
        let got =
            unsafe { libc::getsockname(slot.real.raw(), bytes.as_mut_ptr().cast(), &raw mut len) };
        bytes.truncate(usize::try_from(len).expect("small"));
        if got == 0 { bytes } else { vec![9] }
    }

    fn side<'a>(world: &World, slots: &'a [Slot], is_real: bool, bufs: &[Buf]) -> Side<'a> {
        let mut keep = Vec::new();
        let mut parts = Vec::new();
        for buf in bufs {
            match buf {
                Buf::Null(len) => parts.push((core::ptr::null_mut(), *len)),
                Buf::Address(_) | Buf::Bytes(_) => {
                    let bytes = match buf {
                        Buf::Address(slot) => Both::address(world, slots[*slot], is_real),
                        Buf::Bytes(bytes) => bytes.clone(),
                        Buf::Null(_) => Vec::new(),
                    };
                    let bytes = &bytes;
                    let mem = Mem::copy_of(bytes);
                    parts.push((mem.ptr(), bytes.len()));
                    keep.push(mem);
                }
            }
        }
        let table = Mem::iovecs(&parts);
        keep.insert(0, table.clone());
        Side { slots, is_real, parts, table, keep }
    }

    /// Performs one operation on both sides, and holds the results against each other. What would wait is
    /// `EAGAIN`.
    pub(crate) fn run(&mut self, bufs: &[Buf], make: impl Fn(&Side<'_>) -> Op) -> i64 {
        let real_side = Both::side(&self.world, &self.slots, true, bufs);
        let world_side = Both::side(&self.world, &self.slots, false, bufs);
        let (real_op, world_op) = (make(&real_side), make(&world_side));
        let shape = |buf: &Buf| match buf {
            Buf::Null(len) => format!("null {len}"),
            Buf::Address(slot) => format!("address of {slot}"),
            Buf::Bytes(bytes) => format!(
                "{}: {}",
                bytes.len(),
                bytes.iter().take(8).copied().collect::<Vec<_>>().escape_ascii()
            ),
        };
        let shapes: Vec<String> = bufs.iter().map(shape).collect();
        let text = format!("{world_op:?} {shapes:?}");
        self.settle(op_fd(&real_op), op_fd(&world_op));
        // SAFETY: as for the oracle, which checks the other side's twin.
        let outcome = unsafe { self.world.perform(&world_op, usize::MAX) };
        let world = match outcome {
            Outcome::Done(result) => result,
            Outcome::Wait => AGAIN,
        };
        let mut real = oracle(&real_op, &real_side.keep);
        if real == Errno::INPROGRESS.to_result() {
            let waits = world == AGAIN;
            real = if waits { AGAIN } else { Both::connected(&real_op, &real_side.keep) };
        }
        if let Op::Accept(_) = real_op
            && (real, world) == (AGAIN, Errno::INVAL.to_result())
        {
            // A local listener that was shut down: see the world's own list.
            real = world;
        }
        if let Op::Poll(op) = real_op {
            real = Both::settled(op, real, world);
        }
        self.log.push(format!("{text}: real {real}, world {world}"));
        let yields = real_op.kind().yields_fd();
        if !(yields && real >= 0 && world >= 0) {
            self.check(real == world, "the results differ");
        }
        let differs = bufs.iter().any(|buf| matches!(buf, Buf::Address(_)));
        self.check(differs || real_side.bytes() == world_side.bytes(), "the memory differs");
        self.compared[real_op.kind() as usize][usize::from(real < 0)] += 1;
        if yields && real >= 0 {
            let kind = match real_op {
                Op::Open(op) if op.flags.contains(io_core::op::OpenFlags::PATH) => Kind::Path,
                Op::Open(_) => file_kind(real),
                Op::Accept(_) if self.network => Kind::Network,
                Op::Socket(op) if op.family != io_core::op::Family::UNIX => Kind::Network,
                _ => Kind::Stream,
            };
            self.add_made(kind, real, world);
        }
        if let (Op::Connect(op), true) = (real_op, self.network && real == AGAIN)
            && let Some(slot) = self.slots.iter().position(|slot| slot.real == op.fd)
        {
            // It goes on by itself, some time: not with us.
            self.close(slot);
        }
        if let Op::Close(_) = real_op
            && real == 0
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.real == op_fd(&real_op))
        {
            *slot = Slot { kind: Kind::Closed, real: Fd::new(900_000), world: Fd::new(900_000) };
        }
        real
    }

    fn close(&mut self, slot: usize) {
        let closed = Slot { kind: Kind::Closed, real: Fd::new(900_000), world: Fd::new(900_000) };
        let slot = core::mem::replace(&mut self.slots[slot], closed);
        self.world.close(slot.world).expect("it is open");
        assert_eq!(oracle(&Op::Close(Close { fd: slot.real }), &[]), 0, "close");
    }

    /// Waits for a connection that is on its way, and asks how it went.
    fn connected(op: &Op, keep: &[Mem]) -> i64 {
        let poll = Op::Poll(Poll { fd: op_fd(op), events: PollEvents::OUT });
        let begin = Instant::now();
        while oracle(&poll, &[]) < 0 && begin.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        oracle(op, keep)
    }

    /// Waits until what was sent has arrived: a network takes its time.
    fn settle(&self, real: Fd, world: Fd) {
        let all = PollEvents::IN | PollEvents::RDHUP;
        let begin = Instant::now();
        while self
            .slots
            .iter()
            .any(|slot| slot.real == real && matches!(slot.kind, Kind::Network | Kind::Listener))
        {
            let seen = oracle(&Op::Poll(Poll { fd: real, events: all }), &[]).max(0);
            let mut len = 0_i32;
            // SAFETY: room for one number. What fails has none.
            unsafe { libc::ioctl(real.raw(), libc::FIONREAD, &raw mut len) };
            let there = usize::try_from(len) == Ok(self.world.len(world));
            let same = seen == i64::from(self.world.ready(world, all).bits());
            if there && same || begin.elapsed() > Duration::from_millis(200) {
                break;
            }
            std::thread::yield_now();
        }
    }

    /// Asks again as long as the answer is another than it should be: a network takes its time. Room to
    /// write is the kernel's to say: how much of it there is is not compared.
    fn settled(op: Poll, mut real: i64, world: i64) -> i64 {
        let begin = Instant::now();
        let room = PollEvents::OUT | PollEvents::WRNORM | PollEvents::WRBAND;
        while real != world && begin.elapsed() < Duration::from_millis(500) {
            std::thread::yield_now();
            real = oracle(&Op::Poll(op), &[]);
        }
        let missing = (world ^ real) & !i64::from(room.bits());
        if real > 0 && world > 0 && missing == 0 && real & i64::from(room.bits()) == 0 {
            world
        } else {
            real
        }
    }

    /// Whether the real socket says that it takes more, or does not take anything at all.
    pub(crate) fn has_room(&self, slot: usize) -> bool {
        let poll = Op::Poll(Poll { fd: self.slots[slot].real, events: PollEvents::OUT });
        oracle(&poll, &[]) > 0
    }

    /// Whether it is a network's socket that hung up: fresh, or at the end of its connection.
    pub(crate) fn is_over(&self, slot: usize) -> bool {
        let slot = self.slots[slot];
        let bound = self.world.local_address(slot.world).ip().is_some_and(|ip| ip.port() != 0);
        let hung_up = self.world.ready(slot.world, PollEvents::HUP).contains(PollEvents::HUP);
        self.network && bound && hung_up
    }

    /// Whether a write at this offset, or at the position, may begin behind the end of the file.
    pub(crate) fn is_behind(&self, slot: usize, offset: i64) -> bool {
        let fd = self.slots[slot].world;
        let size = self.world.len(fd) as u64;
        self.world.position(fd) > size || offset.unsigned_abs() > size
    }

    pub(crate) fn check(&self, good: bool, what: &str) {
        assert!(good, "{what}:\n{}", self.log.join("\n"));
    }

    /// Compares what is left: positions and sizes, and closes everything.
    pub(crate) fn finish(mut self) -> Compared {
        for slot in 0..self.slots.len() {
            self.run(&[], |side| Op::Lseek(Lseek { fd: side.fd(slot), whence: 1, offset: 0 }));
            self.stat(slot);
            self.run(&[], |side| Op::Close(Close { fd: side.fd(slot) }));
        }
        assert_eq!(self.world.open_count(), 0, "left open:\n{}", self.log.join("\n"));
        self.compared
    }

    /// Compares kind and size.
    pub(crate) fn stat(&mut self, slot: usize) {
        let stat = |is_real: bool, both: &mut Both| {
            let mem = Mem::zeroed(256);
            let fd = if is_real { both.slots[slot].real } else { both.slots[slot].world };
            let op = Op::Fstat(Fstat { fd, out: mem.ptr().cast() });
            let result = if is_real {
                oracle(&op, mem.only())
            } else {
                // SAFETY: the memory is valid for a `Stat`.
                match unsafe { both.world.perform(&op, usize::MAX) } {
                    Outcome::Done(result) => result,
                    Outcome::Wait => AGAIN,
                }
            };
            let stat = mem.stat();
            let kind = stat.mode & 0o170_000;
            let size = if kind == 0o100_000 { stat.size } else { 0 };
            (result, kind, size)
        };
        if self.slots[slot].real.raw() < 0 {
            return;
        }
        let (real, world) = (stat(true, self), stat(false, self));
        self.log.push(format!("fstat of slot {slot}: real {real:?}, world {world:?}"));
        self.check(real == world, "the metadata differ");
        self.compared[OpKind::Fstat as usize][usize::from(real.0 < 0)] += 1;
    }
}

/// Whether an open file is a directory.
fn file_kind(real: i64) -> Kind {
    let (mem, fd) = (Mem::zeroed(256), Fd::new(i32::try_from(real).expect("a descriptor")));
    assert_eq!(oracle(&Op::Fstat(Fstat { fd, out: mem.ptr().cast() }), mem.only()), 0, "fstat");
    if mem.stat().mode & 0o170_000 == 0o040_000 { Kind::Directory } else { Kind::File }
}

fn op_fd(op: &Op) -> Fd {
    op.fd().unwrap_or(Fd::new(-1))
}

impl Drop for Both {
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.kind != Kind::Closed) {
            // Open, and ours; a failure has been reported before.
            let _ = oracle(&Op::Close(Close { fd: slot.real }), &[]);
        }
    }
}
