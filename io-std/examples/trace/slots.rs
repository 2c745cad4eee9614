//! Events out of the slots of a block. The bytes may be anything: a process may have been killed while it
//! wrote them, and any program may write into its own mapping.

use crate::format::{CONTINUED, Event, LONGEST_TEXT, SLOT_BYTES, WIDE, WORDS, is_marked, mark};

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
        let mark = mark(number);
        let mut slots = block.chunks_exact(SLOT_BYTES).map(words);
        while let Some(first) = slots.next() {
            let [.., last] = first;
            if !is_marked(last, mark) || last & CONTINUED != 0 {
                continue;
            }
            // An event of which a slot is missing is no event, and nor is what is left of it.
            let continues =
                |[.., last]: &[u64; WORDS]| is_marked(*last, mark) && last & CONTINUED != 0;
            let second = || slots.next().filter(continues);
            let Some(mut event) = Event::read(first, second) else { continue };
            let len = usize::try_from(event.text).unwrap_or(usize::MAX);
            if len > LONGEST_TEXT {
                continue;
            }
            self.text.clear();
            while self.text.len() < len
                && let Some([text @ .., _]) = slots.next().filter(continues)
            {
                self.text.extend(text.iter().flat_map(|word| word.to_le_bytes()));
            }
            if self.text.len() < len {
                continue;
            }
            self.text.truncate(len);
            if last & WIDE == 0 {
                let end = self.text.iter().rposition(|byte| *byte != 0);
                self.text.truncate(end.map_or(0, |end| end + 1));
                event.text = u32::try_from(self.text.len()).unwrap_or(event.text);
            }
            visit(&event, &self.text);
        }
    }
}

fn words(slot: &[u8]) -> [u64; WORDS] {
    core::array::from_fn(|word| long(slot, word * 8))
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

#[cfg(test)]
mod tests {
    use super::Reader;
    use crate::format::Call;
    use crate::format::{BLOCK_BYTES, CONTINUED, SLOT_BYTES, WIDE};
    use crate::samples::{Sample, block};

    fn read(block: &[u8], number: u64) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        Reader::default().events(block, number, &mut |event, text| {
            found.push((event.begin, text.to_vec()));
        });
        found
    }

    /// Where the mark is.
    const MARK: usize = SLOT_BYTES - 8;

    /// The first takes one slot; the second is wide, and has nine of text; the third has one.
    fn three() -> Vec<u8> {
        let long = "x".repeat(200);
        let wide = Sample::at(2).text(&long).result(i64::MIN);
        block(4, &[Sample::at(1), wide, Sample::at(3).text("short")])
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

    /// At the limits of what a short event has room for, and beyond them.
    #[test]
    fn each_field_comes_out_as_it_went_in() {
        let numbers = [0, 1, -1, i64::MAX, i64::MIN, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32];
        let mut samples: Vec<Sample> = numbers
            .into_iter()
            .flat_map(|number| [Sample::at(9).result(number), Sample::at(9).argument(number)])
            .collect();
        samples
            .extend([-1, -100, 32_767, 32_768, -32_769, i32::MAX].map(|fd| Sample::at(9).fd(fd)));
        samples.extend([0, 7].map(|other| Sample::at(u64::MAX).other(other)));
        let longest = u64::from(u32::MAX);
        samples.extend([longest, longest + 1, u64::MAX].map(|took| Sample::at(9).took(took)));
        samples.extend([1, 2, 3].map(|flags| Sample::at(9).flags(flags).tid(u32::MAX)));
        let texts =
            ["", "a", "\0", "a\0b", "a\0", &"p".repeat(24), &"p".repeat(360), &"p".repeat(361)];
        samples.extend(texts.map(|text| Sample::at(9).text(text).call(Call::Tmpfile)));
        let mut found = Vec::new();
        Reader::default().events(&block(1 << 40, &samples), 1 << 40, &mut |event, text| {
            found.push((*event, text.to_vec()));
        });
        assert_eq!(found.len(), samples.len());
        for (sample, (event, text)) in samples.iter().zip(&found) {
            assert_eq!(sample.parts(), (event, text.as_slice()));
        }
    }

    #[test]
    fn a_slot_that_is_not_whole_takes_only_its_event_away() {
        let whole = three();
        for (torn, left) in
            [(0, [2, 3].as_slice()), (1, &[1, 3]), (2, &[1, 3]), (5, &[1, 3]), (13, &[1, 2])]
        {
            let mut block = whole.clone();
            block[torn * SLOT_BYTES + MARK..][..8].fill(0);
            let found: Vec<_> = read(&block, 4).into_iter().map(|(begin, _)| begin).collect();
            assert_eq!(found, left, "slot {torn}");
        }
    }

    #[test]
    fn a_block_may_end_anywhere() {
        let whole = three();
        for len in 0..16 * SLOT_BYTES {
            let found = read(&whole[..len], 4);
            assert!(found.len() <= len / SLOT_BYTES);
        }
        // A wide one at the very end, which does not fit any more.
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
                let mark = 5 | (random.next() & (CONTINUED | WIDE | 0xf << 32));
                block[slot * SLOT_BYTES + MARK..][..8].copy_from_slice(&mark.to_ne_bytes());
            }
            block.truncate(random.below(BLOCK_BYTES));
            read(&block, 4);
        }
    }
}
