//! The oracle: which results an operation may have, and what they must agree with.

use super::area::Area;
use super::book::{Book, Effect, Entry, Leads, Life};
use super::file::{Byte, is_legal};
use super::stream::{Got, Put, Verdict, explain};
use crate::world::FileKind;
use io_core::{Errno, OpKind, decode};

/// What the judge knows of the simulated kernel and its adversary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    /// The time of the simulated clock.
    pub(super) now_ns: u64,
    /// The errors that may come out of the blue.
    pub(super) injected: fn(OpKind, Option<FileKind>) -> &'static [Errno],
}

/// Whether the operation may have this result.
pub(super) fn result(book: &Book, entry: &Entry, result: i64, law: &Law) -> Result<(), String> {
    match decode(result) {
        Ok(count) => success(book, entry, count, law),
        Err(errno) => failure(book, entry, errno, law),
    }
}

fn failure(book: &Book, entry: &Entry, errno: Errno, law: &Law) -> Result<(), String> {
    if entry.got.as_ref().is_some_and(|got| !got.is_empty()) {
        return Err(format!("{errno:?}, though something was read"));
    }
    if errno == Errno::CANCELED && entry.kind != OpKind::Close {
        let closed = |&end: &usize| book.ends[end].closed.is_some();
        return if entry.asked || entry.ends.iter().any(closed) {
            Ok(())
        } else {
            Err("ECANCELED that nobody asked for".to_owned())
        };
    }
    if errno == Errno::TIMEDOUT && entry.deadline.as_nanos() <= law.now_ns {
        return Ok(());
    }
    if (law.injected)(entry.kind, on(book, entry)).contains(&errno) || forced(book, entry, errno) {
        return Ok(());
    }
    Err(format!("{errno:?} is no answer here"))
}

/// What the operation works on, as the program knows it.
fn on(book: &Book, entry: &Entry) -> Option<FileKind> {
    entry.ends.first().map(|&end| match book.ends[end].leads {
        Leads::File(_) | Leads::Loose { socket: false } => FileKind::File,
        Leads::Stream { socket: false, .. } => FileKind::Pipe,
        // The program's pairs; what it connects by itself is loose.
        Leads::Stream { socket: true, .. } => FileKind::Local,
        Leads::Listener(_) | Leads::Fresh | Leads::Loose { socket: true } => FileKind::Network,
    })
}

/// Whether what the operation works on gives this error.
fn forced(book: &Book, entry: &Entry, errno: Errno) -> bool {
    if let Effect::Fails(expected) = entry.effect {
        return errno == expected;
    }
    let loose = entry.ends.iter().any(|&end| !is_known(&book.ends[end].leads));
    if loose {
        return matches!(
            errno,
            Errno::PIPE
                | Errno::CONNRESET
                | Errno::NOTCONN
                | Errno::AGAIN
                | Errno::INVAL
                | Errno::CONNREFUSED
                | Errno::ISCONN
                | Errno::PERM
        );
    }
    match &entry.effect {
        Effect::Write { stream: Some(stream), .. } => {
            let broken = matches!(errno, Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN);
            (broken && book.streams[*stream].broken) || errno == Errno::AGAIN && entry.dont_wait
        }
        Effect::Read { stream: Some(stream), .. } => {
            (errno == Errno::CONNRESET && book.streams[*stream].ended)
                || (errno == Errno::AGAIN && entry.dont_wait)
        }
        Effect::MakesFd(_) => matches!(
            errno,
            Errno::NOENT | Errno::EXIST | Errno::ISDIR | Errno::NOTDIR | Errno::INVAL
        ),
        Effect::Events(_) => errno == Errno::PERM,
        _ => entry.kind == OpKind::Shutdown && errno == Errno::NOTCONN,
    }
}

fn is_known(leads: &Leads) -> bool {
    matches!(leads, Leads::Stream { .. } | Leads::File(_) | Leads::Listener(_))
}

