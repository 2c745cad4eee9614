//! [`Choices`]: the one source of everything that a run decides: which operation next, which completion
//! first, which call fails.
//!
//! The same harness is a random test, a fuzz target, a bounded model checker and a regression test, by where
//! its answers come from: a seed, a fuzzer's bytes, an enumeration of all answers, or the trace of an earlier
//! run. **0 is always the tamest answer**, so that a trace shrinks by lowering its numbers, and what comes
//! after its end is tame.

use core::cell::RefCell;
use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;
use std::rc::Rc;

/// A source of choices. Clones share it: program, adversary and world draw from the same one, in the order
/// in which they run.
#[derive(Clone)]
pub struct Choices(Rc<RefCell<Drawn>>);

struct Drawn {
    source: Source,
    /// Each answer so far, and how many there were to choose from.
    answers: Vec<(u32, u32)>,
    /// The first answer of a recorded source that was too large.
    too_large: Option<usize>,
}

enum Source {
    Seed(u64),
    Bytes { bytes: Vec<u8>, at: usize },
    Replay { answers: Vec<u32>, at: usize },
}

impl Choices {
    fn of(source: Source) -> Choices {
        Choices(Rc::new(RefCell::new(Drawn { source, answers: Vec::new(), too_large: None })))
    }

    /// Random ones, always the same for the same seed.
    #[must_use]
    pub fn seed(seed: u64) -> Choices {
        Choices::of(Source::Seed(seed))
    }

    /// A fuzzer's: one to four bytes are one answer. What comes after their end is 0.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Choices {
        Choices::of(Source::Bytes { bytes: bytes.to_vec(), at: 0 })
    }

    /// Those of an earlier run. What comes after their end is 0, and one that is too large now is the
    /// largest.
    #[must_use]
    pub fn replay(answers: &[u32]) -> Choices {
        Choices::of(Source::Replay { answers: answers.to_vec(), at: 0 })
    }

    /// A number below `n`; 0, and not counted as a choice, if there is nothing to choose.
    #[must_use]
    pub fn below(&self, n: u32) -> u32 {
        if n <= 1 {
            return 0;
        }
        self.draw(n, |source| source.below(n))
    }

    /// Whether something wild happens, in one of `one_in` cases; 1 is always. Counted as a choice of two.
    #[must_use]
    pub fn chance(&self, one_in: u32) -> bool {
        if one_in <= 1 {
            return true;
        }
        self.draw(2, |source| source.chance(one_in)) == 1
    }

    /// One of these; the first is the tamest.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// A place in a list of this length; 0 if it is empty.
    #[must_use]
    pub fn index(&self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    fn draw(&self, among: u32, draw: impl FnOnce(&mut Source) -> u32) -> u32 {
        let mut drawn = self.0.borrow_mut();
        let wanted = draw(&mut drawn.source);
        if wanted >= among {
            let at = drawn.answers.len();
            drawn.too_large.get_or_insert(at);
        }
        let answer = wanted.min(among - 1);
        drawn.answers.push((answer, among));
        answer
    }

    /// Where a recorded run is another than this one, which is over: the place of the first answer that was too large,
    /// or, if there is none, that nobody asked for and is not 0.
    #[must_use]
    pub fn misfit(&self) -> Option<usize> {
        let drawn = self.0.borrow();
        let left = match &drawn.source {
            Source::Seed(_) | Source::Bytes { .. } => None,
            Source::Replay { answers, at } => {
                answers.iter().skip(*at).position(|answer| *answer != 0).map(|left| at + left)
            }
        };
        drawn.too_large.or(left)
    }

    /// Whether a recorded or a fuzzer's source is at its end, so that all further answers are 0.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match &self.0.borrow().source {
            Source::Seed(_) => false,
            Source::Bytes { bytes, at } => *at >= bytes.len(),
            Source::Replay { answers, at } => *at >= answers.len(),
        }
    }

    /// How many choices were made.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.borrow().answers.len()
    }

    /// How many there were to choose from, each time.
    #[must_use]
    pub fn alternatives(&self) -> Vec<u32> {
        self.0.borrow().answers.iter().map(|(_, among)| *among).collect()
    }

    /// Each answer so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace(self.0.borrow().answers.iter().map(|(answer, _)| *answer).collect()).trimmed()
    }

    /// The next trace in the enumeration of all, of which this run was one; `None` if it was the last. Of
    /// each run the first `depth` choices are enumerated, the others are 0.
    #[must_use]
    pub fn successor(&self, depth: usize) -> Option<Trace> {
        let drawn = self.0.borrow();
        let bounded = &drawn.answers[..drawn.answers.len().min(depth)];
        let last = bounded.iter().rposition(|(answer, among)| answer + 1 < *among)?;
        let mut next: Vec<u32> = bounded[..=last].iter().map(|(answer, _)| *answer).collect();
        next[last] += 1;
        Some(Trace(next))
    }
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Choices({})", self.trace())
    }
}

