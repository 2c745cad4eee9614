//! [`Book`]: what the program knows: its descriptors, the streams and files behind them, and every operation
//! with what became of it. Plain data; who acts on it holds no borrow while an operation runs.

use super::area::Area;
use super::bell::Bell;
use super::file::{Change, made};
use super::held::Held;
use super::stream::{Got, Put};
use core::fmt;
use core::pin::Pin;
use core::ptr::NonNull;
use io_core::{Address, Deadline, Fd, OpKind, Scope};
use std::rc::Rc;
use std::sync::Arc;

/// What a descriptor of the program leads to.
#[derive(Clone, Debug)]
pub(super) enum Leads {
    /// One end of a pipe or a connection: the streams that it reads and writes.
    Stream { reads: Option<usize>, writes: Option<usize>, socket: bool },
    /// A file whose bytes are known.
    File(usize),
    /// A socket that accepts.
    Listener(Rc<Address>),
    /// A socket that is connected to nothing yet.
    Fresh,
    /// Something that the program made by itself and knows nothing of: it is used, and results are counted.
    Loose { socket: bool },
}

/// A descriptor of the program.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) fd: Fd,
    pub(super) leads: Leads,
    /// When its close was submitted, or it was closed by hand.
    pub(super) closed: Option<u32>,
}

impl End {
    pub(super) fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// One direction of a pipe or connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// Somebody has closed or shut down the writing side: its end may be read.
    pub(super) ended: bool,
    /// Somebody has closed or shut down a side: writes may fail.
    pub(super) broken: bool,
    /// Somebody has closed or shut down the reading side: what is in it may be lost.
    pub(super) lost: bool,
    /// What was written and read without an operation.
    pub(super) puts: Vec<Put>,
    pub(super) gots: Vec<Got>,
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) end: usize,
    pub(super) changes: Vec<Change>,
    /// The operation at its position, of which there is one at a time.
    pub(super) mover: Option<usize>,
}

impl File {
    pub(super) fn new(end: usize, content: &[u8]) -> File {
        File { end, changes: made(content).to_vec(), mover: None }
    }
}

/// How an operation was given to the backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Future,
    Callback,
    Quiet,
}

/// What an operation does to what the book knows.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Nothing,
    /// Fails, with this one of the kernel's answers.
    Fails(io_core::Errno),
    Read {
        stream: Option<usize>,
        peek: bool,
    },
    Write {
        stream: Option<usize>,
        data: Vec<u8>,
    },
    FileRead {
        file: usize,
        offset: usize,
    },
    /// `change` in the file's list is this write.
    FileWrite {
        file: usize,
        change: usize,
        len: usize,
    },
    Cut {
        file: usize,
        change: usize,
    },
    Seek {
        wanted: Option<i64>,
    },
    MakesFd(Leads),
    Connects(usize),
    Closes,
    Cancels(Scope),
    Events(u16),
    Sleeps,
}

/// How far an operation's life has come, as the program sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Not submitted.
    Fresh,
    /// Submitted; not seen done.
    Flying,
    /// Seen done; the result may be unread.
    Done,
    /// Dropped.
    Dropped,
    /// Forgotten in flight: done some time.
    Forgotten,
}

/// What happens inside an operation's waker or callback, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reaction {
    Submit,
    Cancel,
    Drop,
    Poll,
    Flush,
    Stop,
    Panic,
}

