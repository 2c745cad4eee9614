//! The making of operations: which one, on what, with what memory, raw or typed, with or without a deadline.
#![allow(unsafe_code, reason = "makes raw operations")]
//! # Safety
//! What a raw operation points to is the area, table, address or `Stat` that is kept with it, or a literal;
//! descriptors are the simulated kernel's.

mod files;
mod sockets;
mod streams;

use super::area::{Area, Table};
use super::book::{Book, Effect, Leads};
use super::held::{Handle, Held, Kept, raw, typed};
use crate::choices::Choices;
use core::pin::Pin;
use io_core::op::{self, MsgFlags, Op, PollEvents, Scope};
use io_core::ops::{Operation, Ops, SafeOp};
use io_core::{Deadline, Errno, Fd, OpenFd, OwnedFd, Seekable};

/// An operation that is not submitted yet.
pub(super) struct Draft {
    pub(super) op: Op,
    pub(super) kept: Kept,
    /// How it is made if it is typed.
    typed: Option<Make>,
    pub(super) effect: Effect,
    pub(super) ends: Vec<usize>,
    pub(super) area: Option<Area>,
}

type Make = Box<dyn FnOnce(Handle, Option<Deadline>) -> Pin<Box<dyn Held>>>;

impl Draft {
    fn new(op: Op, effect: Effect) -> Draft {
        Draft { op, kept: Kept::default(), typed: None, effect, ends: Vec::new(), area: None }
    }

    fn on(mut self, ends: &[usize]) -> Draft {
        self.ends.extend_from_slice(ends);
        self
    }

    fn with(mut self, area: &Area) -> Draft {
        self.area = Some(area.clone());
        self.kept.area = Some(area.clone());
        self
    }

    fn or_typed<D: Operation + 'static>(
        mut self,
        make: impl FnOnce(Handle) -> SafeOp<Handle, D> + 'static,
        word: fn(D::Output) -> i64,
    ) -> Draft {
        self.typed = Some(Box::new(move |handle, deadline| match deadline {
            None => typed(make(handle), word),
            Some(deadline) => typed(make(handle).with_deadline(deadline), word),
        }));
        self
    }

    /// Makes it; whether it can be reset is whether it is raw.
    pub(super) fn build(
        self,
        handle: Handle,
        deadline: Option<Deadline>,
        want_typed: bool,
    ) -> (Pin<Box<dyn Held>>, bool) {
        if let Some(make) = self.typed.filter(|_| want_typed) {
            return (make(handle, deadline), false);
        }
        let held = match deadline {
            // SAFETY: the maker of the draft kept what it points to.
            None => unsafe { raw(handle, self.op, self.kept, |op| op) },
            // SAFETY: as above.
            Some(deadline) => unsafe {
                raw(handle, self.op, self.kept, |op| op.with_deadline(deadline))
            },
        };
        (held, true)
    }
}

fn word(result: Result<u64, Errno>) -> i64 {
    // Positions and counts of the simulated kernel are small.
    result.map_or_else(Errno::to_result, |count| i64::try_from(count).unwrap_or(i64::MAX))
}

fn count(result: Result<usize, Errno>) -> i64 {
    word(result.map(|count| count as u64))
}

fn count_of(output: (Result<usize, Errno>, Area)) -> i64 {
    count(output.0)
}

fn unit<T>(result: Result<T, Errno>) -> i64 {
    result.map_or_else(Errno::to_result, |_| 0)
}

fn number(result: Result<OwnedFd, Errno>) -> i64 {
    result.map_or_else(Errno::to_result, |fd| i64::from(fd.into_raw().raw()))
}

/// A descriptor of the simulated kernel for a typed operation.
fn proof(fd: Fd) -> OpenFd {
    // SAFETY: nothing of the process hangs on the number: a wrong one is an error of the simulated kernel's.
    unsafe { fd.assume_open() }
}

/// Makes operations on what is in the book.
pub(super) struct Maker<'m> {
    pub(super) choices: &'m Choices,
    pub(super) book: &'m mut Book,
    /// Which operation this will be: the number of what it writes.
    pub(super) number: u32,
    /// The position of a file, from the simulated kernel.
    pub(super) position: &'m dyn Fn(Fd) -> usize,
    /// The most bytes of one transfer that is not to fill a pipe.
    pub(super) large: usize,
    /// Whether closes may be made.
    pub(super) may_close: bool,
}

