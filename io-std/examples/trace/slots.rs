//! Events out of the slots of a block. The bytes may be anything: a process may have been killed while it
//! wrote them, and any program may write into its own mapping.

use crate::format::{Event, LONGEST_TEXT, SLOT_BYTES, TEXT_BYTES, TEXT_MARK};
use core::mem::offset_of;

/// Where the mark is.
const MARK: usize = SLOT_BYTES - 8;

/// What a block is read into on its way: the text of one event.
#[derive(Default)]
pub(crate) struct Reader {
    text: Vec<u8>,
}

impl Reader {
    /// Calls `visit` with each event that is whole in block `number`, and its text. Its bytes may end early.
    pub(crate) fn events(
        &mut self,
        block: &[u8],
        number: u64,
        visit: &mut dyn FnMut(&Event, &[u8]),
    ) {
        let mark = number.wrapping_add(1);
        let mut slots = block.chunks_exact(SLOT_BYTES);
        while let Some(slot) = slots.next() {
            if long(slot, MARK) != mark {
                continue;
            }
            let event = event(slot);
            let len = usize::try_from(event.text).unwrap_or(usize::MAX);
            if len > LONGEST_TEXT {
                continue;
            }
            self.text.clear();
            // What is behind an event that is not whole is its text all the same: it is skipped with it.
            let mut whole = true;
            for _ in 0..len.div_ceil(TEXT_BYTES) {
                let Some(slot) = slots.next() else { return };
                whole &= long(slot, MARK) == mark | TEXT_MARK;
                self.text.extend(&slot[..TEXT_BYTES]);
            }
            if whole {
                self.text.truncate(len);
                visit(&event, &self.text);
            }
        }
    }
}

/// Four bytes of a place where there are as many; else 0.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_ne_bytes(four.unwrap_or_default())
}

/// Eight of them.
pub(crate) fn long(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
    u64::from_ne_bytes(eight.unwrap_or_default())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    u16::from_ne_bytes(two.unwrap_or_default())
}

fn event(slot: &[u8]) -> Event {
    Event {
        begin: long(slot, offset_of!(Event, begin)),
        nanos: long(slot, offset_of!(Event, nanos)),
        result: long(slot, offset_of!(Event, result)).cast_signed(),
        argument: long(slot, offset_of!(Event, argument)).cast_signed(),
        fd: word(slot, offset_of!(Event, fd)).cast_signed(),
        other: word(slot, offset_of!(Event, other)).cast_signed(),
        tid: word(slot, offset_of!(Event, tid)),
        call: half(slot, offset_of!(Event, call)),
        flags: half(slot, offset_of!(Event, flags)),
        text: word(slot, offset_of!(Event, text)),
        reserved: word(slot, offset_of!(Event, reserved)),
    }
}

#[cfg(test)]
mod tests {
    use super::{MARK, Reader};
    use crate::format::{BLOCK_BYTES, SLOT_BYTES, TEXT_MARK};
    use crate::samples::{Sample, block};

    fn read(block: &[u8], number: u64) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        Reader::default().events(block, number, &mut |event, text| {
            found.push((event.begin, text.to_vec()));
        });
        found
    }

    fn three() -> Vec<u8> {
        let long = "x".repeat(200);
        block(4, &[Sample::at(1), Sample::at(2).text(&long), Sample::at(3).text("short")])
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let found = read(&three(), 4);
        let texts: Vec<_> = found.iter().map(|(begin, text)| (*begin, text.len())).collect();
        assert_eq!(texts, [(1, 0), (2, 200), (3, 5)]);
        assert_eq!(found[2].1, b"short");
        assert_eq!(read(&three(), 5), [], "another block's marks");
        assert_eq!(read(&vec![0; BLOCK_BYTES], 0), [], "a hole");
    }

    #[test]
    fn a_slot_that_is_not_whole_takes_only_its_event_away() {
        let whole = three();
        // The event of slot 1 has its text in 2 to 5; slot 6 is the next one.
        for (torn, left) in [(0, [2, 3].as_slice()), (1, &[1, 3]), (3, &[1, 3]), (7, &[1, 2])] {
            let mut block = whole.clone();
            block[torn * SLOT_BYTES + MARK..][..8].fill(0);
            let found: Vec<_> = read(&block, 4).into_iter().map(|(begin, _)| begin).collect();
            assert_eq!(found, left, "slot {torn}");
        }
    }

    #[test]
    fn a_block_may_end_anywhere() {
        let whole = three();
        for len in 0..9 * SLOT_BYTES {
            let found = read(&whole[..len], 4);
            assert!(found.len() <= len / SLOT_BYTES);
        }
        // The longest text at the very end, which does not fit any more.
        let mut block = whole;
        let last = BLOCK_BYTES - SLOT_BYTES;
        block.copy_within(SLOT_BYTES..2 * SLOT_BYTES, last);
        assert_eq!(read(&block, 4).len(), 3);
    }

    #[test]
    fn any_bytes_are_no_panic() {
        let mut random = crate::samples::Random::new(1);
        for round in 0..2_000 {
            let mut block = if round % 2 == 0 { three() } else { vec![0; BLOCK_BYTES] };
            for _ in 0..random.below(400) {
                let at = random.below(block.len());
                block[at] = random.byte();
            }
            // Marks that fit, so that the bytes before them are looked at.
            for slot in 0..random.below(512) {
                let mark = 5 | (random.next() & TEXT_MARK);
                block[slot * SLOT_BYTES + MARK..][..8].copy_from_slice(&mark.to_ne_bytes());
            }
            block.truncate(random.below(BLOCK_BYTES));
            read(&block, 4);
        }
    }
}
