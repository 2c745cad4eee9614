//! How long calls took: every duration while there are few, and counts in narrow classes when there are many,
//! so that memory has a limit.

/// As many durations are kept as they are.
const EXACT: usize = 1 << 18;
/// Classes for each power of two: a class is at most 1/128 of its values wide.
const CLASSES: usize = 128;
/// The first power of two with classes wider than one nanosecond.
const FIRST: u32 = 8;

/// Durations in nanoseconds.
#[derive(Debug)]
pub(crate) enum Durations {
    /// All of them.
    Exact(Vec<u64>),
    /// How many are in each class.
    Classes(Vec<u64>),
}

impl Default for Durations {
    fn default() -> Durations {
        Durations::Exact(Vec::new())
    }
}

impl Durations {
    pub(crate) fn push(&mut self, nanos: u64) {
        match self {
            Durations::Exact(all) if all.len() < EXACT => all.push(nanos),
            Durations::Exact(all) => {
                let mut counts = vec![0; class(u64::MAX) + 1];
                all.iter().chain([&nanos]).for_each(|nanos| counts[class(*nanos)] += 1);
                *self = Durations::Classes(counts);
            }
            Durations::Classes(counts) => counts[class(nanos)] += 1,
        }
    }

    /// Whether the quantiles are exact, and not the middle of a class, within 0.4 %.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Durations::Exact(_))
    }

    /// For each of these parts of a hundred, the shortest duration that so many of all do not exceed; 0 where
    /// there are none.
    pub(crate) fn percentiles<const N: usize>(&mut self, parts: [u64; N]) -> [u64; N] {
        match self {
            Durations::Exact(all) => {
                all.sort_unstable();
                let count = all.len() as u64;
                parts.map(|part| {
                    let index = usize::try_from(rank(part, count)).unwrap_or(usize::MAX);
                    all.get(index).copied().unwrap_or(0)
                })
            }
            Durations::Classes(counts) => {
                let count = counts.iter().sum();
                parts.map(|part| {
                    let mut left = rank(part, count);
                    let found = counts.iter().position(|count| match left.checked_sub(*count) {
                        Some(rest) => {
                            left = rest;
                            false
                        }
                        None => true,
                    });
                    found.map_or(0, middle)
                })
            }
        }
    }
}

/// The place, from 0, of a percentile among so many.
fn rank(part: u64, count: u64) -> u64 {
    let rank = (u128::from(part) * u128::from(count)).div_ceil(100);
    u64::try_from(rank).unwrap_or(u64::MAX).saturating_sub(1)
}

/// The class of a duration.
fn class(nanos: u64) -> usize {
    let power = nanos.checked_ilog2().unwrap_or(0);
    if power < FIRST {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let within = usize::try_from(nanos >> (power - 7)).unwrap_or(0) % CLASSES;
    (power as usize - 6) * CLASSES + within
}

/// The middle of a class.
fn middle(class: usize) -> u64 {
    if class < 2 * CLASSES {
        return class as u64;
    }
    let shift = class / CLASSES - 1;
    let lowest = ((class % CLASSES + CLASSES) as u64) << shift;
    lowest + (1 << shift >> 1)
}

#[cfg(test)]
mod tests {
    use super::{Durations, EXACT, class, middle};

    #[test]
    fn few_are_exact() {
        let mut durations = Durations::default();
        assert_eq!(durations.percentiles([50, 99]), [0, 0]);
        (1..=100).rev().for_each(|nanos| durations.push(nanos * 1_000));
        assert_eq!(durations.percentiles([50, 99, 100]), [50_000, 99_000, 100_000]);
        durations.push(u64::MAX);
        assert_eq!(durations.percentiles([50, 100]), [51_000, u64::MAX]);
        assert!(durations.is_exact());
    }

    #[test]
    fn classes_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for shift in 0..64 {
            for step in [0, 1, 2] {
                let nanos = (1_u64 << shift) + (1_u64 << shift >> 2) * step;
                let this = class(nanos);
                assert!(this >= last, "{nanos}");
                last = this;
                let error = middle(this).abs_diff(nanos);
                assert!(error <= nanos / 256 + 1, "{nanos} became {}", middle(this));
            }
        }
        (0..100_000).for_each(|nanos: u64| assert!(class(nanos + 1) - class(nanos) <= 1));
    }

    #[test]
    fn many_are_near() {
        let mut durations = Durations::default();
        let count = 2 * EXACT as u64;
        (0..count).for_each(|nanos| durations.push(nanos));
        assert!(!durations.is_exact());
        let [median, high] = durations.percentiles([50, 99]);
        assert!(median.abs_diff(count / 2) <= count / 256, "{median}");
        assert!(high.abs_diff(count * 99 / 100) <= count / 256, "{high}");
    }
}
