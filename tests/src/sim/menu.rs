//! [`Menu`]: one operation of each kind on each kind of file, that succeeds at once or after a nudge.

use super::Sim;
use super::block::Block;
use super::errnos::works_on;
use crate::world::{FileKind, World};
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

/// Makes one operation over one block of memory.
pub(super) struct Menu<'m> {
    sim: &'m Sim,
    block: &'m Block,
    kind: OpKind,
    on: Option<FileKind>,
    /// The other form of it, if it has two.
    other: bool,
}

impl<'m> Menu<'m> {
    pub(super) fn new(sim: &'m Sim, block: &'m Block, kind: OpKind) -> Menu<'m> {
        let on = *sim.choices().pick(works_on(kind));
        Menu { sim, block, kind, on, other: sim.choices().chance(2) }
    }

    fn world<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        self.sim.world().with(act)
    }

    fn file(&self) -> Fd {
        self.world(|world| world.file(&[7; 40]))
    }

    fn family(&self) -> Family {
        if self.on == Some(FileKind::Local) { Family::UNIX } else { Family::INET }
    }

    fn socket(&self) -> Fd {
        self.world(|world| world.stream(self.family()))
    }

    /// A descriptor of this kind to give to (`gives`) or to take from, with something in it or not, and what is at
    /// its other end.
    fn end(&self, gives: bool) -> (Fd, Option<Fd>) {
        let (fd, peer) = match self.on {
            None | Some(FileKind::File) => return (self.file(), None),
            Some(FileKind::Pipe) => match self.world(World::pipe) {
                (reader, writer) if gives => (writer, reader),
                pipe => pipe,
            },
            Some(FileKind::Local) => self.world(World::pair),
            Some(FileKind::Network) => self.world(|world| {
                let (listener, address) = world.listener();
                let near = world.connect(&address);
                let far = world.accept(listener).expect("the connection just made");
                world.close(listener).expect("open");
                (near, far)
            }),
        };
        if self.other && !(gives && self.on == Some(FileKind::Pipe)) {
            assert_eq!(self.world(|world| world.put(peer, &[3; 9])), Ok(9));
        }
        (fd, Some(peer))
    }

    pub(super) fn order(&self) -> Order {
        let op = match self.kind {
            OpKind::Cancel => {
                let fd = self.file();
                let scope = if self.other { Scope::All } else { Scope::Fd(fd) };
                return (Op::Cancel(op::Cancel { scope }), Nudge::Nothing, vec![fd]);
            }
            OpKind::Close => {
                let (fd, peer) = self.end(self.other);
                let close = Op::Close(op::Close { fd });
                return (close, Nudge::Nothing, peer.into_iter().collect());
            }
            OpKind::Nop => Op::Nop(op::Nop),
            OpKind::Timeout => Op::Timeout(op::Timeout),
            OpKind::Accept | OpKind::Bind | OpKind::Connect | OpKind::Listen => {
                return self.connection();
            }
            OpKind::Open => {
                let flags = OpenFlags::CREATE | OpenFlags::RDWR;
                Op::Open(op::Open { dir: Fd::CWD, path: self.block.path(), flags, mode: 0o600 })
            }
            OpKind::Socket => {
                let (family, kind) = (Family::INET, op::SocketKind::STREAM);
                Op::Socket(op::Socket { family, kind, flags: SocketFlags::empty(), protocol: 0 })
            }
            OpKind::Sendfile => {
                let (in_fd, (out_fd, peer)) = (self.file(), self.end(true));
                let offset = self.other.then_some(2);
                let sendfile = op::Sendfile { out_fd, in_fd, offset, len: 30 };
                let fds = [out_fd, in_fd].into_iter().chain(peer).collect();
                return (Op::Sendfile(sendfile), Nudge::Nothing, fds);
            }
            OpKind::Pread | OpKind::Preadv | OpKind::Pwrite | OpKind::Pwritev => {
                return self.at_an_offset();
            }
            _ => return self.on_one(),
        };
        (op, Nudge::Nothing, Vec::new())
    }

    /// Where a local socket of this operation's own listens or is bound: outside of the tree, or in it. Names in the
    /// tree stay there, so none is used twice.
    fn local_address(&self, in_tree: bool) -> (Address, Fd) {
        let fd = self.file();
        let stamp = self.world(|world| world.stamp(fd)).expect("just opened");
        let name = format!("/socket-{stamp}");
        let address = match in_tree {
            true => Address::unix(name.as_bytes()),
            false => Address::unix_abstract(name.as_bytes()),
        };
        (address.expect("a short name"), fd)
    }

    /// A listener of this kind, its address, and what to close after it.
    fn listener(&self) -> (Fd, Address, Vec<Fd>) {
        if self.on != Some(FileKind::Local) {
            let (fd, address) = self.world(World::listener);
            return (fd, address, vec![fd]);
        }
        let (address, file) = self.local_address(self.other);
        let (fd, address) = self.world(|world| world.listener_at(&address, 128));
        (fd, address, vec![fd, file])
    }

    fn connection(&self) -> Order {
        let addr = self.block.address();
        match self.kind {
            OpKind::Accept => {
                let (fd, address, mut fds) = self.listener();
                if self.sim.choices().chance(2) {
                    fds.push(self.world(|world| world.connect(&address)));
                }
                let (flags, addr_len) = (AcceptFlags::empty(), self.block.address_len());
                (Op::Accept(op::Accept { fd, flags, addr, addr_len }), Nudge::Connect(address), fds)
            }
            OpKind::Bind => {
                let fd = self.socket();
                let (address, fds) = if self.on == Some(FileKind::Local) {
                    let (address, file) = self.local_address(self.other);
                    (address, vec![fd, file])
                } else {
                    (Address::v4(Ipv4Addr::LOCALHOST, 0), vec![fd])
                };
                let addr_len = self.block.set_address(&address);
                (Op::Bind(op::Bind { fd, addr, addr_len }), Nudge::Nothing, fds)
            }
            OpKind::Connect => {
                let (_, address, mut fds) = self.listener();
                let addr_len = self.block.set_address(&address);
                let fd = self.socket();
                fds.insert(0, fd);
                (Op::Connect(op::Connect { fd, addr, addr_len }), Nudge::Nothing, fds)
            }
            _ => {
                let fd = self.socket();
                let mut fds = vec![fd];
                if self.on == Some(FileKind::Local) {
                    // Without a name it cannot.
                    let (address, file) = self.local_address(false);
                    self.world(|world| world.bind(fd, &address)).expect("a free name");
                    fds.push(file);
                }
                (Op::Listen(op::Listen { fd, backlog: 4 }), Nudge::Nothing, fds)
            }
        }
    }

    /// On one descriptor, with what there is at its other end.
    fn on_one(&self) -> Order {
        let gives = matches!(self.kind, OpKind::Send | OpKind::Write | OpKind::Writev);
        let ((fd, peer), flags) = (self.end(gives), MsgFlags::empty());
        let (buf, len, iov, count) = (self.block.bytes(), Block::LEN, self.block.vectors(), 2);
        let op = match self.kind {
            OpKind::Fdatasync => Op::Fdatasync(op::Fdatasync { fd }),
            OpKind::Fstat => Op::Fstat(op::Fstat { fd, out: self.block.stat() }),
            OpKind::Fsync => Op::Fsync(op::Fsync { fd }),
            OpKind::Ftruncate => Op::Ftruncate(op::Ftruncate { fd, len: 11 }),
            OpKind::Lseek => Op::Lseek(op::Lseek { fd, whence: 0, offset: 3 }),
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
        let nudge = match peer {
            Some(peer) if !(gives && self.on == Some(FileKind::Pipe)) => Nudge::Put(peer),
            _ => Nudge::Nothing,
        };
        (op, nudge, [fd].into_iter().chain(peer).collect())
    }

    fn at_an_offset(&self) -> Order {
        let (fd, seekable, offset) = (self.file(), Seekable::Unknown, 1);
        let (buf, len, iov, count) = (self.block.bytes(), Block::LEN, self.block.vectors(), 2);
        let op = match self.kind {
            OpKind::Pread => Op::Pread(op::Pread { fd, seekable, buf, len, offset }),
            OpKind::Preadv => Op::Preadv(op::Preadv { fd, seekable, iov, count, offset }),
            OpKind::Pwrite => Op::Pwrite(op::Pwrite { fd, seekable, buf, len, offset }),
            _ => Op::Pwritev(op::Pwritev { fd, seekable, iov, count, offset }),
        };
        (op, Nudge::Nothing, vec![fd])
    }
}
