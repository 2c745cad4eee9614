//! Recording one event: reserve, fill, mark, commit.
//!
//! Nothing here takes a lock or makes a system call, and all of it may be interrupted by a signal handler that does
//! the same. What comes at the end of a block is `writer.rs`.

use crate::buffer::Room;
use crate::format::{
    BORROWED, Block, Call, LONGEST_TEXT, NESTED, SLOT_BYTES, Slot, TEXT_BYTES, TEXT_MARK,
};
use crate::hooks::vfork;
use crate::libc::now;
use crate::life::{BUFFER, Life};
use crate::local::{Local, local};
use crate::real::RESOLVING;
use crate::{quiet, writer};
use core::sync::atomic::Ordering;

/// What there is to say of a call.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) call: Call,
    /// When it began.
    pub(crate) begin: u64,
    pub(crate) result: i64,
    pub(crate) argument: i64,
    pub(crate) fd: i32,
    pub(crate) other: i32,
    /// Whether it matters whose it is: it changes what descriptors are open, or which program runs.
    pub(crate) whose: bool,
}

impl Event {
    /// Of a call that is over.
    #[inline]
    pub(crate) fn of(call: Call, begin: u64, result: i64) -> Event {
        Event { call, begin, result, argument: 0, fd: -1, other: -1, whose: false }
    }

    /// Of the tracer itself.
    pub(crate) fn note(call: Call) -> Event {
        Event { call, begin: now(), result: 0, argument: 0, fd: -1, other: -1, whose: false }
    }
}

/// When a call begins; 0 if it is not to be recorded.
#[inline]
pub(crate) fn begin() -> u64 {
    // A signal handler that interrupts a lookup is the program's all the same.
    let own = local().own.load(Ordering::Relaxed) & (RESOLVING - 1) != 0;
    if own || Life::get().is_none() { 0 } else { now() }
}

/// Records a call of the program's. `errno` is not changed.
#[inline]
pub(crate) fn record(event: &Event, text: &[u8]) {
    record_text(event, Text { one: text, two: None });
}

/// The same, with two texts and a NUL between them.
pub(crate) fn record_two(event: &Event, one: &[u8], two: &[u8]) {
    let one = one.get(..LONGEST_TEXT / 2).unwrap_or(one);
    record_text(event, Text { one, two: Some(two) });
}

#[inline]
fn record_text(event: &Event, text: Text<'_>) {
    let Some(life) = Life::own() else { return };
    put_text(life, event, text);
    if BUFFER.has_full() {
        writer::pump(life);
    }
}

/// What goes into the slots behind an event's. Not copied together: there may be little stack.
#[derive(Clone, Copy)]
struct Text<'t> {
    one: &'t [u8],
    two: Option<&'t [u8]>,
}

impl Text<'_> {
    fn len(self) -> usize {
        let second = self.two.map_or(0, |two| 1 + two.len());
        (self.one.len() + second).min(LONGEST_TEXT)
    }
}

/// The rest of the calling thread's words.
#[inline]
fn thread(life: Life, local: &Local) -> u32 {
    if local.life.load(Ordering::Relaxed) == Life::number() {
        return local.tid.load(Ordering::Relaxed);
    }
    meet(life, local)
}

fn own_number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}

#[cold]
fn meet(life: Life, local: &Local) -> u32 {
    let tid = if quiet::is_on() { quiet::next_thread() } else { own_number() };
    local.tid.store(tid, Ordering::Relaxed);
    local.life.store(Life::number(), Ordering::Relaxed);
    life.header().threads.fetch_add(1, Ordering::Relaxed);
    let mut room = [0; 16];
    let errno = crate::libc::errno();
    let name = if quiet::is_on() { &[] } else { crate::libc::thread_name(&mut room) };
    crate::libc::set_errno(errno);
    put(life, &Event::note(Call::Thread), name);
    tid
}

/// Records, and leaves full blocks to others.
pub(crate) fn put(life: Life, event: &Event, text: &[u8]) {
    put_text(life, event, Text { one: text, two: None });
}

