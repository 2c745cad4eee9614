//! A life: from the constructor, or from a fork, to an exec or the end of the process.
#![allow(unsafe_code, reason = "refers to the mapping")]
//! # Safety
//! The mapping is that of [`files`]: valid for ever once it is there, and all its words are atomic.

use crate::buffer::Buffer;
use crate::files::{self, EVENTS};
use crate::format::{BLOCKS, Block, Call, Header, Live, Route};
use crate::hooks::vfork;
use crate::libc::{Blocked, errno, set_errno};
use crate::local::local;
use crate::record::{Event, put};
use crate::settings::Settings;
use crate::{clock, descriptors, ours, quiet, route, solo, writer};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use io_core::fork::Lineage;
use spin::Once;

/// Nothing has called us yet.
const UNBORN: u32 = 0;
/// Somebody is at it.
const BEGINNING: u32 = 1;
/// Events are recorded.
const LIVE: u32 = 2;
/// The launcher is not there, or has no room for us: the program runs as if we were not there either.
const INERT: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(UNBORN);
static MAPPING: AtomicPtr<Live> = AtomicPtr::new(ptr::null_mut());
static PID: AtomicU32 = AtomicU32::new(0);
/// Which life of this memory it is, from 1.
static NUMBER: AtomicU32 = AtomicU32::new(0);
static LINEAGE: Once<Lineage> = Once::new();
static SETTINGS: Once<Settings> = Once::new();
/// Where its events are reserved.
pub(crate) static BUFFER: Buffer = Buffer::new();

/// The life of this process, if it has one.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    live: &'static Live,
}

impl Life {
    /// The one there is now; begins it if nobody has.
    #[inline]
    pub(crate) fn get() -> Option<Life> {
        // Ordering: Acquire pairs with `begin`.
        if STATE.load(Ordering::Acquire) == LIVE { Life::mapped() } else { Life::first() }
    }

    /// The one there is now, which is this process's own: in a forked child it is begun anew.
    #[inline]
    pub(crate) fn own() -> Option<Life> {
        Life::adopt(false);
        if STATE.load(Ordering::Acquire) == LIVE { Life::mapped() } else { None }
    }

    /// In a child of `fork`.
    pub(crate) fn begin_child() {
        Life::adopt(true);
    }

    #[inline]
    fn adopt(by_fork: bool) {
        if LINEAGE.get().is_some_and(Lineage::is_forked) {
            renew(!by_fork && vfork::has_cloned());
        }
    }

    /// The one whose mapping there is, for who records nothing.
    pub(crate) fn current() -> Option<Life> {
        Life::mapped()
    }

    fn mapped() -> Option<Life> {
        let live = NonNull::new(MAPPING.load(Ordering::Acquire))?;
        // SAFETY: mapped for ever.
        Some(Life { live: unsafe { live.as_ref() } })
    }

    #[cold]
    fn first() -> Option<Life> {
        let begun = STATE.compare_exchange(UNBORN, BEGINNING, Ordering::Acquire, Ordering::Relaxed);
        if begun.is_err() {
            return None;
        }
        let born = undisturbed(|| begin().is_some());
        // Ordering: Release publishes all of it.
        STATE.store(if born { LIVE } else { INERT }, Ordering::Release);
        if born { Life::mapped() } else { None }
    }

    /// Notes that it is over.
    pub(crate) fn end(self) {
        self.live.header.ended.store(clock::now(), Ordering::Relaxed);
    }

    /// Lets more blocks be used, if there are more and there is room. Whether any are new.
    pub(crate) fn grow(self) -> bool {
        let usable = BUFFER.usable();
        let to = (usable + 4).min(BLOCKS);
        let grown = usable < to && !quiet::is_on() && files::grow(self.live, usable, to);
        if grown {
            BUFFER.extend(to);
        }
        grown
    }

