//! One operation at a time at a file's own position.
//!
//! `read(2)` and `write(2)` on a regular file lock its position; the ring's opcodes read it at the start and
//! move it at the end, so that two in the ring at once transfer the same bytes. So at most one operation
//! per file is in the ring, and the others wait here in order. Files are told apart by their inode:
//! duplicates of a descriptor share a position. Pipes, sockets and devices have none, as the kernel sees it.
//!
//! A transfer that an error cuts short (no space, memory that cannot be used) has a count for its result, but
//! the kernel does not move the position then, and the next write would be on top of it. So it is looked
//! at before and after, and moved here. Not where everything was transferred: a file may take that and keep its
//! position on purpose, as some of `/proc` do.
#![allow(unsafe_code, reason = "asks a bare descriptor for its position, and moves it")]
//! # Safety
//! The descriptor is that of an operation in flight, and its vector table is valid until that is completed.

use crate::identity::{has_no_type, mix, stat_of};
use crate::inbox::Mode;
use crate::seat::{Seat, place};
use crate::submit::Known;
use io_core::op::{IoVec, Write, Writev};
use io_core::syscall::check_transfers;
use io_core::{Node, OffloadHandle, Op, OpKind, OpSet};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl};

/// The operations that use a file's own position.
pub(crate) const KINDS: OpSet = OpSet::of(OpKind::Read)
    .union(OpSet::of(OpKind::Readv))
    .union(OpSet::of(OpKind::Write))
    .union(OpSet::of(OpKind::Writev));

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// To the ring if nobody is at the file's position, else into the line.
    pub(crate) fn start_at_position(&self, node: Node, known: Known) {
        self.backend.tally.owner.syscalls.add(1);
        let key = match position_of(node.op()) {
            Position::Of(key) => key,
            Position::None => return self.to_ring(node, known),
            Position::Stream => {
                node.set_scratch(node.scratch() | place::STREAM);
                return self.to_ring(node, known);
            }
            Position::NoFile => {
                self.backend.tally.owner.syscalls.add(1);
                return match check_transfers(node.op()) {
                    Ok(()) => self.to_ring(node, known),
                    // The ring would wait until it can be read.
                    Err(errno) => self.end_at_once(node, errno.to_result(), known),
                };
            }
        };
        let (busy, bit) = (self.positions.get(), 1 << key);
        if busy & bit != 0 {
            node.set_scratch(place::HELD | (key << place::KEY_SHIFT));
            return self.held.push(node);
        }
        self.positions.set(busy | bit);
        self.take_turn(node, key, known);
    }

    /// An operation that had the turn, with this scratch word, is over: the next in line has it.
    #[cold]
    pub(crate) fn pass_position(&self, word: u32) {
        let key = word >> place::KEY_SHIFT;
        while let Some(next) =
            self.held.take_first(|node| node.scratch() >> place::KEY_SHIFT == key)
        {
            if next.op().kind() != OpKind::Close {
                return self.take_turn(next, key, Known::Elsewhere);
            }
            // Behind all of its descriptor's in line; the others go on.
            next.set_scratch(place::TURN);
            self.turn.push(next);
        }
        self.positions.set(self.positions.get() & !(1 << key));
    }

    /// The end of an operation that may have had the turn: the position is where its count says.
    pub(crate) fn mend_position(&self, node: &Node, result: i64) {
        let (op, word) = (node.op(), node.scratch());
        if word & place::POSITION == 0 || result <= 0 || is_whole(op, result) {
            return;
        }
        let key = word >> place::KEY_SHIFT;
        self.backend.tally.owner.syscalls.add(1);
        let unmoved = seek(op, SeekFrom::Current(0)) == self.starts[(key & 63) as usize].get();
        if unmoved && position_of(op) == Position::Of(key) {
            let to = if appends(op) { SeekFrom::End(0) } else { SeekFrom::Current(result) };
            let _: u32 = seek(op, to);
            self.backend.tally.owner.syscalls.add(3);
        }
    }

    fn take_turn(&self, node: Node, key: u32, known: Known) {
        self.backend.tally.owner.syscalls.add(1);
        self.starts[(key & 63) as usize].set(seek(node.op(), SeekFrom::Current(0)));
        node.set_scratch(place::RING | place::POSITION | (key << place::KEY_SHIFT));
        self.to_ring(node, known);
    }
}

/// Sets or asks for the position; the lower half of where it is then.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn seek(op: &Op, to: SeekFrom) -> u32 {
    let Some((fd, _)) = op.interest().filter(|(fd, _)| fd.raw() >= 0) else { return 0 };
    // SAFETY: not negative; whether it is open is the kernel's to say, and the borrow ends with the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.raw()) };
    // It is a regular file's, so this does not fail.
    rustix::fs::seek(fd, to).unwrap_or(0) as u32
}

/// Whether so much is all that was asked for.
fn is_whole(op: &Op, count: i64) -> bool {
    let len = match op {
        Op::Read(op) => op.len,
        Op::Write(op) => op.len,
        Op::Readv(op) => total(op.iov, op.count),
        Op::Writev(op) => total(op.iov, op.count),
        _ => return false,
    };
    usize::try_from(count).is_ok_and(|count| count == len)
}

/// The bytes that the pieces of a table name.
fn total(iov: *const IoVec, count: usize) -> usize {
    if iov.is_null() || count == 0 {
        return 0;
    }
    // SAFETY: not null, and valid until the node is completed, promised by whoever made the op.
    let table = unsafe { core::slice::from_raw_parts(iov, count) };
    table.iter().map(|piece| piece.len).fold(0, usize::saturating_add)
}

/// Whether every write goes to the end.
fn appends(op: &Op) -> bool {
    let (Op::Write(Write { fd, .. }) | Op::Writev(Writev { fd, .. })) = op else { return false };
    // SAFETY: `position_of` has just found it open, so it is not negative; a number that was closed since is the
    // kernel's to say, and the borrow ends with the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.raw()) };
    fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::APPEND))
}

/// What a transfer's descriptor has for a position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Which of 64. Files that share a number by chance wait for each other without need.
    Of(u32),
    /// None: a pipe, a socket.
    Stream,
    /// None: a device.
    None,
    /// No file is behind it at all: a counter, a timer, an epoll.
    NoFile,
}

fn position_of(op: &Op) -> Position {
    let Some(stat) = op.interest().and_then(|(fd, _)| stat_of(fd)) else { return Position::None };
    if has_no_type(&stat) {
        return Position::NoFile;
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            u32::try_from(mix(&stat) >> 58).map_or(Position::None, Position::Of)
        }
        FileType::Fifo | FileType::Socket => Position::Stream,
        _ => Position::None,
    }
}