fn put_text(life: Life, event: &Event, text: Text<'_>) {
    let nanos = now().saturating_sub(event.begin);
    let local = local();
    let mut tid = thread(life, local);
    let mut flags = 0;
    if event.whose && vfork::is_possible() && !quiet::is_on() && Life::is_borrowed() {
        flags |= BORROWED;
        tid = own_number();
    }
    let nested = local.inside.load(Ordering::Relaxed) != 0;
    local.inside.store(1, Ordering::Relaxed);
    if nested {
        flags |= NESTED;
    }
    let slots = 1 + text.len().div_ceil(TEXT_BYTES);
    // The last free block is for signal handlers, which wait for nobody.
    let spare = usize::from(!nested);
    let room = BUFFER
        .reserve(life.blocks(), slots, spare)
        .or_else(|| if nested { None } else { writer::make_room(life, slots) });
    if let Some(room) = room {
        let words = [
            event.begin,
            nanos,
            event.result.cast_unsigned(),
            event.argument.cast_unsigned(),
            pair(event.fd.cast_unsigned(), event.other.cast_unsigned()),
            pair(tid, u32::from(event.call as u16) | u32::from(flags) << 16),
            text.len() as u64,
        ];
        if let Some(block) = life.blocks().get(room.index).filter(|_| BUFFER.is_current(room)) {
            fill(block, room, &words, text);
        }
        life.header().events.fetch_add(1, Ordering::Relaxed);
        BUFFER.commit(life.blocks(), room);
    } else {
        life.header().dropped.fetch_add(1, Ordering::Relaxed);
        life.header().events.fetch_add(1, Ordering::Relaxed);
    }
    // Also if a handler comes in between: what an event says of it is all that depends on it.
    local.inside.store(0, Ordering::Relaxed);
}

#[inline]
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Writes the slots of one event; the mark of the first comes last of all.
#[inline]
fn fill(block: &Block, room: Room, words: &[u64; 7], text: Text<'_>) {
    let slots = block.slots.get(room.first..room.first + room.slots).unwrap_or(&[]);
    let Some((first, rest)) = slots.split_first() else { return };
    let [a, b, c, d, e, f, g, _] = &first.words;
    for (word, value) in [a, b, c, d, e, f, g].into_iter().zip(*words) {
        word.store(value, Ordering::Relaxed);
    }
    if !rest.is_empty() {
        fill_rest(rest, room, text);
    }
    mark(first, room.mark());
}

#[inline(never)]
fn fill_rest(slots: &[Slot], room: Room, text: Text<'_>) {
    if text.two.is_some() {
        fill_two(slots, text);
    } else {
        for (slot, chunk) in slots.iter().zip(text.one.chunks(TEXT_BYTES)) {
            fill_text(slot, chunk);
        }
    }
    slots.iter().for_each(|slot| mark(slot, room.mark() | TEXT_MARK));
}

fn fill_text(slot: &Slot, text: &[u8]) {
    for (word, bytes) in slot.words.iter().zip(text.chunks(8)) {
        let value = match <[u8; 8]>::try_from(bytes) {
            Ok(eight) => u64::from_le_bytes(eight),
            Err(_) => bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)),
        };
        word.store(value, Ordering::Relaxed);
    }
}

fn fill_two(slots: &[Slot], text: Text<'_>) {
    let mut bytes = text.one.iter().chain(&[0]).chain(text.two.unwrap_or(&[]));
    for word in slots.iter().flat_map(|slot| slot.words.iter().take(TEXT_BYTES / 8)) {
        let eight = core::array::from_fn(|_| bytes.next().copied().unwrap_or(0));
        word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
    }
}

#[inline]
fn mark(slot: &Slot, mark: u64) {
    let [.., last] = &slot.words;
    // Ordering: Release, the rest of the slot comes before.
    last.store(mark, Ordering::Release);
}

const _: () = assert!(SLOT_BYTES == size_of::<Slot>());
