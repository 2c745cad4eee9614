//! The bytes of an input as numbers. Where they end, every further number is 0.

/// Reads an input from its start.
#[derive(Clone, Debug)]
pub struct Input<'d> {
    rest: &'d [u8],
}

/// Numbers at which something changes: for lengths, offsets, descriptors and flags of every width.
const EDGES: [u64; 32] = [
    0,
    1,
    2,
    7,
    8,
    1023,
    1024,
    1025,
    4095,
    4096,
    0xffff,
    0x1_0000,
    0x7fff_efff,
    0x7fff_f000,
    0x7fff_f001,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_f000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x1_0000_0064,
    0x7fff_ffff_ffff_f000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    u64::MAX - 0xfff,
    u64::MAX - 99,
    u64::MAX - 2,
    u64::MAX - 1,
    u64::MAX,
];

impl<'d> Input<'d> {
    /// The numbers in `data`.
    #[must_use]
    pub fn new(data: &'d [u8]) -> Input<'d> {
        Input { rest: data }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// One of `0..count`; `count` is at most 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// Any number of 64 bits: an edge, one beside it, or the next eight bytes.
    pub fn word(&mut self) -> u64 {
        let choice = self.byte();
        let edge = EDGES[usize::from(choice) % EDGES.len()];
        match choice / 32 {
            0..=3 => edge,
            4 => edge.wrapping_add(u64::from(self.byte())),
            5 => edge.wrapping_sub(u64::from(self.byte())),
            _ => u64::from_le_bytes(core::array::from_fn(|_| self.byte())),
        }
    }

    /// Any number of 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    pub fn half(&mut self) -> u32 {
        self.word() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::Input;

    #[test]
    fn numbers_come_from_the_bytes_and_end_in_zeros() {
        let mut input = Input::new(&[5, 19, 128 + 2, 3, 255, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(input.below(4), 1);
        assert_eq!(input.word(), 0xffff_ffff);
        assert_eq!(input.word(), 2 + 3);
        assert_eq!(input.word(), 0x0807_0605_0403_0201);
        assert!(input.is_empty());
        assert_eq!((input.byte(), input.half(), input.below(9)), (0, 0, 0));
    }
}
