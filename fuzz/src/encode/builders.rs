//! The same entries, as the `io-uring` crate builds them.
#![allow(unsafe_code, reason = "reads an entry as bytes")]
//! # Safety
//! The crate's entry is the kernel's struct, 64 bytes of integers; addresses in it are never followed.

use io_core::Op;
use io_core::op::{MAX_RW_COUNT, MsgFlags};
use io_uring::{opcode, squeue, types};

const CLOEXEC: u32 = 0o2_000_000;
const NOSIGNAL: u32 = 0x4000;

/// The entry that runs `op`; `None` where its builder does not say what we do: it extends the sign of a
/// kind of socket with the highest bit set, which the kernel then cuts off again.
pub(super) fn entry(op: &Op, word: u64) -> Option<[u8; 64]> {
    let fd = types::Fd;
    let built = match op {
        Op::Accept(op) => opcode::Accept::new(fd(op.fd.raw()), op.addr.cast(), op.addr_len)
            .flags((op.flags.bits() | CLOEXEC).cast_signed())
            .build(),
        Op::Bind(op) => opcode::Bind::new(fd(op.fd.raw()), op.addr.cast(), op.addr_len).build(),
        Op::Close(op) => opcode::Close::new(fd(op.fd.raw())).build(),
        Op::Connect(op) => {
            opcode::Connect::new(fd(op.fd.raw()), op.addr.cast(), op.addr_len).build()
        }
        Op::Fdatasync(op) => {
            opcode::Fsync::new(fd(op.fd.raw())).flags(types::FsyncFlags::DATASYNC).build()
        }
        Op::Fsync(op) => opcode::Fsync::new(fd(op.fd.raw())).build(),
        Op::Nop(_) => opcode::Nop::new().build(),
        Op::Open(op) => opcode::OpenAt::new(fd(op.dir.raw()), op.path)
            .flags(op.flags.bits().cast_signed())
            .mode(op.mode)
            .build(),
        Op::Poll(op) => opcode::PollAdd::new(fd(op.fd.raw()), u32::from(op.events.bits())).build(),
        Op::Socket(op) => {
            let kind = (op.kind.0 | op.flags.bits() | CLOEXEC).cast_signed();
            if kind < 0 {
                return None;
            }
            opcode::Socket::new(i32::from(op.family.0), kind, op.protocol.cast_signed()).build()
        }
        op => transfer(op)?,
    };
    Some(bytes(&built.user_data(word)))
}

fn transfer(op: &Op) -> Option<squeue::Entry> {
    let fd = types::Fd;
    let cut = |len: usize| u32::try_from(len.min(MAX_RW_COUNT)).expect("31 bits");
    let (position, at) = (u64::MAX, i64::cast_unsigned);
    Some(match op {
        Op::Pread(op) => {
            opcode::Read::new(fd(op.fd.raw()), op.buf, cut(op.len)).offset(at(op.offset)).build()
        }
        Op::Preadv(op) => opcode::Readv::new(fd(op.fd.raw()), op.iov.cast(), cut(op.count))
            .offset(at(op.offset))
            .build(),
        Op::Pwrite(op) => {
            opcode::Write::new(fd(op.fd.raw()), op.buf, cut(op.len)).offset(at(op.offset)).build()
        }
        Op::Pwritev(op) => opcode::Writev::new(fd(op.fd.raw()), op.iov.cast(), cut(op.count))
            .offset(at(op.offset))
            .build(),
        Op::Read(op) => {
            opcode::Read::new(fd(op.fd.raw()), op.buf, cut(op.len)).offset(position).build()
        }
        Op::Readv(op) => opcode::Readv::new(fd(op.fd.raw()), op.iov.cast(), cut(op.count))
            .offset(position)
            .build(),
        Op::Recv(op) => {
            let queue = op.flags.contains(MsgFlags::ERRQUEUE);
            let now = if queue { MsgFlags::DONTWAIT.bits() } else { 0 };
            let flags = (op.flags.bits() | now).cast_signed();
            opcode::Recv::new(fd(op.fd.raw()), op.buf, cut(op.len)).flags(flags).build()
        }
        Op::Send(op) => opcode::Send::new(fd(op.fd.raw()), op.buf, cut(op.len))
            .flags((op.flags.bits() | NOSIGNAL).cast_signed())
            .build(),
        Op::Write(op) => {
            opcode::Write::new(fd(op.fd.raw()), op.buf, cut(op.len)).offset(position).build()
        }
        Op::Writev(op) => opcode::Writev::new(fd(op.fd.raw()), op.iov.cast(), cut(op.count))
            .offset(position)
            .build(),
        _ => return None,
    })
}

fn bytes(entry: &squeue::Entry) -> [u8; 64] {
    const { assert!(size_of::<squeue::Entry>() == 64) }
    let bytes: *const [u8; 64] = core::ptr::from_ref(entry).cast();
    // SAFETY: 64 bytes of integers without padding, as just asserted; an array of bytes has no alignment.
    unsafe { bytes.read() }
}
