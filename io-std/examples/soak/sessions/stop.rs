//! Everything that is in flight ends early.

use crate::lane::{Lane, Outcome};
use crate::world::count;
use core::time::Duration;
use io_core::ops::Ops;
use io_core::{Deadline, StopError};
use io_std::deadline_in;

/// A stop and a start, where the calling thread may do that; else a cancel of everything.
pub(super) async fn everything(lane: &mut Lane, leads: bool) -> Outcome {
    if !lane.world.harsh {
        lane.at("nop");
        return lane.io().nop().await.map_err(|errno| lane.end("nop", errno));
    }
    if !leads {
        lane.at("cancel of all");
        lane.io().cancel_all().await.map_err(|errno| lane.end("cancel of all", errno))?;
        count(&lane.world.counts.cancels_of_all);
        return Ok(());
    }
    lane.at("stop");
    let soon = deadline_in(Duration::from_micros(lane.random.size(1000) as u64));
    let mut deadline = if lane.random.once_in(2) { soon } else { Deadline::NEVER };
    loop {
        match lane.io().stop(deadline) {
            Ok(()) => break,
            Err(StopError::StillOwned(owned)) if deadline != Deadline::NEVER && owned > 0 => {
                deadline = Deadline::NEVER;
            }
            Err(error) => return Err(lane.broken(&format!("stop: {error}"))),
        }
    }
    lane.at("start");
    lane.io().start().map_err(|errno| lane.broken(&format!("start: {errno}")))?;
    count(&lane.world.counts.stops);
    Ok(())
}
