//! The making of operations: which one, on what, with what memory, raw or typed, with or without a deadline.
#![allow(unsafe_code, reason = "makes raw operations")]
//! # Safety
//! What a raw operation points to is the area, table, address or `Stat` that is kept with it, or a literal;
//! descriptors are the simulated kernel's.

use super::area::{Area, Table, patterned};
use super::book::{Book, Effect, File, Leads};
use super::file::{Change, What};
use super::held::{Handle, Held, Kept, raw, typed};
use crate::choices::Choices;
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::net::Ipv4Addr;
use core::pin::Pin;
use core::ptr;
use io_core::op::{
    self, AcceptFlags, Family, MsgFlags, Op, OpenFlags, PollEvents, Scope, SocketFlags, SocketKind,
};
use io_core::ops::{Operation, Ops, SafeOp, Whence};
use io_core::{Address, Deadline, Errno, Fd, OpenFd, OwnedFd, Seekable, Stat};
use std::rc::Rc;

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

/// The names that files are opened under.
const NAMES: [&CStr; 4] = [c"/one", c"/two", c"/missing", c"/"];

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

    /// A read of two bytes.
    fn read_from(&self, end: usize) -> Draft {
        let area = Area::empty(2);
        let (fd, buf, len, given) = (self.book.ends[end].fd, area.ptr(), area.len(), area.clone());
        let Leads::Stream { reads: stream, .. } = self.book.ends[end].leads else {
            return self.timeout();
        };
        Draft::new(Op::Read(op::Read { fd, buf, len }), Effect::Read { stream, peek: false })
            .or_typed(move |handle| handle.read(proof(fd), given), count_of)
            .with(&area)
            .on(&[end])
    }

    /// A write of two bytes.
    fn write_to(&self, end: usize) -> Draft {
        let data = patterned(self.number, 2);
        let area = Area::of(&data);
        let (fd, buf, len, given) =
            (self.book.ends[end].fd, area.ptr().cast_const(), area.len(), area.clone());
        let Leads::Stream { writes: stream, .. } = self.book.ends[end].leads else {
            return self.timeout();
        };
        Draft::new(Op::Write(op::Write { fd, buf, len }), Effect::Write { stream, data })
            .or_typed(move |handle| handle.write(proof(fd), given), count_of)
            .with(&area)
            .on(&[end])
    }

    fn end(&self, wanted: impl Fn(&Leads) -> bool) -> Option<(usize, Fd)> {
        let open = self.book.open(wanted);
        let end = *open.get(self.choices.index(open.len()))?;
        Some((end, self.book.ends[end].fd))
    }

    fn file(&self) -> Option<(usize, usize, Fd)> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::File(_)))?;
        match self.book.ends[end].leads {
            Leads::File(file) => Some((file, end, fd)),
            _ => None,
        }
    }

    /// A file that may change: not the first.
    fn file_to_change(&self) -> Option<(usize, usize, Fd)> {
        self.file().filter(|(file, ..)| *file > 0)
    }

    /// A file that nobody else moves the position of, and where it is.
    fn still_file(&self) -> Option<(usize, usize, Fd, usize)> {
        let (file, end, fd) = self.file()?;
        self.book.files[file].mover.is_none().then(|| (file, end, fd, (self.position)(fd)))
    }

    /// The length of a transfer: mostly small.
    fn len(&self) -> usize {
        match self.choices.below(16) {
            0..=12 => 1 + self.choices.below(24) as usize,
            13 => 0,
            14 => 200,
            _ => self.large,
        }
    }

    fn cuts(&self, area: &Area) -> Table {
        let cuts: Vec<usize> =
            (0..self.choices.below(4)).map(|_| self.choices.below(32) as usize).collect();
        Table::of(area, &cuts)
    }

    fn read(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| {
            matches!(leads, Leads::Stream { reads: Some(_), .. } | Leads::Loose { socket: true })
        })?;
        let (stream, socket) = match self.book.ends[end].leads {
            Leads::Stream { reads, socket, .. } => (reads, socket),
            _ => (None, true),
        };
        let area = Area::empty(self.len());
        let (buf, len) = (area.ptr(), area.len());
        let mut effect = Effect::Read { stream, peek: false };
        let way = self.choices.below(if socket { 5 } else { 2 });
        let given = area.clone();
        let draft = match way {
            0 => Draft::new(Op::Read(op::Read { fd, buf, len }), effect)
                .or_typed(move |handle| handle.read(proof(fd), given), count_of),
            1 => {
                let table = self.cuts(&area);
                let (iov, count) = (table.ptr(), table.len());
                let mut draft = Draft::new(Op::Readv(op::Readv { fd, iov, count }), effect);
                draft.kept.table = Some(table);
                draft
            }
            _ => {
                let flags = *self.choices.pick(&[
                    MsgFlags::empty(),
                    MsgFlags::DONTWAIT,
                    MsgFlags::PEEK,
                    MsgFlags::WAITALL,
                ]);
                effect = Effect::Read { stream, peek: flags.contains(MsgFlags::PEEK) };
                Draft::new(Op::Recv(op::Recv { fd, flags, buf, len }), effect)
                    .or_typed(move |handle| handle.recv(proof(fd), given, flags), count_of)
            }
        };
        Some(draft.with(&area).on(&[end]))
    }

    fn write(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| {
            matches!(leads, Leads::Stream { writes: Some(_), .. } | Leads::Loose { socket: true })
        })?;
        let (stream, socket) = match self.book.ends[end].leads {
            Leads::Stream { writes, socket, .. } => (writes, socket),
            _ => (None, true),
        };
        let data = patterned(self.number, self.len());
        let area = Area::of(&data);
        let (buf, len) = (area.ptr().cast_const(), area.len());
        let effect = Effect::Write { stream, data };
        let given = area.clone();
        let draft = match self.choices.below(if socket { 4 } else { 2 }) {
            0 => Draft::new(Op::Write(op::Write { fd, buf, len }), effect)
                .or_typed(move |handle| handle.write(proof(fd), given), count_of),
            1 => {
                let table = self.cuts(&area);
                let (iov, count) = (table.ptr(), table.len());
                let mut draft = Draft::new(Op::Writev(op::Writev { fd, iov, count }), effect);
                draft.kept.table = Some(table);
                draft
            }
            _ => {
                let flags = *self.choices.pick(&[MsgFlags::empty(), MsgFlags::DONTWAIT]);
                Draft::new(Op::Send(op::Send { fd, flags, buf, len }), effect)
                    .or_typed(move |handle| handle.send(proof(fd), given, flags), count_of)
            }
        };
        Some(draft.with(&area).on(&[end]))
    }

    fn offset(&self) -> usize {
        self.choices.below(96) as usize
    }

    fn pread(&mut self) -> Option<Draft> {
        let (file, end, fd) = self.file()?;
        let (offset, area) = (self.offset(), Area::empty(1 + self.choices.below(48) as usize));
        let (buf, len, seekable) = (area.ptr(), area.len(), Seekable::Unknown);
        let effect = Effect::FileRead { file, offset };
        // Less than 96.
        let offset = offset as i64;
        let given = area.clone();
        let draft = if self.choices.below(3) < 2 {
            let op = Op::Pread(op::Pread { fd, seekable, buf, len, offset });
            Draft::new(op, effect)
                .or_typed(move |handle| handle.pread(proof(fd), given, offset), count_of)
        } else {
            let table = self.cuts(&area);
            let (iov, count) = (table.ptr(), table.len());
            let op = Op::Preadv(op::Preadv { fd, seekable, iov, count, offset });
            let mut draft = Draft::new(op, effect);
            draft.kept.table = Some(table);
            draft
        };
        Some(draft.with(&area).on(&[end]))
    }

    /// A change of the file that may happen from its submit on.
    fn change(&mut self, file: usize, what: What) -> usize {
        let change = Change { what, known: None, begin: u32::MAX, end: u32::MAX };
        let changes = &mut self.book.files[file].changes;
        changes.push(change);
        changes.len() - 1
    }

    fn pwrite(&mut self) -> Option<Draft> {
        let (file, end, fd) = self.file_to_change()?;
        let (at, data) = (self.offset(), patterned(self.number, 1 + self.choices.index(48)));
        let area = Area::of(&data);
        let (buf, len, seekable) = (area.ptr().cast_const(), area.len(), Seekable::Unknown);
        let change = self.change(file, What::Write(at, data));
        let effect = Effect::FileWrite { file, change, len };
        // Less than 96.
        let offset = at as i64;
        let given = area.clone();
        let draft = if self.choices.below(3) < 2 {
            let op = Op::Pwrite(op::Pwrite { fd, seekable, buf, len, offset });
            Draft::new(op, effect)
                .or_typed(move |handle| handle.pwrite(proof(fd), given, offset), count_of)
        } else {
            let table = self.cuts(&area);
            let (iov, count) = (table.ptr(), table.len());
            let op = Op::Pwritev(op::Pwritev { fd, seekable, iov, count, offset });
            let mut draft = Draft::new(op, effect);
            draft.kept.table = Some(table);
            draft
        };
        Some(draft.with(&area).on(&[end]))
    }

    /// A read at the file's position.
    fn file_read(&mut self) -> Option<Draft> {
        let (file, end, fd, offset) = self.still_file()?;
        let area = Area::empty(1 + self.choices.below(24) as usize);
        let (buf, len) = (area.ptr(), area.len());
        let given = area.clone();
        self.book.files[file].mover = Some(self.number as usize);
        let draft =
            Draft::new(Op::Read(op::Read { fd, buf, len }), Effect::FileRead { file, offset })
                .or_typed(move |handle| handle.read(proof(fd), given), count_of);
        Some(draft.with(&area).on(&[end]))
    }

    /// A write at the file's position.
    fn file_write(&mut self) -> Option<Draft> {
        let (file, end, fd, offset) = self.still_file().filter(|(file, ..)| *file > 0)?;
        let data = patterned(self.number, 1 + self.choices.below(24) as usize);
        let area = Area::of(&data);
        let (buf, len) = (area.ptr().cast_const(), area.len());
        let change = self.change(file, What::Write(offset, data));
        let given = area.clone();
        self.book.files[file].mover = Some(self.number as usize);
        let effect = Effect::FileWrite { file, change, len };
        let draft = Draft::new(Op::Write(op::Write { fd, buf, len }), effect)
            .or_typed(move |handle| handle.write(proof(fd), given), count_of);
        Some(draft.with(&area).on(&[end]))
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

    fn open(&self) -> Draft {
        let path = *self.choices.pick(&NAMES);
        let flags = OpenFlags::CLOEXEC
            | *self.choices.pick(&[
                OpenFlags::RDWR.union(OpenFlags::CREATE),
                OpenFlags::RDONLY,
                OpenFlags::RDWR.union(OpenFlags::CREATE).union(OpenFlags::EXCL),
                OpenFlags::RDONLY.union(OpenFlags::DIRECTORY),
            ]);
        let op = Op::Open(op::Open { dir: Fd::CWD, path: path.as_ptr(), flags, mode: 0o600 });
        Draft::new(op, Effect::MakesFd(Leads::Loose { socket: false }))
            .or_typed(move |handle| handle.open(path, flags, 0o600), number)
    }

    fn close(&mut self) -> Option<Draft> {
        // Files are known by their descriptor, and stay.
        let (end, fd) = self.end(|leads| !matches!(leads, Leads::File(_)))?;
        Some(Draft::new(Op::Close(op::Close { fd }), Effect::Closes).on(&[end]))
    }

    fn accept(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::Listener(_)))?;
        let flags = AcceptFlags::empty();
        let op = op::Accept { fd, flags, addr: ptr::null_mut(), addr_len: ptr::null_mut() };
        let draft = Draft::new(Op::Accept(op), Effect::MakesFd(Leads::Loose { socket: true }))
            .or_typed(move |handle| handle.accept(proof(fd), flags), number);
        Some(draft.on(&[end]))
    }

    fn connect(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
        let (listener, _) = self.end(|leads| matches!(leads, Leads::Listener(_)))?;
        let Leads::Listener(address) = &self.book.ends[listener].leads else { return None };
        let address = Rc::clone(address);
        let (addr, addr_len) = (address.as_bytes().as_ptr(), length(&address));
        let op = Op::Connect(op::Connect { fd, addr, addr_len });
        let given = *address;
        let mut draft = Draft::new(op, Effect::Connects(end))
            .or_typed(move |handle| handle.connect(proof(fd), given), unit);
        draft.kept.address = Some(address);
        Some(draft.on(&[end]))
    }

    fn socket(&self) -> Draft {
        let (family, kind, flags) = (Family::INET, SocketKind::STREAM, SocketFlags::empty());
        let op = Op::Socket(op::Socket { family, kind, flags, protocol: 0 });
        Draft::new(op, Effect::MakesFd(Leads::Fresh))
            .or_typed(move |handle| handle.socket(family, kind, flags, 0), number)
    }

    fn shutdown(&mut self) -> Option<Draft> {
        let (end, fd) = self.end(|leads| {
            matches!(leads, Leads::Stream { socket: true, .. } | Leads::Loose { socket: true })
        })?;
        let how = self.choices.below(3);
        Some(Draft::new(Op::Shutdown(op::Shutdown { fd, how }), Effect::Nothing).on(&[end]))
    }

    fn shutdown_or_bind(&mut self) -> Option<Draft> {
        match self.choices.below(4) {
            0 | 1 => self.shutdown(),
            2 => {
                let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
                let address = Rc::new(Address::v4(Ipv4Addr::LOCALHOST, 0));
                let (addr, addr_len) = (address.as_bytes().as_ptr(), length(&address));
                let given = *address;
                let op = Op::Bind(op::Bind { fd, addr, addr_len });
                let mut draft = Draft::new(op, Effect::Nothing)
                    .or_typed(move |handle| handle.bind(proof(fd), given), unit);
                draft.kept.address = Some(address);
                Some(draft.on(&[end]))
            }
            _ => {
                let (end, fd) = self.end(|leads| matches!(leads, Leads::Fresh))?;
                let op = Op::Listen(op::Listen { fd, backlog: 2 });
                let draft = Draft::new(op, Effect::Nothing)
                    .or_typed(move |handle| handle.listen(proof(fd), 2), unit);
                Some(draft.on(&[end]))
            }
        }
    }

    fn metadata(&mut self) -> Option<Draft> {
        let (_, end, fd) = self.file()?;
        let draft = match self.choices.below(3) {
            0 => {
                let stat = Rc::new(UnsafeCell::new(Stat::default()));
                let op = Op::Fstat(op::Fstat { fd, out: stat.get() });
                let mut draft = Draft::new(op, Effect::Nothing)
                    .or_typed(move |handle| handle.fstat(proof(fd)), unit);
                draft.kept.stat = Some(stat);
                draft
            }
            1 => Draft::new(Op::Fsync(op::Fsync { fd }), Effect::Nothing)
                .or_typed(move |handle| handle.fsync(proof(fd)), unit),
            _ => Draft::new(Op::Fdatasync(op::Fdatasync { fd }), Effect::Nothing)
                .or_typed(move |handle| handle.fdatasync(proof(fd)), unit),
        };
        Some(draft.on(&[end]))
    }

    fn ftruncate(&mut self) -> Option<Draft> {
        let (file, end, fd) = self.file_to_change()?;
        let at = self.offset();
        let change = self.change(file, What::Cut(at));
        // Less than 96.
        let len = at as i64;
        let draft =
            Draft::new(Op::Ftruncate(op::Ftruncate { fd, len }), Effect::Cut { file, change })
                .or_typed(move |handle| handle.ftruncate(proof(fd), len), unit);
        Some(draft.on(&[end]))
    }

    fn lseek(&mut self) -> Option<Draft> {
        let (file, end, fd, position) = self.still_file()?;
        self.book.files[file].mover = Some(self.number as usize);
        // Small numbers.
        let (offset, position) = (self.offset() as i64, position as i64);
        let (whence, wanted) = match self.choices.below(3) {
            0 => (Whence::Set, Some(offset)),
            1 => (Whence::Current, Some(position + offset)),
            _ => (Whence::End, None),
        };
        let op = Op::Lseek(op::Lseek { fd, whence: whence as u32, offset });
        let draft = Draft::new(op, Effect::Seek { wanted })
            .or_typed(move |handle| handle.lseek(proof(fd), offset, whence), word);
        Some(draft.on(&[end]))
    }

    /// From the first file, whose first bytes never change, to a stream.
    fn sendfile(&mut self) -> Option<Draft> {
        let (out, out_fd) =
            self.end(|leads| matches!(leads, Leads::Stream { writes: Some(_), .. }))?;
        let Leads::Stream { writes: stream, .. } = self.book.ends[out].leads else { return None };
        let File { end: input, .. } = *self.book.files.first()?;
        let in_fd = self.book.ends[input].fd;
        let (from, len) = (self.choices.index(32), 1 + self.choices.index(32));
        let data: Vec<u8> = self.constant()[from..(from + len).min(64)].to_vec();
        // Less than 32.
        let offset = Some(from as i64);
        let op = Op::Sendfile(op::Sendfile { out_fd, in_fd, offset, len });
        let draft = Draft::new(op, Effect::Write { stream, data }).or_typed(
            move |handle| handle.sendfile(proof(out_fd), proof(in_fd), offset, len),
            count,
        );
        Some(draft.on(&[out, input]))
    }

    /// What is in the first file from the start, and never written to.
    fn constant(&self) -> Vec<u8> {
        patterned(CONSTANT, 64)
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

fn length(address: &Address) -> u32 {
    // At most 128.
    u32::try_from(address.as_bytes().len()).unwrap_or(0)
}
