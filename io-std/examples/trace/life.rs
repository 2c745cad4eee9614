//! One life of a process: what its mapping says, and its events from the file and from the mapping.

use crate::clock::{Clock, Moment};
use crate::format::{
    self, BLOCK_BYTES, BLOCKS, Block, Event, Live, MAGIC, Route, SLOT_BYTES, is_marked, mark,
};
use crate::slots::{Reader, long, word};
use core::mem::{offset_of, size_of};
use io_std::{File, Io};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Blocks of one read.
const READ_BLOCKS: usize = 8;

/// What a life said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    clock: u32,
    pub(crate) events: u64,
    pub(crate) dropped: u64,
    pub(crate) failed: u64,
    pub(crate) errno: u32,
    pub(crate) route: u32,
    pub(crate) detours: u32,
    pub(crate) threads: u32,
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
    pub(crate) untraced: u64,
    pub(crate) program: String,
}

macro_rules! field {
    ($read:ident, $bytes:expr, $name:ident) => {
        $read($bytes, offset_of!(format::Header, $name))
    };
}

impl Header {
    /// `None` if it is not of this version, or was never begun.
    fn read(bytes: &[u8]) -> Option<Header> {
        if field!(long, bytes, magic) != MAGIC {
            return None;
        }
        let start = offset_of!(format::Header, program);
        let len = usize::try_from(field!(word, bytes, program_len)).unwrap_or(usize::MAX);
        let program = bytes.get(start..start + len.min(1024)).unwrap_or_default();
        Some(Header {
            pid: field!(word, bytes, pid),
            parent: field!(word, bytes, parent),
            began: field!(long, bytes, began),
            ended: field!(long, bytes, ended),
            clock: field!(word, bytes, clock),
            events: field!(long, bytes, events),
            dropped: field!(long, bytes, dropped),
            failed: field!(long, bytes, failed),
            errno: field!(word, bytes, errno),
            route: field!(word, bytes, route),
            detours: field!(word, bytes, detours),
            threads: field!(word, bytes, threads),
            writes: field!(long, bytes, writes),
            bytes: field!(long, bytes, bytes),
            untraced: field!(long, bytes, untraced),
            program: String::from_utf8_lossy(program).into_owned(),
        })
    }

    /// The backend that wrote, in a word.
    pub(crate) fn route_name(&self) -> &'static str {
        match self.route {
            route if route == Route::Pool as u32 => "pool",
            route if route == Route::Epoll as u32 => "epoll",
            route if route == Route::Uring as u32 => "uring",
            _ => "none",
        }
    }

    /// How many events are missing, of which `found` were found.
    pub(crate) fn lost(&self, found: u64) -> u64 {
        self.events.saturating_sub(found).max(self.dropped)
    }
}

/// A block that was not written, or not all of it.
#[derive(Debug)]
struct Kept {
    number: u64,
    bytes: Vec<u8>,
}

/// One life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) header: Header,
    kept: Vec<Kept>,
    events: PathBuf,
    clock: Option<Clock>,
}

impl Life {
    /// Reads the mapping. Of its blocks only those are kept that the file does not have; the file is read
    /// later, and must stay. `None` for a mapping that says nothing.
    pub(crate) fn load(io: &Io, mapping: &Path, events: PathBuf) -> io::Result<Option<Life>> {
        let file = io.block_on(File::open(io, mapping))?;
        let head = read(io, &file, size_of::<format::Header>(), 0)?;
        let Some(header) = Header::read(&head) else { return Ok(None) };
        let mut kept = Vec::new();
        for index in 0..BLOCKS {
            let at = offset_of!(Live, blocks) + index * size_of::<Block>();
            let head = read(io, &file, offset_of!(Block, slots), at as u64)?;
            let Some(number) = long(&head, offset_of!(Block, number)).checked_sub(1) else {
                continue;
            };
            let written = word(&head, offset_of!(Block, written));
            let start = at + offset_of!(Block, slots);
            let bytes = read(io, &file, BLOCK_BYTES, start as u64)?;
            let block = Kept::new(number, bytes);
            if block.bytes.len() as u64 > u64::from(written) {
                kept.push(block);
            }
        }
        Ok(Some(Life { header, kept, events, clock: None }))
    }

    /// The file of events has this name now.
    pub(crate) fn move_to(&mut self, events: PathBuf) {
        self.events = events;
    }

    /// Its times are nanoseconds from now on; it was lived between these two.
    pub(crate) fn set_clock(&mut self, first: Moment, last: Moment) {
        let clock = Clock::of(self.header.clock, first, last);
        for time in [&mut self.header.began, &mut self.header.ended] {
            if *time != 0 {
                *time = clock.at(*time);
            }
        }
        self.clock = Some(clock);
    }

    /// Calls `visit` with each event and its text, each once: block after block of the file, and then what
    /// only the mapping has.
    pub(crate) fn each(&self, io: &Io, mut visit: impl FnMut(&Event, &[u8])) -> io::Result<()> {
        let mut visit = |event: &Event, text: &[u8]| match self.clock {
            None => visit(event, text),
            Some(clock) => {
                let (begin, took) = (clock.at(event.begin), clock.span(event.took));
                visit(&Event { begin, took, ..*event }, text);
            }
        };
        let mut reader = Reader::default();
        let done = self.each_written(io, &mut reader, &mut visit);
        for block in &self.kept {
            reader.events(&block.bytes, block.number, &mut visit);
        }
        done
    }

