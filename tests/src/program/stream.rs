//! What may come out of a stream of bytes: an order of the writes that explains what was read.
//!
//! Writes and reads that overlap in time have no order of their own, so one is searched for: each read
//! takes the next bytes, those of a write in their order, and what ended before something else began comes
//! before it. Where the bytes of many writes are alike there may be too many orders to try: then nothing is
//! said of the stream, and that is counted.

use std::collections::HashSet;

/// A write as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) data: Vec<u8>,
    /// How much of it was written, if anybody knows.
    pub(super) count: Option<usize>,
    pub(super) begin: u32,
    /// `u32::MAX` if it never ended.
    pub(super) end: u32,
}

impl Put {
    fn limit(&self) -> usize {
        self.count.unwrap_or(self.data.len())
    }
}

/// A read that took something.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) bytes: Vec<u8>,
    pub(super) begin: u32,
    pub(super) end: u32,
}

/// How many places the search may look at.
const BUDGET: u32 = 100_000;

/// Whether an order was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Explained,
    /// There is none: what was written and read.
    Unexplained(String),
    /// None of those that there was time for.
    Undecided,
}

/// How much of each write is used, which reads are explained, and how much of the one that is being looked at.
type Place = (Vec<usize>, Vec<bool>, usize, usize);

struct Search<'s> {
    puts: &'s [Put],
    gots: &'s [Got],
    /// How much of each write is used.
    used: Vec<usize>,
    /// Which reads are explained.
    read: Vec<bool>,
    /// Whether everything written must have been read.
    all: bool,
    /// From where no order leads to the end.
    hopeless: HashSet<Place>,
    budget: u32,
}

/// Whether an order explains the reads; with `all`, also that nothing is left over.
pub(super) fn explain(puts: &[Put], gots: &[Got], all: bool) -> Verdict {
    let gots: Vec<Got> = gots.iter().filter(|got| !got.bytes.is_empty()).cloned().collect();
    let (used, read) = (vec![0; puts.len()], vec![false; gots.len()]);
    let mut search =
        Search { puts, gots: &gots, used, read, all, hopeless: HashSet::new(), budget: BUDGET };
    if search.next_read() {
        return Verdict::Explained;
    }
    if search.budget == 0 {
        return Verdict::Undecided;
    }
    let puts: Vec<String> = puts
        .iter()
        .map(|put| format!("{}..{} {:?} of {}", put.begin, put.end, put.count, short(&put.data)))
        .collect();
    let gots: Vec<String> = gots
        .iter()
        .map(|got| format!("{}..{} {}", got.begin, got.end, short(&got.bytes)))
        .collect();
    let (puts, gots) = (puts.join("; "), gots.join("; "));
    Verdict::Unexplained(format!("no order explains it: written [{puts}], read [{gots}]"))
}

fn short(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(12)];
    format!("{} bytes {shown:?}", bytes.len())
}

