//! The state word of one operation: who owns the node, and who may touch its sink.
//!
//! The ownership rule: *the caller owns the node before submit and after the final completion; the
//! backend owns it in between.* Only this file touches the atomic.
//!
//! # Bits
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0–1 | phase | `IDLE` 0, `QUEUED` 1, `IN_FLIGHT` 2, `DONE` 3 |
//! | 2 | `SINK` | the sink cell holds a waker or a callback |
//! | 3 | `CALLBACK` | and it is a callback; set with `SINK` before submit, never later |
//! | 4 | `REGISTERING` | the caller is writing the sink cell |
//! | 5 | `TAKING` | the completer is reading the sink cell and will publish `DONE` next |
//! | 6 | `CANCEL` | cancel was asked for |
//! | 7 | `WAITER` | a thread blocks until `DONE`; the completer tells the backend so |
//! | 8 | `TAKEN` | the caller has read the result (only beside `DONE`) |
//! | 9 | `GIVES` | the callback takes the result over: `DONE` comes with `TAKEN`; goes with `CALLBACK` |
//! | 10 | `EXPIRED` | its deadline has passed; comes with `CANCEL` |
//! | 16–31 | generation | of the backend at submit, while it is `QUEUED` or `IN_FLIGHT`: a forked child has another |
//!
//! # Valid states
//!
//! | phase | sink bits | who may touch the sink cell |
//! |---|---|---|
//! | `IDLE` | any of none, `SINK`, `SINK+CALLBACK` | caller |
//! | `QUEUED`, `IN_FLIGHT` | none or `SINK` (`+CALLBACK`) | nobody |
//! | `QUEUED`, `IN_FLIGHT` | `+REGISTERING` | caller |
//! | `QUEUED`, `IN_FLIGHT` | `SINK+TAKING` | completer |
//! | `DONE` | none: delivered. `SINK`: finished inside submit. `REGISTERING`: the completer left while the caller was writing | caller |
//!
//! `REGISTERING` and `TAKING` exclude each other: each is entered by a compare-exchange that requires
//! the other to be clear.
#![allow(clippy::module_name_repetitions, reason = "State is what the file is about")]

use crate::sink::Kind;
use crate::sync::{AtomicU32, Ordering, const_unless_loom, spin_loop};
use core::fmt;

const PHASE: u32 = 0b11;
const IDLE: u32 = 0;
const QUEUED: u32 = 1;
const IN_FLIGHT: u32 = 2;
const DONE: u32 = 3;
const SINK: u32 = 1 << 2;
const CALLBACK: u32 = 1 << 3;
const REGISTERING: u32 = 1 << 4;
const TAKING: u32 = 1 << 5;
const CANCEL: u32 = 1 << 6;
const WAITER: u32 = 1 << 7;
const TAKEN: u32 = 1 << 8;
const GIVES: u32 = 1 << 9;
const EXPIRED: u32 = 1 << 10;
const GENERATION_SHIFT: u32 = 16;

/// Where an operation is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Not submitted: the caller owns the node.
    Idle,
    /// Accepted by a backend; neither kernel nor worker has it yet.
    Queued,
    /// Kernel or worker may touch the memory.
    InFlight,
    /// The result is stored: the caller owns the node again.
    Done,
}

/// The word. See the top of the file.
pub(crate) struct State(AtomicU32);

/// What a caller that wants to write the sink cell of a submitted operation finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Register {
    /// Done: take the result instead.
    Done,
    /// The completer has taken the old sink and will publish `DONE` in a moment: wake yourself.
    Racing,
    /// The cell is the caller's until `register_end`; `full` if an old sink is in it.
    Begun { full: Option<Kind> },
}

/// What the completer finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    /// `DONE` is published and there was no sink to run. Touch nothing more.
    Published { waiter: bool },
    /// The sink cell is the completer's: read it, then call `finish_end`.
    Take(Kind),
    /// The node is not the backend's (invariant I5 broken by the backend): nothing was changed.
    Bogus,
}

