//! The log of a run: what happened, in order, at which time of the world's clock.

use core::fmt;
use io_core::{Errno, Fd, OpKind, decode};
use std::collections::VecDeque;

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

/// What happened. Operations are told by the number of their submission.
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
    Completed { seq: u64, told: bool },
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
        write!(f, "{:>10}.{:03} µs  ", self.at_ns / 1000, self.at_ns % 1000)?;
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
            What::Completed { seq, told: true } => write!(f, "#{seq} done, and told"),
            What::Completed { seq, told: false } => write!(f, "#{seq} done"),
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
        }
    }
}

/// The newest events.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: VecDeque<Event>,
    dropped: usize,
}

impl Log {
    pub(super) fn push(&mut self, at_ns: u64, what: What) {
        if self.events.len() == KEPT {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(Event { at_ns, what });
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "  … {} events before", self.dropped)?;
        }
        self.events.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}