impl Maker<'_> {
    /// One operation; a nop where there is nothing for the kind that was chosen.
    pub(super) fn draft(mut self) -> Draft {
        let made = match self.choices.below(28) {
            0 => None,
            1..=3 => self.read(),
            4..=6 => self.write(),
            7 | 8 => self.pread(),
            9 | 10 => self.pwrite(),
            11 => self.file_read(),
            12 => self.file_write(),
            13 => self.poll(),
            14 => Some(self.timeout()),
            15 => Some(self.cancel()),
            16 => Some(self.open()),
            17 if self.may_close => self.close(),
            17 => None,
            18 | 19 => self.accept(),
            20 => self.connect(),
            21 => Some(self.socket()),
            22 => self.shutdown_or_bind(),
            23 => self.metadata(),
            24 => self.ftruncate(),
            25 => self.lseek(),
            26 => self.sendfile(),
            _ => Some(self.wrong()),
        };
        made.unwrap_or_else(|| {
            Draft::new(Op::Nop(op::Nop), Effect::Nothing).or_typed(|handle| handle.nop(), unit)
        })
    }

    /// One operation of few kinds: what is done at once, what waits, what ends it, what makes a descriptor.
    pub(super) fn small_draft(self) -> Draft {
        let pipe = |leads: &Leads| matches!(leads, Leads::Stream { socket: false, .. });
        let pipe = self.book.open(pipe);
        let (reader, writer) = (pipe.first().copied(), pipe.get(1).copied());
        match (self.choices.below(4), reader, writer) {
            (1, Some(reader), _) => self.read_from(reader),
            (2, _, Some(writer)) => self.write_to(writer),
            (3, ..) => self.socket(),
            _ => {
                Draft::new(Op::Nop(op::Nop), Effect::Nothing).or_typed(|handle| handle.nop(), unit)
            }
        }
    }

    fn end(&self, wanted: impl Fn(&Leads) -> bool) -> Option<(usize, Fd)> {
        let open = self.book.open(wanted);
        let end = *open.get(self.choices.index(open.len()))?;
        Some((end, self.book.ends[end].fd))
    }

    fn cuts(&self, area: &Area) -> Table {
        let cuts: Vec<usize> =
            (0..self.choices.below(4)).map(|_| self.choices.below(32) as usize).collect();
        Table::of(area, &cuts)
    }

    fn poll(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|_| true)?;
        let events = *self.choices.pick(&[
            PollEvents::IN,
            PollEvents::OUT,
            PollEvents::IN.union(PollEvents::OUT),
            PollEvents::RDHUP,
        ]);
        let draft = Draft::new(Op::Poll(op::Poll { fd, events }), Effect::Events(events.bits()))
            .or_typed(
                move |handle| handle.poll_fd(proof(fd), events),
                |events| events.map_or_else(Errno::to_result, |events| i64::from(events.bits())),
            );
        Some(draft.on(&[end]))
    }

    fn timeout(&self) -> Draft {
        Draft::new(Op::Timeout(op::Timeout), Effect::Sleeps)
    }

    fn cancel(&mut self) -> Draft {
        let scope = match self.end(|_| true).filter(|_| self.choices.below(3) > 0) {
            Some((_, fd)) => Scope::Fd(fd),
            None => Scope::All,
        };
        let draft = Draft::new(Op::Cancel(op::Cancel { scope }), Effect::Cancels(scope));
        match scope {
            Scope::All => draft.or_typed(|handle| handle.cancel_all(), count),
            Scope::Fd(fd) => draft.or_typed(move |handle| handle.cancel_fd(&proof(fd)), count),
        }
    }

    fn close(&mut self) -> Option<Draft> {
        // Files are known by their descriptor, and stay.
        let (end, fd) = self.end(|leads| !matches!(leads, Leads::File(_)))?;
        Some(Draft::new(Op::Close(op::Close { fd }), Effect::Closes).on(&[end]))
    }

    /// Something that cannot work.
    fn wrong(&self) -> Draft {
        let area = Area::empty(8);
        let (buf, len) = (area.ptr(), area.len());
        let fd = Fd::new(*self.choices.pick(&[-1, 7_777_777]));
        let op = match self.choices.below(5) {
            0 => Op::Read(op::Read { fd, buf, len }),
            1 => Op::Pread(op::Pread { fd, seekable: Seekable::Unknown, buf, len, offset: 0 }),
            2 => Op::Recv(op::Recv { fd, flags: MsgFlags::empty(), buf, len }),
            3 => Op::Fsync(op::Fsync { fd }),
            _ => Op::Poll(op::Poll { fd, events: PollEvents::IN }),
        };
        Draft::new(op, Effect::Fails(Errno::BADF)).with(&area)
    }
}

/// The number of the pattern in the first file.
pub(super) const CONSTANT: u32 = u32::MAX;
