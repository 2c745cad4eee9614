//! Any descriptor: every kind, with any value in every field. Addresses are numbers here, and are never
//! followed.

use crate::input::Input;
use core::ptr;
use io_core::op::{
    Accept, AcceptFlags, Bind, Cancel, Close, Connect, Family, Fdatasync, Fstat, Fsync, Ftruncate,
    IoVec, Listen, Lseek, MsgFlags, Nop, Open, OpenFlags, Poll, PollEvents, Pread, Preadv, Pwrite,
    Pwritev, Read, Readv, Recv, Scope, Send, Sendfile, Shutdown, Socket, SocketFlags, SocketKind,
    Timeout, Write, Writev,
};
use io_core::{Fd, Op, OpKind, Seekable};

/// The operation that an input begins with.
pub(super) fn any(input: &mut Input<'_>) -> Op {
    let kind = OpKind::ALL[input.below(OpKind::ALL.len())];
    let fd = number(input);
    match kind {
        OpKind::Accept => Op::Accept(Accept {
            fd,
            flags: AcceptFlags::from_bits_retain(input.half()),
            addr: address(input),
            addr_len: address(input),
        }),
        OpKind::Bind => Op::Bind(Bind { fd, addr: address(input), addr_len: input.half() }),
        OpKind::Cancel => {
            let scope = if input.below(2) == 0 { Scope::All } else { Scope::Fd(fd) };
            Op::Cancel(Cancel { scope })
        }
        OpKind::Close => Op::Close(Close { fd }),
        OpKind::Connect => {
            Op::Connect(Connect { fd, addr: address(input), addr_len: input.half() })
        }
        OpKind::Fdatasync => Op::Fdatasync(Fdatasync { fd }),
        OpKind::Fstat => Op::Fstat(Fstat { fd, out: address(input) }),
        OpKind::Fsync => Op::Fsync(Fsync { fd }),
        OpKind::Ftruncate => Op::Ftruncate(Ftruncate { fd, len: offset(input) }),
        OpKind::Listen => Op::Listen(Listen { fd, backlog: input.half().cast_signed() }),
        OpKind::Lseek => Op::Lseek(Lseek { fd, whence: input.half(), offset: offset(input) }),
        OpKind::Nop => Op::Nop(Nop),
        OpKind::Open => Op::Open(Open {
            dir: fd,
            path: address(input),
            flags: OpenFlags::from_bits_retain(input.half()),
            mode: input.half(),
        }),
        OpKind::Poll => Op::Poll(Poll { fd, events: events(input) }),
        OpKind::Sendfile => Op::Sendfile(Sendfile {
            out_fd: fd,
            in_fd: number(input),
            offset: (input.below(2) == 0).then(|| offset(input)),
            len: length(input),
        }),
        OpKind::Shutdown => Op::Shutdown(Shutdown { fd, how: input.half() }),
        OpKind::Socket => Op::Socket(Socket {
            family: Family(events(input).bits()),
            kind: SocketKind(input.half()),
            flags: SocketFlags::from_bits_retain(input.half()),
            protocol: input.half(),
        }),
        OpKind::Timeout => Op::Timeout(Timeout),
        _ => transfer(kind, fd, input),
    }
}

fn transfer(kind: OpKind, fd: Fd, input: &mut Input<'_>) -> Op {
    let (len, offset) = (length(input), offset(input));
    let seekable = if input.below(2) == 0 { Seekable::Unknown } else { Seekable::Proven };
    let flags = MsgFlags::from_bits_retain(input.half());
    let (buf, iov, count) = (address(input), address::<IoVec>(input), len);
    match kind {
        OpKind::Pread => Op::Pread(Pread { fd, seekable, buf, len, offset }),
        OpKind::Preadv => Op::Preadv(Preadv { fd, seekable, iov, count, offset }),
        OpKind::Pwrite => Op::Pwrite(Pwrite { fd, seekable, buf, len, offset }),
        OpKind::Pwritev => Op::Pwritev(Pwritev { fd, seekable, iov, count, offset }),
        OpKind::Read => Op::Read(Read { fd, buf, len }),
        OpKind::Readv => Op::Readv(Readv { fd, iov, count }),
        OpKind::Recv => Op::Recv(Recv { fd, flags, buf, len }),
        OpKind::Send => Op::Send(Send { fd, flags, buf, len }),
        OpKind::Write => Op::Write(Write { fd, buf, len }),
        OpKind::Writev => Op::Writev(Writev { fd, iov, count }),
        _ => Op::Nop(Nop),
    }
}

fn number(input: &mut Input<'_>) -> Fd {
    Fd::new(input.half().cast_signed())
}

fn length(input: &mut Input<'_>) -> usize {
    usize::try_from(input.word()).unwrap_or(usize::MAX)
}

fn offset(input: &mut Input<'_>) -> i64 {
    input.word().cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn events(input: &mut Input<'_>) -> PollEvents {
    PollEvents::from_bits_retain(input.half() as u16)
}

fn address<T>(input: &mut Input<'_>) -> *mut T {
    ptr::without_provenance_mut(length(input))
}
