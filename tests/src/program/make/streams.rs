//! Operations on pipes and sockets that move bytes.

use super::super::area::{Area, patterned};
use super::super::book::{Effect, File, Leads};
use super::{CONSTANT, Draft, Maker, count, count_of, proof};
use io_core::op::{self, MsgFlags, Op};
use io_core::ops::Ops;

impl Maker<'_> {
    /// A read of two bytes.
    pub(super) fn read_from(&self, end: usize) -> Draft {
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
    pub(super) fn write_to(&self, end: usize) -> Draft {
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

    /// The length of a transfer: mostly small.
    pub(super) fn len(&self) -> usize {
        match self.choices.below(16) {
            0..=12 => 1 + self.choices.below(24) as usize,
            13 => 0,
            14 => 200,
            _ => self.large,
        }
    }

    pub(super) fn read(&mut self) -> Option<Draft> {
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

    pub(super) fn write(&mut self) -> Option<Draft> {
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

    /// From the first file, whose first bytes never change, to a stream.
    pub(super) fn sendfile(&mut self) -> Option<Draft> {
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
    pub(super) fn constant(&self) -> Vec<u8> {
        patterned(CONSTANT, 64)
    }
}
