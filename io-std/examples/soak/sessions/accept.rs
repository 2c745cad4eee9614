//! Accepts that nobody waits for to the end: a connection that came all the same is closed, and its descriptor with
//! it, which the count after the epoch shows.

use super::stream::listener;
use crate::lane::{Lane, Outcome};
use crate::world::count;
use io_core::Errno;
use io_core::op::AcceptFlags;
use io_core::ops::Ops;
use smol::future::yield_now;
use std::net::TcpStream;

/// Cancels and drops accepts while connections come.
pub(super) async fn nobody_waits(lane: &mut Lane) -> Outcome {
    lane.at("accept: listener");
    let (listener, address) = listener(lane).await?;
    let mut clients = Vec::new();
    for _ in 0..=lane.random.below(6) {
        lane.at("accept: accept");
        let mut accept = Box::pin(lane.io().accept(listener.clone(), AcceptFlags::empty()));
        // Not polled before, and this is no forked child: so it is submitted.
        let _ = accept.as_mut().submit();
        if lane.random.once_in(2) {
            let client = TcpStream::connect(address);
            clients.push(client.map_err(|error| lane.end_std("connect", &error))?);
        }
        for _ in 0..lane.random.below(3) {
            yield_now().await;
        }
        if lane.random.once_in(2) {
            count(&lane.world.counts.dropped);
            continue;
        }
        accept.as_mut().cancel();
        match accept.await {
            // Closed here.
            Ok(_) => {}
            Err(Errno::CANCELED) => count(&lane.world.counts.cancelled),
            Err(errno) => return Err(lane.end("accept", errno)),
        }
    }
    Ok(())
}
