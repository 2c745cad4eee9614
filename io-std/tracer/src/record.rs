//! Recording one event: reserve, fill, mark, commit.
//!
//! Nothing here takes a lock or makes a system call, and all of it may be interrupted by a signal handler that does
//! the same. What comes at the end of a block is `writer.rs`.

use crate::buffer::Room;
use crate::format::{
    self, BORROWED, CONTINUED, Call, LONGEST_TEXT, NESTED, Slot, TEXT_BYTES, WORDS,
};
use crate::hooks::vfork;
use crate::life::{BUFFER, Life};
use crate::local::{Local, local};
use crate::real::RESOLVING;
use crate::{clock, quiet, solo, writer};
use core::sync::atomic::Ordering;
use core::{array, mem};

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
        Event { call, begin: clock::now(), result: 0, argument: 0, fd: -1, other: -1, whose: false }
    }
}

/// When a call begins; 0 if it is not to be recorded.
#[inline]
pub(crate) fn begin() -> u64 {
    // A signal handler that interrupts a lookup is the program's all the same.
    let own = local().own.load(Ordering::Relaxed) & (RESOLVING - 1) != 0;
    if own || Life::get().is_none() { 0 } else { clock::now() }
}

/// Records a call of the program's, with a string. `errno` is not changed.
#[inline]
pub(crate) fn record(event: &Event, text: &[u8]) {
    record_text(event, Text { one: text, two: None, plain: true });
}

/// The same, with any bytes.
pub(crate) fn record_bytes(event: &Event, bytes: &[u8]) {
    record_text(event, Text { one: bytes, two: None, plain: false });
}

/// The same, with two texts and a NUL between them.
pub(crate) fn record_two(event: &Event, one: &[u8], two: &[u8]) {
    let one = one.get(..LONGEST_TEXT / 2).unwrap_or(one);
    record_text(event, Text { one, two: Some(two), plain: false });
}

#[inline]
fn record_text(event: &Event, text: Text<'_>) {
    let Some(life) = Life::own() else { return };
    let took = took(event);
    if !(text.is_nothing() && put_short(life, event, took)) {
        put_text(life, event, took, text);
    }
    if BUFFER.has_full() {
        writer::pump(life);
    }
}

/// How long the call was under way.
#[inline]
fn took(event: &Event) -> u64 {
    clock::now().saturating_sub(event.begin)
}

/// What goes into the slots behind an event's. Not copied together: there may be little stack.
#[derive(Clone, Copy)]
struct Text<'t> {
    one: &'t [u8],
    two: Option<&'t [u8]>,
    /// There is no zero byte in it.
    plain: bool,
}

impl Text<'_> {
    #[inline]
    fn is_nothing(self) -> bool {
        self.one.is_empty() && self.two.is_none()
    }

    /// In bytes.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a few thousand at most")]
    fn len(self) -> u32 {
        let second = self.two.map_or(0, |two| 1 + two.len());
        (self.one.len() + second).min(LONGEST_TEXT) as u32
    }

    #[inline]
    fn slots(self) -> usize {
        if self.is_nothing() {
            return 0;
        }
        (self.len() as usize).div_ceil(TEXT_BYTES)
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
    put_text(life, event, took(event), Text { one: text, two: None, plain: true });
}

/// Records what most events are, where it takes few instructions: one slot, in the block that is open, by the only thread.
/// `false` if it is not that.
#[inline(never)]
fn put_short(life: Life, event: &Event, took: u64) -> bool {
    let local = local();
    if event.whose || !is_alone() || local.life.load(Ordering::Relaxed) != Life::number() {
        return false;
    }
    let inside = local.inside.load(Ordering::Relaxed);
    let flags = if inside == 0 { 0 } else { NESTED };
    let event = whole(event, took, local.tid.load(Ordering::Relaxed), flags, 0);
    if !event.is_short(true) {
        return false;
    }
    local.inside.store(1, Ordering::Relaxed);
    let room = BUFFER.reserve_here(1, true);
    if let Some(room) = room {
        if let Some(slot) = slots(life, room).first() {
            put_slot(slot, event.short(room.mark()));
        }
        finish(life, room, true);
    }
    // Also if a handler comes in between: what an event says of it is all that depends on it.
    local.inside.store(if room.is_some() { 0 } else { inside }, Ordering::Relaxed);
    room.is_some()
}