    fn each_written(
        &self,
        io: &Io,
        reader: &mut Reader,
        visit: &mut dyn FnMut(&Event, &[u8]),
    ) -> io::Result<()> {
        let file = match io.block_on(File::open(io, &self.events)) {
            Ok(file) => file,
            // Nothing was written.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut buf = Vec::with_capacity(READ_BLOCKS * BLOCK_BYTES);
        let mut number = 0;
        while let Some(next) = next_data(&file, number)? {
            number = next;
            let (count, back) = io.block_on(file.read_at(buf, number * BLOCK_BYTES as u64));
            buf = back;
            if count? == 0 {
                break;
            }
            for block in buf.chunks(BLOCK_BYTES) {
                if !self.kept.iter().any(|kept| kept.number == number) {
                    reader.events(block, number, visit);
                }
                number += 1;
            }
        }
        Ok(())
    }
}

impl Kept {
    /// Without what is behind the last slot in use: nothing was there yet, or it is of an earlier block.
    fn new(number: u64, mut bytes: Vec<u8>) -> Kept {
        let mark = mark(number);
        let ours = |slot: &[u8]| is_marked(long(slot, SLOT_BYTES - 8), mark);
        let used = bytes.chunks(SLOT_BYTES).rposition(ours);
        bytes.truncate(used.map_or(0, |last| (last + 1) * SLOT_BYTES));
        bytes.shrink_to_fit();
        Kept { number, bytes }
    }
}

/// The first block from `number` on that is no hole.
fn next_data(file: &File, number: u64) -> io::Result<Option<u64>> {
    let Some(offset) = number.checked_mul(BLOCK_BYTES as u64) else { return Ok(None) };
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data / BLOCK_BYTES as u64)),
        Err(Errno::NXIO | Errno::OVERFLOW | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Up to `len` bytes; fewer where the file ends.
fn read(io: &Io, file: &File, len: usize, offset: u64) -> io::Result<Vec<u8>> {
    let (count, bytes) = io.block_on(file.read_at(Vec::with_capacity(len), offset));
    let mut bytes = bytes;
    bytes.truncate(count?.min(len));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::Life;
    use crate::format::{BLOCK_BYTES, Live, SLOT_BYTES};
    use crate::samples::{Random, Sample, block, events_file, io, mapping};
    use std::fs;
    use std::path::Path;

    fn begins(life: &Life) -> Vec<u64> {
        let mut found = Vec::new();
        life.each(&io(), |event, _| found.push(event.begin)).expect("read");
        found
    }

    fn load(dir: &Path) -> Option<Life> {
        Life::load(&io(), &dir.join("7-0.live"), dir.join("7-0.events")).expect("loaded")
    }

    #[test]
    fn each_event_once_wherever_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let number = |number, at| block(number, &[Sample::at(at), Sample::at(at + 1)]);
        // 0 is only in the file; 1 in both, and the mapping says so; 2 is half in the file; 3 only mapped.
        let halfway = number(2, 30)[..SLOT_BYTES].to_vec();
        events_file(
            &dir.path().join("7-0.events"),
            &[(0, number(0, 10)), (1, number(1, 20)), (2, halfway)],
        );
        let blocks = [(1, number(1, 20), 64), (2, number(2, 30), 32), (3, number(3, 40), 0)];
        fs::write(dir.path().join("7-0.live"), mapping(7, 8, &blocks)).expect("written");
        let life = load(dir.path()).expect("a life");
        assert_eq!(begins(&life), [10, 11, 20, 21, 30, 31, 40, 41]);
        assert_eq!((life.header.pid, life.header.lost(8), life.header.lost(6)), (7, 0, 2));
        assert_eq!(life.header.program, "/bin/sample");
    }

    #[test]
    fn holes_are_skipped_and_no_file_is_no_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("7-0.events");
        fs::write(dir.path().join("7-0.live"), mapping(7, 0, &[])).expect("written");
        assert_eq!(begins(&load(dir.path()).expect("a life")), [0; 0]);
        let far = 1_u64 << 20;
        events_file(&file, &[(far, block(far, &[Sample::at(5)]))]);
        let end = fs::File::options().write(true).open(&file).expect("opens");
        end.set_len(1 << 42).expect("extended");
        assert_eq!(begins(&load(dir.path()).expect("a life")), [5]);
    }

    #[test]
    fn what_is_no_mapping_is_no_life() {
        let dir = tempfile::tempdir().expect("a directory");
        let whole = mapping(7, 0, &[]);
        assert_eq!(whole.len(), size_of::<Live>());
        for len in [0, 1, 7, 8, 100, 4096, 5000, whole.len()] {
            fs::write(dir.path().join("7-0.live"), &whole[..len]).expect("written");
            assert_eq!(load(dir.path()).is_some(), len >= 8, "{len} bytes");
        }
        fs::write(dir.path().join("7-0.live"), vec![b'x'; whole.len()]).expect("written");
        assert!(load(dir.path()).is_none());
    }

    #[test]
    fn any_bytes_are_no_panic() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut random = Random::new(2);
        let sample = block(0, &[Sample::at(1).text("a name"), Sample::at(2)]);
        for _ in 0..60 {
            let mut live = mapping(7, 3, &[(0, sample.clone(), 0), (1, sample.clone(), 64)]);
            let mut events = [sample.clone(), sample.clone()].concat();
            for _ in 0..3_000 {
                let at = 8 + random.below(live.len() - 8);
                live[at] = random.byte();
                let at = random.below(events.len());
                events[at] = random.byte();
            }
            // The header and the blocks' own are small: hit them too.
            for _ in 0..200 {
                let at = 8 + random.below(200);
                live[at] = random.byte();
            }
            live.truncate(8 + random.below(live.len()));
            events.truncate(random.below(2 * BLOCK_BYTES));
            fs::write(dir.path().join("7-0.live"), &live).expect("written");
            fs::write(dir.path().join("7-0.events"), &events).expect("written");
            if let Some(life) = load(dir.path()) {
                begins(&life);
            }
        }
    }
}
