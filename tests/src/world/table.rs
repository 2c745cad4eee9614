//! Descriptor numbers, and the open files ("descriptions") that they stand for.

use io_core::{Errno, Fd};
use std::collections::BTreeMap;

/// What an open file is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Object {
    /// The only directory.
    Directory,
    /// A regular file.
    File(u32),
    /// A pipe's reading end.
    Reader(u32),
    /// A socket.
    Socket(u32),
    /// A pipe's writing end.
    Writer(u32),
}

impl Object {
    /// Whether it has positions.
    pub(super) fn is_seekable(self) -> bool {
        matches!(self, Object::Directory | Object::File(_))
    }
}

/// An open file: what `dup(2)` shares.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) object: Object,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// A place in the tree only (`O_PATH`).
    pub(super) is_path: bool,
    /// Every write goes to the end.
    pub(super) appends: bool,
    pub(super) nonblocking: bool,
    pub(super) position: u64,
    /// How many numbers stand for it.
    pub(super) numbers: u32,
}

impl Open {
    pub(super) fn new(object: Object, reads: bool, writes: bool) -> Open {
        let (is_path, appends, nonblocking) = (false, false, false);
        Open { object, reads, writes, is_path, appends, nonblocking, position: 0, numbers: 0 }
    }
}

/// One number in use.
#[derive(Clone, Copy, Debug)]
struct Number {
    open: u32,
    stamp: u64,
    /// Closed by `execve(2)`.
    ends_at_exec: bool,
}

/// The table of one process.
#[derive(Debug)]
pub(super) struct Table {
    base: i32,
    numbers: BTreeMap<i32, Number>,
    opens: BTreeMap<u32, Open>,
    next: u32,
    next_stamp: u64,
    /// How many numbers there may be (`RLIMIT_NOFILE`).
    most: usize,
}

impl Table {
    pub(super) fn new(base: i32) -> Table {
        let (numbers, opens) = (BTreeMap::new(), BTreeMap::new());
        Table { base, numbers, opens, next: 0, next_stamp: 1, most: 1 << 20 }
    }

    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn count(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.numbers.len() >= self.most
    }

    /// Every number in use.
    pub(super) fn fds(&self) -> impl Iterator<Item = Fd> + '_ {
        self.numbers.keys().map(|&number| Fd::new(number))
    }

    /// The lowest free number for a new open file.
    pub(super) fn add(&mut self, open: Open) -> Result<Fd, Errno> {
        let id = self.next;
        self.next += 1;
        self.opens.insert(id, open);
        let added = self.number(id);
        if added.is_err() {
            self.opens.remove(&id);
        }
        added
    }

    fn number(&mut self, id: u32) -> Result<Fd, Errno> {
        if self.is_full() {
            return Err(Errno::MFILE);
        }
        let mut number = self.base;
        for &used in self.numbers.keys() {
            if used != number {
                break;
            }
            number += 1;
        }
        let stamp = self.next_stamp;
        self.numbers.insert(number, Number { open: id, stamp, ends_at_exec: true });
        self.next_stamp += 1;
        if let Some(open) = self.opens.get_mut(&id) {
            open.numbers += 1;
        }
        Ok(Fd::new(number))
    }

    /// A second number for the same open file.
    pub(super) fn dup(&mut self, fd: Fd) -> Result<Fd, Errno> {
        let id = self.id(fd)?;
        self.number(id)
    }

    /// This number, which is free, for the same open file.
    pub(super) fn dup_at(&mut self, fd: Fd, at: Fd) -> Result<(), Errno> {
        let open = self.id(fd)?;
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        self.numbers.insert(at.raw(), Number { open, stamp, ends_at_exec: true });
        if let Some(open) = self.opens.get_mut(&open) {
            open.numbers += 1;
        }
        Ok(())
    }

    /// Gives a number up; returns the open file if that was its last.
    pub(super) fn remove(&mut self, fd: Fd) -> Result<Option<Open>, Errno> {
        let id = self.numbers.remove(&fd.raw()).ok_or(Errno::BADF)?.open;
        let Some(open) = self.opens.get_mut(&id) else { return Ok(None) };
        open.numbers -= 1;
        Ok(if open.numbers == 0 { self.opens.remove(&id) } else { None })
    }

    fn id(&self, fd: Fd) -> Result<u32, Errno> {
        self.numbers.get(&fd.raw()).map(|number| number.open).ok_or(Errno::BADF)
    }

    /// Another for each time that a number comes into use.
    pub(super) fn stamp(&self, fd: Fd) -> Option<u64> {
        self.numbers.get(&fd.raw()).map(|number| number.stamp)
    }

    /// Whether it is closed by `execve(2)`: it is, unless somebody says otherwise.
    pub(super) fn ends_at_exec(&self, fd: Fd) -> bool {
        self.numbers.get(&fd.raw()).is_some_and(|number| number.ends_at_exec)
    }

    pub(super) fn survives_exec(&mut self, fd: Fd) {
        if let Some(number) = self.numbers.get_mut(&fd.raw()) {
            number.ends_at_exec = false;
        }
    }

    /// What a number stands for, also a place in the tree.
    pub(super) fn any(&self, fd: Fd) -> Result<&Open, Errno> {
        let id = self.id(fd)?;
        self.opens.get(&id).ok_or(Errno::BADF)
    }

    /// What a number stands for.
    pub(super) fn get(&self, fd: Fd) -> Result<&Open, Errno> {
        self.any(fd).and_then(|open| if open.is_path { Err(Errno::BADF) } else { Ok(open) })
    }

    /// [`get`](Self::get), to change it.
    pub(super) fn get_mut(&mut self, fd: Fd) -> Result<&mut Open, Errno> {
        self.get(fd)?;
        let id = self.id(fd)?;
        self.opens.get_mut(&id).ok_or(Errno::BADF)
    }
}
