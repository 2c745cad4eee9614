//! A close under operations that wait on its descriptor: they end, and the number's next owner is left alone.
#![allow(unsafe_code, reason = "closes a descriptor that operations use")]
//! # Safety
//! The descriptor is closed through the backend alone, which ends the operations on its number first; what they
//! read into is their own.

use super::stream::{Pipe, pipe_ends};
use crate::lane::{Lane, Outcome};
use crate::world::count;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, OwnedFd};
use smol::future::yield_now;
use std::io::Write;
use std::os::fd::IntoRawFd;

/// Closes the reading end of a pipe under reads.
pub(super) async fn under_reads(lane: &mut Lane) -> Outcome {
    lane.at("close: pipe");
    let Pipe { reader, mut writer } = pipe_ends(lane)?;
    let number = Fd::new(reader.into_raw_fd());
    // SAFETY: just given up by its only owner, and `close_fd` is `close(2)`.
    let owner = unsafe { OwnedFd::from_raw(number, close_fd) };
    let mut reads: Vec<_> = (0..=lane.random.below(4))
        .map(|_| {
            // SAFETY: open until the backend closes it, which ends what was made from this first.
            let open = unsafe { number.assume_open() };
            Box::pin(lane.io().read(open, vec![0; 8]))
        })
        .collect();
    for read in &mut reads {
        // Not polled before, and this is no forked child: so it is submitted.
        let _ = read.as_mut().submit();
    }
    let written = lane.random.once_in(2);
    if written {
        writer.write_all(b"1").map_err(|error| lane.end_std("write", &error))?;
    }
    for _ in 0..lane.random.below(3) {
        yield_now().await;
    }
    lane.at("close: close");
    let closed = lane.io().close(owner).await;
    closed.map_err(|errno| lane.broken(&format!("close: {errno}")))?;
    lane.at("close: reads");
    let mut got = 0;
    for read in &mut reads {
        match read.as_mut().await {
            (Ok(1), buf) if buf == b"1" => got += 1,
            (Err(Errno::CANCELED), _) => {}
            (result, buf) => return Err(lane.broken(&format!("{result:?} with {buf:?}"))),
        }
    }
    if got > usize::from(written) {
        return Err(lane.broken(&format!("{got} reads got the one byte")));
    }
    count(&lane.world.counts.closes_under);
    Ok(())
}
