//! Reads what a traced program has left: every life in a folder of mappings and a folder of files, each event once.

use super::format::{
    self, BLOCK_BYTES, BLOCKS, Block, CONTINUED, Call, Header, Live, MAGIC, SLOT_BYTES, SLOTS,
    WIDE, is_marked, mark,
};
use core::mem::{offset_of, size_of};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What is asked of an event here.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) call: &'static str,
    pub(crate) flags: u16,
    pub(crate) text: String,
}

/// One life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) name: String,
    pub(crate) events: Vec<Event>,
    /// As its header counts them.
    pub(crate) counted: u64,
    pub(crate) dropped: u64,
    pub(crate) failed: u64,
    pub(crate) route: u32,
    pub(crate) detours: u32,
    pub(crate) threads: u32,
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
    pub(crate) untraced: u64,
    /// How much of it was in the file.
    pub(crate) in_file: usize,
}

impl Life {
    /// Events that neither are there nor are known to be dropped; less than none is too many.
    pub(crate) fn missing(&self) -> i64 {
        let known = i64::try_from(self.counted - self.dropped).expect("counted");
        known - i64::try_from(self.events.len()).expect("few")
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.events.iter().filter(|event| event.call == call).count()
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))
}

/// All lives, by their names.
pub(crate) fn read(dir: &Path, spool: &Path) -> Vec<Life> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("the folder of mappings")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_str()?.strip_suffix(".live").map(str::to_owned)
        })
        .collect();
    names.sort();
    names.into_iter().map(|name| read_one(dir, spool, name)).collect()
}

fn read_one(dir: &Path, spool: &Path, name: String) -> Life {
    let mapping = fs::read(dir.join(format!("{name}.live"))).expect("a mapping");
    assert_eq!(mapping.len(), size_of::<Live>());
    assert_eq!(word(&mapping, 0), MAGIC, "{name}");
    let file = fs::read(spool.join(format!("{name}.events"))).unwrap_or_default();
    let mut blocks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for (number, bytes) in (0_u64..).zip(file.chunks(BLOCK_BYTES)) {
        let mut block = bytes.to_vec();
        block.resize(BLOCK_BYTES, 0);
        blocks.insert(number, block);
    }
    let in_file = blocks.iter().map(|(number, block)| events(*number, block).len()).sum();
    for at in 0..BLOCKS {
        let begin = offset_of!(Live, blocks) + at * size_of::<Block>();
        let (Some(number), slots) =
            (word(&mapping, begin).checked_sub(1), begin + offset_of!(Block, slots))
        else {
            continue;
        };
        let block = blocks.entry(number).or_insert_with(|| vec![0; BLOCK_BYTES]);
        for slot in 0..SLOTS {
            let from = slots + slot * SLOT_BYTES;
            let bytes = &mapping[from..from + SLOT_BYTES];
            if is_marked(word(bytes, SLOT_BYTES - 8), mark(number)) {
                block[slot * SLOT_BYTES..][..SLOT_BYTES].copy_from_slice(bytes);
            }
        }
    }
    let events = blocks.iter().flat_map(|(number, block)| events(*number, block)).collect();
    let number = |at| word(&mapping, at);
    Life {
        name,
        events,
        counted: number(offset_of!(Header, events)),
        dropped: number(offset_of!(Header, dropped)),
        failed: number(offset_of!(Header, failed)),
        route: half(&mapping, offset_of!(Header, route)),
        detours: half(&mapping, offset_of!(Header, detours)),
        threads: half(&mapping, offset_of!(Header, threads)),
        writes: number(offset_of!(Header, writes)),
        bytes: number(offset_of!(Header, bytes)),
        untraced: number(offset_of!(Header, untraced)),
        in_file,
    }
}

/// The events of a block that are whole.
fn events(number: u64, block: &[u8]) -> Vec<Event> {
    let mark = mark(number);
    let mut slots = block.chunks(SLOT_BYTES).map(|slot| [0, 1, 2, 3].map(|at| word(slot, at * 8)));
    let mut found = Vec::new();
    while let Some(first) = slots.next() {
        if !is_marked(first[3], mark) || first[3] & CONTINUED != 0 {
            continue;
        }
        let mut next = || {
            let slot = slots.next().expect("a slot");
            assert_eq!(slot[3], u64::from(mark) | CONTINUED, "a torn event");
            slot
        };
        let event = format::Event::read(first, || Some(next())).expect("read");
        let len = usize::try_from(event.text).expect("a length");
        let mut text = Vec::new();
        while text.len() < len {
            text.extend(next()[..3].iter().flat_map(|word| word.to_le_bytes()));
        }
        text.truncate(len);
        if first[3] & WIDE == 0 {
            text.truncate(text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        }
        let (_, _, name) = Call::ALL[usize::from(event.call)];
        let text = String::from_utf8_lossy(&text).into_owned();
        found.push(Event { call: name, flags: event.flags, text });
    }
    found
}
