//! Where all choices come from: [`Random`], and the pattern that streams carry ([`fill`], [`first_wrong`]).

/// A small generator (splitmix64): the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One for this seed.
    pub(crate) const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// One of its own for somebody else.
    pub(crate) const fn child(&mut self) -> Random {
        Random(self.next())
    }

    /// Less than `limit`, which is not 0.
    #[expect(clippy::cast_possible_truncation, reason = "less than `limit`")]
    pub(crate) const fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Once in `count` times.
    pub(crate) const fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A size from 1 to `most`; small ones are as frequent as large ones.
    pub(crate) const fn size(&mut self, most: usize) -> usize {
        let bits = self.below(most.ilog2() as usize + 1);
        let size = (1 << bits) + self.below(1 << bits);
        if size > most { most } else { size }
    }
}

const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The byte at this position of the stream with this seed.
const fn byte(seed: u64, position: usize) -> u8 {
    mix(seed ^ (position as u64 / 8)).to_le_bytes()[position % 8]
}

/// The stream's bytes from `position` on.
pub(crate) fn fill(seed: u64, position: usize, len: usize) -> Vec<u8> {
    (position..position + len).map(|at| byte(seed, at)).collect()
}

/// The first of `bytes` that is not the stream's at `position` and on.
pub(crate) fn first_wrong(seed: u64, position: usize, bytes: &[u8]) -> Option<usize> {
    bytes.iter().enumerate().position(|(i, &got)| got != byte(seed, position + i))
}
