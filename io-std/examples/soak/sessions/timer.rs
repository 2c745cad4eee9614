//! A timer: not early, and without an error that nobody caused.

use crate::lane::{Lane, Outcome};
use core::time::Duration;
use io_core::ops::Ops;
use std::time::Instant;

/// Waits for the clock.
pub(super) async fn not_early(lane: &mut Lane) -> Outcome {
    lane.at("timer");
    let duration = Duration::from_micros(lane.random.size(4000) as u64);
    let begin = Instant::now();
    lane.io().sleep(duration).await.map_err(|errno| lane.end("sleep", errno))?;
    match begin.elapsed() {
        passed if passed < duration => {
            Err(lane.broken(&format!("{duration:?} were over after {passed:?}")))
        }
        _ => Ok(()),
    }
}
