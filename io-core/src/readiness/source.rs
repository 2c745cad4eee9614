//! Descriptors whose owner says when they end: [`Source`], what a backend remembers of one between
//! operations ([`SourceState`]), and the intrusive table of them ([`Sources`]).
//!
//! A bare number can be closed and reused behind a backend's back, so nothing can be remembered about it.
//! A source cannot: it stays registered in epoll, edge-triggered, and what the last event and the last
//! try said is kept, so that an operation which would wait waits without a system call.
//!
//! # The state of one direction
//!
//! | ready | trying | queue | meaning |
//! |---|---|---|---|
//! | yes | no | empty | the next operation tries at once; also the state at attach: unknown means try |
//! | yes | yes | any | somebody tries; who comes meanwhile queues, in order |
//! | no | no | any | a try would block: operations queue until an event |
//! | yes | no | not empty | only inside one critical section: the first of the queue is tried next |
//!
//! Ready is set by events, and cleared by a try that would have blocked, or on a TCP socket by a short
//! transfer, each only if no event came since before the try (`tick`). After a hang-up a short read clears
//! nothing: the end of the stream may have had the same edge as the data.
#![allow(unsafe_code, reason = "an intrusive table of pinned records")]
//! # Safety
//! * From [`Sources::attach`] to [`Sources::detach`] a source stays at its address, and its state is its
//!   table's: reached only through `&mut Sources` (or `&Sources`), which is the backend's lock.
//! * Outside of that time nobody touches the state.

use super::events::Readiness;
use crate::context::{Node, NodePtr};
use crate::fd::Fd;
use crate::op::Interest;
use crate::queue::Fifo;
use crate::sync::{UnsafeCell, const_unless_loom};
use core::fmt;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;

/// What an operation waits in line for on its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// To take data: served in the order of submission.
    Read = 0,
    /// To give data: served in the order of submission.
    Write = 1,
    /// To be told of events: no line, each hears of all.
    Watch = 2,
}

impl Lane {
    /// All.
    pub const ALL: [Lane; 3] = [Lane::Read, Lane::Write, Lane::Watch];

    /// The lane of an operation with this interest.
    #[must_use]
    pub const fn of(interest: Interest) -> Lane {
        match interest {
            Interest::Readable => Lane::Read,
            Interest::Writable => Lane::Write,
            Interest::Events(_) => Lane::Watch,
        }
    }

    /// Whether operations in it take turns.
    #[must_use]
    pub const fn is_line(self) -> bool {
        !matches!(self, Lane::Watch)
    }
}

/// What is known of a source's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traits {
    /// The description is `O_NONBLOCK`: no act on it waits.
    pub nonblocking: bool,
    /// A TCP socket: a short transfer means that no more is possible now.
    pub drains: bool,
}

/// The record of one descriptor whose owner promises to keep it open until it takes the record back.
///
/// It is embedded in its owner and pinned, and linked by the backend it is attached to.
pub struct Source {
    fd: Fd,
    state: UnsafeCell<SourceState>,
    _pinned: PhantomPinned,
}

// SAFETY: the state holds nodes (`Send`) and links to sources, and is reached under the table's lock only.
unsafe impl Send for Source {}
// SAFETY: as above; what `&Source` itself gives is the number.
unsafe impl Sync for Source {}

impl Source {
    const_unless_loom! {
        /// The record of this descriptor, attached to nothing.
        #[must_use]
        pub const fn new(fd: Fd) -> Source {
            Source { fd, state: UnsafeCell::new(SourceState::new()), _pinned: PhantomPinned }
        }
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> Fd {
        self.fd
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest is behind somebody's lock.
        f.debug_struct("Source").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// Whether an operation may be tried now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Yes: the direction is the caller's until it [settles](SourceState::settle), with this tick.
    Try(u32),
    /// No: it queues.
    Wait,
}

/// What came of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// A result, and there may be more to have.
    More,
    /// A result that says that there is no more now.
    Drained,
    /// It would have blocked.
    WouldBlock,
    /// It was not tried after all, or says nothing.
    Nothing,
}

/// What a backend remembers of a source.
#[derive(Debug)]
pub struct SourceState {
    next: Option<NonNull<Source>>,
    generation: u32,
    tick: u32,
    ready: Readiness,
    seen: Readiness,
    traits: Traits,
    registered: bool,
    refused: bool,
    trying: [bool; 2],
    queues: [Fifo; 3],
}

const READY: [Readiness; 2] = [Readiness::READABLE, Readiness::WRITABLE];
/// After one of these a short transfer says nothing: per direction.
const STICKY: [Readiness; 2] = [
    Readiness::HANG_UP
        .union(Readiness::READ_HANG_UP)
        .union(Readiness::ERROR)
        .union(Readiness::PRIORITY),
    Readiness::HANG_UP.union(Readiness::ERROR),
];

impl SourceState {
    const fn new() -> SourceState {
        SourceState {
            next: None,
            generation: 0,
            tick: 0,
            ready: READY[0].union(READY[1]),
            seen: Readiness::empty(),
            traits: Traits { nonblocking: false, drains: false },
            registered: false,
            refused: false,
            trying: [false; 2],
            queues: [const { Fifo::new() }; 3],
        }
    }

