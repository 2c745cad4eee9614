//! Where an operation is: [`State`].

use super::event::{Act, Call, Who};
use super::step::Then;
use core::fmt::{self, Write};
use io_core::Phase;

/// What a full sink cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sink {
    /// A clone of this waker.
    Waker(Who),
    /// The callback.
    Callback,
}

/// What a completion left to run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Left {
    /// A waker to wake.
    Wake(Who),
    /// The callback to call, with this result.
    Call(i64),
}

/// What became of the storage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Storage {
    /// The caller has it.
    Held,
    /// It is there, and nobody has it.
    Forgotten,
    /// It was dropped and freed.
    Freed,
}

/// Which process this is, seen from the operation's submit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Process {
    /// The one that submitted it, if it is submitted.
    Same,
    /// A forked child, whose backend is not made new.
    Child,
    /// A forked child with a backend made new.
    Renewed,
}

/// Where a call or an act is: the places at which something else can come between.
///
/// *User* windows are code that is not the library's: the backend's own, a waker's clone, wake or drop, a
/// callback. *Access* windows lie before an access of the state word; only a build with the feature
/// `steps` can stop there, and on one thread only like an interrupt: who comes between, ends first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum At {
    /// Access: before the first change of the word, or before the look that says there is none to make.
    Look,
    /// Access: `is_waker` is about to compare the cell's waker, which is this, with the one polled with.
    Compare(Who),
    /// Access: a poll is about to set `REGISTERING`.
    Open,
    /// Access: `REGISTERING` is set; the old content of the cell is in the caller's hand.
    Close(Option<Sink>),
    /// Access: submit has returned, and a poll is about to look once more.
    Returned,
    /// Access: a drop has taken the sink out and is about to ask for the early end.
    Ask(Option<Sink>),
    /// Access: a drop is about to detach again, on its way to wait.
    Reopen(Option<Sink>),
    /// Access: and has set `REGISTERING`.
    Reclose(Option<Sink>),
    /// Access: the completer has `TAKING`.
    Taking,
    /// User: in a waker's clone.
    Clone,
    /// User: in the backend's submit.
    Submit,
    /// User: in the backend's cancel.
    Cancel(Option<Sink>),
    /// User: in the backend's wait, which returns when the operation is done.
    Wait(Option<Sink>),
    /// User: in the drop of a waker; another may follow.
    Drop(Who, Option<Who>, Then),
    /// User: a poll wakes itself; then the clone it made is dropped, if it made one.
    WakeSelf(bool),
    /// User: the delivery wakes.
    Wake,
    /// User: the delivery calls the callback.
    Called,
}

impl At {
    /// Whether it is a user window.
    #[must_use]
    pub const fn is_user(self) -> bool {
        matches!(
            self,
            At::Clone
                | At::Submit
                | At::Cancel(_)
                | At::Wait(_)
                | At::Drop(..)
                | At::WakeSelf(_)
                | At::Wake
                | At::Called
        )
    }
}

/// A call or act that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Frame {
    /// The caller's.
    Caller(Call, At),
    /// The backend's.
    Backend(Act, At),
}

impl Frame {
    /// Where it is.
    #[must_use]
    pub const fn at(self) -> At {
        match self {
            Frame::Caller(_, at) | Frame::Backend(_, at) => at,
        }
    }

    /// Whether it uses the right to the node.
    #[must_use]
    pub const fn holds_node(self) -> bool {
        matches!(self, Frame::Backend(act, _) if !matches!(act, Act::Deliver | Act::AddWaiter))
    }
}

/// How a life begins, and what kind of operation it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Start {
    /// It has a deadline.
    pub timed: bool,
    /// Its result is a descriptor.
    pub yields_fd: bool,
    /// It is done from the start, with this result.
    pub ready: Option<i64>,
}

impl Start {
    /// An ordinary operation.
    pub const PLAIN: Start = Start { timed: false, yields_fd: false, ready: None };
    /// One with a deadline.
    pub const TIMED: Start = Start { timed: true, ..Start::PLAIN };
    /// One that makes a descriptor.
    pub const FD: Start = Start { yields_fd: true, ..Start::PLAIN };
    /// One that is done from the start.
    pub const READY: Start = Start { ready: Some(9), ..Start::PLAIN };
}

/// How many calls and acts can be under way, one inside the other: a call, a delivery, somebody who says
/// that it waits, and who uses the right to the node.
pub const DEPTH: usize = 4;

