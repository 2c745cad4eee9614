//! Blocks, mappings and files for tests, made by the format alone.

use crate::format::{
    BLOCK_BYTES, Block, CONTINUED, Call, Event, Header, Live, MAGIC, Route, SLOT_BYTES, TEXT_BYTES,
    mark,
};
use core::mem::{offset_of, size_of};
use io_std::{Backend, Io};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An event and its text.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) event: Event,
    text: Vec<u8>,
}

impl Sample {
    /// A read of one byte that took one nanosecond, by thread 7.
    pub(crate) fn at(begin: u64) -> Sample {
        let event = Event {
            begin,
            took: 1,
            result: 1,
            argument: 1,
            fd: 3,
            other: -1,
            tid: 7,
            call: Call::Read as u16,
            flags: 0,
            text: 0,
        };
        Sample { event, text: Vec::new() }
    }

    pub(crate) fn call(mut self, call: Call) -> Sample {
        self.event.call = call as u16;
        self
    }

    pub(crate) fn fd(mut self, fd: i32) -> Sample {
        self.event.fd = fd;
        self
    }

    pub(crate) fn other(mut self, other: i32) -> Sample {
        self.event.other = other;
        self
    }

    pub(crate) fn result(mut self, result: i64) -> Sample {
        self.event.result = result;
        self
    }

    pub(crate) fn argument(mut self, argument: i64) -> Sample {
        self.event.argument = argument;
        self
    }

    pub(crate) fn took(mut self, took: u64) -> Sample {
        self.event.took = took;
        self
    }

    pub(crate) fn tid(mut self, tid: u32) -> Sample {
        self.event.tid = tid;
        self
    }

    pub(crate) fn flags(mut self, flags: u16) -> Sample {
        self.event.flags = flags;
        self
    }

    pub(crate) fn text(mut self, text: impl AsRef<[u8]>) -> Sample {
        self.text = text.as_ref().to_vec();
        self.event.text = u32::try_from(self.text.len()).expect("short");
        self
    }

    /// The event and its text, as a reader gives them.
    pub(crate) fn parts(&self) -> (&Event, &[u8]) {
        (&self.event, &self.text)
    }

    fn slots(&self, number: u64) -> Vec<u8> {
        let mark = mark(number);
        let event = &self.event;
        let mut slots = match event.is_short(!self.text.contains(&0)) {
            true => event.short(mark).to_vec(),
            false => event.wide(mark).concat(),
        };
        for piece in self.text.chunks(TEXT_BYTES) {
            let mut text = piece.to_vec();
            text.resize(TEXT_BYTES, 0);
            let words =
                text.chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().expect("8")));
            slots.extend(words.chain([u64::from(mark) | CONTINUED]));
        }
        slots.into_iter().flat_map(u64::to_ne_bytes).collect()
    }
}

/// A whole block with these events.
pub(crate) fn block(number: u64, samples: &[Sample]) -> Vec<u8> {
    let mut bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.slots(number)).collect();
    assert!(bytes.len() <= BLOCK_BYTES, "too many for a block");
    bytes.resize(BLOCK_BYTES, 0);
    bytes
}

/// A file with these blocks.
pub(crate) fn events_file(path: &Path, blocks: &[(u64, Vec<u8>)]) {
    let file = File::create(path).expect("created");
    for (number, bytes) in blocks {
        file.write_all_at(bytes, number * BLOCK_BYTES as u64).expect("written");
    }
}

/// A mapping of process `pid` that counted so many events, with these blocks: number, bytes, and how many of
/// those are in the file.
pub(crate) fn mapping(pid: u32, events: u64, blocks: &[(u64, Vec<u8>, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<Live>()];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(Header, magic), &MAGIC.to_ne_bytes());
    put(offset_of!(Header, pid), &pid.to_ne_bytes());
    put(offset_of!(Header, parent), &1_u32.to_ne_bytes());
    put(offset_of!(Header, events), &events.to_ne_bytes());
    put(offset_of!(Header, route), &(Route::Epoll as u32).to_ne_bytes());
    put(offset_of!(Header, writes), &2_u64.to_ne_bytes());
    put(offset_of!(Header, program), b"/bin/sample");
    put(offset_of!(Header, program_len), &11_u32.to_ne_bytes());
    for (index, (number, slots, written)) in blocks.iter().enumerate() {
        let at = offset_of!(Live, blocks) + index * size_of::<Block>();
        let used = slots.chunks(SLOT_BYTES).filter(|slot| slot.iter().any(|byte| *byte != 0));
        let committed = u32::try_from(used.count()).expect("few");
        put(at + offset_of!(Block, number), &(number + 1).to_ne_bytes());
        put(at + offset_of!(Block, committed), &committed.to_ne_bytes());
        put(at + offset_of!(Block, written), &written.to_ne_bytes());
        put(at + offset_of!(Block, slots), slots);
    }
    bytes
}

/// A backend that works everywhere, and without threads.
pub(crate) fn io() -> Io {
    Io::builder().backend(Backend::Pool).workers(0).build().expect("the pool works everywhere")
}

/// Numbers that are the same in each run (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Less than `limit`; 0 for 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).expect("64 bits").checked_rem(limit).unwrap_or(0)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_ne_bytes()[3]
    }
}
