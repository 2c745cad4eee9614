//! Full blocks go to the file through the library: one operation per block, in static storage, with a callback.
//!
//! Whoever finds a full block submits it and polls once, without waiting. All of this happens with the thread's
//! signals blocked: so no handler meets a half-done call of the library, and one that leaves for good (`siglongjmp`)
//! can only leave a recording. It does not happen on a signal stack, which may be small, nor in a child of `vfork`,
//! which is the parent's to go on with.
#![allow(unsafe_code, reason = "makes operations on the mapping, in static storage")]
//! # Safety
//! * W1: a block that was taken (`SENT`) and its storage belong to who took it until the callback or `send` itself gives it
//!   back; so one operation at a time is in a storage, and it is done before the next.
//! * W2: the blocks are in a mapping that is never unmapped, and a taken block's slots are not written.

use crate::buffer::{Full, Room};
use crate::files::{self, EVENTS};
use crate::format::{BLOCK_BYTES, BLOCKS};
use crate::libc::{Blocked, errno, is_on_signal_stack, now, set_errno};
use crate::life::{BUFFER, Life};
use crate::local::local;
use crate::ours;
use crate::quiet;
use crate::route::{self, Backend};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use io_core::op::{Op, Pwrite};
use io_core::{Errno, Fd, IoAwaitable, Seekable};

/// One block's operation.
struct Storage(UnsafeCell<MaybeUninit<IoAwaitable<Backend>>>);

// SAFETY: W1.
unsafe impl Sync for Storage {}

static WRITES: [Storage; BLOCKS] =
    [const { Storage(UnsafeCell::new(MaybeUninit::uninit())) }; BLOCKS];

/// The right of the calling thread to use the library.
struct Turn {
    errno: i32,
    exclusive: bool,
    _signals: Blocked,
}

/// Why there is no turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// Not here: see the top of the file.
    Here,
    /// Not now: another thread has the backend to itself.
    Now,
}

/// Whether a thread has the backend to itself.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// How many turns there are, and whether descriptors are being moved, which is when there is none.
static TURNS: AtomicU32 = AtomicU32::new(0);
static MOVING: AtomicBool = AtomicBool::new(false);

/// In a forked child: whoever has it is not there.
pub(crate) fn renew() {
    TAKEN.store(false, Ordering::SeqCst);
    TURNS.store(0, Ordering::SeqCst);
    MOVING.store(false, Ordering::SeqCst);
}

impl Turn {
    fn begin() -> Result<Turn, Refused> {
        let errno = errno();
        if local().own.load(Ordering::Relaxed) != 0
            || quiet::is_on()
            || Life::is_borrowed()
            || is_on_signal_stack()
        {
            set_errno(errno);
            return Err(Refused::Here);
        }
        let signals = Blocked::new().ok_or(Refused::Here)?;
        // Ordering: SeqCst, with `give_way`: one of the two sees the other.
        TURNS.fetch_add(1, Ordering::SeqCst);
        let exclusive = route::is_exclusive();
        if MOVING.load(Ordering::SeqCst) || exclusive && TAKEN.swap(true, Ordering::Acquire) {
            TURNS.fetch_sub(1, Ordering::SeqCst);
            return Err(Refused::Now);
        }
        local().own.store(1, Ordering::Relaxed);
        Ok(Turn { errno, exclusive, _signals: signals })
    }