    /// Which attachment this is; never 0.
    #[must_use]
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What is known of its file.
    #[must_use]
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// Whether it cannot be registered: its operations go the way of a bare number.
    #[must_use]
    #[inline]
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Asks to try an operation that is submitted now.
    #[inline]
    pub fn enter(&mut self, lane: Lane) -> Entry {
        let at = lane as usize;
        if !lane.is_line() {
            return Entry::Try(self.tick);
        }
        if !self.ready.contains(READY[at]) || self.trying[at] || !self.queues[at].is_empty() {
            return Entry::Wait;
        }
        self.trying[at] = true;
        Entry::Try(self.tick)
    }

    /// Puts an operation at the end of its line.
    #[inline]
    pub fn push(&mut self, lane: Lane, node: Node) {
        self.queues[lane as usize].push(node);
    }

    /// Puts an operation that was tried back to the front.
    #[inline]
    pub fn push_front(&mut self, lane: Lane, node: Node) {
        self.queues[lane as usize].push_front(node);
    }

    /// Ends the try that began at `tick`, and gives the direction up. `true` if an event came meanwhile,
    /// so that what would have blocked is to be tried again: then the direction is still the caller's, and
    /// [`tick`](Self::tick) is its new tick.
    #[inline]
    pub fn settle(&mut self, lane: Lane, tick: u32, tried: Tried) -> bool {
        let (at, news) = (lane as usize, self.tick != tick);
        if !lane.is_line() {
            return news && tried == Tried::WouldBlock;
        }
        debug_assert!(self.trying[at], "who settles has tried");
        match tried {
            Tried::WouldBlock if news && self.ready.contains(READY[at]) => return true,
            Tried::WouldBlock => self.ready.remove(READY[at]),
            Tried::Drained if self.traits.drains && !news && !self.seen.intersects(STICKY[at]) => {
                self.ready.remove(READY[at]);
            }
            Tried::Drained | Tried::More | Tried::Nothing => {}
        }
        self.trying[at] = false;
        false
    }

    /// Counts the events: what changes it may change the answer of a try.
    #[must_use]
    #[inline]
    pub fn tick(&self) -> u32 {
        self.tick
    }

    /// Notes an event.
    #[inline]
    pub fn event(&mut self, event: Readiness) {
        self.tick = self.tick.wrapping_add(1);
        self.seen |= event;
        for (at, interest) in [Interest::Readable, Interest::Writable].into_iter().enumerate() {
            if event.concerns(interest) {
                self.ready |= READY[at];
            }
        }
    }

    /// Takes the first of the line out, if it may be tried now: the direction is the caller's. Watchers are
    /// tried after each event.
    #[inline]
    pub fn next(&mut self, lane: Lane) -> Option<Node> {
        let at = lane as usize;
        if !lane.is_line() {
            return self.queues[at].pop();
        }
        if self.trying[at] || !self.ready.contains(READY[at]) {
            return None;
        }
        let node = self.queues[at].pop()?;
        self.trying[at] = true;
        Some(node)
    }

    /// Whether the caller is to register it in epoll, and nobody was told so before.
    #[inline]
    pub fn register(&mut self) -> bool {
        !core::mem::replace(&mut self.registered, true)
    }

    /// It cannot be registered: gives out what waits, one at a time.
    pub fn refuse(&mut self) -> Option<Node> {
        self.refused = true;
        self.take(|_| true)
    }

    /// Takes one operation out of either line that `which` accepts.
    pub fn take(&mut self, mut which: impl FnMut(&Node) -> bool) -> Option<Node> {
        self.queues.iter_mut().find_map(|queue| queue.take_first(&mut which))
    }

    /// Takes this operation out of its line, if it is there; looks at each until then.
    pub fn find_remove(&mut self, lane: Lane, node: NodePtr) -> Option<Node> {
        self.queues[lane as usize].find_remove(node)
    }

