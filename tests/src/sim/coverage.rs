//! [`Coverage`]: which results of which operations met a cancel how, and how often.

use super::errnos::{errnos, works_on};
use super::flight::Asked;
use crate::world::FileKind;
use core::fmt;
use io_core::{Errno, OpKind};
use std::collections::BTreeMap;

/// The end of an operation: its own success, the early end, or what it failed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A count, descriptor or 0.
    Success,
    /// `ECANCELED`.
    Cancelled,
    /// `ETIMEDOUT` because of its deadline; for a timeout, 0.
    Expired,
    /// What the call failed with.
    Failed(Errno),
}

impl End {
    fn key(self) -> (u8, i32) {
        match self {
            End::Success => (0, 0),
            End::Cancelled => (1, 0),
            End::Expired => (2, 0),
            End::Failed(errno) => (3, errno.raw()),
        }
    }

    fn of(key: (u8, i32)) -> End {
        match key.0 {
            0 => End::Success,
            1 => End::Cancelled,
            2 => End::Expired,
            _ => End::Failed(Errno::from_raw(key.1)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Success => f.write_str("success"),
            End::Cancelled => f.write_str("cancelled"),
            End::Expired => f.write_str("expired"),
            End::Failed(errno) => f.write_str(errno.name().unwrap_or("?")),
        }
    }
}

/// One way in which an operation can end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Which operation.
    pub kind: OpKind,
    /// What it works on; `None` if on no file, or on none that is open.
    pub on: Option<FileKind>,
    /// How it ends.
    pub end: End,
    /// How that met a cancel.
    pub asked: Asked,
}

impl Claim {
    fn key(self) -> Key {
        ((self.kind as u8, self.on), self.end.key(), self.asked)
    }
}

type Key = ((u8, Option<FileKind>), (u8, i32), Asked);

/// How often each [`Claim`] was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Key, u64>);

impl Coverage {
    /// Nothing reached.
    #[must_use]
    pub fn new() -> Coverage {
        Coverage::default()
    }

    pub(super) fn add(&mut self, claim: Claim) {
        *self.0.entry(claim.key()).or_default() += 1;
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Coverage) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// How often this was reached.
    #[must_use]
    pub fn count(&self, claim: Claim) -> u64 {
        self.0.get(&claim.key()).copied().unwrap_or(0)
    }

    /// What the default adversary claims and these runs have not reached.
    #[must_use]
    pub fn missing(&self) -> Vec<Claim> {
        claimed().into_iter().filter(|claim| self.count(*claim) == 0).collect()
    }
}

/// Everything that the default adversary claims to reach.
///
/// * each operation succeeds on what it [works on](works_on), and fails with each of the [`errnos`] there are, both
///   unasked and in spite of a cancel;
/// * each that can be cancelled ends early at once and late, by a cancel and by its deadline, and unasked by a
///   stop. A success of a timeout is its deadline's.
#[must_use]
pub fn claimed() -> Vec<Claim> {
    let places = |kind: OpKind| works_on(kind).iter().map(move |on| (kind, *on));
    let mut claims = Vec::new();
    for (kind, on) in OpKind::ALL.into_iter().flat_map(places) {
        let mut claim = |end, asked| claims.push(Claim { kind, on, end, asked });
        let own = errnos(kind, on).iter().map(|errno| End::Failed(*errno));
        let success = (kind != OpKind::Timeout).then_some(End::Success);
        for end in success.into_iter().chain(own) {
            claim(end, Asked::Not);
            claim(end, Asked::Lost);
        }
        if !kind.never_cancelled() {
            claim(End::Cancelled, Asked::Not);
            for asked in [Asked::Won, Asked::Late] {
                claim(End::Cancelled, asked);
                claim(End::Expired, asked);
            }
        }
    }
    claims
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11}{:<9}{:<14}{:>9}{:>9}{:>9}{:>9}",
            "operation", "on", "end", "unasked", "lost", "won", "late"
        )?;
        let mut rows: Vec<_> = self.0.keys().map(|(kind, end, _)| (*kind, *end)).collect();
        rows.dedup();
        for ((kind, on), end) in rows {
            let kind = OpKind::ALL[usize::from(kind)];
            let end = End::of(end);
            let place = on.map_or("", FileKind::name);
            write!(f, "{:<11}{place:<9}{:<14}", kind.name(), end.to_string())?;
            for asked in Asked::ALL {
                write!(f, "{:>9}", self.count(Claim { kind, on, end, asked }))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
