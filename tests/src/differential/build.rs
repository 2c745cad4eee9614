//! From an [`Act`] to the operation, with its memory.

use super::objects::{Table, pattern};
use super::script::{Act, Memory, Name, Piece, Target};
use crate::mem::Mem;
use core::ptr;
use io_core::op::{
    Accept, AcceptFlags, Bind, Cancel, Close, Connect, Family, Fdatasync, Fstat, Fsync, Ftruncate,
    IoVec, Listen, Lseek, MsgFlags, Nop, Open, OpenFlags, Poll, PollEvents, Pread, Preadv, Pwrite,
    Pwritev, Read, Readv, Recv, Scope, Send, Sendfile, Shutdown, Socket, SocketFlags, SocketKind,
    Timeout, Write, Writev,
};
use io_core::{Address, Op, OpKind, Seekable, Stat};

/// What every byte of memory is before somebody writes to it.
const UNTOUCHED: u8 = 0xaa;

/// An operation with its memory.
pub(super) struct Built {
    pub(super) op: Op,
    /// All of it.
    pub(super) keep: Vec<Mem>,
    /// What is compared at the end.
    watched: Vec<Mem>,
}

impl Built {
    /// What is in its memory: of a file's description what does not depend on when and where.
    pub(super) fn memory(&self) -> Vec<Vec<u8>> {
        if let Op::Fstat(_) = self.op {
            return self.watched.iter().map(|mem| of_stat(&mem.stat())).collect();
        }
        self.watched.iter().map(|mem| mem.bytes(mem.len())).collect()
    }
}

fn of_stat(stat: &Stat) -> Vec<u8> {
    let Stat { mask, nlink, uid, gid, mode, size, rdev_major, rdev_minor, blksize, .. } = *stat;
    let words = [mask, nlink, uid, gid, u32::from(mode), rdev_major, rdev_minor, blksize];
    let mut bytes = size.to_ne_bytes().to_vec();
    bytes.extend(words.into_iter().flat_map(u32::to_ne_bytes));
    bytes
}

fn piece(piece: Piece, writes: bool, seed: u8) -> Option<Mem> {
    let bytes = || (0..piece.len).map(|at| pattern(seed, at)).collect::<Vec<u8>>();
    match piece.access {
        Memory::Good if writes => Some(Mem::copy_of(&bytes())),
        Memory::Good => Some(Mem::filled(piece.len, UNTOUCHED)),
        Memory::Null => None,
        Memory::Closed => Some(Mem::no_access(piece.len)),
        Memory::ReadOnly => Some(Mem::read_only(&bytes())),
    }
}

fn address_of(mem: Option<&Mem>) -> *mut u8 {
    mem.map_or(ptr::null_mut(), Mem::ptr)
}

/// The path's bytes, with the NUL.
fn path(name: Name) -> Option<Mem> {
    match name {
        Name::Known(name) => Some(Mem::path(name.as_bytes())),
        Name::Long(len) => Some(Mem::path(&vec![b'n'; len])),
        Name::Null => None,
    }
}

/// The operation. Pieces of memory are filled with what is to be written, or with [`UNTOUCHED`].
pub(super) fn build(act: &Act, table: &Table<'_>) -> Built {
    use OpKind::{Preadv, Pwrite, Pwritev, Readv, Send, Write, Writev};
    let writes = matches!(act.kind, Write | Writev | Pwrite | Pwritev | Send);
    let vectors = matches!(act.kind, Readv | Writev | Preadv | Pwritev);
    let memory: Vec<Option<Mem>> = (act.pieces.iter().zip(0..))
        .map(|(&one, index)| piece(one, writes, act.seed.wrapping_add(index)))
        .collect();
    let mut keep: Vec<Mem> = memory.iter().flatten().cloned().collect();
    let mut watched: Vec<Mem> = keep.iter().filter(|mem| !mem.is_closed()).cloned().collect();
    if let (OpKind::Accept, [_, len]) = (act.kind, watched.as_slice()) {
        // The peer's name is another in each run; its length is not.
        len.write(0, &act.half.to_ne_bytes());
        watched.remove(0);
    }
    let op = if vectors {
        let parts: Vec<_> = (memory.iter().zip(&act.pieces))
            .map(|(mem, piece)| (address_of(mem.as_ref()), piece.len))
            .collect();
        let entries = (!act.no_table).then(|| Mem::iovecs(&parts));
        keep.extend(entries.clone());
        vectored(act, table, entries.as_ref())
    } else if matches!(act.kind, OpKind::Open | OpKind::Bind | OpKind::Connect) {
        named(act, table, &mut keep)
    } else {
        let first = memory.first().and_then(Option::as_ref);
        plain(act, table, first).unwrap_or_else(|| number(act, table, &memory))
    };
    Built { op, keep, watched }
}