    /// Takes this operation out of its line.
    ///
    /// # Safety
    /// * It is in that line of this source.
    pub unsafe fn remove(&mut self, lane: Lane, node: NodePtr) -> Node {
        // SAFETY: promised by the caller.
        unsafe { self.queues[lane as usize].remove(node) }
    }

    /// The operations that wait.
    pub fn waiting(&self) -> impl Iterator<Item = crate::queue::View<'_>> {
        self.queues.iter().flat_map(Fifo::iter)
    }
}

const BUCKETS: usize = 256;
/// Generations have this many bits, so that a backend can note one beside its own bits.
const GENERATION: u32 = (1 << 24) - 1;

/// The sources attached to one backend, by number.
#[derive(Debug)]
pub struct Sources {
    buckets: [Option<NonNull<Source>>; BUCKETS],
    generation: u32,
    len: usize,
}

// SAFETY: a table of pinned records that are `Send` and whose state is the table's.
unsafe impl Send for Sources {}

impl Default for Sources {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(fd: Fd) -> usize {
    fd.raw().unsigned_abs() as usize % BUCKETS
}

impl Sources {
    /// None.
    #[must_use]
    pub const fn new() -> Sources {
        Sources { buckets: [None; BUCKETS], generation: 0, len: 0 }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a source in. `false` if its number is here already: then it stays out.
    ///
    /// # Safety
    /// * The source is attached nowhere, and stays at its address until it was detached here.
    pub unsafe fn attach(&mut self, source: Pin<&Source>, traits: Traits) -> bool {
        if self.find(source.fd).is_some() {
            return false;
        }
        self.generation = (self.generation & GENERATION) + 1;
        if self.generation > GENERATION {
            self.generation = 1;
        }
        let at = &mut self.buckets[bucket(source.fd)];
        let state = SourceState {
            next: at.take(),
            generation: self.generation,
            traits,
            ..SourceState::new()
        };
        // SAFETY: attached nowhere, promised by the caller, so nobody else touches the state.
        source.state.with_mut(|old| unsafe { *old = state });
        *at = Some(NonNull::from(source.get_ref()));
        self.len += 1;
        true
    }

    /// Gives a source back, with nothing said about what waits on it: that is taken out before. `false` if
    /// it is not here.
    pub fn detach(&mut self, source: &Source) -> bool {
        let mut at = &mut self.buckets[bucket(source.fd)];
        while let Some(here) = *at {
            // SAFETY: attached, so valid.
            let state = unsafe { &here.as_ref().state };
            // SAFETY: the state is the table's, and `self` is borrowed alone.
            let state = state.with_mut(|state| unsafe { &mut *state });
            if here == NonNull::from(source) {
                debug_assert!(state.waiting().next().is_none(), "nothing waits on what goes");
                *at = state.next.take();
                self.len -= 1;
                return true;
            }
            at = &mut state.next;
        }
        false
    }

    /// Whether this very source is here.
    #[must_use]
    pub fn has(&self, source: &Source) -> bool {
        self.of(source.fd) == Some(NonNull::from(source))
    }

    #[inline]
    fn of(&self, fd: Fd) -> Option<NonNull<Source>> {
        let mut at = self.buckets[bucket(fd)];
        while let Some(here) = at {
            // SAFETY: attached, so valid.
            let source = unsafe { here.as_ref() };
            if source.fd == fd {
                return Some(here);
            }
            // SAFETY: the state is the table's, and `self` is borrowed.
            at = source.state.with(|state| unsafe { (*state).next });
        }
        None
    }

    /// What is remembered of this number.
    #[inline]
    pub fn find(&mut self, fd: Fd) -> Option<&mut SourceState> {
        let source = self.of(fd)?;
        // SAFETY: attached, so valid.
        let state = unsafe { &source.as_ref().state };
        // SAFETY: the state is the table's, and `self` is borrowed alone.
        Some(state.with_mut(|state| unsafe { &mut *state }))
    }

    /// [`find`](Self::find), if it is this attachment.
    #[inline]
    pub fn find_generation(&mut self, fd: Fd, generation: u32) -> Option<&mut SourceState> {
        self.find(fd).filter(|state| state.generation == generation)
    }

    /// Calls `each` with every source's state until it returns something.
    pub fn find_map<R>(
        &mut self,
        mut each: impl FnMut(Fd, &mut SourceState) -> Option<R>,
    ) -> Option<R> {
        for bucket in self.buckets {
            let mut at = bucket;
            while let Some(here) = at {
                // SAFETY: attached, so valid.
                let source = unsafe { here.as_ref() };
                // SAFETY: the state is the table's, and `self` is borrowed alone.
                let state = source.state.with_mut(|state| unsafe { &mut *state });
                if let Some(found) = each(source.fd, state) {
                    return Some(found);
                }
                at = state.next;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Lane, Source, Sources, Traits, Tried};
    use crate::fd::Fd;
    use crate::readiness::Readiness;
    use core::pin::{Pin, pin};

    const TCP: Traits = Traits { nonblocking: true, drains: true };

    fn attached(sources: &mut Sources, source: Pin<&Source>, traits: Traits) {
        // SAFETY: each test's source outlives its table, and is attached once.
        assert!(unsafe { sources.attach(source, traits) });
    }

    fn try_once(sources: &mut Sources, lane: Lane, tried: Tried) {
        let state = sources.find(Fd::new(7)).expect("attached");
        let Entry::Try(tick) = state.enter(lane) else { panic!("it may be tried") };
        assert!(!state.settle(lane, tick, tried));
    }

    #[test]
    fn a_short_read_drains_until_the_next_event() {
        let (source, mut sources) = (pin!(Source::new(Fd::new(7))), Sources::new());
        attached(&mut sources, source.as_ref(), TCP);
        try_once(&mut sources, Lane::Read, Tried::Drained);
        let state = sources.find(Fd::new(7)).expect("attached");
        assert_eq!(state.enter(Lane::Read), Entry::Wait);
        assert!(matches!(state.enter(Lane::Write), Entry::Try(_)), "the other direction");
        state.event(Readiness::READABLE);
        assert!(matches!(state.enter(Lane::Read), Entry::Try(_)));
        assert!(sources.detach(&source) && sources.is_empty());
    }

    #[test]
    fn data_and_the_end_in_one_edge_are_both_seen() {
        let (source, mut sources) = (pin!(Source::new(Fd::new(7))), Sources::new());
        attached(&mut sources, source.as_ref(), TCP);
        let state = sources.find(Fd::new(7)).expect("attached");
        state.event(Readiness::READABLE | Readiness::READ_HANG_UP);
        try_once(&mut sources, Lane::Read, Tried::Drained);
        try_once(&mut sources, Lane::Read, Tried::Drained);
        assert!(sources.detach(&source));
    }

    #[test]
    fn an_event_during_a_try_is_not_forgotten() {
        let (source, mut sources) = (pin!(Source::new(Fd::new(7))), Sources::new());
        attached(&mut sources, source.as_ref(), TCP);
        let state = sources.find(Fd::new(7)).expect("attached");
        let Entry::Try(tick) = state.enter(Lane::Read) else { panic!("unknown means try") };
        state.event(Readiness::READABLE);
        assert!(state.settle(Lane::Read, tick, Tried::WouldBlock), "try again");
        let tick = state.tick();
        assert!(!state.settle(Lane::Read, tick, Tried::WouldBlock));
        assert_eq!(state.enter(Lane::Read), Entry::Wait);
        assert!(sources.detach(&source));
    }

    #[test]
    fn short_reads_say_nothing_about_what_is_no_tcp_socket() {
        let (source, mut sources) = (pin!(Source::new(Fd::new(7))), Sources::new());
        attached(&mut sources, source.as_ref(), Traits::default());
        try_once(&mut sources, Lane::Read, Tried::Drained);
        try_once(&mut sources, Lane::Read, Tried::WouldBlock);
        assert_eq!(
            sources.find(Fd::new(7)).map(|state| state.enter(Lane::Read)),
            Some(Entry::Wait)
        );
        assert!(sources.detach(&source));
    }

    #[test]
    fn a_number_is_in_the_table_once_and_generations_differ() {
        let (one, two) = (pin!(Source::new(Fd::new(7))), pin!(Source::new(Fd::new(7))));
        let far = pin!(Source::new(Fd::new(7 + 256)));
        let mut sources = Sources::new();
        attached(&mut sources, one.as_ref(), TCP);
        attached(&mut sources, far.as_ref(), TCP);
        // SAFETY: as in `attached`.
        assert!(!unsafe { sources.attach(two.as_ref(), TCP) });
        assert!(sources.has(&one) && !sources.has(&two) && !sources.detach(&two));
        let first = sources.find(Fd::new(7)).map(|state| state.generation());
        assert!(sources.detach(&one) && sources.detach(&far));
        attached(&mut sources, two.as_ref(), TCP);
        assert_ne!(sources.find(Fd::new(7)).map(|state| state.generation()), first);
        assert!(sources.detach(&two));
    }
}
