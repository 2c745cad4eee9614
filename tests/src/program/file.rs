//! What may be in a file: each byte is what some write put there that no later write is known to have
//! replaced. Writes that overlap in time may have happened in either order.

/// Something that changes bytes of the file.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) what: What,
    /// Whether it happened: how much of a write, whether a cut; unknown if nobody was told.
    pub(super) known: Option<usize>,
    pub(super) begin: u32,
    /// `u32::MAX` if it never ended.
    pub(super) end: u32,
}

/// What it does.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// These bytes at this offset.
    Write(usize, Vec<u8>),
    /// Nothing from this offset on. `known` is 1 if it happened, else 0.
    Cut(usize),
}

/// What is at one offset of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Byte {
    Is(u8),
    /// Behind the end of the file.
    Nothing,
}

impl Change {
    /// What the change may have left at this offset.
    fn leaves(&self, at: usize) -> Option<Byte> {
        match &self.what {
            What::Write(offset, data) => {
                let within = at.checked_sub(*offset)?;
                let most = self.known.unwrap_or(data.len());
                (within < most).then(|| data.get(within).copied().map(Byte::Is))?
            }
            What::Cut(len) => (at >= *len && self.known != Some(0)).then_some(Byte::Nothing),
        }
    }

    /// Whether it certainly replaced what was at this offset.
    fn replaces(&self, at: usize) -> bool {
        self.known.is_some() && self.leaves(at).is_some()
    }
}

/// Whether what was seen at `at`, between `begin` and `end`, can have been there. A hole reads as 0.
pub(super) fn is_legal(changes: &[Change], at: usize, seen: Byte, begin: u32, end: u32) -> bool {
    let replaced = |change: &Change| {
        let later = |other: &Change| change.end < other.begin && other.end < begin;
        changes.iter().any(|other| later(other) && other.replaces(at))
    };
    changes.iter().any(|change| {
        let left = change.leaves(at);
        let same = left == Some(seen) || (seen == Byte::Is(0) && left == Some(Byte::Nothing));
        same && change.begin <= end && !replaced(change)
    })
}

/// The file as it was made, before everything.
pub(super) fn made(content: &[u8]) -> [Change; 2] {
    [
        Change { what: What::Cut(0), known: Some(1), begin: 0, end: 0 },
        Change {
            what: What::Write(0, content.to_vec()),
            known: Some(content.len()),
            begin: 1,
            end: 1,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::{Byte, Change, What, is_legal, made};

    fn change(what: What, known: Option<usize>, begin: u32, end: u32) -> Change {
        Change { what, known, begin, end }
    }

    #[test]
    fn the_last_writer_is_known_or_not() {
        let mut changes = made(b"ab").to_vec();
        changes.push(change(What::Write(1, b"xy".to_vec()), Some(2), 5, 6));
        assert!(is_legal(&changes, 1, Byte::Is(b'x'), 8, 9));
        assert!(!is_legal(&changes, 1, Byte::Is(b'b'), 8, 9), "replaced");
        assert!(is_legal(&changes, 1, Byte::Is(b'b'), 6, 9), "may have been read before");
        assert!(!is_legal(&changes, 1, Byte::Is(b'x'), 3, 4), "not written yet");
        changes.push(change(What::Write(1, b"z".to_vec()), None, 5, u32::MAX));
        assert!(is_legal(&changes, 1, Byte::Is(b'z'), 8, 9));
        assert!(is_legal(&changes, 1, Byte::Is(b'x'), 8, 9));
    }

    #[test]
    fn behind_the_end_is_nothing_and_holes_are_zero() {
        let mut changes = made(b"ab").to_vec();
        changes.push(change(What::Write(4, b"c".to_vec()), Some(1), 5, 6));
        assert!(is_legal(&changes, 3, Byte::Is(0), 8, 9));
        assert!(is_legal(&changes, 5, Byte::Nothing, 8, 9));
        assert!(!is_legal(&changes, 4, Byte::Nothing, 8, 9));
        changes.push(change(What::Cut(1), Some(1), 10, 11));
        assert!(is_legal(&changes, 4, Byte::Nothing, 12, 12));
        assert!(!is_legal(&changes, 4, Byte::Is(b'c'), 12, 12));
        assert!(is_legal(&changes, 0, Byte::Is(b'a'), 12, 12));
    }
}