fn seekable(act: &Act) -> Seekable {
    if act.proven { Seekable::Proven } else { Seekable::Unknown }
}

fn vectored(act: &Act, table: &Table<'_>, entries: Option<&Mem>) -> Op {
    let iov: *const IoVec = address_of(entries).cast();
    let (fd, count) = (table.fd(act.at), act.claim.unwrap_or(act.pieces.len()));
    let (seekable, offset) = (seekable(act), act.offset.unwrap_or(0));
    match act.kind {
        OpKind::Readv => Op::Readv(Readv { fd, iov, count }),
        OpKind::Writev => Op::Writev(Writev { fd, iov, count }),
        OpKind::Preadv => Op::Preadv(Preadv { fd, seekable, iov, count, offset }),
        _ => Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
    }
}

/// What takes a path or an address.
fn named(act: &Act, table: &Table<'_>, keep: &mut Vec<Mem>) -> Op {
    let fd = table.fd(act.at);
    if act.kind == OpKind::Open {
        let mem = path(act.name);
        let path = address_of(mem.as_ref()).cast_const().cast();
        keep.extend(mem);
        let flags = OpenFlags::from_bits_retain(act.word);
        return Op::Open(Open { dir: fd, path, flags, mode: act.half });
    }
    let address = match act.name {
        Name::Null => None,
        Name::Known("unspecified") => Address::from_bytes(&[0; 16]).ok(),
        // A name that nobody else has, in no other process either and also if only 16 bytes of the address are given; and
        // that is as long in each run.
        Name::Known("new") => {
            let (process, group) = (std::process::id(), table.fd(act.at).raw());
            Address::unix_abstract(format!("{process:08x}{group:05x} differential").as_bytes()).ok()
        }
        Name::Known("family") => Address::from_bytes(&1_u16.to_ne_bytes()).ok(),
        _ => table.address(act.from),
    };
    let mem = address.map(|address| Mem::copy_of(address.as_bytes()));
    let len = mem.as_ref().map_or(0, Mem::len);
    let addr_len = if act.half == 0 { u32::try_from(len).unwrap_or(0) } else { act.half };
    let addr = address_of(mem.as_ref()).cast_const();
    keep.extend(mem);
    match act.kind {
        OpKind::Bind => Op::Bind(Bind { fd, addr, addr_len }),
        _ => Op::Connect(Connect { fd, addr, addr_len }),
    }
}

/// What takes one piece of memory, or `None`.
fn plain(act: &Act, table: &Table<'_>, mem: Option<&Mem>) -> Option<Op> {
    let (fd, buf) = (table.fd(act.at), address_of(mem));
    let len = act.claim.or(act.pieces.first().map(|piece| piece.len)).unwrap_or(0);
    let (seekable, offset) = (seekable(act), act.offset.unwrap_or(0));
    let flags = MsgFlags::from_bits_retain(act.word);
    Some(match act.kind {
        OpKind::Read => Op::Read(Read { fd, buf, len }),
        OpKind::Write => Op::Write(Write { fd, buf, len }),
        OpKind::Pread => Op::Pread(Pread { fd, seekable, buf, len, offset }),
        OpKind::Pwrite => Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
        OpKind::Recv => Op::Recv(Recv { fd, flags, buf, len }),
        OpKind::Send => Op::Send(Send { fd, flags, buf, len }),
        OpKind::Fstat => Op::Fstat(Fstat { fd, out: buf.cast() }),
        _ => return None,
    })
}

