//! A file against its copy in memory: reads, writes, lengths, and what `sendfile` puts into a pipe.

use super::stream::{Pipe, pipe_ends};
use crate::lane::{Lane, Outcome};
use crate::random::fill;
use core::sync::atomic::{AtomicU64, Ordering};
use io_core::ops::Ops;
use io_std::File;
use std::io::Read;

const MOST_BYTES: usize = 128 * 1024;
/// Fits into a pipe.
const MOST_SENT: usize = 32 * 1024;

/// Some dozen operations in any order.
pub(super) async fn copy_in_memory(lane: &mut Lane) -> Outcome {
    lane.at("file: open");
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("soak-{}-{number}", std::process::id()));
    let opened = File::options().read(true).write(true).create(true).open(lane.io(), &path).await;
    // It may have been made also where the open was cancelled or out of descriptors; nobody needs its name.
    let _ = std::fs::remove_file(&path);
    let file = opened.map_err(|error| lane.end_std("open", &error))?;
    let mut copy = Vec::new();
    for _ in 0..lane.random.size(32) {
        match lane.random.below(16) {
            0..6 => write(lane, &file, &mut copy).await?,
            6..12 => read(lane, &file, &copy).await?,
            12 => cut(lane, &file, &mut copy).await?,
            13 => send(lane, &file, &copy).await?,
            14 => {
                lane.at("file: sync");
                file.sync_data().await.map_err(|error| lane.end_std("sync", &error))?;
            }
            _ => {
                lane.at("file: metadata");
                let stat = file.metadata().await.map_err(|error| lane.end_std("stat", &error))?;
                if stat.size != copy.len() as u64 {
                    return Err(lane.broken(&format!("{} bytes, not {}", stat.size, copy.len())));
                }
            }
        }
    }
    lane.at("file: close");
    file.close().await.map_err(|error| lane.end_std("close", &error))
}

async fn write(lane: &mut Lane, file: &File, copy: &mut Vec<u8>) -> Outcome {
    lane.at("file: write");
    let (at, len) = (lane.random.below(MOST_BYTES), lane.random.size(MOST_BYTES));
    let (bytes, how) = (fill(lane.random.next(), 0, len), lane.how());
    match lane.transfer(file.write_at(bytes.clone(), at as u64), how).await.0 {
        Ok(Some(count)) if (1..=len).contains(&count) => {
            copy.resize(copy.len().max(at + count), 0);
            copy[at..at + count].copy_from_slice(&bytes[..count]);
            Ok(())
        }
        Ok(None) => Ok(()),
        Ok(count) => Err(lane.broken(&format!("{count:?} of {len} bytes"))),
        Err(errno) => Err(lane.end("write", errno)),
    }
}

async fn read(lane: &mut Lane, file: &File, copy: &[u8]) -> Outcome {
    lane.at("file: read");
    let (at, len) = (lane.random.below(MOST_BYTES), lane.random.size(MOST_BYTES));
    let how = lane.how();
    let wanted = &copy[at.min(copy.len())..(at + len).min(copy.len())];
    match lane.transfer(file.read_at(vec![0; len], at as u64), how).await {
        (Ok(None), _) => Ok(()),
        (Ok(Some(count)), buf)
            if (count == wanted.len()
                || lane.may_be_cut(how) && (1..wanted.len()).contains(&count))
                && buf[..count] == wanted[..count] =>
        {
            lane.world.counts.bytes.fetch_add(count as u64, Ordering::Relaxed);
            Ok(())
        }
        (Ok(count), _) => Err(lane.broken(&format!(
            "{count:?} of {} bytes at {at}, or other ones than were written",
            wanted.len()
        ))),
        (Err(errno), _) => Err(lane.end("read", errno)),
    }
}

async fn cut(lane: &mut Lane, file: &File, copy: &mut Vec<u8>) -> Outcome {
    lane.at("file: set_len");
    let len = lane.random.below(MOST_BYTES);
    file.set_len(len as u64).await.map_err(|error| lane.end_std("set_len", &error))?;
    copy.resize(len, 0);
    Ok(())
}

async fn send(lane: &mut Lane, file: &File, copy: &[u8]) -> Outcome {
    lane.at("file: sendfile");
    let Pipe { reader, writer } = pipe_ends(lane)?;
    let writer = File::from_std(lane.io(), std::os::fd::OwnedFd::from(writer).into());
    let (at, len) = (lane.random.below(MOST_BYTES), lane.random.size(MOST_SENT));
    let sent = lane.io().sendfile(writer, file.clone(), Some(at as i64), len).await;
    let sent = sent.map_err(|errno| lane.end("sendfile", errno))?;
    let mut bytes = Vec::new();
    let mut reader = std::fs::File::from(reader);
    reader.read_to_end(&mut bytes).map_err(|error| lane.end_std("read", &error))?;
    let wanted = &copy[at.min(copy.len())..(at + sent).min(copy.len())];
    let all = sent == len.min(copy.len().saturating_sub(at));
    if bytes != wanted || !(all || sent > 0) {
        return Err(lane.broken(&format!("{sent} of {len} sent at {at}, {} came", bytes.len())));
    }
    lane.world.counts.bytes.fetch_add(sent as u64, Ordering::Relaxed);
    Ok(())
}