impl Source {
    fn below(&mut self, n: u32) -> u32 {
        match self {
            // Of the upper half of the product: no division, and nearly no bias.
            Source::Seed(state) => scale(next(state), n),
            Source::Bytes { bytes, at } => number(bytes, at, n) % n,
            Source::Replay { answers, at } => recorded(answers, at),
        }
    }

    fn chance(&mut self, one_in: u32) -> u32 {
        match self {
            Source::Replay { answers, at } => recorded(answers, at),
            other => u32::from(other.below(one_in) == one_in - 1),
        }
    }
}

fn recorded(answers: &[u32], at: &mut usize) -> u32 {
    let answer = answers.get(*at).copied().unwrap_or(0);
    *at += 1;
    answer
}

/// As many bytes as a number below `n` needs.
fn number(bytes: &[u8], at: &mut usize, n: u32) -> u32 {
    let size = match n {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    };
    let mut number = 0;
    for _ in 0..size {
        number = (number << 8) | u32::from(bytes.get(*at).copied().unwrap_or(0));
        *at += 1;
    }
    number
}

fn scale(random: u64, n: u32) -> u32 {
    // Below n, because the first factor is below 2^32.
    u32::try_from(((random >> 32) * u64::from(n)) >> 32).unwrap_or(0)
}

/// Steele, Lea and Flood's `SplitMix64`: every seed is as good as any other.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The answers of one run, as a line of text: `1.0*3.7` is 1, 0, 0, 0, 7. Zeros at the end are left out;
/// nothing at all is `-`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Trace(pub Vec<u32>);

impl Trace {
    /// Without the zeros at its end, which mean the same.
    #[must_use]
    pub fn trimmed(mut self) -> Trace {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    /// How many of its choices are not the tamest.
    #[must_use]
    pub fn wild(&self) -> usize {
        self.0.iter().filter(|answer| **answer != 0).count()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (index, run) in self.0.chunk_by(|one, other| one == other).enumerate() {
            f.write_str(if index > 0 { "." } else { "" })?;
            write!(f, "{}", run[0])?;
            if run.len() > 1 {
                write!(f, "*{}", run.len())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Trace {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Trace, ParseIntError> {
        let mut answers = Vec::new();
        let text = text.trim();
        if text != "-" {
            for run in text.split('.') {
                let (answer, times) = run.split_once('*').unwrap_or((run, "1"));
                let times: u32 = times.parse()?;
                answers.resize(answers.len() + times as usize, answer.parse()?);
            }
        }
        Ok(Trace(answers))
    }
}

#[cfg(test)]
mod tests {
    use super::{Choices, Trace};

    #[test]
    fn a_trace_reads_back_what_it_writes() {
        for answers in
            [vec![], vec![0], vec![1, 0, 0, 0, 7], vec![3; 40], vec![0, 0, 4_294_967_295]]
        {
            let trace = Trace(answers).trimmed();
            assert_eq!(trace.to_string().parse::<Trace>().expect("a trace"), trace);
        }
        assert!("1.x".parse::<Trace>().is_err());
        assert!("".parse::<Trace>().is_err());
    }

    #[test]
    fn a_replay_answers_as_the_seed_did() {
        let ask = |choices: &Choices| {
            let wild: Vec<bool> = (2..40).map(|one_in| choices.chance(one_in)).collect();
            let numbers: Vec<u32> = (1..400).map(|n| choices.below(n * n)).collect();
            (wild, numbers, *choices.pick(&[1, 2, 3]))
        };
        for seed in 0..50 {
            let first = Choices::seed(seed);
            let answers = ask(&first);
            assert!(answers.1.iter().zip(1..400).all(|(answer, n)| *answer < n * n));
            assert_eq!(ask(&Choices::seed(seed)), answers);
            assert_eq!(ask(&Choices::replay(&first.trace().0)), answers);
        }
        assert_ne!(ask(&Choices::seed(1)), ask(&Choices::seed(2)));
    }

    #[test]
    fn what_is_over_is_tame() {
        let bytes = Choices::bytes(&[2, 1, 255]);
        assert_eq!(bytes.below(200), 2);
        assert_eq!(bytes.below(1000), 511);
        assert!(bytes.is_over());
        assert_eq!((bytes.below(9), bytes.chance(2), bytes.below(70_000)), (0, false, 0));
        let replay = Choices::replay(&[9]);
        assert_eq!((replay.below(3), replay.below(3), replay.is_over()), (2, 0, true));
        assert_eq!(bytes.trace().to_string(), "2.511");
    }

    #[test]
    fn an_enumeration_visits_each_trace_once() {
        let mut seen = Vec::new();
        let mut next = Some(Trace::default());
        while let Some(trace) = next {
            let choices = Choices::replay(&trace.0);
            let first = choices.below(3);
            let second = if first == 1 { choices.below(2) } else { 0 };
            seen.push((first, second, choices.chance(100)));
            next = choices.successor(3);
        }
        let (no, yes) = (false, true);
        let all = [(0, 0, no), (0, 0, yes), (1, 0, no), (1, 0, yes), (1, 1, no), (1, 1, yes)];
        assert_eq!(seen, [&all[..], &[(2, 0, no), (2, 0, yes)]].concat());
    }
}
