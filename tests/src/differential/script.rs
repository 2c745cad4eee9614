//! [`Script`]: a program of operations as plain data, with what the plain system calls gave for each.

use crate::rig::Form;
use core::fmt;
use io_core::OpKind;

/// What an operation works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// An object of the program, by its place in the list.
    Slot(usize),
    /// A number that is open nowhere.
    Number(i32),
}

/// How a description may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading and writing.
    Both,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Reading, and writing at the end.
    Append,
}

/// Something that operations work on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A file without a name, of so many bytes; on a disk, or else in memory.
    File {
        /// Its size in bytes.
        len: usize,
        /// How it is opened.
        access: Access,
        /// Where it is.
        disk: bool,
    },
    /// A pipe's reading end, and its writing end.
    Pipe,
    /// Both ends of connected Unix sockets of this kind.
    Pair(i32),
    /// A Unix socket that listens.
    Listener,
    /// A Unix socket that is not connected.
    Client,
    /// A directory with files in it.
    Directory,
    /// A handle to that directory's place in the tree.
    Place,
    /// `/dev/null`.
    Null,
    /// `/dev/full`.
    Full,
    /// An `eventfd(2)` with this count.
    Counter(u32),
}

/// What is behind a place in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A pipe's reading end.
    PipeOut,
    /// A pipe's writing end.
    PipeIn,
    /// A socket that carries data.
    Socket,
    /// A socket that listens.
    Listener,
    /// A directory, or its place.
    Directory,
    /// A device.
    Device,
    /// An `eventfd(2)`.
    Counter,
}

/// What a piece of memory is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Reading and writing.
    Good,
    /// There is none: a null pointer.
    Null,
    /// Nothing: every use is `EFAULT`.
    Closed,
    /// Reading.
    ReadOnly,
}

/// A piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// What it is good for.
    pub access: Memory,
    /// How many bytes it has.
    pub len: usize,
}

/// A path, below the directory of names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// One of these that exist, or could be made.
    Known(&'static str),
    /// As many bytes of one letter.
    Long(usize),
    /// A null pointer.
    Null,
}

/// The arguments of one operation; each kind uses some of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Which operation.
    pub kind: OpKind,
    /// What it works on.
    pub at: Target,
    /// What a sendfile reads.
    pub from: Target,
    /// The memory, or the pieces of a table.
    pub pieces: Vec<Piece>,
    /// The length, or the count of pieces, where that is not the truth.
    pub claim: Option<usize>,
    /// Whether the table of pieces is a null pointer.
    pub no_table: bool,
    /// An offset, or none.
    pub offset: Option<i64>,
    /// Flags, `whence`, `how`, a backlog, events, a kind of socket.
    pub word: u32,
    /// The mode of a file, a family, the length of an address.
    pub half: u32,
    /// A path, or whether a name to connect to is one.
    pub name: Name,
    /// Whether positions are promised to be possible.
    pub proven: bool,
    /// What is written begins with this.
    pub seed: u8,
}

/// A deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// None.
    None,
    /// An hour from now, which is never.
    Far,
    /// A moment from now, for what would wait for ever.
    Soon,
    /// Over at the submit.
    Past,
}

/// One step of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// An object is made; it takes the next places in the list.
    Make(Object),
    /// An operation is submitted. Operations are numbered in this order.
    Start {
        /// What it does.
        act: Act,
        /// How it is heard of.
        form: Form,
        /// When it is to end.
        limit: Limit,
    },
    /// An operation is asked to end early.
    Cancel(usize),
    /// An operation that waits is dropped.
    Drop(usize),
}

/// How an operation ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Which one.
    pub id: usize,
    /// Its result word. Of a descriptor only that it is none of the errors.
    pub result: i64,
    /// What is then in its memory, piece by piece.
    pub memory: Vec<Vec<u8>>,
    /// What is behind the descriptor that it made.
    pub made: Option<Kind>,
}

/// A step, and which operations are done after it, in the order in which they ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The step.
    pub what: What,
    /// Those that are done.
    pub ends: Vec<End>,
}

/// A program with its results.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script {
    /// Whether the descriptions are non-blocking, which nobody may notice.
    pub nonblocking: bool,
    /// Step by step.
    pub steps: Vec<Step>,
    /// What is left at the end, place by place.
    pub left: Vec<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Slot(slot) => write!(f, "#{slot}"),
            Target::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}", self.kind.name(), self.at)?;
        match self.kind {
            OpKind::Sendfile => write!(f, " from {}", self.from)?,
            OpKind::Open | OpKind::Connect | OpKind::Bind => write!(f, ", {:?}", self.name)?,
            _ => {}
        }
        for piece in &self.pieces {
            write!(f, ", {:?} {}", piece.access, piece.len)?;
        }
        if self.no_table {
            f.write_str(", no table")?;
        }
        if let Some(claim) = self.claim {
            write!(f, ", said to be {claim:#x}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", at {offset}")?;
        }
        write!(f, ", {:#x}, {:#x}", self.word, self.half)?;
        f.write_str(if self.proven { ", seekable)" } else { ")" })
    }
}

impl fmt::Display for Script {
    /// One line for each step, with what ended in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.nonblocking { "non-blocking" } else { "blocking" };
        writeln!(f, "pipes and sockets are {mode}")?;
        let (mut slots, mut ids) = (0, 0);
        for step in &self.steps {
            match &step.what {
                What::Make(object) => {
                    writeln!(f, "make #{slots}: {object:?}")?;
                    slots += object.slots();
                }
                What::Start { act, form, limit } => {
                    writeln!(f, "start {ids}: {act} as {form:?}, deadline {limit:?}")?;
                    ids += 1;
                }
                What::Cancel(id) => writeln!(f, "cancel {id}")?,
                What::Drop(id) => writeln!(f, "drop {id}")?,
            }
            for end in &step.ends {
                match end.made {
                    None => writeln!(f, "    {} ends: {}", end.id, end.result)?,
                    Some(kind) => {
                        writeln!(f, "    {} ends: #{slots}, {kind:?}", end.id)?;
                        slots += 1;
                    }
                }
            }
        }
        for (slot, left) in self.left.iter().enumerate() {
            writeln!(f, "left #{slot}: {left}")?;
        }
        Ok(())
    }
}

impl Object {
    /// How many places it takes.
    #[must_use]
    pub fn slots(self) -> usize {
        match self {
            Object::Pipe | Object::Pair(_) => 2,
            _ => 1,
        }
    }
}