    /// As [`begin`](Self::begin), also if that takes a moment.
    fn await_until(deadline: u64) -> Option<Turn> {
        loop {
            match Turn::begin() {
                Ok(turn) => return Some(turn),
                Err(Refused::Now) if now() < deadline => rustix::thread::sched_yield(),
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        local().own.store(0, Ordering::Relaxed);
        if self.exclusive {
            TAKEN.store(false, Ordering::Release);
        }
        TURNS.fetch_sub(1, Ordering::SeqCst);
        set_errno(self.errno);
    }
}

/// Writes the full blocks.
#[cold]
pub(crate) fn pump(life: Life) {
    if let Ok(turn) = Turn::begin() {
        write_all(life, false);
        poll(Duration::ZERO);
        if turn.exclusive {
            settle(life);
        }
        drop(turn);
    }
}

/// Waits for what a ring has. Its completions come by way of the thread that submitted: a later one would interrupt
/// whatever that thread waits in then.
fn settle(life: Life) {
    let deadline = now().saturating_add(LONGEST_WAIT);
    while BUFFER.is_sent() && now() < deadline {
        poll(Duration::from_millis(1));
        write_all(life, false);
    }
    if BUFFER.is_sent() {
        // The kernel takes nothing any more, and does not say so: a filter may answer anything. What the ring has stays in
        // the mapping.
        route::detour(life, false);
    }
}

/// The program is about to put a descriptor where one of ours is: ours go elsewhere. `false` if that cannot be done.
#[cold]
pub(crate) fn give_way(fd: i32) -> bool {
    let errno = errno();
    let away = make_way(fd);
    set_errno(errno);
    away
}

fn make_way(fd: i32) -> bool {
    // A child of vfork has descriptors of its own, which are of no use to it; beyond its limit the kernel refuses it.
    let Some(life) = Life::own().filter(|_| !Life::is_borrowed() && ours::is_in_reach(fd)) else {
        return true;
    };
    if quiet::is_on() {
        ours::forget();
        return true;
    }
    let Some(_signals) = Blocked::new() else { return false };
    let deadline = now().saturating_add(60 * LONGEST_WAIT);
    let await_until = |ready: &dyn Fn() -> bool| {
        while !ready() {
            if now() > deadline {
                return false;
            }
            rustix::thread::sched_yield();
        }
        true
    };
    if !await_until(&|| !MOVING.swap(true, Ordering::SeqCst)) {
        return false;
    }
    if !await_until(&|| TURNS.load(Ordering::SeqCst) == 0) {
        MOVING.store(false, Ordering::SeqCst);
        return false;
    }
    local().own.store(1, Ordering::Relaxed);
    if ours::is_protected(fd) {
        settle(life);
        ours::leave();
        route::detour(life, true);
    }
    local().own.store(0, Ordering::Relaxed);
    MOVING.store(false, Ordering::SeqCst);
    true
}

fn write_all(life: Life, again: bool) {
    // What fails at once would be taken for ever.
    for _ in 0..BLOCKS {
        let Some(full) = BUFFER.take_full(life.blocks(), again) else { return };
        send(life, full);
    }
}

fn poll(timeout: Duration) {
    if let Some(backend) = route::backend() {
        // It cannot fail but for a descriptor that was closed, which the next write finds out.
        let _: Result<usize, Errno> = backend.poll(Some(timeout));
    }
}

/// Submits one block.
fn send(life: Life, full: Full) {
    let (Some(block), Some(storage)) = (life.blocks().get(full.index), WRITES.get(full.index))
    else {
        return;
    };
    let len = full.to.saturating_sub(full.from);
    let at = full.number.saturating_mul(BLOCK_BYTES as u64).saturating_add(full.from as u64);
    if !files::fits(at.saturating_add(len as u64)) {
        return fail(life, full.index, Errno::FBIG);
    }
    if !EVENTS.is_ours() && !recover(life) {
        return fail(life, full.index, Errno::BADF);
    }
    let Some(backend) = route::backend() else { return fail(life, full.index, Errno::NODEV) };
    let buf = ptr::from_ref(&block.slots).cast::<u8>().wrapping_add(full.from);
    let (fd, seekable) = (Fd::new(EVENTS.fd()), Seekable::Proven);
    let op = Op::Pwrite(Pwrite { fd, seekable, buf, len, offset: at.cast_signed() });
    // SAFETY: W2, the block is valid for ever and is not written until the operation is done.
    let write = unsafe { IoAwaitable::new(backend, op) };
    // SAFETY: W1: nobody else is at the storage, and what was in it is done.
    let storage = unsafe { &mut *storage.0.get() };
    // SAFETY: in static storage, never moved; it is written over only when it is done, with nothing to drop.
    let write = unsafe { Pin::new_unchecked(storage.write(write)) };
    let context = ptr::without_provenance_mut(full.index);
    if let Err(errno) = write.submit_with_callback(written, context) {
        fail(life, full.index, errno);
    }
}

/// The callback: the operation is done.
fn written(context: *mut (), result: i64) {
    let index = context.addr();
    let Some(life) = Life::current() else { return };
    match u32::try_from(result) {
        Ok(bytes) => {
            let header = life.header();
            header.writes.fetch_add(1, Ordering::Relaxed);
            header.bytes.fetch_add(u64::from(bytes), Ordering::Relaxed);
            if bytes == 0 && BUFFER.is_unfinished(life.blocks(), index) {
                return fail(life, index, Errno::IO);
            }
            BUFFER.written(life.blocks(), index, bytes);
        }
        Err(_) => {
            let errno = Errno::from_raw(i32::try_from(-result).unwrap_or(0));
            let again = match errno {
                // The file was closed under us, or the operation ended with its thread: once more.
                Errno::BADF | Errno::CANCELED => true,
                // The process may not do this any more: once more, another way, if there is one.
                Errno::PERM | Errno::NOSYS | Errno::ACCES => {
                    route::detour(life, false);
                    route::backend().is_some()
                }
                _ => false,
            };
            if again {
                BUFFER.written(life.blocks(), index, 0);
            } else {
                fail(life, index, errno);
            }
        }
    }
}

fn fail(life: Life, index: usize, errno: Errno) {
    life.header().errno.store(errno.raw().cast_unsigned(), Ordering::Relaxed);
    BUFFER.failed(index);
}

/// The program has closed our descriptors: opens the file again, and takes another backend.
fn recover(life: Life) -> bool {
    let Some(settings) = Life::settings().filter(|_| ours::has_place()) else { return false };
    ours::forget();
    let opened = ours::noticing(|| EVENTS.open(settings, Life::pid()).is_ok());
    if opened {
        route::detour(life, true);
    }
    opened
}

/// How long a full buffer is waited for in all, and for what is not being written.
const LONGEST_WAIT: u64 = 1_000_000_000;
const LONGEST_HOLE: u64 = 100_000_000;
const LONGEST_ROUND: u64 = 1_000_000;

/// Writes what is full, waits a moment for it unless events are dropped, and gives up what could not be written.
fn make_free(life: Life, turn: &Turn, drops: bool) {
    write_all(life, false);
    let (writing, _) = BUFFER.is_busy(life.blocks());
    poll(if writing && !drops { Duration::from_millis(1) } else { Duration::ZERO });
    if turn.exclusive {
        settle(life);
    }
    if let Some(lost) = BUFFER.give_up(life.blocks()) {
        life.header().failed.fetch_add(lost, Ordering::Relaxed);
    }
}

/// Room for an event that found none: waits for it, or makes it by giving up what could not be written. `None` if it
/// is to be dropped.
#[cold]
pub(crate) fn make_room(life: Life, slots: usize) -> Option<Room> {
    let reserve = || BUFFER.reserve(life.blocks(), slots, 1, false);
    if quiet::is_on() {
        return reserve();
    }
    let drops = Life::settings().is_none_or(|settings| settings.drops);
    let (mut begin, mut before, mut hole) = (now(), now(), 0);
    loop {
        if life.grow()
            && let Some(room) = reserve()
        {
            return Some(room);
        }
        match Turn::begin() {
            Err(Refused::Here) => return None,
            Err(Refused::Now) => {}
            Ok(turn) => make_free(life, &turn, drops),
        }
        let room = reserve();
        if room.is_some() || drops {
            return room;
        }
        let (writing, _) = BUFFER.is_busy(life.blocks());
        // A process that was stopped has not waited: a round counts for a millisecond at most.
        let (now, last) = (now(), before);
        before = now;
        if writing {
            hole = 0;
        } else {
            hole += now.saturating_sub(last).min(LONGEST_ROUND);
            // Others are to fill what they have reserved.
            rustix::thread::sched_yield();
        }
        if hole > LONGEST_HOLE {
            // Nobody will fill what was reserved.
            if BUFFER.give_up_rooms(life.blocks()) == 0 {
                return None;
            }
            life.header().events.fetch_add(1, Ordering::Relaxed);
            life.header().dropped.fetch_add(1, Ordering::Relaxed);
            (begin, hole) = (now, 0);
        } else if now.saturating_sub(begin) > 60 * LONGEST_WAIT {
            return None;
        }
    }
}

/// Writes all that was recorded so far, and waits until it is in the file, but not for long.
pub(crate) fn finish(life: Life) {
    if local().inside.load(Ordering::Relaxed) != 0 || quiet::is_on() {
        return;
    }
    let begin = now();
    let Some(turn) = Turn::await_until(begin.saturating_add(LONGEST_WAIT)) else { return };
    let mut closed = false;
    loop {
        closed = closed || BUFFER.close(life.blocks());
        write_all(life, !closed);
        poll(Duration::ZERO);
        let (writing, filling) = BUFFER.is_busy(life.blocks());
        let waited = now().saturating_sub(begin);
        let idle = closed && !writing && (!filling || waited > LONGEST_HOLE);
        if idle || waited > LONGEST_WAIT {
            break;
        }
        poll(Duration::from_millis(1));
    }
    drop(turn);
}