    pub(crate) fn header(self) -> &'static Header {
        &self.live.header
    }

    pub(crate) fn blocks(self) -> &'static [Block; BLOCKS] {
        &self.live.blocks
    }

    /// A number that another life of this memory does not have.
    #[inline]
    pub(crate) fn number() -> u32 {
        NUMBER.load(Ordering::Relaxed)
    }

    pub(crate) fn settings() -> Option<&'static Settings> {
        SETTINGS.get()
    }

    pub(crate) fn pid() -> u32 {
        PID.load(Ordering::Relaxed)
    }

    /// Whether the caller is another process that borrows this memory: a child of `vfork`.
    pub(crate) fn is_borrowed() -> bool {
        process() != Life::pid()
    }
}

fn process() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().cast_unsigned()
}

/// Runs what makes calls of the tracer's own, and leaves `errno` alone. Signals wait: what their handlers do would look like
/// ours.
fn undisturbed<R>(act: impl FnOnce() -> R) -> R {
    let (own, errno) = (&local().own, errno());
    let _signals = Blocked::new();
    own.store(own.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let done = act();
    own.store(own.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    set_errno(errno);
    done
}

/// Begins the first life. `None` if there is nobody to share it with.
fn begin() -> Option<()> {
    let settings = Settings::read()?;
    let settings = SETTINGS.call_once(|| settings);
    let lineage = Lineage::new().ok()?;
    LINEAGE.call_once(|| lineage);
    clock::choose(settings.ticks);
    solo::resolve();
    ours::choose_floor();
    ours::raised(|| start(settings, None))?;
    route::prepare(if ours::has_place() { settings.route } else { Route::None });
    Some(())
}

/// A forked child's life begins: its own mapping comes over its parent's. One that was `cloned` may end by `exit(2)`, whose
/// code is lost where a ring has a worker: the kernel takes that of the thread that is last. So it has no ring.
#[cold]
fn renew(cloned: bool) {
    let Some(lineage) = LINEAGE.get() else { return };
    let (Ok(adoption), Some(settings)) = (lineage.adopt(), SETTINGS.get()) else {
        // Another thread is at it, or there is nothing to renew.
        return;
    };
    if quiet::is_on() {
        // It may not make a mapping.
        go_unseen();
    } else if STATE.load(Ordering::Acquire) == LIVE {
        let place = NonNull::new(MAPPING.load(Ordering::Acquire));
        if undisturbed(|| start_again(settings, place, cloned)).is_none() {
            go_unseen();
        }
    }
    adoption.finish();
}

/// The program goes on without us. The mapping is still the parent's, which says so.
fn go_unseen() {
    if let Some(parent) = Life::current().filter(|_| STATE.load(Ordering::Acquire) == LIVE) {
        parent.header().untraced.fetch_add(1, Ordering::Relaxed);
    }
    STATE.store(INERT, Ordering::Release);
}

/// In a forked child.
fn start_again(settings: &Settings, place: Option<NonNull<Live>>, cloned: bool) -> Option<()> {
    let elsewhere = ours::must_choose_again();
    ours::raised(|| start(settings, place))?;
    if elsewhere && let Some(life) = Life::current() {
        route::detour(life, true);
    }
    if cloned && route::is_exclusive() {
        route::prepare(Route::Pool);
    }
    Some(())
}

fn start(settings: &Settings, place: Option<NonNull<Live>>) -> Option<()> {
    let (began, pid) = (clock::now(), process());
    let (mapping, life) = files::map(settings, pid, place).ok()?;
    // SAFETY: mapped for ever, and zero.
    let live: &'static Live = unsafe { mapping.as_ref() };
    BUFFER.renew(&live.blocks, files::FIRST_BLOCKS);
    writer::renew();
    MAPPING.store(mapping.as_ptr(), Ordering::Release);
    PID.store(pid, Ordering::Relaxed);
    NUMBER.fetch_add(1, Ordering::Relaxed);
    files::sign(live, pid, began);
    let life_now = Life { live };
    put(life_now, &Event::note(Call::Begin), &[]);
    descriptors::note_all(life_now);
    ours::noticing(|| EVENTS.begin(settings, pid, life));
    route::tell(life_now);
    Some(())
}
