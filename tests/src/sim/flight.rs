//! [`Flight`]: what the simulator knows of one submission, besides its node.
#![allow(unsafe_code, reason = "points into the operation's own memory and vector table")]
//! # Safety
//! A flight's addresses are used only while its operation is not completed (I1, I2).

use crate::world::FileKind;
use io_core::op::{IoVec, MAX_RW_COUNT, MsgFlags};
use io_core::{Fd, NodePtr, Op, OpKind};

/// How a cancel and its operation met.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Asked {
    /// Nobody asked.
    Not,
    /// Asked, and its own result was there first, or came all the same.
    Lost,
    /// It ended early, at once.
    Won,
    /// It ended early, some time after it was asked.
    Late,
}

impl Asked {
    /// Each.
    pub const ALL: [Asked; 4] = [Asked::Not, Asked::Lost, Asked::Won, Asked::Late];
}

/// Where a submission is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// In the line before the kernel.
    Queued,
    /// The kernel has it and does not look at it before `due_ns`.
    Running,
    /// It would block: tried again when its descriptor is ready.
    Waiting,
    /// It has its result, which arrives at `due_ns`.
    Late,
    /// To be delivered.
    Ready,
}

/// A cancel or a deadline on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) due_ns: u64,
    /// How often the kernel has put it off.
    pub(super) put_off: u32,
    /// Not its caller's, but a stop's or a close's.
    pub(super) ours: bool,
}

/// One submission.
#[derive(Debug)]
pub(super) struct Flight {
    /// What completions carry: a number that is not used again for 2^32 submissions.
    pub(super) token: u32,
    pub(super) node: NodePtr,
    pub(super) op: Op,
    pub(super) kind: OpKind,
    /// What its descriptor was of at submit.
    pub(super) on: Option<FileKind>,
    pub(super) stage: Stage,
    /// When the kernel looks at it next, or when its result arrives.
    pub(super) due_ns: u64,
    /// What its descriptors meant at submit.
    pub(super) stamps: [(Fd, Option<u64>); 2],
    /// The bytes moved so far.
    pub(super) done: usize,
    pub(super) question: Option<Question>,
    pub(super) asked: Asked,
    /// In vain this turn.
    pub(super) tried: bool,
    /// It was tried, and would have blocked.
    pub(super) waited: bool,
    /// Its phase is "queued" again while it waits.
    pub(super) parked: bool,
    pub(super) deadline_ns: u64,
    /// The deadline has passed, and it is told so if it ends early.
    pub(super) expired: bool,
}

/// A direction of a descriptor, which those that wait for it share: its number, what that meant, and which way.
pub(super) type Lane = (Fd, Option<u64>, bool);

impl Flight {
    /// Its direction, if it waits for one in line: polls and connects wait side by side.
    pub(super) fn lane(&self) -> Option<Lane> {
        if matches!(self.kind, OpKind::Connect | OpKind::Poll) {
            return None;
        }
        let (fd, interest) = self.op.interest()?;
        Some((fd, self.stamps[0].1, interest == io_core::Interest::Readable))
    }