/// What takes numbers.
fn number(act: &Act, table: &Table<'_>, memory: &[Option<Mem>]) -> Op {
    let (fd, word, offset) = (table.fd(act.at), act.word, act.offset.unwrap_or(0));
    match act.kind {
        OpKind::Accept => {
            let [addr, addr_len] =
                [0, 1].map(|index| address_of(memory.get(index).and_then(Option::as_ref)));
            let flags = AcceptFlags::from_bits_retain(word);
            Op::Accept(Accept { fd, flags, addr, addr_len: addr_len.cast() })
        }
        OpKind::Cancel => {
            let all = act.at == Target::Number(-1);
            Op::Cancel(Cancel { scope: if all { Scope::All } else { Scope::Fd(fd) } })
        }
        OpKind::Close => Op::Close(Close { fd }),
        OpKind::Fdatasync => Op::Fdatasync(Fdatasync { fd }),
        OpKind::Fsync => Op::Fsync(Fsync { fd }),
        OpKind::Ftruncate => Op::Ftruncate(Ftruncate { fd, len: offset }),
        OpKind::Listen => Op::Listen(Listen { fd, backlog: word.cast_signed() }),
        OpKind::Lseek => Op::Lseek(Lseek { fd, whence: word, offset }),
        OpKind::Poll => {
            let events = PollEvents::from_bits_truncate((word & 0xffff) as u16);
            Op::Poll(Poll { fd, events })
        }
        OpKind::Sendfile => {
            let (len, in_fd) = (act.claim.unwrap_or(0), table.fd(act.from));
            Op::Sendfile(Sendfile { out_fd: fd, in_fd, offset: act.offset, len })
        }
        OpKind::Shutdown => Op::Shutdown(Shutdown { fd, how: word }),
        OpKind::Socket => Op::Socket(Socket {
            family: Family((act.half & 0xffff) as u16),
            kind: SocketKind(word),
            flags: SocketFlags::empty(),
            protocol: 0,
        }),
        OpKind::Timeout => Op::Timeout(Timeout),
        _ => Op::Nop(Nop),
    }
}

/// What is left to do of an operation on a stream that was cut short, where that is legal.
pub(super) fn rest(built: &Built, done: usize, keep: &mut Vec<Mem>) -> Option<Op> {
    Some(match built.op {
        Op::Read(op) => Op::Read(Read { buf: op.buf.wrapping_add(done), len: op.len - done, ..op }),
        Op::Write(op) => {
            Op::Write(Write { buf: op.buf.wrapping_add(done), len: op.len - done, ..op })
        }
        Op::Recv(op) => Op::Recv(Recv { buf: op.buf.wrapping_add(done), len: op.len - done, ..op }),
        Op::Send(op) => Op::Send(Send { buf: op.buf.wrapping_add(done), len: op.len - done, ..op }),
        Op::Sendfile(op) => {
            let offset = op.offset.map(|offset| offset + i64::try_from(done).unwrap_or(0));
            Op::Sendfile(Sendfile { offset, len: op.len - done, ..op })
        }
        Op::Readv(op) => {
            let table = shorter(built, op.iov, op.count, done);
            let op =
                Readv { iov: table.ptr().cast(), count: table.len() / size_of::<IoVec>(), ..op };
            keep.push(table);
            Op::Readv(op)
        }
        Op::Writev(op) => {
            let table = shorter(built, op.iov, op.count, done);
            let op =
                Writev { iov: table.ptr().cast(), count: table.len() / size_of::<IoVec>(), ..op };
            keep.push(table);
            Op::Writev(op)
        }
        _ => return None,
    })
}

/// The table without its first `done` bytes.
fn shorter(built: &Built, iov: *const IoVec, count: usize, mut done: usize) -> Mem {
    let table = built.keep.iter().find(|mem| mem.covers(iov.cast())).expect("a table that is kept");
    let mut parts = Vec::new();
    for index in 0..count {
        let IoVec { base, len } = table.iovec(index);
        let skip = done.min(len);
        done -= skip;
        if len > skip {
            parts.push((base.wrapping_add(skip), len - skip));
        }
    }
    Mem::iovecs(&parts)
}
