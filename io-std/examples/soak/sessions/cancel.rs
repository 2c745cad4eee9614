//! One byte and a read that ends early: the byte is in the buffer, or still in the pipe; never in both, never lost.

use super::stream::{Pipe, pipe_ends};
use crate::lane::{How, Lane, Outcome};
use crate::world::count;
use core::pin::pin;
use io_core::Errno;
use io_std::File;
use smol::future::yield_now;
use std::io::Write;

/// Cancels or drops a read, before, while and after its byte comes.
pub(super) async fn one_byte(lane: &mut Lane) -> Outcome {
    lane.at("cancel: pipe");
    let Pipe { reader, mut writer } = pipe_ends(lane)?;
    let reader = File::from_std(lane.io(), reader.into());
    let (when, turns) = (lane.random.below(3), lane.random.below(3));
    let mut write = |lane: &Lane, now: usize| match when == now {
        true => writer.write_all(b"1").map_err(|error| lane.end_std("write", &error)),
        false => Ok(()),
    };
    write(lane, 0)?;
    let drops = lane.random.once_in(3);
    lane.at("cancel: read");
    let first = {
        let mut read = pin!(reader.read(vec![0; 8]));
        // It was not polled before, and this is no forked child: so it is submitted.
        let _ = read.as_mut().op().submit();
        write(lane, 1)?;
        for _ in 0..turns {
            yield_now().await;
        }
        if !drops {
            read.as_mut().op().cancel();
        }
        write(lane, 2)?;
        if drops {
            count(&lane.world.counts.dropped);
            None
        } else {
            Some(read.await)
        }
    };
    match first {
        None => {
            // Taken along by what was dropped, or not: what comes behind it is there.
            writer.write_all(b"2").map_err(|error| lane.end_std("write", &error))?;
            lane.at("cancel: read behind what was dropped");
            match rest(lane, &reader).await?.as_slice() {
                b"12" | b"2" => Ok(()),
                b"1" if rest(lane, &reader).await? == b"2" => Ok(()),
                other => Err(lane.broken(&format!("{other:?} instead of the rest"))),
            }
        }
        Some((Ok(1), buf)) if buf == b"1" => Ok(()),
        Some((Err(error), _)) if error.raw_os_error() == Some(Errno::CANCELED.raw()) => {
            count(&lane.world.counts.cancelled);
            lane.at("cancel: the byte is there");
            match rest(lane, &reader).await?.as_slice() {
                b"1" => Ok(()),
                other => Err(lane.broken(&format!("{other:?} instead of the byte"))),
            }
        }
        Some((result, buf)) => Err(lane.broken(&format!("{result:?} with {buf:?}"))),
    }
}

/// What there is to read.
async fn rest(lane: &Lane, reader: &File) -> Outcome<Vec<u8>> {
    loop {
        match lane.transfer(reader.read(vec![0; 8]), How::Plain).await {
            (Ok(Some(_)), buf) => return Ok(buf),
            (Ok(None), _) => {}
            (Err(errno), _) => return Err(lane.end("read", errno)),
        }
    }
}
