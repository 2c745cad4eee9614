//! [`Menu`]: one operation of each kind, that succeeds at once or after a nudge.

use super::Sim;
use super::block::Block;
use crate::world::World;
use core::net::Ipv4Addr;
use io_core::op::{self, AcceptFlags, Family, MsgFlags, OpenFlags, PollEvents, Scope, SocketFlags};
use io_core::{Address, Fd, Op, OpKind, Seekable};

/// What an operation may have to wait for.
#[derive(Clone, Debug)]
pub(super) enum Nudge {
    Nothing,
    /// Bytes on this descriptor.
    Put(Fd),
    /// A connection to this address.
    Connect(Address),
}

/// An operation, what it waits for, and the descriptors to close after it.
type Order = (Op, Nudge, Vec<Fd>);

/// Makes operations over one block of memory.
pub(super) struct Menu<'m> {
    sim: &'m Sim,
    block: &'m Block,
    /// The other form of it, if it has two.
    other: bool,
}

impl<'m> Menu<'m> {
    pub(super) fn new(sim: &'m Sim, block: &'m Block) -> Menu<'m> {
        Menu { sim, block, other: sim.choices().chance(2) }
    }

    fn world<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        self.sim.world().with(act)
    }

    fn file(&self) -> Fd {
        self.world(|world| world.file(&[7; 40]))
    }

    fn socket(&self) -> Fd {
        self.world(|world| world.stream(Family::INET))
    }

    /// A stream, with something in it or not.
    fn stream(&self) -> (Fd, Fd) {
        let (one, other) = self.world(World::pair);
        if self.other {
            assert_eq!(self.world(|world| world.put(other, &[3; 9])), Ok(9));
        }
        (one, other)
    }

    pub(super) fn order(&self, kind: OpKind) -> Order {
        match kind {
            OpKind::Cancel => {
                let fd = self.file();
                let scope = if self.other { Scope::All } else { Scope::Fd(fd) };
                (Op::Cancel(op::Cancel { scope }), Nudge::Nothing, vec![fd])
            }
            OpKind::Close => (Op::Close(op::Close { fd: self.file() }), Nudge::Nothing, vec![]),
            OpKind::Nop => (Op::Nop(op::Nop), Nudge::Nothing, vec![]),
            OpKind::Timeout => (Op::Timeout(op::Timeout), Nudge::Nothing, vec![]),
            OpKind::Accept | OpKind::Bind | OpKind::Connect | OpKind::Listen | OpKind::Socket => {
                self.connection(kind)
            }
            OpKind::Poll
            | OpKind::Read
            | OpKind::Readv
            | OpKind::Recv
            | OpKind::Send
            | OpKind::Shutdown => self.on_stream(kind),
            OpKind::Write | OpKind::Writev if self.other => self.on_stream(kind),
            OpKind::Open => {
                let flags = OpenFlags::CREATE | OpenFlags::RDWR;
                let open = op::Open { dir: Fd::CWD, path: self.block.path(), flags, mode: 0o600 };
                (Op::Open(open), Nudge::Nothing, vec![])
            }
            OpKind::Sendfile => {
                let (in_fd, (out_fd, peer)) = (self.file(), self.stream());
                let offset = self.other.then_some(2);
                let sendfile = op::Sendfile { out_fd, in_fd, offset, len: 30 };
                (Op::Sendfile(sendfile), Nudge::Nothing, vec![out_fd, peer, in_fd])
            }
            _ => self.on_file(kind),
        }
    }

    fn connection(&self, kind: OpKind) -> Order {
        let (addr, addr_len) = (self.block.address(), Block::ADDRESS);
        match kind {
            OpKind::Accept => {
                let (fd, address) = self.world(World::listener);
                let mut fds = vec![fd];
                if self.other {
                    fds.push(self.world(|world| world.connect(&address)));
                }
                let (flags, addr_len) = (AcceptFlags::empty(), self.block.address_len());
                (Op::Accept(op::Accept { fd, flags, addr, addr_len }), Nudge::Connect(address), fds)
            }
            OpKind::Bind => {
                self.block.set_address(&Address::v4(Ipv4Addr::LOCALHOST, 0));
                let fd = self.socket();
                (Op::Bind(op::Bind { fd, addr, addr_len }), Nudge::Nothing, vec![fd])
            }
            OpKind::Connect => {
                let (listener, address) = self.world(World::listener);
                self.block.set_address(&address);
                let fd = self.socket();
                (
                    Op::Connect(op::Connect { fd, addr, addr_len }),
                    Nudge::Nothing,
                    vec![fd, listener],
                )
            }
            OpKind::Listen => {
                let fd = self.socket();
                (Op::Listen(op::Listen { fd, backlog: 4 }), Nudge::Nothing, vec![fd])
            }
            _ => {
                let (family, kind) = (Family::INET, op::SocketKind::STREAM);
                let socket = op::Socket { family, kind, flags: SocketFlags::empty(), protocol: 0 };
                (Op::Socket(socket), Nudge::Nothing, vec![])
            }
        }
    }

    fn on_stream(&self, kind: OpKind) -> Order {
        let ((fd, peer), flags) = (self.stream(), MsgFlags::empty());
        let (buf, len, iov, count) = (self.block.bytes(), Block::LEN, self.block.vectors(), 2);
        let op = match kind {
            OpKind::Poll => Op::Poll(op::Poll { fd, events: PollEvents::IN }),
            OpKind::Read => Op::Read(op::Read { fd, buf, len }),
            OpKind::Readv => Op::Readv(op::Readv { fd, iov, count }),
            OpKind::Recv => {
                let flags = if self.other { MsgFlags::PEEK } else { flags };
                Op::Recv(op::Recv { fd, flags, buf, len })
            }
            OpKind::Send => Op::Send(op::Send { fd, flags, buf, len }),
            OpKind::Shutdown => Op::Shutdown(op::Shutdown { fd, how: 1 }),
            OpKind::Write => Op::Write(op::Write { fd, buf, len }),
            _ => Op::Writev(op::Writev { fd, iov, count }),
        };
        (op, Nudge::Put(peer), vec![fd, peer])
    }

    fn on_file(&self, kind: OpKind) -> Order {
        let (fd, seekable, offset) = (self.file(), Seekable::Unknown, 1);
        let (buf, len, iov, count) = (self.block.bytes(), Block::LEN, self.block.vectors(), 2);
        let op = match kind {
            OpKind::Fdatasync => Op::Fdatasync(op::Fdatasync { fd }),
            OpKind::Fstat => Op::Fstat(op::Fstat { fd, out: self.block.stat() }),
            OpKind::Fsync => Op::Fsync(op::Fsync { fd }),
            OpKind::Ftruncate => Op::Ftruncate(op::Ftruncate { fd, len: 11 }),
            OpKind::Lseek => Op::Lseek(op::Lseek { fd, whence: 0, offset: 3 }),
            OpKind::Pread => Op::Pread(op::Pread { fd, seekable, buf, len, offset }),
            OpKind::Preadv => Op::Preadv(op::Preadv { fd, seekable, iov, count, offset }),
            OpKind::Pwrite => Op::Pwrite(op::Pwrite { fd, seekable, buf, len, offset }),
            OpKind::Pwritev => Op::Pwritev(op::Pwritev { fd, seekable, iov, count, offset }),
            OpKind::Write => Op::Write(op::Write { fd, buf, len }),
            _ => Op::Writev(op::Writev { fd, iov, count }),
        };
        (op, Nudge::Nothing, vec![fd])
    }
}
