//! The log of a run: what happened, in order, at which time of the world's clock.

use core::fmt;
use io_core::{Errno, Fd, OpKind, decode};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// So many entries are kept, the newest.
const KEPT: usize = 20_000;

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The world's clock.
    pub at_ns: u64,
    /// What happened.
    pub what: What,
}

/// What happened. Operations are told by the number of their submission, results are as their caller gets them.
/// [`What::Unwinding`] is a panic: what follows are drops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum What {
    Submitted { seq: u64, kind: OpKind, fd: Option<Fd> },
    Inline { seq: u64, result: i64 },
    Began { seq: u64, due_ns: u64 },
    WouldBlock { seq: u64 },
    Moved { seq: u64, bytes: usize },
    Injected { seq: u64, errno: Errno },
    Result { seq: u64, result: i64, due_ns: u64 },
    CancelAsked { seq: u64, deadline: bool },
    PutOff { seq: u64, due_ns: u64 },
    CancelWon { seq: u64 },
    CancelLost { seq: u64 },
    EndedByClose { seq: u64 },
    Arrived { seq: u64 },
    Completed { seq: u64, result: i64, told: bool },
    Polled { timeout_ns: Option<u64> },
    Returned { delivered: usize },
    Spurious,
    Woken,
    Parked { until_ns: u64 },
    Flushed { handed: usize },
    Started,
    Stopping { deadline_ns: u64 },
    Stopped { owned: usize },
    Bogus { token: u32 },
    Forked,
    Renewed,
    Unwinding,
}

impl Event {
    fn name<'n>(&self, names: &'n BTreeMap<u64, Rc<str>>) -> Option<&'n str> {
        match self.what {
            What::Submitted { seq, .. } => names.get(&seq).map(|name| &**name),
            _ => None,
        }
    }
}

/// A result word, readable.
struct Word(i64);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match decode(self.0) {
            Ok(count) => write!(f, "{count}"),
            Err(errno) => write!(f, "{}", errno.name().unwrap_or("an error")),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what == What::Unwinding {
            return f.write_str("--- panic; what follows is unwinding ---");
        }
        write!(f, "{}", Time(self.at_ns))?;
        let us = |ns: u64| ns / 1000;
        match self.what {
            What::Submitted { seq, kind, fd: Some(fd) } => {
                write!(f, "#{seq} {} on {}: submitted", kind.name(), fd.raw())
            }
            What::Submitted { seq, kind, fd: None } => {
                write!(f, "#{seq} {}: submitted", kind.name())
            }
            What::Inline { seq, result } => {
                write!(f, "#{seq} done inside submit: {}", Word(result))
            }
            What::Began { seq, due_ns } if due_ns > self.at_ns => {
                write!(f, "#{seq} in flight, the kernel looks at it at {} µs", us(due_ns))
            }
            What::Began { seq, .. } => write!(f, "#{seq} in flight"),
            What::WouldBlock { seq } => write!(f, "#{seq} would block"),
            What::Moved { seq, bytes } => write!(f, "#{seq} has moved {bytes} bytes, and goes on"),
            What::Injected { seq, errno } => {
                write!(f, "#{seq} made to fail: {}", errno.name().unwrap_or("an error"))
            }
            What::Result { seq, result, due_ns } if due_ns > self.at_ns => {
                write!(f, "#{seq} result {}, arrives at {} µs", Word(result), us(due_ns))
            }
            What::Result { seq, result, .. } => write!(f, "#{seq} result {}", Word(result)),
            What::CancelAsked { seq, deadline: true } => write!(f, "#{seq} its deadline passes"),
            What::CancelAsked { seq, deadline: false } => write!(f, "#{seq} asked to end early"),
            What::PutOff { seq, due_ns } => {
                write!(f, "#{seq} its early end is put off to {} µs", us(due_ns))
            }
            What::CancelWon { seq } => write!(f, "#{seq} ends early"),
            What::CancelLost { seq } => write!(f, "#{seq} its own result wins"),
            What::EndedByClose { seq } => write!(f, "#{seq} ended by the close"),
            What::Arrived { seq } => write!(f, "#{seq} result is here"),
            What::Completed { seq, result, told: true } => {
                write!(f, "#{seq} done, and told: {}", Word(result))
            }
            What::Completed { seq, result, told: false } => {
                write!(f, "#{seq} done: {}", Word(result))
            }
            What::Polled { timeout_ns: None } => write!(f, "poll, without end"),
            What::Polled { timeout_ns: Some(ns) } => write!(f, "poll, up to {} µs", us(ns)),
            What::Returned { delivered } => write!(f, "poll returns {delivered}"),
            What::Spurious => write!(f, "poll returns for no reason"),
            What::Woken => write!(f, "poll returns because of a wake"),
            What::Parked { until_ns } => write!(f, "parked until {} µs", us(until_ns)),
            What::Flushed { handed } => write!(f, "flush hands on {handed}"),
            What::Started => write!(f, "started"),
            What::Stopping { deadline_ns: u64::MAX } => write!(f, "stop, without end"),
            What::Stopping { deadline_ns } => write!(f, "stop, up to {} µs", us(deadline_ns)),
            What::Stopped { owned } => write!(f, "stop returns: {owned} still owned"),
            What::Bogus { token } => {
                write!(f, "a completion with token {token:#x}, which is nobody's")
            }
            What::Forked => write!(f, "forked: this is the child"),
            What::Renewed => write!(f, "the backend is made new"),
            // Without a time, above.
            What::Unwinding => Ok(()),
        }
    }
}

