//! Reads, writes and sendfile, whatever the file is.

use super::memory::Pieces;
use super::table::{Object, Open};
use super::{Done, Stop, World, files, pipes, word};
use io_core::op::{MAX_RW_COUNT, MsgFlags, Sendfile};
use io_core::{Errno, Fd};

/// Which bytes of a file a transfer is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Position,
    Offset(i64),
}

impl World {
    /// What both directions look at first; returns the open file and where the transfer begins.
    pub(super) fn begin(&self, fd: Fd, at: At) -> Result<(&Open, u64), Errno> {
        if matches!(at, At::Offset(..0)) {
            return Err(Errno::INVAL);
        }
        let open = self.table.get(fd)?;
        let position = match at {
            At::Offset(_) if !open.object.is_seekable() => return Err(Errno::SPIPE),
            At::Offset(offset) => offset.cast_unsigned(),
            At::Position => open.position,
        };
        Ok((open, position))
    }

    pub(super) fn read(
        &mut self,
        fd: Fd,
        into: Result<Pieces<'_>, Errno>,
        at: At,
        limit: usize,
    ) -> Done {
        let (open, position) = self.begin(fd, at)?;
        if !open.reads {
            return Err(Errno::BADF.into());
        }
        let mut into = into?;
        if into.is_empty_table() {
            return Ok(0);
        }
        verify(position, into.left())?;
        into.cut(limit);
        match open.object {
            Object::Directory => Err(Errno::ISDIR.into()),
            Object::File(id) => {
                let done = self.files.read(id, position, &mut into)?;
                self.moved(fd, at, position, done)
            }
            Object::Reader(id) => self.pipes.read(id, &mut into),
            // Nothing asked for is nothing waited for, other than with recv.
            Object::Socket(_) if into.left() == 0 => Ok(0),
            Object::Socket(id) => self.sockets.recv(id, MsgFlags::empty(), &mut into),
            Object::Writer(_) => Err(Errno::BADF.into()),
        }
    }

    pub(super) fn write(
        &mut self,
        fd: Fd,
        from: Result<Pieces<'_>, Errno>,
        at: At,
        limit: usize,
    ) -> Done {
        let (open, mut position) = self.begin(fd, at)?;
        if !open.writes {
            return Err(Errno::BADF.into());
        }
        let mut from = from?;
        if from.is_empty_table() {
            return Ok(0);
        }
        verify(position, from.left())?;
        match open.object {
            Object::File(id) => {
                if open.appends {
                    // Also with an offset: see the bugs of `pwrite(2)`.
                    position = self.files.size(id);
                }
                from.cut(limit);
                let done = self.files.write(id, position, &mut from)?;
                self.moved(fd, at, position, done)
            }
            Object::Writer(id) => {
                if from.left() > pipes::PIPE_BUF {
                    from.cut(limit);
                }
                self.pipes.write(id, &mut from)
            }
            Object::Socket(id) => {
                from.cut(limit);
                self.sockets.send(id, MsgFlags::empty(), &mut from)
            }
            Object::Directory | Object::Reader(_) => Err(Errno::BADF.into()),
        }
    }

    /// A transfer without an offset moves the position.
    pub(super) fn moved(&mut self, fd: Fd, at: At, position: u64, done: i64) -> Done {
        if at == At::Position && done > 0 {
            self.table.get_mut(fd)?.position = position + done.cast_unsigned();
        }
        Ok(done)
    }

    pub(super) fn sendfile(&mut self, op: &Sendfile, limit: usize) -> Done {
        let (input, out) = (self.table.get(op.in_fd)?, self.table.get(op.out_fd));
        if !input.reads {
            return Err(Errno::BADF.into());
        }
        let at = op.offset.map_or(At::Position, At::Offset);
        if at != At::Position && !input.object.is_seekable() {
            return Err(Errno::SPIPE.into());
        }
        let len = op.len.min(MAX_RW_COUNT);
        let (_, position) = self.begin(op.in_fd, at)?;
        verify(position, len)?;
        let out = out?;
        if !out.writes {
            return Err(Errno::BADF.into());
        }
        if position >= files::MAX_BYTES && position + len as u64 > files::MAX_BYTES {
            return Err(Errno::OVERFLOW.into());
        }
        if let Object::Writer(pipe) = out.object
            && self.pipes.room(pipe)? == 0
        {
            return Err(Stop::Wait);
        }
        if len == 0 && !out.appends && input.object.is_seekable() {
            return Ok(0);
        }
        let Object::File(id) = input.object else { return Err(Errno::INVAL.into()) };
        if out.appends {
            return Err(Errno::INVAL.into());
        }
        let (object, to) = (out.object, out.position);
        let len = len.min(limit);
        let sent = match object {
            Object::Writer(pipe) => self.fill_pipe(pipe, id, position, len)?,
            _ => self.copy(object, to, id, position, len)?,
        };
        let done = sent.cast_unsigned();
        if op.offset.is_none() {
            self.table.get_mut(op.in_fd)?.position = position + done;
        }
        if let Object::File(_) = object {
            self.table.get_mut(op.out_fd)?.position = to + done;
        }
        Ok(sent)
    }

    pub(super) fn fill_pipe(
        &mut self,
        pipe: u32,
        file: u32,
        mut position: u64,
        len: usize,
    ) -> Done {
        let (mut done, mut room) = (0, self.pipes.room(pipe)?);
        let rest = self.files.size(file).saturating_sub(position);
        let len = len.min(usize::try_from(rest).unwrap_or(usize::MAX));
        while room > 0 && done < len {
            let bytes = self.files.page(file, position, len - done);
            done += bytes.len();
            position += bytes.len() as u64;
            room -= 1;
            self.pipes.push(pipe, bytes);
        }
        word(done)
    }

    pub(super) fn copy(
        &mut self,
        out: Object,
        mut to: u64,
        file: u32,
        mut from: u64,
        len: usize,
    ) -> Done {
        let mut done = 0;
        while done < len {
            // A socket is given as many pages at once as a pipe has.
            let pages = if let Object::Socket(_) = out { 16 } else { 1 };
            let mut bytes = Vec::new();
            for _ in 0..pages {
                let next = from + bytes.len() as u64;
                bytes.extend(self.files.page(file, next, len - done - bytes.len()));
            }
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len() as u64;
            let mut pieces = Pieces::of(&mut bytes);
            let step = match out {
                Object::File(id) => self.files.write(id, to, &mut pieces),
                Object::Socket(id) => self.sockets.send(id, MsgFlags::empty(), &mut pieces),
                _ => Err(Errno::INVAL.into()),
            };
            let moved = match step {
                Ok(moved) => moved.cast_unsigned(),
                Err(_) if done > 0 => break,
                Err(stop) => return Err(stop),
            };
            done += usize::try_from(moved).unwrap_or(0);
            (from, to) = (from + moved, to + moved);
            if moved < len {
                break;
            }
        }
        word(done)
    }
}

/// An offset is a signed number, also behind the transfer.
fn verify(position: u64, len: usize) -> Result<(), Errno> {
    let end = i64::try_from(len).ok().and_then(|len| position.cast_signed().checked_add(len));
    end.map(|_| ()).ok_or(Errno::INVAL)
}