impl Search<'_> {
    fn next_read(&mut self) -> bool {
        let left = |read: &[bool], at: usize| !read[at];
        let unread: Vec<usize> = (0..self.gots.len()).filter(|&at| left(&self.read, at)).collect();
        if unread.is_empty() {
            let used = self.puts.iter().zip(&self.used);
            return !self.all
                || used.into_iter().all(|(put, &used)| put.count.is_none_or(|n| n == used));
        }
        for &at in &unread {
            let begin = self.gots[at].begin;
            if unread.iter().any(|&other| self.gots[other].end < begin) {
                continue;
            }
            self.read[at] = true;
            if self.next_bytes(at, 0, usize::MAX) {
                return true;
            }
            self.read[at] = false;
        }
        false
    }

    /// Whether nothing that must come before this write is unread.
    fn may_come(&self, at: usize) -> bool {
        let begin = self.puts[at].begin;
        self.puts
            .iter()
            .zip(&self.used)
            .all(|(put, &used)| put.end >= begin || put.count.is_none_or(|count| count == used))
    }

    /// Explains the read's bytes from `from` on; the bytes before came from `last`.
    fn next_bytes(&mut self, read: usize, from: usize, last: usize) -> bool {
        let bytes = &self.gots[read].bytes[from..];
        if bytes.is_empty() {
            return self.next_read();
        }
        let place = (self.used.clone(), self.read.clone(), read, from);
        if self.budget == 0 || self.hopeless.contains(&place) {
            return false;
        }
        self.budget -= 1;
        let (first, others) = (last, (0..self.puts.len()).filter(|&at| at != last));
        let candidates: Vec<usize> =
            (first < self.puts.len()).then_some(first).into_iter().chain(others).collect();
        for at in candidates {
            if self.puts[at].begin > self.gots[read].end || !self.may_come(at) {
                continue;
            }
            let used = self.used[at];
            let rest = &self.puts[at].data[used..self.puts[at].limit()];
            let same = rest.iter().zip(bytes).take_while(|(put, got)| put == got).count();
            // A byte of the next piece may look like one more of this, and pieces of a file that is sent are
            // alike: less is tried too.
            let least = if same <= 64 { 1 } else { same - 2 };
            for take in (least..=same).rev() {
                self.used[at] = used + take;
                if self.next_bytes(read, from + take, at) {
                    return true;
                }
            }
            self.used[at] = used;
        }
        self.hopeless.insert(place);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Got, Put, Verdict, explain};

    fn put(data: &[u8], count: Option<usize>, begin: u32, end: u32) -> Put {
        Put { data: data.to_vec(), count, begin, end }
    }

    fn got(bytes: &[u8], begin: u32, end: u32) -> Got {
        Got { bytes: bytes.to_vec(), begin, end }
    }

    fn is_ok(puts: &[Put], gots: &[Got], all: bool) -> bool {
        let verdict = explain(puts, gots, all);
        assert_ne!(verdict, Verdict::Undecided);
        verdict == Verdict::Explained
    }

    #[test]
    fn what_ended_before_comes_first() {
        let puts = [put(b"ab", Some(2), 1, 2), put(b"cd", Some(2), 3, 4)];
        assert!(is_ok(&puts, &[got(b"abcd", 5, 6)], true));
        assert!(!is_ok(&puts, &[got(b"cdab", 5, 6)], true));
        assert!(!is_ok(&puts, &[got(b"ab", 5, 6)], true), "something is left");
        assert!(is_ok(&puts, &[got(b"ab", 5, 6)], false));
        assert!(!is_ok(&puts, &[got(b"abc", 1, 2), got(b"d", 5, 6)], true), "too early");
    }

    #[test]
    fn what_overlaps_has_any_order() {
        let puts = [put(b"ab", Some(2), 1, 9), put(b"cd", Some(1), 3, 4)];
        assert!(is_ok(&puts, &[got(b"cab", 5, 6)], true));
        assert!(is_ok(&puts, &[got(b"c", 5, 8), got(b"ab", 6, 7)], true));
        assert!(!is_ok(&puts, &[got(b"d", 5, 8), got(b"ab", 6, 7)], true));
    }

    #[test]
    fn nobody_knows_how_much_of_a_dropped_write_came() {
        let puts = [put(b"abc", None, 1, 2), put(b"xy", Some(2), 3, 4)];
        for bytes in [&b"xy"[..], b"axy", b"abxy", b"abcxy"] {
            assert!(is_ok(&puts, &[got(bytes, 5, 6)], true), "{bytes:?}");
        }
        assert!(!is_ok(&puts, &[got(b"bxy", 5, 6)], true));
        assert!(!is_ok(&puts, &[got(b"abca", 5, 6)], false), "twice");
    }
    /// Writes of the same bytes, all in flight at once, and then a byte that nobody wrote: what was found
    /// hopeless is not tried again.
    #[test]
    fn what_is_alike_is_tried_once() {
        let puts = vec![put(&[7; 40], Some(3), 1, 9); 6];
        let gots = [got(&[7; 17], 2, 8), got(&[7, 1], 2, 8)];
        assert!(!is_ok(&puts, &gots, true));
    }
}