fn success(book: &Book, entry: &Entry, count: u64, law: &Law) -> Result<(), String> {
    let len = entry.area.as_ref().map_or(0, Area::len) as u64;
    let got = entry.got.as_ref().map_or(0, Vec::len) as u64;
    match &entry.effect {
        Effect::Fails(errno) => Err(format!("{count}, but it must fail with {errno:?}")),
        Effect::Read { stream, .. } => {
            same(count, got, "bytes were read")?;
            let may_end = stream.is_none_or(|stream| book.streams[stream].ended);
            if count == 0 && len > 0 && !may_end {
                return Err("the end of a stream that has none".to_owned());
            }
            Ok(())
        }
        Effect::FileRead { file, offset } => {
            same(count, got, "bytes were read")?;
            let changes = &book.files[*file].changes;
            for (at, &byte) in (*offset..).zip(entry.got.iter().flatten()) {
                if !is_legal(changes, at, Byte::Is(byte), entry.begin, entry.end) {
                    return Err(format!("{byte} at {at} was never there"));
                }
            }
            Ok(())
        }
        Effect::Write { data, .. } => within(count, data.len() as u64),
        Effect::FileWrite { len, .. } => within(count, *len as u64),
        Effect::Seek { wanted: Some(wanted) } => {
            same(count, wanted.unsigned_abs(), "is the position")
        }
        Effect::Events(asked) => {
            // An error and a hang-up are told unasked.
            let known = u64::from(*asked) | 0x18;
            if count == 0 || count & !known != 0 {
                return Err(format!("events {count:#x}, asked for {asked:#x}"));
            }
            Ok(())
        }
        Effect::Sleeps if entry.deadline.as_nanos() > law.now_ns => {
            Err(format!("over at {}, before its time", law.now_ns))
        }
        Effect::Cancels(_) => {
            let others = book.entries.iter().filter(|other| other.begin <= entry.end).count();
            if count >= others as u64 {
                return Err(format!("{count} asked of {others}"));
            }
            Ok(())
        }
        Effect::MakesFd(_) | Effect::Seek { .. } => Ok(()),
        _ => same(count, 0, "is all it can say"),
    }
}

fn same(count: u64, expected: u64, what: &str) -> Result<(), String> {
    if count == expected { Ok(()) } else { Err(format!("{count}, but {expected} {what}")) }
}

fn within(count: u64, len: u64) -> Result<(), String> {
    match (count, len) {
        (0, 1..) => Err("nothing was written".to_owned()),
        _ if count > len => Err(format!("{count} of {len} bytes were written")),
        _ => Ok(()),
    }
}

/// Whether an order of the writes to a stream explains what was read, and what is left in it.
pub(super) fn stream(book: &Book, stream: usize, left: Option<Vec<u8>>) -> Verdict {
    let mut puts = Vec::new();
    let mut gots = Vec::new();
    let mut whole = left.is_some() && !book.streams[stream].lost;
    for entry in book.entries.iter().filter(|entry| entry.begin != u32::MAX) {
        let (begin, end) = (entry.begin, entry.end);
        match &entry.effect {
            Effect::Write { stream: Some(to), data } if *to == stream => {
                let count = entry.told.map(|told| usize::try_from(told).unwrap_or(0));
                puts.push(Put { data: data.clone(), count, begin, end });
            }
            Effect::Read { stream: Some(from), peek } if *from == stream => {
                match &entry.got {
                    Some(bytes) if !peek => gots.push(Got { bytes: bytes.clone(), begin, end }),
                    Some(_) => {}
                    // It flies still, and may have anything.
                    None => whole = false,
                }
            }
            _ => {}
        }
    }
    if is_cut(book, stream) {
        return Verdict::Explained;
    }
    let extra = &book.streams[stream];
    puts.extend(extra.puts.iter().cloned());
    gots.extend(extra.gots.iter().cloned());
    if let Some(bytes) = left {
        gots.push(Got { bytes, begin: u32::MAX, end: u32::MAX });
    }
    explain(&puts, &gots, whole)
}

/// Whether a read that waits for all it asked for was in flight with another one, which may have taken
/// something in between.
fn is_cut(book: &Book, stream: usize) -> bool {
    let reads = |entry: &&Entry| {
        let from =
            matches!(entry.effect, Effect::Read { stream: Some(from), .. } if from == stream);
        from && entry.begin != u32::MAX
    };
    let overlaps = |one: &Entry| {
        let with = |other: &Entry| {
            !core::ptr::eq(one, other) && one.begin <= other.end && other.begin <= one.end
        };
        let extra = &book.streams[stream].gots;
        book.entries.iter().filter(reads).any(with)
            || extra.iter().any(|got| one.begin <= got.end && got.begin <= one.end)
    };
    book.entries.iter().filter(reads).any(|entry| entry.waits_for_all && overlaps(entry))
}

/// Whether what is in a file now can be there.
pub(super) fn file(book: &Book, file: usize, content: &[u8]) -> Result<(), String> {
    let changes = &book.files[file].changes;
    for at in 0..content.len().max(256) {
        let seen = content.get(at).map_or(Byte::Nothing, |&byte| Byte::Is(byte));
        if !is_legal(changes, at, seen, u32::MAX - 1, u32::MAX - 1) {
            return Err(format!("{seen:?} at {at} of {} bytes is no write's", content.len()));
        }
    }
    Ok(())
}

/// Whether whoever wanted to hear of it has, seen from outside of every call.
pub(super) fn heard(entry: &Entry) -> Result<(), String> {
    let calls = entry.bell.calls();
    let expected = u32::from(entry.form == super::book::Form::Callback && !entry.waited);
    if entry.life == Life::Done && calls != expected {
        return Err(format!("{calls} calls of its callback, not {expected}"));
    }
    match entry.heard {
        Some(before) if !entry.waited && entry.bell.wakes() == before => {
            Err("done, and its waker was not woken".to_owned())
        }
        _ => Ok(()),
    }
}
