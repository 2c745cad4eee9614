//! The event buffer: rooms in blocks, reserved and filled by any thread or signal handler, without a lock and without
//! a system call.
//!
//! One word says which block is open and how far it is reserved. Who reserves fills its slots, stores their
//! marks, and counts them as committed; the block is *full* when all its slots are. An event that does not fit into
//! what is left closes the block, and what is left is committed as padding. So every block gets full by the same
//! count, and who counts last need not be who reserved last.
//!
//! | state | meaning | next |
//! |---|---|---|
//! | `OPEN` | free (its number is 0) or being filled | `FULL`, by who commits its last slot |
//! | `FULL` | to be written | `SENT`, by who takes it |
//! | `SENT` | being written | `OPEN` when it is, `FULL` for the rest, `FAILED` |
//! | `FAILED` | could not be written, but is kept until its room is needed | `SENT` again, `OPEN` with its events lost |
//!
//! The next block, any that is free, is claimed by its number, and opened by the compare-exchange on that one word; whose
//! fails gives it back. So a thread that was interrupted with a room in hand holds one block up, and not
//! those after it.

use crate::format::{BLOCKS, Block, CONTINUED, SLOT_BYTES, SLOTS, Slot, is_marked, mark};
use crate::solo;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

const OPEN: u32 = 0;
const FULL: u32 = 1;
const SENT: u32 = 2;
const FAILED: u32 = 3;

/// Room for one event, to be filled and committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The block's number.
    pub(crate) number: u64,
    /// Which of the blocks it is in.
    pub(crate) index: usize,
    /// The first slot, and how many.
    pub(crate) first: usize,
    pub(crate) slots: usize,
    epoch: u32,
}

impl Room {
    /// What its slots are marked with.
    pub(crate) fn mark(&self) -> u32 {
        mark(self.number)
    }
}

/// A full block, in the hands of who writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full {
    pub(crate) index: usize,
    pub(crate) number: u64,
    /// From where to where in the block, in bytes.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// See the top of the file. The blocks themselves are in a mapping, and handed in.
pub(crate) struct Buffer {
    /// The open block's number, which of the blocks it is, and how much of it is reserved: see [`Head`].
    head: AtomicU64,
    states: [AtomicU32; BLOCKS],
    /// Slots that are not padding at the end.
    used: [AtomicU32; BLOCKS],
    /// Some block is `FULL`: to look at without looking at all.
    left: AtomicU32,
    /// How many of the blocks may be used; not even a look at the others is possible, where there is no room for them.
    usable: AtomicUsize,
    /// Raised when all begins anew in a forked child.
    epoch: AtomicU32,
}

/// The word of the open block, taken apart.
#[derive(Clone, Copy)]
struct Head {
    number: u64,
    index: usize,
    first: usize,
}

const INDEX_SHIFT: u32 = 11;
const NUMBER_SHIFT: u32 = 16;
const _: () = assert!(SLOTS < 1 << INDEX_SHIFT && BLOCKS <= 1 << (NUMBER_SHIFT - INDEX_SHIFT));

impl Head {
    const fn pack(self) -> u64 {
        self.number << NUMBER_SHIFT | (self.index as u64) << INDEX_SHIFT | self.first as u64
    }

