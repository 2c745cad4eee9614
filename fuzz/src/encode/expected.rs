//! What an entry must be, written from the kernel's interface (`linux/io_uring.h`): numbers only, and
//! nothing from the encoder or the crate that it is held against.

use io_core::op::PollEvents;
use io_core::{Fd, Op};

const NOP: u8 = 0;
const READV: u8 = 1;
const WRITEV: u8 = 2;
const FSYNC: u8 = 3;
const POLL_ADD: u8 = 6;
const ACCEPT: u8 = 13;
const ASYNC_CANCEL: u8 = 14;
const CONNECT: u8 = 16;
const OPENAT: u8 = 18;
const CLOSE: u8 = 19;
const READ: u8 = 22;
const WRITE: u8 = 23;
const SEND: u8 = 26;
const RECV: u8 = 27;
const SOCKET: u8 = 45;
const BIND: u8 = 56;

const FSYNC_DATASYNC: u32 = 1;
const SQE_ASYNC: u8 = 1 << 4;
const SOCK_CLOEXEC: u32 = 0o2_000_000;
const SOCK_NONBLOCK: u32 = 0o4000;
// Those of x86-64.
const O_ACCMODE: u32 = 3;
const O_CREAT: u32 = 0o100;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;
const O_TMPFILE: u32 = 0o20_000_000;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_ERRQUEUE: u32 = 0x2000;
const MSG_DONTWAIT: u32 = 0x40;
/// The file's own position, as an offset.
const POSITION: u64 = u64::MAX;
/// What one transfer moves at most.
const MOST: usize = 0x7fff_f000;

/// The fields that are used; all others are 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields {
    opcode: u8,
    flags: u8,
    fd: i32,
    /// Also the second address, an address's length, and a kind of socket.
    off: u64,
    addr: u64,
    len: u32,
    /// One field with a name for each opcode.
    op_flags: u32,
}

impl Fields {
    /// As the kernel reads them.
    pub(super) fn bytes(self, word: u64) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0] = self.opcode;
        bytes[1] = self.flags;
        bytes[4..8].copy_from_slice(&self.fd.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.off.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.addr.to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_ne_bytes());
        bytes[28..32].copy_from_slice(&self.op_flags.to_ne_bytes());
        bytes[32..40].copy_from_slice(&word.to_ne_bytes());
        bytes
    }

    /// Run by a kernel worker from the start.
    pub(super) fn asynchronous(self) -> Fields {
        Fields { flags: SQE_ASYNC, ..self }
    }
}

