//! Every valid word and every function, against the tables in the comments: what is returned, and the word after.
//!
//! The bits are written out as numbers here, so that a wrong constant does not agree with itself.

use super::{Finish, Phase, Register, State};
use crate::sink::Kind;
use crate::sync::{AtomicU32, Ordering};
use std::format;

const QUEUED: u32 = 1;
const DONE: u32 = 3;
const SINK: u32 = 4;
const CALLBACK: u32 = 8;
const REGISTERING: u32 = 16;
const TAKING: u32 = 32;
const CANCEL: u32 = 64;
const WAITER: u32 = 128;
const TAKEN: u32 = 256;
const GIVES: u32 = 512;
const EXPIRED: u32 = 1024;
/// A generation, in the upper half.
const BORN: u32 = 0x8001_0000;

/// A word, with the questions that the tables ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word(u32);

impl Word {
    const fn has(self, bit: u32) -> bool {
        self.0 & bit == bit
    }

    const fn phase(self) -> u32 {
        self.0 & 3
    }

    const fn submitted(self) -> bool {
        matches!(self.phase(), 1 | 2)
    }

    fn sink(self) -> Option<Kind> {
        let kind = if self.has(CALLBACK) { Kind::Callback } else { Kind::Waker };
        self.has(SINK).then_some(kind)
    }

    /// The table of valid states.
    fn is_valid(self) -> bool {
        let together = (!self.has(CALLBACK) || self.has(SINK))
            && (!self.has(GIVES) || self.has(CALLBACK))
            && (!self.has(EXPIRED) || self.has(CANCEL))
            && (!self.has(TAKING) || self.has(SINK))
            && !self.has(REGISTERING | TAKING);
        let bits = self.0 & 0xffff & !3;
        together
            && match self.phase() {
                0 => bits & !(SINK | CALLBACK | GIVES) == 0 && self.0 >> 16 == 0,
                3 => matches!(bits, 0 | TAKEN | SINK | REGISTERING) && self.0 >> 16 == 0,
                _ => !self.has(TAKEN) && self.0 >> 16 != 0,
            }
    }

    fn state(self) -> State {
        State(AtomicU32::new(self.0))
    }
}

/// Calls a function on each valid word that `when` accepts; `wanted` says the word after and the answer.
fn table<T: PartialEq + core::fmt::Debug>(
    when: impl Fn(Word) -> bool,
    call: impl Fn(&State) -> T,
    wanted: impl Fn(Word) -> (u32, T),
) {
    let words = (0..2048).flat_map(|low| [Word(low), Word(BORN | low)]);
    let mut rows = 0;
    for word in words.filter(|word| word.is_valid() && when(*word)) {
        let state = word.state();
        let answer = call(&state);
        let after = Word(state.0.load(Ordering::Relaxed));
        assert_eq!((after.0, answer), wanted(word), "of {:?}", word.state());
        assert!(after.is_valid(), "{word:x?} becomes {after:x?}");
        rows += 1;
    }
    assert!(rows > 0, "a table without rows proves nothing");
}

/// The word after a sink was taken out.
fn done(word: Word) -> u32 {
    if word.has(GIVES) { DONE | TAKEN } else { DONE }
}

#[test]
fn looks_change_nothing() {
    let any = |_| true;
    let phases = [Phase::Idle, Phase::Queued, Phase::InFlight, Phase::Done];
    table(any, State::phase, |word| (word.0, phases[word.phase() as usize]));
    table(any, State::is_taken, |word| (word.0, word.has(TAKEN)));
    table(any, State::cancel_asked, |word| (word.0, word.has(CANCEL)));
    table(any, State::expired, |word| (word.0, word.has(EXPIRED)));
    table(any, State::has_callback, |word| (word.0, word.has(CALLBACK)));
    let has_sink = |word: Word| (word.0, word.has(SINK) || word.has(REGISTERING));
    table(any, State::has_sink, has_sink);
    table(any, State::generation, |word| (word.0, word.submitted().then_some(0x8001)));
    table(any, State::peek, |word| {
        let register = if word.phase() == 3 {
            Some(Register::Done)
        } else if word.has(TAKING) {
            Some(Register::Racing)
        } else {
            word.sink().map(|kind| Register::Begun { full: Some(kind) })
        };
        (word.0, register)
    });
}

#[test]
fn the_owner_of_the_node_stores() {
    for (callback, gives, bits) in [
        (false, false, SINK),
        (true, false, SINK | CALLBACK),
        (true, true, SINK | CALLBACK | GIVES),
    ] {
        table(|word| word.0 == 0, |state| state.set_sink(callback, gives), |_| (bits, ()));
    }
    let is_done = |word: Word| word.phase() == 3;
    let is_ours = |word: Word| !word.submitted();
    table(is_done, State::take_result, |word| (DONE | TAKEN, word.sink()));
    table(is_ours, State::reset, |word| (0, word.sink()));
    table(|_| true, State::abandon, |_| (DONE, ()));
    let accepted = |word: Word| (word.0 | QUEUED | 0x1234_0000, ());
    table(|word| word.phase() == 0, |state| state.accept(0x1234), accepted);
    assert_eq!(State::new().0.load(Ordering::Relaxed), 0);
    assert_eq!(State::done().0.load(Ordering::Relaxed), DONE);
}