impl State {
    const_unless_loom! {
        pub(crate) const fn new() -> State {
            State(AtomicU32::new(IDLE))
        }
    }

    const_unless_loom! {
        /// A state that is done from the start; its result was never the kernel's.
        pub(crate) const fn done() -> State {
            State(AtomicU32::new(DONE))
        }
    }

    /// | any → same. Ordering: Acquire pairs with the Release of `finish_begin`/`finish_end`, so that
    /// whoever sees `DONE` sees the result and what the kernel or worker wrote before it.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) & PHASE {
            IDLE => Phase::Idle,
            QUEUED => Phase::Queued,
            IN_FLIGHT => Phase::InFlight,
            _ => Phase::Done,
        }
    }

    // --- the caller, while it owns the node: plain stores, nobody else looks ------------------

    /// | `IDLE` → `IDLE+SINK(+CALLBACK(+GIVES))` (the cell was filled just before).
    #[inline]
    pub(crate) fn set_sink(&self, callback: bool, gives: bool) {
        let word = match (callback, gives) {
            (false, _) => IDLE | SINK,
            (true, false) => IDLE | SINK | CALLBACK,
            (true, true) => IDLE | SINK | CALLBACK | GIVES,
        };
        // Ordering: Relaxed, the caller owns the node; submit publishes it.
        self.0.store(word, Ordering::Relaxed);
    }

    /// | `DONE(+SINK)(+REGISTERING)` → `DONE+TAKEN`. Says what is still in the sink cell.
    #[inline]
    pub(crate) fn take_result(&self) -> Option<Kind> {
        // Ordering: Relaxed, the caller owns the node (it has seen DONE with Acquire).
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & PHASE, DONE, "I7: a result is read after DONE");
        self.0.store(DONE | TAKEN, Ordering::Relaxed);
        full(word)
    }

    /// Whether a done operation's result was read.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TAKEN != 0
    }

    /// | `IDLE`, `DONE` → `IDLE`. For a node that is used again. Says what is in the sink cell.
    #[inline]
    pub(crate) fn reset(&self) -> Option<Kind> {
        // Ordering: Relaxed, the caller owns the node.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert!(matches!(word & PHASE, IDLE | DONE), "I1: reset of a node in flight");
        self.0.store(IDLE, Ordering::Relaxed);
        full(word)
    }

    // --- the caller, while the backend owns the node ------------------------------------------

    /// What a poll may do without writing: one load. `None` if it must register.
    /// | `DONE…` → `Done`; `…TAKING` → `Racing`; `…SINK` → `Begun` with what is in the cell, nothing begun.
    ///
    /// One look says both that the cell is full and with what: by a second one it may be taken, and the bits
    /// gone.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Register> {
        // Ordering: Acquire as in `phase`.
        let word = self.0.load(Ordering::Acquire);
        if word & PHASE == DONE {
            Some(Register::Done)
        } else if word & TAKING != 0 {
            Some(Register::Racing)
        } else {
            full(word).map(|kind| Register::Begun { full: Some(kind) })
        }
    }

    /// | from | to | returns |
    /// |---|---|---|
    /// | `DONE…` | same | `Done` |
    /// | `…TAKING` | same | `Racing` |
    /// | `QUEUED…`, `IN_FLIGHT…` | `+REGISTERING` | `Begun` |
    pub(crate) fn register_begin(&self) -> Register {
        // Ordering: Acquire as in `phase`.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & PHASE == DONE {
                return Register::Done;
            }
            if word & TAKING != 0 {
                return Register::Racing;
            }
            debug_assert_eq!(word & (CALLBACK | REGISTERING), 0, "I6: one registrar, no callback");
            // Ordering: Acquire, so that the cell is not touched before; on failure as in `phase`.
            match self.0.compare_exchange_weak(
                word,
                word | REGISTERING,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Register::Begun { full: full(word) },
                Err(now) => word = now,
            }
        }
    }

    /// | from | to | returns |
    /// |---|---|---|
    /// | `QUEUED…`, `IN_FLIGHT…` `+REGISTERING` | `REGISTERING` off, `SINK` = `full` | `true` |
    /// | `DONE+REGISTERING` | `DONE` | `false`: the completer left without a sink, the cell is the caller's |
    pub(crate) fn register_end(&self, full: bool) -> bool {
        // Ordering: Acquire as in `phase`.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            debug_assert_ne!(word & REGISTERING, 0, "I6: end without begin");
            if word & PHASE == DONE {
                // Ordering: Relaxed, the caller owns the node.
                self.0.store(DONE, Ordering::Relaxed);
                return false;
            }
            let next =
                (word & !(REGISTERING | SINK | CALLBACK | GIVES)) | if full { SINK } else { 0 };
            // Ordering: Release publishes the cell to the Acquire of `finish_begin`.
            match self.0.compare_exchange_weak(word, next, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Empties the sink for ever, also a callback: `Begun` means the caller must take the cell's
    /// content if `full`, then call `register_end(false)`.
    /// | as `register_begin`, but `CALLBACK` is allowed, and `TAKING` is waited out to `DONE`.
    pub(crate) fn detach_begin(&self) -> Register {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & PHASE == DONE {
                return Register::Done;
            }
            if word & TAKING != 0 {
                // The completer is a few instructions from DONE and holds nothing we hold.
                spin_loop();
                word = self.0.load(Ordering::Acquire);
                continue;
            }
            // Ordering: as in `register_begin`.
            match self.0.compare_exchange_weak(
                word,
                word | REGISTERING,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Register::Begun { full: full(word) },
                Err(now) => word = now,
            }
        }
    }

    /// | `QUEUED…`, `IN_FLIGHT…` → `+CANCEL`. `false` if it is done or was asked for before.
    pub(crate) fn ask_cancel(&self) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & PHASE == DONE || word & CANCEL != 0 {
                return false;
            }
            // Ordering: Release, so that a backend that sees the bit sees what led to it; the
            // failure load as in `phase`.
            match self.0.compare_exchange_weak(
                word,
                word | CANCEL,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The generation given at submit, of an operation that is submitted and not done; both from one look,
    /// because it may be done in the next moment.
    #[inline]
    pub(crate) fn generation(&self) -> Option<u16> {
        // Ordering: Relaxed, the generation was written by this side before the submit.
        let word = self.0.load(Ordering::Relaxed);
        let owned = matches!(word & PHASE, QUEUED | IN_FLIGHT);
        // The upper half of the word.
        owned.then(|| u16::try_from(word >> GENERATION_SHIFT).unwrap_or(0))
    }

    /// | any → `DONE`. The completer is in another process, or never was: the caller owns the node, and
    /// what is in the sink cell stays there for ever.
    pub(crate) fn abandon(&self) {
        // Ordering: Relaxed, same thread.
        self.0.store(DONE, Ordering::Relaxed);
    }

    /// | `QUEUED…`, `IN_FLIGHT…` → `+WAITER`. `false` if it is done, or will be in a moment and the
    /// completer can no longer be told (spun out here).
    pub(crate) fn add_waiter(&self) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & PHASE == DONE {
                return false;
            }
            if word & TAKING != 0 {
                spin_loop();
                word = self.0.load(Ordering::Acquire);
                continue;
            }
            // Ordering: Relaxed on success, the bit carries no data; failure as in `phase`.
            match self.0.compare_exchange_weak(
                word,
                word | WAITER,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    // --- the backend, while it owns the node --------------------------------------------------

    /// | `IDLE…` → `QUEUED…`, sink bits kept. Runs inside submit.
    #[inline]
    pub(crate) fn accept(&self, generation: u16) {
        // Ordering: Relaxed, ownership is passed on by the call itself; the backend's lock, queue or
        // ring publishes the node to other threads.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & PHASE, IDLE, "I5: submit of a node that is not idle");
        let generation = u32::from(generation) << GENERATION_SHIFT;
        let kept = word & (SINK | CALLBACK | GIVES);
        self.0.store(generation | kept | QUEUED, Ordering::Relaxed);
    }

    /// | `QUEUED…` → `IN_FLIGHT…` while no other thread knows the node (inside submit): a plain store.
    #[inline]
    pub(crate) fn begin_unshared(&self) {
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & PHASE, QUEUED, "I5: begin of a node that is not queued");
        self.0.store(word + (IN_FLIGHT - QUEUED), Ordering::Relaxed);
    }

    /// | `QUEUED…` → `IN_FLIGHT…`, while the caller may register or cancel.
    #[inline]
    pub(crate) fn begin(&self) {
        // Ordering: Relaxed, the phase between queued and in flight carries no data.
        let word = self.0.fetch_add(IN_FLIGHT - QUEUED, Ordering::Relaxed);
        debug_assert_eq!(word & PHASE, QUEUED, "I5: begin of a node that is not queued");
    }

    /// | `IN_FLIGHT…` → `QUEUED…`: the attempt would have blocked, the node waits again.
    pub(crate) fn requeue(&self) {
        // Ordering: as in `begin`.
        let word = self.0.fetch_sub(IN_FLIGHT - QUEUED, Ordering::Relaxed);
        debug_assert_eq!(word & PHASE, IN_FLIGHT, "I5: requeue of a node that is not in flight");
    }

    /// Whether cancel was asked for.
    #[inline]
    pub(crate) fn cancel_asked(&self) -> bool {
        // Ordering: Acquire pairs with `ask_cancel`.
        self.0.load(Ordering::Acquire) & CANCEL != 0
    }

    /// | `QUEUED…`, `IN_FLIGHT…` → `+EXPIRED+CANCEL`, by the backend that owns the node.
    pub(crate) fn expire(&self) {
        // Ordering: as in `ask_cancel`. The backend owns the node, so it is not done; if the completer is
        // about to store "done", that store wins, which is right.
        self.0.fetch_or(EXPIRED | CANCEL, Ordering::Release);
    }

    /// Whether the deadline has passed.
    #[inline]
    pub(crate) fn expired(&self) -> bool {
        // Ordering: Acquire pairs with `expire`.
        self.0.load(Ordering::Acquire) & EXPIRED != 0
    }

    /// Whether there is somebody to run: a waker or a callback.
    #[inline]
    pub(crate) fn has_sink(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (SINK | REGISTERING) != 0
    }

    /// Whether the sink is a callback.
    #[inline]
    pub(crate) fn has_callback(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CALLBACK != 0
    }

    /// | `QUEUED…` → `DONE`, sink bits kept, inside submit: no other thread knows the node, and the
    /// caller, who waits for submit to return, takes the sink out itself.
    #[inline]
    pub(crate) fn finish_inline(&self) {
        // Ordering: Relaxed, same thread.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & (PHASE | CALLBACK), QUEUED, "I5: inline finish");
        self.0.store((word & SINK) | DONE, Ordering::Relaxed);
    }

    /// | from | to | returns |
    /// |---|---|---|
    /// | `QUEUED…`, `IN_FLIGHT…`, no `SINK` or `REGISTERING` | as in `finish_begin` | `Some(waiter)` |
    /// | `QUEUED…`, `IN_FLIGHT…` `+SINK` | same | `None`: somebody is to be told |
    /// | `IDLE`, `DONE`, `…TAKING` | same | `None` |
    #[inline]
    pub(crate) fn finish_quiet(&self) -> Option<bool> {
        // Ordering: Relaxed, the compare-exchange below confirms the word.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let bogus = matches!(word & PHASE, IDLE | DONE) || word & TAKING != 0;
            if bogus || (word & SINK != 0 && word & REGISTERING == 0) {
                return None;
            }
            let next = DONE | (word & REGISTERING);
            // Ordering: Release publishes the result to `phase`; nothing is read in return.
            match self.0.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Some(word & WAITER != 0),
                Err(now) => word = now,
            }
        }
    }

    /// | from | to | returns |
    /// |---|---|---|
    /// | `QUEUED…`, `IN_FLIGHT…`, no `SINK` | `DONE` | `Published` |
    /// | …`+REGISTERING` | `DONE+REGISTERING` | `Published`: the caller sees it in `register_end` |
    /// | …`+SINK` | `+TAKING` | `Take(kind)` |
    /// | `IDLE`, `DONE`, `…TAKING` | same | `Bogus` |
    ///
    /// One read-modify-write in every row.
    #[inline]
    pub(crate) fn finish_begin(&self) -> Finish {
        // Ordering: Relaxed, the compare-exchange below confirms the word.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if matches!(word & PHASE, IDLE | DONE) || word & TAKING != 0 {
                return Finish::Bogus;
            }
            let take = word & SINK != 0 && word & REGISTERING == 0;
            let next = if take { word | TAKING } else { DONE | (word & REGISTERING) };
            // Ordering: Acquire sees the sink that `register_end` or submit published; Release
            // publishes the result to `phase`.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if take => {
                    let kind = if word & CALLBACK != 0 { Kind::Callback } else { Kind::Waker };
                    return Finish::Take(kind);
                }
                Ok(_) => return Finish::Published { waiter: word & WAITER != 0 },
                Err(now) => word = now,
            }
        }
    }

    /// | from | to | returns |
    /// |---|---|---|
    /// | `QUEUED…`, `IN_FLIGHT…`, no `SINK` | `DONE` | `(None, waiter)` |
    /// | …`+SINK` | `DONE`, with `GIVES` `+TAKEN` | `(Some(kind), _)`: the cell is full and the completer's, to read at once |
    ///
    /// For a node that one thread alone knows: that thread is here, so it is in no window, and nobody
    /// looks between this and the cell's being read.
    #[inline]
    pub(crate) fn finish_unshared(&self) -> (Option<Kind>, bool) {
        // Ordering: Relaxed, same thread.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & (REGISTERING | TAKING), 0, "I6: one thread is in one place");
        debug_assert!(!matches!(word & PHASE, IDLE | DONE), "I5: finish of a node not submitted");
        self.0.store(done(word), Ordering::Relaxed);
        (full(word), word & WAITER != 0)
    }

    /// | `…SINK+TAKING(+GIVES)` → `DONE(+TAKEN)`. Touch nothing after it (I3). Returns whether a thread waits.
    #[inline]
    pub(crate) fn finish_end(&self) -> bool {
        // Ordering: Relaxed; nobody sets WAITER while TAKING is set (`add_waiter`).
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_ne!(word & TAKING, 0, "I6: end without take");
        // A store, not an exchange: a CANCEL that arrives in between is dropped, which is right for
        // an operation that is done.
        // Ordering: Release publishes the result and the emptied cell to `phase`.
        self.0.store(done(word), Ordering::Release);
        word & WAITER != 0
    }
}