/// Bytes of an entry, field by field.
pub(super) fn fields(bytes: &[u8; 64]) -> String {
    let number = |from: usize, len: usize| {
        bytes[from..from + len].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    format!(
        "opcode {} flags {:#x} ioprio {} fd {:#x} off {:#x} addr {:#x} len {:#x} op_flags {:#x} \
         word {:#x} rest {:?}",
        bytes[0],
        bytes[1],
        number(2, 2),
        number(4, 4),
        number(8, 8),
        number(16, 8),
        number(24, 4),
        number(28, 4),
        number(32, 8),
        &bytes[40..]
    )
}

/// Whether the system call must answer: a negative offset, no vectors or more than are allowed, an address
/// that is none, or flags that make no sense. The ring would take the offset -1 for the position, and look
/// at the rest before or after what the system call looks at first.
pub(super) fn is_refused(op: &Op) -> bool {
    let bad_count = |count: usize| count == 0 || count > 1024;
    match op {
        Op::Accept(op) => op.flags.bits() & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0,
        Op::Open(op) => {
            let flags = op.flags.bits();
            let directory = flags & O_DIRECTORY != 0;
            let to_create = flags & O_CREAT != 0 && directory;
            let to_read = flags & O_TMPFILE != 0 && (!directory || flags & O_ACCMODE == 0);
            flags & O_PATH == 0 && (to_create || to_read)
        }
        Op::Pread(op) => op.offset < 0,
        Op::Pwrite(op) => op.offset < 0,
        Op::Preadv(op) => op.offset < 0 || op.iov.is_null() || bad_count(op.count),
        Op::Pwritev(op) => op.offset < 0 || op.iov.is_null() || bad_count(op.count),
        Op::Readv(op) => op.iov.is_null() || bad_count(op.count),
        Op::Writev(op) => op.iov.is_null() || bad_count(op.count),
        Op::Bind(op) => op.addr.is_null() || op.addr_len > 128,
        Op::Connect(op) => op.addr.is_null() || op.addr_len > 128,
        _ => false,
    }
}

/// The entry that runs `op`; `None` for what is never given to the ring.
pub(super) fn entry(op: &Op) -> Option<Fields> {
    let plain = |opcode, fd: Fd| Fields { opcode, fd: fd.raw(), ..Fields::default() };
    Some(match op {
        Op::Accept(op) => Fields {
            addr: address(op.addr),
            off: address(op.addr_len),
            op_flags: op.flags.bits() | SOCK_CLOEXEC,
            ..plain(ACCEPT, op.fd)
        },
        Op::Bind(op) => {
            Fields { addr: address(op.addr), off: u64::from(op.addr_len), ..plain(BIND, op.fd) }
        }
        Op::Close(op) => plain(CLOSE, op.fd),
        Op::Connect(op) => {
            Fields { addr: address(op.addr), off: u64::from(op.addr_len), ..plain(CONNECT, op.fd) }
        }
        Op::Fdatasync(op) => Fields { op_flags: FSYNC_DATASYNC, ..plain(FSYNC, op.fd) },
        Op::Fsync(op) => plain(FSYNC, op.fd),
        Op::Nop(_) => plain(NOP, Fd::new(-1)),
        Op::Open(op) => Fields {
            addr: address(op.path),
            len: op.mode,
            op_flags: op.flags.bits(),
            ..plain(OPENAT, op.dir)
        },
        Op::Poll(op) => wait(op.fd, op.events),
        Op::Recv(op) => {
            // The error queue never waits.
            let queue = if op.flags.bits() & MSG_ERRQUEUE == 0 { 0 } else { MSG_DONTWAIT };
            let op_flags = op.flags.bits() | queue;
            Fields { addr: address(op.buf), len: cut(op.len), op_flags, ..plain(RECV, op.fd) }
        }
        Op::Send(op) => {
            let op_flags = op.flags.bits() | MSG_NOSIGNAL;
            Fields { addr: address(op.buf), len: cut(op.len), op_flags, ..plain(SEND, op.fd) }
        }
        Op::Socket(op) => Fields {
            off: u64::from(op.kind.0 | op.flags.bits() | SOCK_CLOEXEC),
            len: op.protocol,
            ..plain(SOCKET, Fd::new(i32::from(op.family.0)))
        },
        op => return transfer(op),
    })
}

fn transfer(op: &Op) -> Option<Fields> {
    let fields = |opcode, fd: Fd, addr, len, off| {
        Some(Fields { opcode, fd: fd.raw(), off, addr, len: cut(len), ..Fields::default() })
    };
    let at = i64::cast_unsigned;
    match op {
        Op::Pread(op) => fields(READ, op.fd, address(op.buf), op.len, at(op.offset)),
        Op::Preadv(op) => fields(READV, op.fd, address(op.iov), op.count, at(op.offset)),
        Op::Pwrite(op) => fields(WRITE, op.fd, address(op.buf), op.len, at(op.offset)),
        Op::Pwritev(op) => fields(WRITEV, op.fd, address(op.iov), op.count, at(op.offset)),
        Op::Read(op) => fields(READ, op.fd, address(op.buf), op.len, POSITION),
        Op::Readv(op) => fields(READV, op.fd, address(op.iov), op.count, POSITION),
        Op::Write(op) => fields(WRITE, op.fd, address(op.buf), op.len, POSITION),
        Op::Writev(op) => fields(WRITEV, op.fd, address(op.iov), op.count, POSITION),
        _ => None,
    }
}

/// The entry that waits until `op` can be done; `None` for what never waits for a descriptor.
pub(super) fn readiness(op: &Op) -> Option<Fields> {
    let (readable, writable) = (PollEvents::IN, PollEvents::OUT);
    Some(match op {
        Op::Accept(op) => wait(op.fd, readable),
        Op::Connect(op) => wait(op.fd, writable),
        Op::Poll(op) => wait(op.fd, polled(op.events)),
        Op::Read(op) => wait(op.fd, readable),
        Op::Readv(op) => wait(op.fd, readable),
        Op::Recv(op) => wait(op.fd, readable),
        Op::Send(op) => wait(op.fd, writable),
        Op::Sendfile(op) => wait(op.out_fd, writable),
        Op::Write(op) => wait(op.fd, writable),
        Op::Writev(op) => wait(op.fd, writable),
        _ => return None,
    })
}

/// The entry that asks for the end of the one with this word.
pub(super) fn cancel(target: u64) -> Fields {
    Fields { opcode: ASYNC_CANCEL, fd: -1, addr: target, ..Fields::default() }
}

/// The ring wakes nobody for urgent data alone.
fn polled(events: PollEvents) -> PollEvents {
    let wakes = PollEvents::IN | PollEvents::RDNORM;
    if events.contains(PollEvents::PRI) && (events & wakes).is_empty() {
        events | PollEvents::RDBAND
    } else {
        events
    }
}

fn wait(fd: Fd, events: PollEvents) -> Fields {
    let events = u32::from(events.bits());
    // The kernel takes the two halves the other way round on big-endian machines.
    let op_flags = if cfg!(target_endian = "big") { events << 16 } else { events };
    Fields { opcode: POLL_ADD, fd: fd.raw(), op_flags, ..Fields::default() }
}

fn address<T>(address: *const T) -> u64 {
    address.addr() as u64
}

/// What is longer than one transfer is a short transfer.
fn cut(len: usize) -> u32 {
    u32::try_from(len.min(MOST)).expect("31 bits")
}
