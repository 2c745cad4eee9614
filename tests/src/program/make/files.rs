//! Operations on files.

use super::super::area::{Area, patterned};
use super::super::book::{Effect, Leads};
use super::super::file::{Change, What};
use super::{Draft, Maker, count_of, number, proof, unit, word};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use io_core::op::{self, Op, OpenFlags};
use io_core::ops::{Ops, Whence};
use io_core::{Fd, Seekable, Stat};
use std::rc::Rc;

/// The names that files are opened under.
const NAMES: [&CStr; 4] = [c"/one", c"/two", c"/missing", c"/"];

impl Maker<'_> {
    pub(super) fn file(&self) -> Option<(usize, usize, Fd)> {
        let (end, fd) = self.end(|leads| matches!(leads, Leads::File(_)))?;
        match self.book.ends[end].leads {
            Leads::File(file) => Some((file, end, fd)),
            _ => None,
        }
    }

    /// A file that may change: not the first.
    pub(super) fn file_to_change(&self) -> Option<(usize, usize, Fd)> {
        self.file().filter(|(file, ..)| *file > 0)
    }

    /// A file that nobody else moves the position of, and where it is.
    pub(super) fn still_file(&self) -> Option<(usize, usize, Fd, usize)> {
        let (file, end, fd) = self.file()?;
        self.book.files[file].mover.is_none().then(|| (file, end, fd, (self.position)(fd)))
    }

    pub(super) fn offset(&self) -> usize {
        self.choices.below(96) as usize
    }

    pub(super) fn pread(&mut self) -> Option<Draft> {
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
    pub(super) fn change(&mut self, file: usize, what: What) -> usize {
        let change = Change { what, known: None, begin: u32::MAX, end: u32::MAX };
        let changes = &mut self.book.files[file].changes;
        changes.push(change);
        changes.len() - 1
    }

    pub(super) fn pwrite(&mut self) -> Option<Draft> {
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
    pub(super) fn file_read(&mut self) -> Option<Draft> {
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
    pub(super) fn file_write(&mut self) -> Option<Draft> {
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

    pub(super) fn open(&self) -> Draft {
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

    pub(super) fn metadata(&mut self) -> Option<Draft> {
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

    pub(super) fn ftruncate(&mut self) -> Option<Draft> {
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

    pub(super) fn lseek(&mut self) -> Option<Draft> {
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
}
