//! Measures the servers in turns, so that whatever else the machine does meets all of them alike.

use crate::client::Client;
use crate::options::Options;
use crate::{Failure, allocs};
use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Rounds of each server.
const ROUNDS: u32 = 10;

/// Something that echoes.
pub(crate) trait Server {
    /// Echoes until `bytes` more bytes have been sent back.
    ///
    /// # Errors
    /// A system call's, or that a connection has ended.
    fn serve(&mut self, bytes: u64) -> Result<(), Failure>;

    /// System calls made so far.
    fn syscalls(&self) -> u64;
}

/// A server and its place in the comparison.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Whose CPU time its own is divided by.
    pub(crate) limit: &'static str,
    pub(crate) server: Box<dyn Server>,
    /// The number of its connections at the client.
    pub(crate) load: usize,
}

/// What came out for one server: medians over the rounds, per round trip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) round_trips: u64,
    pub(crate) ns: f64,
    pub(crate) cpu_ns: f64,
    pub(crate) ratio: Option<f64>,
    /// Over all rounds together: a single allocation shows.
    pub(crate) allocs: f64,
    pub(crate) syscalls: f64,
}

/// The rounds of one server.
#[derive(Default)]
struct Series {
    /// Of one round.
    round_trips: u64,
    total: u64,
    ns: Vec<f64>,
    cpu_ns: Vec<f64>,
    allocs: u64,
    syscalls: u64,
}

/// Measures all; calls `report` with each one's figures.
///
/// # Errors
/// A server's or the client's.
pub(crate) fn compare(
    contenders: &mut [Contender],
    client: &Client<'_>,
    options: &Options,
    mut report: impl FnMut(&'static str, Figures),
) -> Result<(), Failure> {
    let slice = options.time / ROUNDS;
    let mut all = Vec::with_capacity(contenders.len());
    for contender in &mut *contenders {
        all.push(calibrate(contender, client, options, slice)?);
    }
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            // Forwards and backwards in turn: nobody always follows the same other.
            let index = if round % 2 == 0 { turn } else { contenders.len() - 1 - turn };
            sample(&mut contenders[index], client, options, &mut all[index])?;
        }
    }
    for (contender, series) in contenders.iter().zip(&all) {
        let limit = contenders.iter().position(|other| other.name == contender.limit);
        let ratio = limit.map(|limit| {
            // Round by round: the two were neighbours in time.
            let pairs = series.cpu_ns.iter().zip(&all[limit].cpu_ns);
            median(pairs.map(|(own, limit)| own / limit))
        });
        let total = series.total as f64;
        report(
            contender.name,
            Figures {
                round_trips: series.total,
                ns: median(series.ns.iter().copied()),
                cpu_ns: median(series.cpu_ns.iter().copied()),
                ratio,
                allocs: series.allocs as f64 / total,
                syscalls: series.syscalls as f64 / total,
            },
        );
    }
    Ok(())
}

/// How many round trips take about `slice`. Also the warm-up.
fn calibrate(
    contender: &mut Contender,
    client: &Client<'_>,
    options: &Options,
    slice: Duration,
) -> Result<Series, Failure> {
    let least = (options.connections as u64 * 2).max(200);
    let mut series = Series { round_trips: least, ..Series::default() };
    loop {
        let start = Instant::now();
        round(contender, client, options, series.round_trips)?;
        let taken = start.elapsed();
        if taken * 4 >= slice {
            let wanted = series.round_trips as f64 * slice.as_secs_f64() / taken.as_secs_f64();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let round_trips = (wanted as u64).max(least);
            let room = || Vec::with_capacity(ROUNDS as usize);
            return Ok(Series { round_trips, ns: room(), cpu_ns: room(), ..Series::default() });
        }
        series.round_trips *= 4;
    }
}

/// So many round trips, on both sides; the client's CPU time.
fn round(
    contender: &mut Contender,
    client: &Client<'_>,
    options: &Options,
    round_trips: u64,
) -> Result<Duration, Failure> {
    client.begin(contender.load, round_trips);
    let served = contender.server.serve(round_trips * options.bytes as u64);
    let named = |error: Failure| format!("{}: {error}", contender.name);
    if served.is_err() {
        // The client may wait for an echo that will not come: it is not waited for.
        served.map_err(named)?;
    }
    Ok(client.wait().map_err(named)?)
}

/// Measures one round.
fn sample(
    contender: &mut Contender,
    client: &Client<'_>,
    options: &Options,
    series: &mut Series,
) -> Result<(), Failure> {
    let (syscalls, allocs) = (contender.server.syscalls(), allocs::count());
    let (cpu, start) = (cpu_time(), Instant::now());
    let clients = round(contender, client, options, series.round_trips)?;
    let taken = start.elapsed();
    // What the process used, all its threads and the ring's kernel workers, less the client.
    let cpu = cpu_time().saturating_sub(cpu).saturating_sub(clients);
    series.allocs += allocs::count() - allocs;
    series.syscalls += contender.server.syscalls() - syscalls;
    series.total += series.round_trips;
    let per_trip = |time: Duration| time.as_nanos() as f64 / series.round_trips as f64;
    series.ns.push(per_trip(taken));
    series.cpu_ns.push(per_trip(cpu));
    Ok(())
}

/// CPU time of all threads of the process, in user and in kernel mode.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
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
