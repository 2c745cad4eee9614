//! The invariants of [`io_core::context`], by their numbers, as properties of a step of the model.
//!
//! I8 (provenance) is a property of pointers and not of states: Miri checks it, on the harness as well.

use super::event::{Act, Call, Event, Who};
use super::state::{At, Frame, Left, Process, Sink, State, Storage};
use super::step::{Answer, Effects};
use io_core::Phase;

/// One step, to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// The state before.
    pub before: State,
    /// What happened.
    pub event: Event,
    /// The state after.
    pub after: State,
    /// What else it did.
    pub effects: Effects,
}

/// What holds of every step that can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The invariant's number, or the item of the contract in [`io_core::IoBackend`].
    pub number: &'static str,
    /// What it says of the model.
    pub says: &'static str,
    /// Whether it holds.
    pub holds: fn(&Transition) -> bool,
}

/// Every rule.
pub const RULES: [Rule; 14] = [
    Rule {
        number: "I1",
        says: "storage is freed by its drop, and never while the backend owns the operation",
        holds: |t| t.after.storage != Storage::Freed || !(t.before.owned || t.after.owned),
    },
    Rule {
        number: "I2",
        says: "nothing becomes another operation between submit and completion",
        holds: |t| !t.before.owned || t.after.phase != Phase::Idle,
    },
    Rule {
        number: "I3",
        says: "who completes is at its end with the final transition",
        holds: |t| !t.effects.completed || !t.after.node_in_use(),
    },
    Rule {
        number: "I4",
        says: "one at a time uses the right to the node, and only while there is one",
        holds: |t| {
            let users = t.after.stack.iter().flatten().filter(|frame| frame.holds_node()).count();
            users <= 1 && (users == 0 || t.after.owned)
        },
    },
    Rule {
        number: "I5",
        says: "the node ends with the final completion and with nothing else, and begins with a submit",
        holds: |t| {
            let ends = t.before.owned && !t.after.owned && t.event != Event::Fork;
            let begins = !t.before.owned && t.after.owned;
            ends == t.effects.completed
                && begins == t.effects.submitted
                && (!begins || t.before.phase == Phase::Idle)
                && (!ends || t.after.phase == Phase::Done)
        },
    },
    Rule {
        number: "I5",
        says: "queued and in flight are the phases of what is owned",
        holds: |t| {
            let submitted = t.after.is_submitted() && t.after.process == Process::Same;
            t.after.owned == submitted
        },
    },
    Rule { number: "I6", says: "each window of the sink cell has one owner", holds: windows },
    Rule {
        number: "I6",
        says: "each clone of a waker is woken, dropped or forgotten once, or is in one place",
        holds: |t| Who::ALL.into_iter().all(|who| conserved(t, who)),
    },
    Rule {
        number: "I7",
        says: "a result is read when it is done, and stays what it is",
        holds: |t| {
            let read = match t.effects.answer {
                Some(Answer::Ready(read) | Answer::Waited(read)) => Some(read),
                Some(Answer::Value(read)) => read,
                _ => None,
            };
            let stays = t.before.phase != Phase::Done
                || t.after.phase != Phase::Done
                || t.before.result == t.after.result;
            stays && read.is_none_or(|read| t.after.phase == Phase::Done && read == t.after.result)
        },
    },
    Rule {
        number: "I9",
        says: "a timer is armed while the node is owned, and not when it completes",
        holds: |t| {
            (!t.after.armed || (t.after.owned && t.after.timed))
                && (!t.effects.completed || !t.before.armed)
        },
    },
    Rule {
        number: "contract 4",
        says: "a cancel that was asked for is not lost before the end",
        holds: |t| !t.before.cancel || t.after.cancel || !t.after.is_submitted(),
    },
    Rule {
        number: "contract 2",
        says: "who was told to wait is woken, or in the cell: no wake-up is lost",
        holds: |t| {
            let quiet = t.after.depth() == 0 && t.after.left.is_none();
            let waits = t.after.hears.map(Sink::Waker);
            !quiet || waits.is_none() || (t.after.is_submitted() && t.after.sink == waits)
        },
    },
    Rule {
        number: "contract 6",
        says: "wakers and callbacks run by a delivery, or by a poll that wakes itself",
        holds: |t| {
            let delivers = t.event == Event::Act(Act::Deliver);
            let polls = matches!(t.after.call(), Some((Call::Poll(_), At::WakeSelf(_))));
            (t.effects.called.is_none() || delivers)
                && (t.effects.woken.is_none() || delivers || polls)
        },
    },
    Rule {
        number: "drop",
        says: "a descriptor that nobody has read is closed with its storage's end, and no other",
        holds: |t| {
            let unread = t.before.phase == Phase::Done && !t.before.taken && t.before.result >= 0;
            let ends = t.after.phase == Phase::Idle;
            t.effects.closed.is_some() == (t.before.yields_fd && unread && ends)
        },
    },
];

/// The rules that a step breaks.
pub fn broken(transition: &Transition) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| !(rule.holds)(transition))
}

fn windows(t: &Transition) -> bool {
    let after = &t.after;
    let frames = || after.stack.iter().flatten();
    let writes = frames()
        .filter(|frame| matches!(frame, Frame::Caller(_, At::Close(_) | At::Reclose(_))))
        .count();
    let reads = frames().filter(|frame| matches!(frame, Frame::Backend(_, At::Taking))).count();
    usize::from(after.registering) == writes
        && usize::from(after.taking) == reads
        && writes + reads <= 1
        && (!after.taking || after.sink.is_some())
}

/// How many clones of a waker there are, wherever they are.
fn clones(state: &State, who: Who) -> usize {
    let is = |sink: Option<Sink>| usize::from(sink == Some(Sink::Waker(who)));
    let in_hand = |call: Call| usize::from(call == Call::Poll(who));
    let cell = if state.registering { 0 } else { is(state.sink) };
    let left = usize::from(state.left == Some(Left::Wake(who)));
    let frames = state.stack.iter().flatten().map(|frame| match *frame {
        Frame::Caller(call, At::Clone | At::Open | At::WakeSelf(true)) => in_hand(call),
        Frame::Caller(call, At::Close(old)) => is(old) + in_hand(call),
        Frame::Caller(_, At::Ask(old) | At::Reopen(old) | At::Reclose(old))
        | Frame::Caller(_, At::Cancel(old) | At::Wait(old)) => is(old),
        Frame::Caller(_, At::Drop(_, next, _)) => is(next.map(Sink::Waker)),
        _ => 0,
    });
    cell + left + frames.sum::<usize>()
}

fn conserved(t: &Transition, who: Who) -> bool {
    let is = |one: Option<Who>| usize::from(one == Some(who));
    let delivered = if t.event == Event::Act(Act::Deliver) { is(t.effects.woken) } else { 0 };
    let gone = is(t.effects.dropped) + is(t.effects.forgotten) + delivered;
    clones(&t.before, who) + is(t.effects.cloned) == clones(&t.after, who) + gone
}