    const fn unpack(word: u64) -> Head {
        let low = (word & ((1 << NUMBER_SHIFT) - 1)) as usize;
        let (index, first) = (low >> INDEX_SHIFT, low & ((1 << INDEX_SHIFT) - 1));
        Head { number: word >> NUMBER_SHIFT, index, first }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a few hundred")]
const WHOLE: u32 = SLOTS as u32;

impl Buffer {
    pub(crate) const fn new() -> Buffer {
        Buffer {
            head: AtomicU64::new(0),
            states: [const { AtomicU32::new(OPEN) }; BLOCKS],
            used: [const { AtomicU32::new(WHOLE) }; BLOCKS],
            left: AtomicU32::new(0),
            usable: AtomicUsize::new(BLOCKS),
            epoch: AtomicU32::new(0),
        }
    }

    /// Everything anew, over zeroed blocks that nobody else uses yet. Rooms of before are not committed.
    pub(crate) fn renew(&self, blocks: &[Block; BLOCKS], usable: usize) {
        self.usable.store(usable, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for state in &self.states {
            state.store(OPEN, Ordering::Relaxed);
        }
        for used in &self.used {
            used.store(WHOLE, Ordering::Relaxed);
        }
        self.left.store(0, Ordering::Relaxed);
        if let Some(block) = blocks.first() {
            block.number.store(1, Ordering::Relaxed);
        }
        self.head.store(0, Ordering::Release);
    }

    /// Room for `slots`, at least 1. `None` if there is none: no block, and `spare` beside it, is free.
    #[inline]
    pub(crate) fn reserve(
        &self,
        blocks: &[Block; BLOCKS],
        slots: usize,
        spare: usize,
        alone: bool,
    ) -> Option<Room> {
        self.reserve_here(slots, alone).or_else(|| self.reserve_next(blocks, slots, spare))
    }

    /// The same, in the block that is open.
    #[inline]
    pub(crate) fn reserve_here(&self, slots: usize, alone: bool) -> Option<Room> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let mut word = self.head.load(Ordering::Relaxed);
        loop {
            let Head { number, index, first } = Head::unpack(word);
            if first + slots > SLOTS {
                return None;
            }
            // Ordering: Acquire, what the block's opener saw of it is seen; Release, for the same.
            let next = Head { number, index, first: first + slots }.pack();
            match solo::exchange(&self.head, word, next, alone) {
                Ok(()) => return Some(Room { number, index, first, slots, epoch }),
                Err(now) => word = now,
            }
        }
    }

    #[cold]
    fn reserve_next(&self, blocks: &[Block; BLOCKS], slots: usize, spare: usize) -> Option<Room> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        loop {
            let word = self.head.load(Ordering::Acquire);
            let Head { number, index, first } = Head::unpack(word);
            let moved = |next: Head| {
                // Ordering: AcqRel, as in `reserve`.
                let next = next.pack();
                self.head.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            };
            if first + slots <= SLOTS && (slots > 0 || first == 0) {
                // Another thread has opened it.
                if moved(Head { number, index, first: first + slots }) {
                    return Some(Room { number, index, first, slots, epoch });
                }
                continue;
            }
            let usable = self.usable.load(Ordering::Acquire);
            let mut free =
                blocks.iter().take(usable).enumerate().filter(|(_, block)| is_free(block));
            let found = free.next();
            let Some((next, block)) = found.filter(|_| free.count() >= spare) else {
                if self.head.load(Ordering::Acquire) == word {
                    return None;
                }
                continue;
            };
            // Ordering: Acquire pairs with `free`. Before the head leads to it, so that it never looks free while it is
            // being filled, however long this thread is kept from its next step.
            let claim =
                block.number.compare_exchange(0, number + 2, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            if moved(Head { number: number + 1, index: next, first: slots }) {
                self.pad(blocks, index, first);
                return Some(Room { number: number + 1, index: next, first: 0, slots, epoch });
            }
            // In a child that a handler has forked it is another block, and claimed by nobody.
            if self.epoch.load(Ordering::Relaxed) == epoch {
                block.number.store(0, Ordering::Release);
            }
        }
    }

    /// How many of the blocks may be used.
    pub(crate) fn usable(&self) -> usize {
        self.usable.load(Ordering::Acquire)
    }

    /// More of them may be.
    pub(crate) fn extend(&self, usable: usize) {
        self.usable.fetch_max(usable, Ordering::AcqRel);
    }

    /// Closes the open block if anything is in it, so that it gets full when all its rooms are committed. `false` if
    /// no other is free.
    pub(crate) fn close(&self, blocks: &[Block; BLOCKS]) -> bool {
        let Head { first, .. } = Head::unpack(self.head.load(Ordering::Acquire));
        first == 0 || self.reserve_next(blocks, 0, 0).is_some()
    }

    /// Commits what nobody reserved.
    fn pad(&self, blocks: &[Block; BLOCKS], index: usize, first: usize) {
        if first < SLOTS {
            if let Some(used) = self.used.get(index) {
                used.store(narrow(first), Ordering::Relaxed);
            }
            self.add(blocks, index, SLOTS - first, false);
        }
    }

    /// The room is filled and marked.
    #[inline]
    pub(crate) fn commit(&self, blocks: &[Block; BLOCKS], room: Room, alone: bool) {
        if self.block(blocks, room).is_some() {
            self.add(blocks, room.index, room.slots, alone);
        }
    }

    /// The block that a room is in. `None` if it is another's by now: a signal handler may have forked since it was
    /// reserved, or the thread was stopped for so long that it was given up.
    #[inline]
    pub(crate) fn block<'b>(&self, blocks: &'b [Block; BLOCKS], room: Room) -> Option<&'b Block> {
        let block = blocks.get(room.index)?;
        let same = block.number.load(Ordering::Relaxed) == room.number + 1;
        (same && self.epoch.load(Ordering::Relaxed) == room.epoch).then_some(block)
    }

