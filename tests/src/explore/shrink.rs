//! Making a run that fails smaller: fewer wild choices, fewer choices, lower numbers.

use super::{Failure, run};
use crate::choices::{Choices, Trace};

/// So many runs are spent on making one that fails smaller.
const SHRINKING: u32 = 3_000;

/// What became of a failure.
pub(super) struct Shrunk {
    pub(super) best: Failure,
    /// The smallest run that panicked at another place, if one did.
    pub(super) elsewhere: Option<Failure>,
    left: u32,
}

/// Makes a failing run smaller: the shortest and lowest trace that was found to panic at the same place.
#[must_use]
pub fn shrink(failure: Failure, test: &impl Fn(&Choices)) -> Failure {
    shrunk(failure, test).best
}

pub(super) fn shrunk(failure: Failure, test: &impl Fn(&Choices)) -> Shrunk {
    let mut shrunk = Shrunk { best: failure, elsewhere: None, left: SHRINKING };
    let mut attempt = |shrunk: &mut Shrunk, answers: Vec<u32>| {
        let smaller = Trace(answers).trimmed();
        if shrunk.left == 0 || size(&smaller) >= size(&shrunk.best.trace) {
            return false;
        }
        shrunk.left -= 1;
        let Err(mut failure) = run(&Choices::replay(&smaller.0), test) else { return false };
        // Not the run's own trace: it may have asked for more, and been answered 0.
        failure.trace = smaller;
        shrunk.take(failure)
    };
    loop {
        let before = shrunk.best.trace.clone();
        drop_chunks(&mut shrunk, &mut attempt);
        clear_chunks(&mut shrunk, &mut attempt);
        lower(&mut shrunk, &mut attempt);
        realign(&mut shrunk, &mut attempt);
        if shrunk.best.trace == before {
            return shrunk;
        }
    }
}

impl Shrunk {
    /// A smaller run that fails. Whether it is the same failure.
    fn take(&mut self, failure: Failure) -> bool {
        if failure.place == self.best.place {
            self.best = failure;
            return true;
        }
        let known = self.elsewhere.as_ref().map(|known| size(&known.trace));
        if known.is_none_or(|known| size(&failure.trace) < known) {
            self.elsewhere = Some(failure);
        }
        false
    }
}

/// Fewer wild choices are smaller, then shorter, then lower numbers.
fn size(trace: &Trace) -> (usize, usize, u64) {
    (trace.wild(), trace.0.len(), trace.0.iter().map(|answer| u64::from(*answer)).sum())
}

type Attempt<'a> = dyn FnMut(&mut Shrunk, Vec<u32>) -> bool + 'a;

fn drop_chunks(shrunk: &mut Shrunk, attempt: &mut Attempt<'_>) {
    let mut len = shrunk.best.trace.0.len();
    while len > 0 {
        let mut at = 0;
        while at < shrunk.best.trace.0.len() {
            let mut answers = shrunk.best.trace.0.clone();
            answers.drain(at..(at + len).min(answers.len()));
            if !attempt(shrunk, answers) {
                at += len;
            }
        }
        len /= 2;
    }
}

fn clear_chunks(shrunk: &mut Shrunk, attempt: &mut Attempt<'_>) {
    let mut len = shrunk.best.trace.0.len();
    while len > 0 {
        let mut at = 0;
        while at < shrunk.best.trace.0.len() {
            let mut answers = shrunk.best.trace.0.clone();
            let end = (at + len).min(answers.len());
            answers[at..end].fill(0);
            let _ = attempt(shrunk, answers);
            at += len;
        }
        len /= 2;
    }
}

fn lower(shrunk: &mut Shrunk, attempt: &mut Attempt<'_>) {
    let mut at = 0;
    while at < shrunk.best.trace.0.len() {
        let mut step = shrunk.best.trace.0[at];
        while step > 0 && at < shrunk.best.trace.0.len() {
            let mut answers = shrunk.best.trace.0.clone();
            answers[at] = answers[at].saturating_sub(step);
            if !attempt(shrunk, answers) {
                step /= 2;
            }
        }
        at += 1;
    }
}

/// A wild choice may have led to others: without it the ones behind it move up, or down.
fn realign(shrunk: &mut Shrunk, attempt: &mut Attempt<'_>) {
    let mut at = 0;
    while at < shrunk.best.trace.0.len() {
        let wild = shrunk.best.trace.0[at] != 0;
        let mut found = false;
        for shift in 1..=4 {
            if !wild || found {
                break;
            }
            let mut fewer = shrunk.best.trace.0.clone();
            fewer[at] = 0;
            let mut more = fewer.clone();
            fewer.drain(at + 1..(at + 1 + shift).min(fewer.len()));
            more.splice(at..at, core::iter::repeat_n(0, shift));
            found = attempt(shrunk, fewer) || attempt(shrunk, more);
        }
        at += usize::from(!found);
    }
}