/// Everything there is to know of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The word's phase.
    pub phase: Phase,
    /// The word's `SINK` and `CALLBACK`, and what is in the cell.
    pub sink: Option<Sink>,
    /// The word's bits of these names.
    pub registering: bool,
    /// See above.
    pub taking: bool,
    /// See above.
    pub cancel: bool,
    /// See above.
    pub waiter: bool,
    /// See above.
    pub taken: bool,
    /// See above.
    pub expired: bool,
    /// The stored result.
    pub result: i64,
    /// Whether there is a `Node`: the backend owns the operation.
    pub owned: bool,
    /// Whether its timer is armed.
    pub armed: bool,
    /// What was completed and not yet delivered.
    pub left: Option<Left>,
    /// What became of the storage.
    pub storage: Storage,
    /// Where we are.
    pub process: Process,
    /// Whether it has a deadline.
    pub timed: bool,
    /// Whether its result is a descriptor.
    pub yields_fd: bool,
    /// No part of the code's state: who was told to wait and was not woken since.
    pub hears: Option<Who>,
    /// Calls and acts under way, the innermost last.
    pub stack: [Option<Frame>; DEPTH],
}

impl State {
    /// The beginning of a life.
    #[must_use]
    pub const fn new(start: Start) -> State {
        let (phase, result) = match start.ready {
            Some(result) => (Phase::Done, result),
            None => (Phase::Idle, 0),
        };
        State {
            phase,
            sink: None,
            registering: false,
            taking: false,
            cancel: false,
            waiter: false,
            taken: false,
            expired: false,
            result,
            owned: false,
            armed: false,
            left: None,
            storage: Storage::Held,
            process: Process::Same,
            timed: start.timed,
            yields_fd: start.yields_fd && start.ready.is_none(),
            hears: None,
            stack: [None; DEPTH],
        }
    }

    /// How many calls and acts are under way.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stack.iter().flatten().count()
    }

    /// The innermost call or act.
    #[must_use]
    pub fn top(&self) -> Option<Frame> {
        self.stack.iter().flatten().last().copied()
    }

    /// The caller's call that is under way.
    #[must_use]
    pub fn call(&self) -> Option<(Call, At)> {
        self.stack.iter().flatten().find_map(|frame| match *frame {
            Frame::Caller(call, at) => Some((call, at)),
            Frame::Backend(..) => None,
        })
    }

    /// Whether this act is under way.
    #[must_use]
    pub fn acts(&self, act: Act) -> bool {
        self.stack
            .iter()
            .flatten()
            .any(|frame| matches!(frame, Frame::Backend(is, _) if *is == act))
    }

    /// Whether an act that uses the right to the node is under way.
    #[must_use]
    pub fn node_in_use(&self) -> bool {
        self.stack.iter().flatten().any(|frame| frame.holds_node())
    }

    /// Whether it is queued or in flight.
    #[must_use]
    pub const fn is_submitted(&self) -> bool {
        matches!(self.phase, Phase::Queued | Phase::InFlight)
    }

    /// Whether anything but [`Resume`](super::Event::Resume) can happen where the innermost call or act
    /// is. Nobody else acts on a node that is the caller's, or that one thread alone knows, so nothing comes
    /// between accesses then.
    #[must_use]
    pub fn is_window(&self) -> bool {
        let Some(frame) = self.top() else { return true };
        let unshared = matches!(
            frame,
            Frame::Backend(Act::BeginUnshared | Act::Inline(_) | Act::CompleteUnshared, _)
        );
        frame.at().is_user() || (self.is_submitted() && !unshared)
    }

    /// The state word, as the library's `Debug` prints it.
    #[must_use]
    pub fn word(&self) -> Word {
        let mut word = Word::default();
        // A `Word` has room for all of it.
        let _ = word.write_str(match self.phase {
            Phase::Idle => "idle",
            Phase::Queued => "queued",
            Phase::InFlight => "in flight",
            Phase::Done => "done",
        });
        let callback = self.sink == Some(Sink::Callback);
        let bits = [
            (self.sink.is_some(), "+sink"),
            (callback, "+callback"),
            (self.registering, "+registering"),
            (self.taking, "+taking"),
            (self.cancel, "+cancel"),
            (self.waiter, "+waiter"),
            (self.taken, "+taken"),
            (callback, "+gives"),
            (self.expired, "+expired"),
        ];
        for (_, name) in bits.iter().filter(|(is, _)| *is) {
            let _ = word.write_str(name);
        }
        word
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.word())?;
        for frame in self.stack.iter().flatten() {
            match frame {
                Frame::Caller(call, at) => write!(f, " / {call:?} at {at:?}")?,
                Frame::Backend(act, at) => write!(f, " / {act:?} at {at:?}")?,
            }
        }
        Ok(())
    }
}

/// A short text in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word {
    bytes: [u8; 128],
    len: usize,
}

impl Default for Word {
    fn default() -> Self {
        Word { bytes: [0; 128], len: 0 }
    }
}

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// What is between these two ends.
    #[must_use]
    pub(super) fn inside(&self, begin: &str, end: &str) -> Word {
        let mut inside = Word::default();
        let text = self.as_str();
        let text = text.strip_prefix(begin).and_then(|text| text.strip_suffix(end));
        // Part of a text that fits, fits.
        let _ = inside.write_str(text.unwrap_or_default());
        inside
    }
}

impl Write for Word {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