/// What a full cell holds, or `None` if it is empty.
#[inline]
const fn full(word: u32) -> Option<Kind> {
    match (word & SINK != 0, word & CALLBACK != 0) {
        (false, _) => None,
        (true, false) => Some(Kind::Waker),
        (true, true) => Some(Kind::Callback),
    }
}

/// The final word after a sink was taken out of `word`.
#[inline]
const fn done(word: u32) -> u32 {
    if word & GIVES != 0 { DONE | TAKEN } else { DONE }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.load(Ordering::Relaxed);
        f.write_str(match word & PHASE {
            IDLE => "idle",
            QUEUED => "queued",
            IN_FLIGHT => "in flight",
            _ => "done",
        })?;
        let bits = [
            (SINK, "+sink"),
            (CALLBACK, "+callback"),
            (REGISTERING, "+registering"),
            (TAKING, "+taking"),
            (CANCEL, "+cancel"),
            (WAITER, "+waiter"),
            (TAKEN, "+taken"),
            (GIVES, "+gives"),
            (EXPIRED, "+expired"),
        ];
        bits.iter().filter(|(bit, _)| word & bit != 0).try_for_each(|(_, name)| f.write_str(name))
    }
}

#[cfg(all(test, not(io_loom)))]
mod table;

#[cfg(test)]
mod tests {
    use super::{Finish, Phase, Register, State};
    use crate::sink::Kind;