fn put_text(life: Life, event: &Event, took: u64, text: Text<'_>) {
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
    let event = whole(event, took, tid, flags, text.len());
    let need = Slots { wide: !event.is_short(text.plain), texts: text.slots() };
    let alone = is_alone();
    // The last free block is for signal handlers, which wait for nobody.
    let spare = usize::from(!nested);
    let room = BUFFER
        .reserve(life.blocks(), need.count(), spare, alone)
        .or_else(|| if nested { None } else { writer::make_room(life, need.count()) });
    if let Some(room) = room {
        fill(slots(life, room), room, &event, need, text);
        finish(life, room, alone);
    } else {
        life.header().dropped.fetch_add(1, Ordering::Relaxed);
        life.header().events.fetch_add(1, Ordering::Relaxed);
    }
    // Also if a handler comes in between: what an event says of it is all that depends on it.
    local.inside.store(0, Ordering::Relaxed);
}

/// Whether no other thread is in this memory.
#[inline]
fn is_alone() -> bool {
    solo::is_alone() && !vfork::has_cloned()
}

/// All that an event says.
#[inline]
fn whole(event: &Event, took: u64, tid: u32, flags: u16, text: u32) -> format::Event {
    format::Event {
        begin: event.begin,
        took,
        result: event.result,
        argument: event.argument,
        fd: event.fd,
        other: event.other,
        tid,
        call: event.call as u16,
        flags,
        text,
    }
}

/// The slots of a room; none if its block is another's by now.
#[inline]
fn slots(life: Life, room: Room) -> &'static [Slot] {
    let block = BUFFER.block(life.blocks(), room);
    block.and_then(|block| block.slots.get(room.first..room.first + room.slots)).unwrap_or(&[])
}

/// Counts an event, whose slots are filled.
#[inline]
fn finish(life: Life, room: Room, alone: bool) {
    solo::count(&life.header().events, alone);
    BUFFER.commit(life.blocks(), room, alone);
}

/// What an event needs.
#[derive(Clone, Copy)]
struct Slots {
    wide: bool,
    texts: usize,
}

impl Slots {
    #[inline]
    fn count(self) -> usize {
        1 + usize::from(self.wide) + self.texts
    }
}

/// Writes the slots of one event; the mark of the first comes last of all.
#[inline]
fn fill(slots: &[Slot], room: Room, event: &format::Event, need: Slots, text: Text<'_>) {
    let Some((first, rest)) = slots.split_first() else { return };
    if need.wide {
        fill_wide(first, rest, room, event, text);
    } else {
        if !rest.is_empty() {
            fill_text(rest, room, text);
        }
        put_slot(first, event.short(room.mark()));
    }
}

#[inline(never)]
fn fill_wide(first: &Slot, rest: &[Slot], room: Room, event: &format::Event, text: Text<'_>) {
    let [one, two] = event.wide(room.mark());
    if let Some((second, rest)) = rest.split_first() {
        fill_text(rest, room, text);
        put_slot(second, two);
    }
    put_slot(first, one);
}

/// Writes one slot, its mark last.
#[inline]
fn put_slot(slot: &Slot, words: [u64; WORDS]) {
    let [a, b, c, mark] = &slot.words;
    let [first, second, third, last] = words;
    a.store(first, Ordering::Relaxed);
    b.store(second, Ordering::Relaxed);
    c.store(third, Ordering::Relaxed);
    // Ordering: Release, the rest of the slot comes before.
    mark.store(last, Ordering::Release);
}

#[inline(never)]
fn fill_text(slots: &[Slot], room: Room, text: Text<'_>) {
    let last = u64::from(room.mark()) | CONTINUED;
    if let Some(two) = text.two {
        let mut bytes = text.one.iter().chain(&[0]).chain(two);
        for slot in slots {
            let mut word =
                || u64::from_le_bytes(array::from_fn(|_| bytes.next().copied().unwrap_or(0)));
            put_slot(slot, [word(), word(), word(), last]);
        }
        return;
    }
    for (slot, chunk) in slots.iter().zip(text.one.chunks(TEXT_BYTES)) {
        let (words, rest) = chunk.as_chunks::<8>();
        let mut words = words.iter().copied().map(u64::from_le_bytes);
        let mut rest = rest.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let mut word = || words.next().unwrap_or_else(|| mem::take(&mut rest));
        put_slot(slot, [word(), word(), word(), last]);
    }
}
