//! What the backends of each variant did, added up from their own counters.

use crate::fixture::Needs;
use core::fmt::Write as _;
use io_core::{Counters, OpKind, Way};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Default)]
struct Total {
    backends: u64,
    submitted: u64,
    delivered: u64,
    syscalls: u64,
    by_way: [u64; 5],
    ring_ops: [u64; OpKind::ALL.len()],
}

static TOTALS: Mutex<BTreeMap<String, Total>> = Mutex::new(BTreeMap::new());

/// Adds one backend's counters to its variant's.
pub fn add(variant: &str, counters: &Counters) {
    let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let total = totals.entry(variant.to_owned()).or_default();
    total.backends += 1;
    total.submitted += counters.submitted;
    total.delivered += counters.delivered;
    total.syscalls += counters.syscalls;
    for (sum, one) in total.by_way.iter_mut().zip(counters.by_way) {
        *sum += one;
    }
    for (sum, one) in total.ring_ops.iter_mut().zip(counters.ring_ops) {
        *sum += one;
    }
}

#[derive(Clone, Default)]
struct Cases {
    ran: u32,
    skipped: u32,
    left_out: BTreeMap<Needs, u32>,
}

static CASES: Mutex<BTreeMap<String, Cases>> = Mutex::new(BTreeMap::new());

fn case(variant: &str, count: impl FnOnce(&mut Cases)) {
    let mut cases = CASES.lock().unwrap_or_else(PoisonError::into_inner);
    count(cases.entry(variant.to_owned()).or_default());
}

/// Counts a case that was run to its end.
pub(crate) fn ran(variant: &str) {
    case(variant, |cases| cases.ran += 1);
}

/// Counts a case that found that it cannot run, or that there is nothing to be shown.
pub(crate) fn skipped(variant: &str) {
    case(variant, |cases| cases.skipped += 1);
}

/// Counts a case that cannot run on a simulation.
pub(crate) fn left_out(variant: &str, needs: Needs) {
    case(variant, |cases| *cases.left_out.entry(needs).or_default() += 1);
}

/// One line about a variant: how many cases ran, and how many could not without a kernel.
#[must_use]
pub fn cases(variant: &str) -> String {
    let cases = CASES.lock().unwrap_or_else(PoisonError::into_inner);
    let Cases { ran, skipped, left_out } = cases.get(variant).cloned().unwrap_or_default();
    let all: u32 = left_out.values().sum();
    let mut line = format!("{variant}: {ran} cases run, {skipped} skip themselves, {all} left out");
    for (i, (needs, count)) in left_out.iter().enumerate() {
        let begin = if i == 0 { ", which need" } else { "," };
        // Writing to a `String` does not fail.
        let _ = write!(line, "{begin} {} {count}", needs.name());
    }
    line
}

/// One line about a variant: operations per way, and per kind on the ring.
#[must_use]
pub fn line(variant: &str) -> String {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let total = totals.get(variant).copied().unwrap_or_default();
    let Total { backends, submitted, delivered, syscalls, by_way, ring_ops } = total;
    let mut line = format!(
        "{variant}: {backends} backends, {submitted} ops submitted, {delivered} delivered, \
         {syscalls} system calls;"
    );
    for (way, count) in Way::ALL.iter().zip(by_way) {
        // Writing to a `String` does not fail.
        let _ = write!(line, " {} {count}", way.name());
    }
    if ring_ops.iter().any(|&count| count > 0) {
        line.push_str("; on the ring:");
        for (kind, count) in OpKind::ALL.iter().zip(ring_ops).filter(|(_, count)| *count > 0) {
            // As above.
            let _ = write!(line, " {} {count}", kind.name());
        }
    }
    line
}

/// Whether the backends of a variant delivered what was submitted to them.
///
/// # Errors
/// The two numbers, if they delivered more.
pub fn all_delivered(variant: &str) -> Result<(), String> {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let Total { submitted, delivered, .. } = totals.get(variant).copied().unwrap_or_default();
    // Fewer is what a test leaves behind that drops a backend with operations in flight.
    if delivered <= submitted {
        Ok(())
    } else {
        Err(format!("{delivered} delivered of {submitted} submitted"))
    }
}

/// Whether the backends of a variant delivered all that was submitted to them, and submitted anything.
///
/// # Errors
/// The two numbers, if they differ or are 0.
pub fn settled(variant: &str) -> Result<(), String> {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let Total { submitted, delivered, .. } = totals.get(variant).copied().unwrap_or_default();
    if submitted == delivered && submitted > 0 {
        Ok(())
    } else {
        Err(format!("{delivered} delivered of {submitted} submitted"))
    }
}

/// How many operations of each kind a variant's backends ran on a ring, in the order of [`OpKind::ALL`].
#[must_use]
pub fn ring_ops(variant: &str) -> [u64; OpKind::ALL.len()] {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    totals.get(variant).copied().unwrap_or_default().ring_ops
}