    #[test]
    fn plain_life_without_a_sink() {
        let state = State::new();
        state.accept(1);
        assert_eq!(state.phase(), Phase::Queued);
        state.begin();
        assert_eq!(state.phase(), Phase::InFlight);
        assert!(!state.has_sink());
        assert_eq!(state.finish_begin(), Finish::Published { waiter: false });
        assert_eq!(state.phase(), Phase::Done);
        assert_eq!(state.take_result(), None);
        assert!(state.is_taken());
    }

    #[test]
    fn a_waker_in_place_is_taken_before_done() {
        let state = State::new();
        state.set_sink(false, false);
        state.accept(1);
        state.begin_unshared();
        assert_eq!(state.finish_begin(), Finish::Take(Kind::Waker));
        assert_eq!(state.phase(), Phase::InFlight, "not done while the completer reads the cell");
        assert_eq!(state.register_begin(), Register::Racing);
        assert_eq!(state.finish_begin(), Finish::Bogus, "a second completer is turned away");
        assert!(!state.finish_end());
        assert_eq!(state.phase(), Phase::Done);
    }

    #[test]
    fn one_look_says_what_the_cell_holds() {
        for (callback, kind) in [(false, Kind::Waker), (true, Kind::Callback)] {
            let state = State::new();
            state.set_sink(callback, false);
            state.accept(1);
            assert_eq!(state.peek(), Some(Register::Begun { full: Some(kind) }));
            assert_eq!(state.finish_begin(), Finish::Take(kind));
            assert_eq!(state.peek(), Some(Register::Racing));
            state.finish_end();
            assert_eq!(state.peek(), Some(Register::Done));
        }
    }

