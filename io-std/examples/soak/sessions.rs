//! The sessions: each is a small program that knows what must come out.

mod accept;
mod cancel;
mod close;
mod file;
mod fork;
mod stop;
mod stream;
mod timer;

use crate::lane::{Lane, Outcome};

/// Runs one, whichever. `leads`: on the thread that may stop and start the backend.
pub(crate) async fn run(lane: &mut Lane, leads: bool) -> Outcome {
    match lane.random.below(32) {
        0..6 => stream::pipe(lane).await,
        6..12 => stream::pair(lane).await,
        12..17 => stream::tcp(lane).await,
        17..21 => file::copy_in_memory(lane).await,
        21..24 => cancel::one_byte(lane).await,
        24..26 => close::under_reads(lane).await,
        26..28 => accept::nobody_waits(lane).await,
        28 => stop::everything(lane, leads).await,
        29 => fork::child_exits(lane).await,
        _ => timer::not_early(lane).await,
    }
}