    #[inline]
    fn add(&self, blocks: &[Block; BLOCKS], index: usize, slots: usize, alone: bool) {
        let Some(block) = blocks.get(index) else { return };
        let slots = narrow(slots);
        // Ordering: Release, the slots come before; Acquire, who makes it full has seen all of them.
        if solo::add(&block.committed, slots, alone) + slots == WHOLE {
            self.set(index, FULL);
            self.left.store(1, Ordering::Release);
        }
    }

    fn set(&self, index: usize, state: u32) {
        if let Some(word) = self.states.get(index) {
            word.store(state, Ordering::Release);
        }
    }

    /// Whether there may be a full block.
    #[inline]
    pub(crate) fn has_full(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Takes full blocks, as long as there are any; also what failed, if `again`.
    pub(crate) fn take_full(&self, blocks: &[Block; BLOCKS], again: bool) -> Option<Full> {
        self.left.store(0, Ordering::SeqCst);
        for (index, (state, block)) in self.states.iter().zip(blocks).enumerate() {
            let now = state.load(Ordering::Acquire);
            if !(now == FULL || again && now == FAILED) {
                continue;
            }
            if state.compare_exchange(now, SENT, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // There may be more.
                self.left.store(1, Ordering::Release);
                let number = block.number.load(Ordering::Acquire).saturating_sub(1);
                let used = self.used.get(index).map_or(WHOLE, |used| used.load(Ordering::Relaxed));
                let from = block.written.load(Ordering::Relaxed) as usize;
                return Some(Full { index, number, from, to: used as usize * SLOT_BYTES });
            }
        }
        None
    }

    /// So many more bytes of a block that was taken are in the file. Whether that is all of them: then it is free.
    pub(crate) fn written(&self, blocks: &[Block; BLOCKS], index: usize, bytes: u32) -> bool {
        let (Some(block), Some(used)) = (blocks.get(index), self.used.get(index)) else {
            return true;
        };
        let written = block.written.load(Ordering::Relaxed).saturating_add(bytes);
        block.written.store(written, Ordering::Release);
        let whole = written as usize >= used.load(Ordering::Relaxed) as usize * SLOT_BYTES;
        if whole {
            self.free(block, index);
        } else {
            self.set(index, FULL);
            self.left.store(1, Ordering::Release);
        }
        whole
    }

    /// Whether any of a taken block is not in the file.
    pub(crate) fn is_unfinished(&self, blocks: &[Block; BLOCKS], index: usize) -> bool {
        let used = self.used.get(index).map_or(0, |used| used.load(Ordering::Relaxed));
        blocks.get(index).is_some_and(|block| {
            (block.written.load(Ordering::Relaxed) as usize) < used as usize * SLOT_BYTES
        })
    }

    fn free(&self, block: &Block, index: usize) {
        if let Some(used) = self.used.get(index) {
            used.store(WHOLE, Ordering::Relaxed);
        }
        block.committed.store(0, Ordering::Relaxed);
        block.written.store(0, Ordering::Relaxed);
        self.set(index, OPEN);
        // Ordering: Release, the next opener finds it clean.
        block.number.store(0, Ordering::Release);
    }

    /// A block that was taken could not be written: it is kept while there is other room.
    pub(crate) fn failed(&self, index: usize) {
        self.set(index, FAILED);
    }

    /// Frees the oldest block that could not be written. How many events are lost; `None` if there is no such block.
    pub(crate) fn give_up(&self, blocks: &[Block; BLOCKS]) -> Option<u64> {
        let failed = |(_, state): &(usize, &AtomicU32)| state.load(Ordering::Acquire) == FAILED;
        let number =
            |index: usize| blocks.get(index).map_or(0, |b| b.number.load(Ordering::Relaxed));
        let oldest = self.states.iter().enumerate().filter(failed).min_by_key(|(i, _)| number(*i));
        let (index, state) = oldest?;
        if state.compare_exchange(FAILED, SENT, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Some(0);
        }
        let block = blocks.get(index)?;
        let used = self.used.get(index).map_or(0, |used| used.load(Ordering::Relaxed));
        let from = block.written.load(Ordering::Relaxed) as usize / SLOT_BYTES;
        let lost = count_events(block, from, used as usize);
        self.free(block, index);
        Some(lost)
    }

    /// Makes the oldest block full whose rooms were reserved and never filled: a signal handler has left the middle
    /// of a recording for good. How many slots that were.
    pub(crate) fn give_up_rooms(&self, blocks: &[Block; BLOCKS]) -> u32 {
        let open = Head::unpack(self.head.load(Ordering::Acquire)).number;
        let waits = |(index, block): &(usize, &Block)| {
            let number = block.number.load(Ordering::Acquire);
            let state = self.states.get(*index).map_or(OPEN, |state| state.load(Ordering::Acquire));
            number != 0 && number <= open && state == OPEN
        };
        let oldest = blocks.iter().take(self.usable()).enumerate().filter(waits);
        let Some((index, block)) =
            oldest.min_by_key(|(_, block)| block.number.load(Ordering::Relaxed))
        else {
            return 0;
        };
        let missing = WHOLE.saturating_sub(block.committed.load(Ordering::Acquire));
        if missing > 0 {
            self.add(blocks, index, missing as usize, false);
        }
        missing
    }

    /// Whether any block is being written.
    pub(crate) fn is_sent(&self) -> bool {
        self.states.iter().any(|state| state.load(Ordering::Acquire) == SENT)
    }

    /// Whether any block is being written or to be written; and whether any that is closed is not committed.
    pub(crate) fn is_busy(&self, blocks: &[Block; BLOCKS]) -> (bool, bool) {
        let state = |word: &AtomicU32| word.load(Ordering::Acquire);
        let writing = self.states.iter().any(|word| matches!(state(word), FULL | SENT));
        let open = Head::unpack(self.head.load(Ordering::Acquire)).number;
        let filling = self.states.iter().zip(blocks).take(self.usable()).any(|(word, block)| {
            let number = block.number.load(Ordering::Acquire);
            // Not the open one, and not one that is claimed to be the next.
            state(word) == OPEN && number != 0 && number <= open
        });
        (writing, filling)
    }
}

fn is_free(block: &Block) -> bool {
    // Ordering: Acquire pairs with `free`.
    block.number.load(Ordering::Acquire) == 0
}

/// A number of slots; they are at most [`SLOTS`].
fn narrow(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(WHOLE)
}

/// Events that begin in these slots of a block.
fn count_events(block: &Block, from: usize, to: usize) -> u64 {
    let mark = mark(block.number.load(Ordering::Relaxed).wrapping_sub(1));
    let begins = |slot: &&Slot| {
        let [.., last] = &slot.words;
        let last = last.load(Ordering::Relaxed);
        is_marked(last, mark) && last & CONTINUED == 0
    };
    block.slots.iter().take(to).skip(from).filter(begins).count() as u64
}
