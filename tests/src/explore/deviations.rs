//! [`deviations`]: all runs that are tame but for a few choices.

use super::labels::Many;
use super::{Explored, chosen_trace, print_reached, run_once, run_or_report};
use crate::choices::{Choices, Trace};
use std::collections::VecDeque;

/// The choices that are not the tamest, by their places.
type Deviations = Vec<(usize, u32)>;

/// Runs the test with every trace that has at most `most` choices which are not the tamest, wherever they are: first
/// none, then each one, then each two. No more than `limit` runs; or, if `IO_SIM_TRACE` is set, that one alone.
///
/// A run of n choices between two makes 1 + n runs for one deviation and about n²/2 for two, where
/// [`exhaustive`](super::exhaustive) makes 2ⁿ. What is found is as small as it gets, in its number of deviations.
///
/// # Panics
/// As [`seeds`](super::seeds).
pub fn deviations(most: usize, limit: u64, test: impl Fn(&Choices)) -> Explored {
    if let Some((origin, trace)) = chosen_trace() {
        run_once(&Choices::replay(&trace.0), &origin, &test);
        return Explored { runs: 1, complete: false, replayed: true };
    }
    let many = Many::begin();
    let mut line = VecDeque::from([Deviations::new()]);
    let (mut runs, mut complete) = (0, true);
    while let Some(deviations) = line.pop_front() {
        runs += 1;
        let choices = Choices::replay(&trace(&deviations).0);
        run_or_report(&choices, &format!("run {runs} of those with {most} deviations"), &test);
        if deviations.len() == most {
            continue;
        }
        let from = deviations.last().map_or(0, |(at, _)| at + 1);
        for (at, among) in choices.alternatives().into_iter().enumerate().skip(from) {
            for answer in 1..among {
                if runs + line.len() as u64 >= limit {
                    complete = false;
                    break;
                }
                line.push_back([&deviations[..], &[(at, answer)]].concat());
            }
        }
    }
    print_reached(&many.end(runs));
    Explored { runs, complete, replayed: false }
}

fn trace(deviations: &[(usize, u32)]) -> Trace {
    let mut answers = Vec::new();
    for &(at, answer) in deviations {
        answers.resize(at, 0);
        answers.push(answer);
    }
    Trace(answers)
}