    #[test]
    fn completion_inside_the_registering_window_leaves_the_sink_to_the_caller() {
        let state = State::new();
        state.accept(1);
        assert_eq!(state.register_begin(), Register::Begun { full: None });
        assert_eq!(state.finish_begin(), Finish::Published { waiter: false });
        assert!(!state.register_end(true), "the caller is told to take the result");
        assert_eq!(state.phase(), Phase::Done);
    }

    #[test]
    fn late_and_early_completions_are_bogus() {
        let state = State::new();
        assert_eq!(state.finish_begin(), Finish::Bogus);
        state.accept(1);
        assert_eq!(state.finish_begin(), Finish::Published { waiter: false });
        assert_eq!(state.finish_begin(), Finish::Bogus);
    }

    #[test]
    fn cancel_and_waiter_bits_survive_registration() {
        let state = State::new();
        state.set_sink(false, false);
        state.accept(1);
        assert!(state.ask_cancel());
        assert!(!state.ask_cancel(), "twice is once");
        assert_eq!(state.register_begin(), Register::Begun { full: Some(Kind::Waker) });
        assert!(state.register_end(true));
        assert!(state.cancel_asked());
        assert!(state.add_waiter());
        assert_eq!(state.detach_begin(), Register::Begun { full: Some(Kind::Waker) });
        assert!(state.register_end(false));
        assert_eq!(state.finish_begin(), Finish::Published { waiter: true });
        assert!(!state.ask_cancel());
        assert!(!state.add_waiter());
    }
}