    /// Whether the kernel may still act on it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Queued | Stage::Running | Stage::Waiting)
    }

    /// What is left to move, in bytes; `None` if it moves none.
    pub(super) fn left(&self) -> Option<usize> {
        let all = match &self.op {
            Op::Read(op) => op.len,
            Op::Write(op) => op.len,
            Op::Recv(op) => op.len,
            Op::Send(op) => op.len,
            Op::Pread(op) => op.len,
            Op::Pwrite(op) => op.len,
            Op::Preadv(op) => total(op.iov, op.count)?,
            Op::Pwritev(op) => total(op.iov, op.count)?,
            Op::Readv(op) => total(op.iov, op.count)?,
            Op::Writev(op) => total(op.iov, op.count)?,
            Op::Sendfile(op) => op.len,
            _ => return None,
        };
        Some(all.min(MAX_RW_COUNT).saturating_sub(self.done))
    }

    /// Whether it must be filled to the end.
    pub(super) fn waits_for_all(&self) -> bool {
        matches!(&self.op, Op::Recv(op) if op.flags.contains(MsgFlags::WAITALL)
            && !op.flags.intersects(MsgFlags::PEEK | MsgFlags::DONTWAIT | MsgFlags::ERRQUEUE))
    }

    /// Whether what it has moved is gone from where it was.
    pub(super) fn consumes(&self) -> bool {
        !matches!(&self.op, Op::Recv(op) if op.flags.contains(MsgFlags::PEEK))
    }

    /// The operation from where it has come to. `vectors` keeps the table of what is left.
    pub(super) fn rest(&self, vectors: &mut Vec<IoVec>) -> Op {
        let done = self.done;
        let mut op = self.op;
        if self.waits_for_all()
            && let Op::Recv(op) = &mut op
        {
            op.flags = op.flags.difference(MsgFlags::WAITALL);
        }
        if done == 0 {
            return op;
        }
        match &mut op {
            Op::Read(op) => (op.buf, op.len) = (op.buf.wrapping_add(done), op.len - done),
            Op::Write(op) => (op.buf, op.len) = (op.buf.wrapping_add(done), op.len - done),
            Op::Recv(op) => (op.buf, op.len) = (op.buf.wrapping_add(done), op.len - done),
            Op::Send(op) => (op.buf, op.len) = (op.buf.wrapping_add(done), op.len - done),
            Op::Sendfile(op) => {
                op.len -= done;
                let done = i64::try_from(done).unwrap_or(i64::MAX);
                op.offset = op.offset.map(|offset| offset.saturating_add(done));
            }
            Op::Readv(op) => {
                *vectors = skip(op.iov, op.count, done);
                (op.iov, op.count) = (vectors.as_ptr(), vectors.len());
            }
            Op::Writev(op) => {
                *vectors = skip(op.iov, op.count, done);
                (op.iov, op.count) = (vectors.as_ptr(), vectors.len());
            }
            _ => {}
        }
        op
    }

    /// Whether its address is a name in the tree.
    pub(super) fn names_path(&self) -> bool {
        let (addr, len) = match &self.op {
            Op::Bind(op) => (op.addr, op.addr_len),
            Op::Connect(op) => (op.addr, op.addr_len),
            _ => return false,
        };
        // Behind the family, a NUL first is a name outside of the tree. What is no address is not looked at.
        // SAFETY: the submitter promised that so many bytes are valid until the completion.
        !addr.is_null() && len > 2 && unsafe { addr.wrapping_add(2).read() } != 0
    }

    /// Memory that the kernel may write at any time before the completion.
    pub(super) fn writable(&self) -> Option<(*mut u8, usize)> {
        let (buf, len) = match &self.op {
            Op::Read(op) => (op.buf, op.len),
            Op::Recv(op) => (op.buf, op.len),
            _ => return None,
        };
        (!buf.is_null() && len > self.done && len <= 0x1_0000)
            .then(|| (buf.wrapping_add(self.done), len - self.done))
    }
}

/// The pieces of a table that may be read, or none.
fn table(iov: *const IoVec, count: usize) -> Vec<IoVec> {
    if iov.is_null() || count > io_core::op::IOV_MAX {
        return Vec::new();
    }
    // SAFETY: the submitter promised that the table is valid until the completion, and `count` is its length.
    (0..count).map(|index| unsafe { iov.wrapping_add(index).read() }).collect()
}

fn total(iov: *const IoVec, count: usize) -> Option<usize> {
    table(iov, count).iter().try_fold(0_usize, |sum, piece| sum.checked_add(piece.len))
}

fn skip(iov: *const IoVec, count: usize, mut done: usize) -> Vec<IoVec> {
    let mut pieces = table(iov, count);
    for piece in &mut pieces {
        let step = done.min(piece.len);
        (piece.base, piece.len) = (piece.base.wrapping_add(step), piece.len - step);
        done -= step;
    }
    pieces
}
