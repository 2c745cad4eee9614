//! [`Coverage`]: which results of which operations met a cancel how, and how often.

use super::errnos::errnos;
use super::flight::Asked;
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

type Key = (u8, (u8, i32), Asked);

/// How often each (operation, end, cancel outcome) was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Key, u64>);

impl Coverage {
    /// Nothing reached.
    #[must_use]
    pub fn new() -> Coverage {
        Coverage::default()
    }

    pub(super) fn add(&mut self, kind: OpKind, end: End, asked: Asked) {
        *self.0.entry((kind as u8, end.key(), asked)).or_default() += 1;
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Coverage) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// How often this was reached.
    #[must_use]
    pub fn count(&self, kind: OpKind, end: End, asked: Asked) -> u64 {
        self.0.get(&(kind as u8, end.key(), asked)).copied().unwrap_or(0)
    }

    /// What the default adversary claims and these runs have not reached.
    #[must_use]
    pub fn missing(&self) -> Vec<(OpKind, End, Asked)> {
        let reached =
            |(kind, end, asked): &(OpKind, End, Asked)| self.count(*kind, *end, *asked) > 0;
        claimed().into_iter().filter(|claim| !reached(claim)).collect()
    }
}

/// Every (operation, end, cancel outcome) that the default adversary claims to reach.
///
/// * each operation succeeds, and fails with each of [`errnos`], both unasked and in spite of a cancel;
/// * each that can be cancelled ends early at once and late, by a cancel and by its deadline, and unasked by a
///   stop. A success of a timeout is its deadline's.
#[must_use]
pub fn claimed() -> Vec<(OpKind, End, Asked)> {
    let mut claims = Vec::new();
    for kind in OpKind::ALL {
        let own = errnos(kind).iter().map(|errno| End::Failed(*errno));
        let success = (kind != OpKind::Timeout).then_some(End::Success);
        for end in success.into_iter().chain(own) {
            claims.extend([(kind, end, Asked::Not), (kind, end, Asked::Lost)]);
        }
        if !kind.never_cancelled() {
            claims.push((kind, End::Cancelled, Asked::Not));
            for asked in [Asked::Won, Asked::Late] {
                claims.extend([(kind, End::Cancelled, asked), (kind, End::Expired, asked)]);
            }
        }
    }
    claims
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11}{:<14}{:>9}{:>9}{:>9}{:>9}",
            "operation", "end", "unasked", "lost", "won", "late"
        )?;
        let mut rows: Vec<(u8, (u8, i32))> =
            self.0.keys().map(|(kind, end, _)| (*kind, *end)).collect();
        rows.dedup();
        for (kind, end) in rows {
            let kind = OpKind::ALL[usize::from(kind)];
            let end = End::of(end);
            write!(f, "{:<11}{:<14}", kind.name(), end.to_string())?;
            for asked in Asked::ALL {
                write!(f, "{:>9}", self.count(kind, end, asked))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
