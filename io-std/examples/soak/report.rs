//! Adds the epochs up, holds them against each other, and prints the line.

use crate::epoch::Epoch;
use crate::world::Counts;
use core::sync::atomic::Ordering;
use core::time::Duration;
use io_std::Backend;
use serde_json::json;

/// Heap that may be left by an epoch beside what was there after the first ones: lazily made things of the standard
/// library.
const HEAP_SLACK_BYTES: usize = 16 * 1024;
/// What the resident memory may grow by without a reason, and beyond that per operation.
const RESIDENT_SLACK_KIB: usize = 4 * 1024;
const GROWTH_BYTES_PER_OP: f64 = 0.25;
/// How many readings of it are kept; the room is taken at once, so as not to be taken for a leak.
const MOST_READINGS: usize = 1024;
/// Epochs in which the process grows to its size.
const WARM_UP: usize = 8;

/// The sums of one backend's epochs.
#[derive(Debug)]
pub(crate) struct Report {
    backend: Backend,
    seed: u64,
    epochs: u64,
    submitted: u64,
    delivered: u64,
    sums: Vec<(&'static str, u64)>,
    /// Of each epoch, later of each second, fourth, …: resident KiB, and operations up to its end.
    resident: Vec<(usize, u64)>,
    stride: u64,
    heap: Vec<usize>,
    descriptors: usize,
    threads: usize,
}

impl Report {
    /// No epoch yet.
    pub(crate) fn new(backend: Backend, seed: u64) -> Report {
        let (epochs, submitted, delivered, sums) = (0, 0, 0, Vec::new());
        let (resident, heap) = (Vec::with_capacity(MOST_READINGS), Vec::with_capacity(WARM_UP));
        let (stride, descriptors, threads) = (1, 0, 0);
        Report {
            backend,
            seed,
            epochs,
            submitted,
            delivered,
            sums,
            resident,
            stride,
            heap,
            descriptors,
            threads,
        }
    }

    /// How many there were.
    pub(crate) fn epochs(&self) -> u64 {
        self.epochs
    }

    /// One more.
    ///
    /// # Errors
    /// If something is left that was not there before.
    pub(crate) fn add(&mut self, epoch: &Epoch) -> Result<(), String> {
        self.epochs += 1;
        self.submitted += epoch.submitted;
        self.delivered += epoch.delivered;
        (self.descriptors, self.threads) = (epoch.descriptors, epoch.threads);
        let named = named(&epoch.counts);
        if self.sums.is_empty() {
            self.sums = named.to_vec();
        } else {
            self.sums.iter_mut().zip(named).for_each(|(sum, (_, one))| sum.1 += one);
        }
        if self.epochs.is_multiple_of(self.stride) {
            if self.resident.len() == MOST_READINGS {
                self.stride *= 2;
                let mut odd = false;
                self.resident.retain(|_| {
                    odd = !odd;
                    odd
                });
            }
            self.resident.push((epoch.resident_kib, self.submitted));
        }
        if self.heap.len() < WARM_UP {
            self.heap.push(epoch.heap_bytes);
            return Ok(());
        }
        let before = self.heap.iter().copied().max().unwrap_or(0);
        if epoch.heap_bytes > before + HEAP_SLACK_BYTES {
            return Err(format!(
                "epoch {}: {} bytes of heap are in use after it, {before} were before",
                self.epochs - 1,
                epoch.heap_bytes
            ));
        }
        Ok(())
    }

    /// Prints the line.
    ///
    /// # Errors
    /// If memory grew, or nothing was done that could be checked.
    pub(crate) fn finish(&self, time: Duration, json: bool) -> Result<(), String> {
        let quarter = self.resident.len() / 4;
        let (first, last) = (median(&self.resident, quarter), median(&self.resident, 3 * quarter));
        let mut row = vec![
            ("backend", json!(self.backend.name())),
            ("seed", json!(self.seed)),
            ("seconds", json!((time.as_secs_f64() * 10.0).round() / 10.0)),
            ("epochs", json!(self.epochs)),
            ("submitted", json!(self.submitted)),
            ("delivered", json!(self.delivered)),
        ];
        row.extend(self.sums.iter().map(|(name, sum)| (*name, json!(sum))));
        row.extend([
            ("descriptors_at_end", json!(self.descriptors)),
            ("threads_at_end", json!(self.threads)),
            ("heap_bytes_at_end", json!(self.heap.last())),
            ("resident_kib_second_quarter", json!(first.0)),
            ("resident_kib_last_quarter", json!(last.0)),
        ]);
        let cells = row.iter().map(|(name, value)| match json {
            true => format!("{}: {value}", json!(name)),
            false => format!(
                "{} {}",
                name.replace('_', " "),
                value.as_str().unwrap_or(&value.to_string())
            ),
        });
        let cells = cells.collect::<Vec<_>>().join(", ");
        println!("{}", if json { format!("{{{cells}}}") } else { cells });
        for needed in ["sessions", "bytes_checked", "signals"] {
            if !self.sums.iter().any(|(name, sum)| *name == needed && *sum > 0) {
                return Err(format!("{needed}: none, in {} epochs", self.epochs));
            }
        }
        let grown = last.0.saturating_sub(first.0 + RESIDENT_SLACK_KIB);
        #[expect(clippy::cast_precision_loss, reason = "a bound")]
        let allowed = (last.1 - first.1) as f64 * GROWTH_BYTES_PER_OP / 1024.0;
        #[expect(clippy::cast_precision_loss, reason = "a bound")]
        if grown as f64 > allowed {
            return Err(format!("the resident memory grew from {} to {} KiB", first.0, last.0));
        }
        Ok(())
    }
}

/// The middle one of the quarter of readings from this one on, by memory; and its operations.
fn median(readings: &[(usize, u64)], from: usize) -> (usize, u64) {
    let len = (readings.len() / 4).max(1);
    let mut quarter = readings.iter().skip(from).take(len).copied().collect::<Vec<_>>();
    quarter.sort_unstable();
    quarter.get(quarter.len() / 2).copied().unwrap_or_default()
}

fn named(counts: &Counts) -> [(&'static str, u64); 13] {
    let Counts {
        sessions,
        excused,
        bytes,
        cancelled,
        dropped,
        timed_out,
        resets,
        closes_under,
        ..
    } = counts;
    let Counts { forks, signals, squeezes, stops, cancels_of_all, .. } = counts;
    [
        ("sessions", sessions),
        ("ended_by_faults", excused),
        ("bytes_checked", bytes),
        ("cancelled", cancelled),
        ("dropped", dropped),
        ("timed_out", timed_out),
        ("resets", resets),
        ("closes_under", closes_under),
        ("forks", forks),
        ("signals", signals),
        ("squeezes", squeezes),
        ("stops", stops),
        ("cancels_of_all", cancels_of_all),
    ]
    .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
}