/// The newest events, and the program's own lines between them.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: VecDeque<Event>,
    dropped: usize,
    /// How many events came before it, the time, and the line.
    notes: Vec<(usize, u64, String)>,
    unwinding: bool,
    /// By submission: the name of what it was on.
    names: BTreeMap<u64, Rc<str>>,
}

impl Log {
    pub(super) fn push(&mut self, at_ns: u64, what: What) {
        self.mark(at_ns);
        self.add(at_ns, what);
    }

    /// A line of the program's own.
    pub(super) fn note(&mut self, at_ns: u64, text: String) {
        self.mark(at_ns);
        self.notes.push((self.dropped + self.events.len(), at_ns, text));
    }

    /// Where a panic begins.
    fn mark(&mut self, at_ns: u64) {
        let before = core::mem::replace(&mut self.unwinding, std::thread::panicking());
        if self.unwinding && !before {
            self.add(at_ns, What::Unwinding);
        }
    }

    fn add(&mut self, at_ns: u64, what: What) {
        if self.events.len() == KEPT {
            self.dropped += 1;
            if let Some(Event { what: What::Submitted { seq, .. }, .. }) = self.events.pop_front() {
                self.names.remove(&seq);
            }
        }
        self.events.push_back(Event { at_ns, what });
    }

    /// What the submission was on has a name.
    pub(super) fn name(&mut self, seq: u64, name: Rc<str>) {
        self.names.insert(seq, name);
    }

    /// The newest operation on this descriptor.
    pub(super) fn last_user(&self, wanted: Fd) -> Option<String> {
        self.events.iter().rev().find_map(|event| match event.what {
            What::Submitted { seq, kind, fd } if fd == Some(wanted) => {
                Some(format!("#{seq} {}", kind.name()))
            }
            _ => None,
        })
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

/// The start of a line.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}.{:03} µs  ", self.0 / 1000, self.0 % 1000)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "  … {} events before", self.dropped)?;
        }
        let mut notes = self.notes.iter().peekable();
        for (before, event) in (self.dropped..).zip(&self.events) {
            while let Some((_, at_ns, text)) = notes.next_if(|(at, ..)| *at <= before) {
                writeln!(f, "  {}{text}", Time(*at_ns))?;
            }
            match (event.what, event.name(&self.names)) {
                (What::Submitted { seq, kind, fd: Some(fd) }, Some(name)) => {
                    let (kind, fd) = (kind.name(), fd.raw());
                    writeln!(
                        f,
                        "  {}#{seq} {kind} on {name} ({fd}): submitted",
                        Time(event.at_ns)
                    )?;
                }
                _ => writeln!(f, "  {event}")?,
            }
        }
        notes.try_for_each(|(_, at_ns, text)| writeln!(f, "  {}{text}", Time(*at_ns)))
    }
}
