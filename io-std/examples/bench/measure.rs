//! Measures contenders in turns, so that whatever else the machine does meets all of them alike.

use crate::rows::Row;
use crate::{Failure, allocs};
use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Something that runs operations.
pub(crate) trait Contender {
    /// Runs exactly this many, with as many in flight as its depth says, and leaves none in flight.
    fn run(&mut self, ops: u64) -> Result<(), Failure>;

    /// System calls made so far, if it counts them.
    fn syscalls(&self) -> Option<u64>;

    /// Operations so far whose result was not the right one.
    fn wrong(&self) -> u64;
}

/// One contender of a group.
pub(crate) struct Entry<'a> {
    /// What to report it as; `None` for the limit's second run.
    pub(crate) row: Option<Row>,
    /// Whose CPU time is divided by whose, as indices in the group.
    pub(crate) ratio: Option<(usize, usize)>,
    pub(crate) contender: Box<dyn Contender + 'a>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one contender in one round.
    pub(crate) slice: Duration,
}

/// What came out for one row, each the median over the rounds; per operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) ns: f64,
    pub(crate) cpu_ns: f64,
    pub(crate) ratio: Option<f64>,
    /// Over all rounds together: a single allocation shows.
    pub(crate) allocs: f64,
    pub(crate) syscalls: Option<f64>,
}

/// One round of one contender.
struct Sample {
    ns: f64,
    cpu_ns: f64,
}

/// The rounds of one contender.
#[derive(Default)]
struct Series {
    samples: Vec<Sample>,
    allocs: u64,
    syscalls: u64,
    total_ops: u64,
    ops: u64,
}

/// Measures a group; calls `report` with each row's figures.
///
/// # Errors
/// A contender's, or that one of them had a wrong result.
pub(crate) fn compare(
    mut group: Vec<Entry<'_>>,
    plan: Plan,
    mut report: impl FnMut(Row, Figures),
) -> Result<(), Failure> {
    let mut all: Vec<Series> = Vec::with_capacity(group.len());
    for entry in &mut group {
        let ops = calibrate(entry.contender.as_mut(), plan.slice)?;
        all.push(Series { ops, samples: Vec::with_capacity(plan.rounds), ..Series::default() });
    }
    for round in 0..plan.rounds {
        for turn in 0..group.len() {
            // Forwards and backwards in turn: nobody always follows the same other.
            let index = if round % 2 == 0 { turn } else { group.len() - 1 - turn };
            sample(group[index].contender.as_mut(), &mut all[index])?;
        }
    }
    for (entry, series) in group.iter().zip(&all) {
        if entry.contender.wrong() != 0 {
            return Err(
                format!("{} wrong results ({:?})", entry.contender.wrong(), entry.row).into()
            );
        }
        let Some(row) = entry.row else { continue };
        let ops = series.total_ops as f64;
        let ratio = entry.ratio.map(|(above, below)| {
            let pairs = all[above].samples.iter().zip(&all[below].samples);
            median(pairs.map(|(above, below)| above.cpu_ns / below.cpu_ns))
        });
        report(
            row,
            Figures {
                ns: median(series.samples.iter().map(|sample| sample.ns)),
                cpu_ns: median(series.samples.iter().map(|sample| sample.cpu_ns)),
                ratio,
                allocs: series.allocs as f64 / ops,
                syscalls: entry.contender.syscalls().map(|_| series.syscalls as f64 / ops),
            },
        );
    }
    Ok(())
}

/// How many operations take about `slice`. Also the warm-up.
fn calibrate(contender: &mut dyn Contender, slice: Duration) -> Result<u64, Failure> {
    let mut ops = 1_000;
    loop {
        let start = Instant::now();
        contender.run(ops)?;
        let taken = start.elapsed();
        if taken * 4 >= slice {
            let wanted = ops as f64 * slice.as_secs_f64() / taken.as_secs_f64();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            return Ok((wanted as u64).max(1_000));
        }
        ops *= 4;
    }
}

/// Runs one round.
fn sample(contender: &mut dyn Contender, series: &mut Series) -> Result<(), Failure> {
    let syscalls = contender.syscalls().unwrap_or(0);
    let allocs = allocs::count();
    let cpu = cpu_time();
    let start = Instant::now();
    contender.run(series.ops)?;
    let taken = start.elapsed();
    let cpu = cpu_time().saturating_sub(cpu);
    series.allocs += allocs::count() - allocs;
    series.syscalls += contender.syscalls().unwrap_or(0) - syscalls;
    series.total_ops += series.ops;
    let per_op = |time: Duration| time.as_nanos() as f64 / series.ops as f64;
    series.samples.push(Sample { ns: per_op(taken), cpu_ns: per_op(cpu) });
    Ok(())
}

/// CPU time of all threads of the process, in user and in kernel mode.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The middle one; the mean of the two middle ones of an even number.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, values[middle - 1]),
        (None, _) => f64::NAN,
    }
}
