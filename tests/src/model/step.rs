//! The function: [`step`], and what a step does to the world ([`Effects`]).

use super::event::{Act, Call, Event, Who};
use super::state::{At, Frame, Left, Process, Sink, State, Storage};
use super::{acts, calls};
use io_core::Phase;

/// What a call or act answers when it is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// Done, with nothing to say.
    Nothing,
    /// A poll: not yet.
    Pending,
    /// A poll: the result.
    Ready(i64),
    /// A wait: the result.
    Waited(i64),
    /// What there is of a result.
    Value(Option<i64>),
    /// A submit or reset that was refused: `EALREADY`, `EBUSY` or `EOWNERDEAD`.
    Refused(io_core::Errno),
    /// A cancel on behalf of many, or a waiter: whether it was the first, or in time.
    First(bool),
    /// A completion: whether a thread waits.
    Completed(bool),
    /// A quiet completion that has somebody to tell: the node stays.
    Kept,
}

/// Why an event cannot happen in a state. The state stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// Nothing is under way that could go on.
    Idle,
    /// A wait goes on when the operation is done.
    Waits,
    /// Nothing comes between here: the node is the caller's.
    NoWindow,
    /// Nobody has the awaitable any more.
    Gone,
    /// The awaitable is borrowed by the call that is under way.
    Borrowed,
    /// It would wait for the completer that it has interrupted.
    Spins,
    /// There is no `Node`: it is not submitted, or was completed (I5).
    NotOwned,
    /// The right to the node is in use (I4, I5).
    InUse,
    /// The phase is another.
    Phase,
    /// The timer is armed, or is not, or there is none (I9).
    Timer,
    /// Only in another place, such as inside submit.
    Place,
    /// An earlier completion was not delivered: a backend has room for one here.
    Undelivered,
    /// There is nothing to deliver.
    Delivered,
    /// A process forks between calls, and once.
    Forked,
}

/// What a step does, apart from the state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Effects {
    /// Nothing: it cannot happen here.
    pub refused: Option<Refused>,
    /// What the innermost call or act, which is over now, answers.
    pub answer: Option<Answer>,
    /// A waker was cloned.
    pub cloned: Option<Who>,
    /// A clone of a waker was dropped.
    pub dropped: Option<Who>,
    /// A waker was woken. A delivery spends the clone with it, a poll that wakes itself does not.
    pub woken: Option<Who>,
    /// A clone of a waker was forgotten, because another process's.
    pub forgotten: Option<Who>,
    /// The callback was called, with this result.
    pub called: Option<i64>,
    /// A descriptor that nobody had read was closed.
    pub closed: Option<i64>,
    /// It was submitted: there is a `Node`.
    pub submitted: bool,
    /// The final completion: the `Node` is spent.
    pub completed: bool,
}

/// What comes after a waker's drop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Then {
    /// The poll has to wait.
    Pending,
    /// The result is taken.
    Take,
    /// A drop's last part: nothing is in flight any more.
    Finish,
    /// The storage is freed.
    Free,
    /// It is over.
    End(Answer),
}

/// What happens to an operation in this state by this event.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Effects) {
    if let Some(refused) = refusal(&state, event) {
        return (state, Effects { refused: Some(refused), ..Effects::default() });
    }
    let mut now = Step { state, effects: Effects::default() };
    match (event, state.top()) {
        (Event::Call(Call::Forget), _) => now.state.storage = Storage::Forgotten,
        (Event::Call(call), _) => now.push(Frame::Caller(call, At::Look)),
        (Event::Act(Act::Deliver), _) => acts::deliver(&mut now),
        (Event::Act(act), _) => now.push(Frame::Backend(act, At::Look)),
        (Event::Fork, _) => fork(&mut now),
        (Event::Reinit, _) => now.state.process = Process::Renewed,
        (Event::Resume, Some(Frame::Caller(call, at))) => calls::resume(&mut now, call, at),
        (Event::Resume, Some(Frame::Backend(act, at))) => acts::resume(&mut now, act, at),
        (Event::Resume, None) => {}
    }
    (now.state, now.effects)
}

/// Every event of `alphabet` that can happen in `state`.
pub fn legal<'a>(state: &State, alphabet: &'a [Event]) -> impl Iterator<Item = Event> + use<'a> {
    let state = *state;
    alphabet.iter().copied().filter(move |event| refusal(&state, *event).is_none())
}

fn refusal(state: &State, event: Event) -> Option<Refused> {
    let top = state.top();
    match event {
        Event::Resume => match top {
            None => Some(Refused::Idle),
            Some(frame) => (matches!(frame.at(), At::Wait(_)) && state.phase != Phase::Done)
                .then_some(Refused::Waits),
        },
        _ if !state.is_window() => Some(Refused::NoWindow),
        Event::Call(call) => calls::refusal(state, call),
        Event::Act(act) => acts::refusal(state, act),
        Event::Fork => (top.is_some() || state.process != Process::Same).then_some(Refused::Forked),
        Event::Reinit => {
            (top.is_some() || state.process != Process::Child).then_some(Refused::Forked)
        }
    }
}

/// The child has a copy of the memory, and nothing of what the backend does.
fn fork(now: &mut Step) {
    let state = &mut now.state;
    if let Some(Left::Wake(who)) = state.left {
        now.effects.forgotten = Some(who);
    }
    state.process = Process::Child;
    state.owned = false;
    state.armed = false;
    state.left = None;
    state.hears = None;
}

/// A step being made.
pub(super) struct Step {
    pub(super) state: State,
    pub(super) effects: Effects,
}

impl Step {
    pub(super) fn push(&mut self, frame: Frame) {
        let depth = self.state.depth();
        // `refusal` lets no more in than there is room for.
        if let Some(place) = self.state.stack.get_mut(depth) {
            *place = Some(frame);
        }
    }

    /// The innermost call or act is at `at` now.
    pub(super) fn goes_to(&mut self, at: At) {
        if let Some(top) = self.state.stack.iter_mut().rev().flatten().next() {
            *top = match *top {
                Frame::Caller(call, _) => Frame::Caller(call, at),
                Frame::Backend(act, _) => Frame::Backend(act, at),
            };
        }
    }

    /// The innermost call or act is over.
    pub(super) fn ends(&mut self, answer: Answer) {
        if let Some(top) = self.state.stack.iter_mut().rev().find(|frame| frame.is_some()) {
            *top = None;
        }
        self.effects.answer = Some(answer);
    }

    pub(super) fn clones(&mut self, who: Who) {
        self.effects.cloned = Some(who);
    }

    pub(super) fn wakes(&mut self, who: Who) {
        self.effects.woken = Some(who);
        if self.state.hears == Some(who) {
            self.state.hears = None;
        }
    }

    /// Submits: the phase is idle.
    pub(super) fn accept(&mut self, sink: Option<Sink>) {
        let state = &mut self.state;
        state.phase = Phase::Queued;
        state.sink = sink;
        state.result = 0;
        state.owned = true;
        state.process = Process::Same;
        self.effects.submitted = true;
        self.goes_to(At::Submit);
    }

    /// Clears every bit of the word.
    pub(super) fn clear(&mut self, phase: Phase) {
        let state = &mut self.state;
        state.phase = phase;
        state.sink = None;
        state.registering = false;
        state.taking = false;
        state.cancel = false;
        state.waiter = false;
        state.taken = false;
        state.expired = false;
    }
}