/// One operation.
pub(super) struct Entry {
    pub(super) kind: OpKind,
    pub(super) form: Form,
    pub(super) what: String,
    /// `None` while somebody acts on it, and when it is gone.
    pub(super) held: Option<Pin<Box<dyn Held>>>,
    /// Where a forgotten one is.
    pub(super) lost: Option<NonNull<dyn Held>>,
    pub(super) raw: bool,
    pub(super) effect: Effect,
    pub(super) area: Option<Area>,
    /// What was read into it, once it is done.
    pub(super) got: Option<Vec<u8>>,
    /// The descriptors it works on, as places in the book.
    pub(super) ends: Vec<usize>,
    pub(super) begin: u32,
    pub(super) end: u32,
    pub(super) life: Life,
    pub(super) told: Option<i64>,
    /// Whether its early end was asked for, in whatever way.
    pub(super) asked: bool,
    pub(super) deadline: Deadline,
    pub(super) bell: Arc<Bell>,
    /// Those that it was polled with before.
    pub(super) others: Vec<Arc<Bell>>,
    /// The count of wakes when the waker was left that is to be woken.
    pub(super) heard: Option<u32>,
    /// Whether `EAGAIN` is an answer.
    pub(super) dont_wait: bool,
    /// Whether it reads until its memory is full.
    pub(super) waits_for_all: bool,
    /// Whether it was waited for, so that nobody is told.
    pub(super) waited: bool,
    pub(super) reaction: Option<(super::bell::Place, Reaction)>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {:?}, {:?}", self.what, self.form, self.life)
    }
}

impl Entry {
    pub(super) fn is_flying(&self) -> bool {
        matches!(self.life, Life::Flying | Life::Forgotten) && self.end == u32::MAX
    }

    /// Whether a cancel of this scope concerns it, as far as the numbers say.
    pub(super) fn is_in(&self, scope: Scope, ends: &[End]) -> bool {
        match scope {
            Scope::All => true,
            Scope::Fd(fd) => self.ends.iter().any(|&end| ends[end].fd == fd),
        }
    }
}

/// Everything the program knows.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) ends: Vec<End>,
    pub(super) streams: Vec<Stream>,
    pub(super) files: Vec<File>,
    pub(super) entries: Vec<Entry>,
    /// Whether the backend refuses new operations.
    pub(super) stopped: bool,
    /// Submitted so far.
    pub(super) submitted: u64,
    pub(super) log: Vec<String>,
}

impl Book {
    /// Those of the open descriptors that `wanted` accepts.
    pub(super) fn open(&self, wanted: impl Fn(&Leads) -> bool) -> Vec<usize> {
        let fits = |at: &usize| self.ends[*at].is_open() && wanted(&self.ends[*at].leads);
        (0..self.ends.len()).filter(fits).collect()
    }

    pub(super) fn add_end(&mut self, fd: Fd, leads: Leads) -> usize {
        self.ends.push(End { fd, leads, closed: None });
        self.ends.len() - 1
    }

    /// Notes that what flies in this scope is asked to end early.
    pub(super) fn ask(&mut self, scope: Scope) {
        let ends = &self.ends;
        let meant = |entry: &&mut Entry| entry.is_flying() && entry.is_in(scope, ends);
        self.entries.iter_mut().filter(meant).for_each(|entry| entry.asked = true);
    }

    /// Notes that a descriptor's close is on its way: what others may see of it from now on.
    pub(super) fn closing(&mut self, end: usize, now: u32) {
        self.ends[end].closed = Some(now);
        self.shutting(end, true, true);
    }

    /// Notes that its directions may have ended.
    pub(super) fn shutting(&mut self, end: usize, reading: bool, writing: bool) {
        if let Leads::Stream { reads, writes, .. } = self.ends[end].leads {
            if let Some(stream) = reads.filter(|_| reading) {
                // A read after a shutdown of reading is at the end.
                let stream = &mut self.streams[stream];
                (stream.lost, stream.broken, stream.ended) = (true, true, true);
            }
            if let Some(stream) = writes.filter(|_| writing) {
                let stream = &mut self.streams[stream];
                (stream.broken, stream.ended) = (true, true);
            }
        }
    }

    /// Those that `wanted` accepts, of the ones nobody is acting on.
    pub(super) fn which(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<usize> {
        let fits = |at: &usize| self.entries[*at].held.is_some() && wanted(&self.entries[*at]);
        (0..self.entries.len()).filter(fits).collect()
    }
}