#[test]
fn a_caller_registers_detaches_and_asks() {
    let begun = |word: Word| (word.0 | REGISTERING, Register::Begun { full: word.sink() });
    let ours = |word: Word| !word.has(REGISTERING) && word.phase() != 0;
    let done_or = |word: Word, then: (u32, Register)| {
        if word.phase() == 3 { (word.0, Register::Done) } else { then }
    };
    let no_callback = |word: Word| ours(word) && !(word.submitted() && word.has(CALLBACK));
    table(no_callback, State::register_begin, |word| {
        let racing = word.has(TAKING);
        done_or(word, if racing { (word.0, Register::Racing) } else { begun(word) })
    });
    let no_spin = |word: Word| ours(word) && !word.has(TAKING);
    table(no_spin, State::detach_begin, |word| done_or(word, begun(word)));
    for full in [false, true] {
        let ends = |word: Word| {
            let kept = word.0 & !(REGISTERING | SINK | CALLBACK | GIVES);
            let next = kept | if full { SINK } else { 0 };
            if word.phase() == 3 { (DONE, false) } else { (next, true) }
        };
        table(|word| word.has(REGISTERING), |state| state.register_end(full), ends);
    }
    let submitted_or_done = |word: Word| word.phase() != 0;
    table(submitted_or_done, State::ask_cancel, |word| {
        let first = word.submitted() && !word.has(CANCEL);
        (if first { word.0 | CANCEL } else { word.0 }, first)
    });
    table(
        |word| submitted_or_done(word) && !word.has(TAKING),
        State::add_waiter,
        |word| if word.submitted() { (word.0 | WAITER, true) } else { (word.0, false) },
    );
}

#[test]
fn a_backend_moves_the_node_on() {
    let queued = |word: Word| word.phase() == 1;
    table(queued, State::begin, |word| (word.0 + 1, ()));
    table(queued, State::begin_unshared, |word| (word.0 + 1, ()));
    table(|word| word.phase() == 2, State::requeue, |word| (word.0 - 1, ()));
    table(Word::submitted, State::expire, |word| (word.0 | EXPIRED | CANCEL, ()));
}

#[test]
fn a_completer_publishes_takes_or_is_turned_away() {
    let bogus = |word: Word| !word.submitted() || word.has(TAKING);
    let to_tell = |word: Word| word.has(SINK) && !word.has(REGISTERING);
    let published = |word: Word| DONE | word.0 & REGISTERING;
    table(
        |_| true,
        State::finish_begin,
        |word| match word.sink() {
            _ if bogus(word) => (word.0, Finish::Bogus),
            Some(kind) if to_tell(word) => (word.0 | TAKING, Finish::Take(kind)),
            _ => (published(word), Finish::Published { waiter: word.has(WAITER) }),
        },
    );
    table(
        |_| true,
        State::finish_quiet,
        |word| {
            if bogus(word) || to_tell(word) {
                (word.0, None)
            } else {
                (published(word), Some(word.has(WAITER)))
            }
        },
    );
    table(|word| word.has(TAKING), State::finish_end, |word| (done(word), word.has(WAITER)));
    let inline = |word: Word| word.phase() == 1 && !word.has(CALLBACK) && !to_be_in_window(word);
    table(inline, State::finish_inline, |word| (DONE | word.0 & SINK, ()));
    let unshared = |word: Word| word.submitted() && !to_be_in_window(word);
    table(unshared, State::finish_unshared, |word| (done(word), (word.sink(), word.has(WAITER))));
}

fn to_be_in_window(word: Word) -> bool {
    word.has(REGISTERING) || word.has(TAKING)
}

#[test]
fn who_finds_the_completer_at_work_waits_for_it() {
    let taking = Word(BORN | 2 | SINK | TAKING);
    for detach in [false, true] {
        let state = taking.state();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                if detach { state.detach_begin() == Register::Done } else { !state.add_waiter() }
            });
            // Whether it is there before or after: it cannot return earlier.
            assert!(!other.is_finished());
            std::thread::yield_now();
            assert!(!other.is_finished());
            assert!(!state.finish_end());
            assert!(other.join().expect("no panic"));
        });
        assert_eq!(state.0.load(Ordering::Relaxed), DONE);
    }
}

#[test]
fn the_word_is_printed_by_the_names_of_its_bits() {
    table(
        |_| true,
        |state| format!("{state:?}"),
        |word| {
            let phases = ["idle", "queued", "in flight", "done"];
            let names = [
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
            let bits = names.iter().filter(|(bit, _)| word.has(*bit)).map(|(_, name)| *name);
            (word.0, core::iter::once(phases[word.phase() as usize]).chain(bits).collect())
        },
    );
}

/// Calls that break the contract are noticed where assertions are on.
#[cfg(debug_assertions)]
#[test]
fn what_the_tables_exclude_is_an_assertion() {
    use core::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    let panics = |word: u32, call: &dyn Fn(&State)| {
        let state = Word(word).state();
        let result = catch_unwind(AssertUnwindSafe(|| call(&state)));
        assert!(result.is_err(), "{state:?} is accepted");
    };
    let queued = BORN | QUEUED;
    panics(queued, &|state| {
        state.take_result();
    });
    panics(queued, &|state| {
        state.reset();
    });
    for bit in [SINK | CALLBACK, REGISTERING] {
        panics(queued | bit, &|state| {
            state.register_begin();
        });
    }
    panics(queued, &|state| {
        state.register_end(true);
    });
    panics(queued, &|state| state.accept(1));
    panics(queued + 1, &State::begin);
    panics(queued + 1, &State::begin_unshared);
    panics(queued, &State::requeue);
    for word in [queued + 1, queued | SINK | CALLBACK] {
        panics(word, &State::finish_inline);
    }
    for word in [queued | REGISTERING, queued | SINK | TAKING, 0, DONE] {
        panics(word, &|state| {
            state.finish_unshared();
        });
    }
    panics(queued | SINK, &|state| {
        state.finish_end();
    });
}
