//! The caller's half of [`step`](super::step()).

use super::event::{Call, Who};
use super::state::{At, Process, Sink, State, Storage};
use super::step::{Answer, Refused, Step, Then};
use io_core::{Errno, Phase};

pub(super) fn refusal(state: &State, call: Call) -> Option<Refused> {
    let submitted = state.is_submitted() && state.process == Process::Same;
    if state.storage != Storage::Held {
        Some(Refused::Gone)
    } else if state.call().is_some() {
        Some(Refused::Borrowed)
    } else if matches!(call, Call::Wait | Call::Drop) && submitted && state.node_in_use() {
        Some(Refused::Spins)
    } else {
        None
    }
}

pub(super) fn resume(step: &mut Step, call: Call, at: At) {
    match (at, call) {
        (At::Drop(_, Some(next), then), _) => drops(step, Some(Sink::Waker(next)), then),
        (At::Drop(_, None, then), _) => goes_on(step, call, then),
        (_, Call::Poll(who)) => poll(step, call, who, at),
        (_, Call::Submit) => submit(step, at, None),
        (_, Call::SubmitCallback) => submit(step, at, Some(Sink::Callback)),
        (_, Call::Cancel) => cancel(step, at),
        (_, Call::Wait) => wait(step, call, at),
        (_, Call::Result) if step.state.phase == Phase::Done => take(step, call),
        (_, Call::Result) => step.ends(Answer::Value(None)),
        (_, Call::Reset) => reset(step),
        (_, Call::Drop) => drop_it(step, at),
        (_, Call::Forget) => step.ends(Answer::Nothing),
    }
}

fn poll(step: &mut Step, call: Call, who: Who, at: At) {
    let done = step.state.phase == Phase::Done;
    match at {
        At::Look => look(step, call, who),
        At::Compare(held) if held == who => step.ends(Answer::Pending),
        At::Compare(_) => clones(step, who),
        At::Clone if step.state.phase == Phase::Idle => {
            if step.state.process == Process::Child {
                abandon(step);
                drops(step, Some(Sink::Waker(who)), Then::Take);
            } else {
                step.state.hears = Some(who);
                step.accept(Some(Sink::Waker(who)));
            }
        }
        At::Clone => step.goes_to(At::Open),
        At::Submit => step.goes_to(At::Returned),
        At::Open if done => drops(step, Some(Sink::Waker(who)), Then::Take),
        At::Open if step.state.taking => wakes_itself(step, who, true),
        At::Open => registers(step, At::Close),
        At::Close(old) => {
            step.state.registering = false;
            let old_who = waker(old);
            if done {
                // The completer left without the sink: both wakers are the caller's.
                match old_who {
                    Some(old) => drops_two(step, old, who, Then::Take),
                    None => drops(step, Some(Sink::Waker(who)), Then::Take),
                }
            } else {
                step.state.sink = Some(Sink::Waker(who));
                drops(step, old, Then::Pending);
            }
        }
        At::WakeSelf(true) => drops(step, Some(Sink::Waker(who)), Then::Pending),
        // `Returned` is what is left.
        _ if done => take(step, call),
        _ => step.ends(Answer::Pending),
    }
}

/// A poll's first look.
fn look(step: &mut Step, call: Call, who: Who) {
    let state = &mut step.state;
    match state.phase {
        Phase::Idle => clones(step, who),
        Phase::Done => take(step, call),
        _ if state.process != Process::Same => {
            abandon(step);
            take(step, call);
        }
        _ if state.taking => wakes_itself(step, who, false),
        _ => match state.sink {
            // The callback is the one who hears of it.
            Some(Sink::Callback) => step.ends(Answer::Pending),
            Some(Sink::Waker(held)) => {
                state.hears = Some(who);
                step.goes_to(At::Compare(held));
            }
            None => {
                state.hears = Some(who);
                clones(step, who);
            }
        },
    }
}

fn clones(step: &mut Step, who: Who) {
    step.clones(who);
    step.goes_to(At::Clone);
}

/// The completer has the old sink in hand, and is about to publish "done".
fn wakes_itself(step: &mut Step, who: Who, cloned: bool) {
    step.state.hears = Some(who);
    step.wakes(who);
    step.goes_to(At::WakeSelf(cloned));
}

/// Sets `REGISTERING`; the old content of the cell goes into the caller's hand.
fn registers(step: &mut Step, then: fn(Option<Sink>) -> At) {
    step.state.registering = true;
    step.goes_to(then(step.state.sink));
}

fn submit(step: &mut Step, at: At, sink: Option<Sink>) {
    if at == At::Submit {
        step.ends(Answer::Nothing);
    } else if step.state.phase != Phase::Idle {
        step.ends(Answer::Refused(Errno::ALREADY));
    } else if step.state.process == Process::Child {
        abandon(step);
        step.ends(Answer::Refused(Errno::OWNERDEAD));
    } else {
        step.accept(sink);
    }
}

fn cancel(step: &mut Step, at: At) {
    if matches!(at, At::Cancel(_)) || !step.state.is_submitted() {
        step.ends(Answer::Nothing);
    } else if step.state.process != Process::Same {
        abandon(step);
        step.ends(Answer::Nothing);
    } else {
        asks(step, None, |step, _| step.ends(Answer::Nothing));
    }
}

/// Asks for the early end, once; `else_` if that was done before.
fn asks(step: &mut Step, old: Option<Sink>, else_: fn(&mut Step, Option<Sink>)) {
    if step.state.cancel {
        else_(step, old);
    } else {
        step.state.cancel = true;
        step.goes_to(At::Cancel(old));
    }
}

fn wait(step: &mut Step, call: Call, at: At) {
    match at {
        At::Submit => step.goes_to(At::Look),
        At::Close(old) => detached(step, old, Then::Take, At::Wait),
        At::Wait(old) => drops(step, old, Then::Take),
        // `Look` is what is left.
        _ => match step.state.phase {
            Phase::Done => take(step, call),
            Phase::Idle if step.state.process != Process::Child => step.accept(None),
            _ if step.state.process != Process::Same => {
                abandon(step);
                take(step, call);
            }
            _ => {
                step.state.hears = None;
                registers(step, At::Close);
            }
        },
    }
}

/// The end of a detach: nobody hears of the completion.
fn detached(step: &mut Step, old: Option<Sink>, if_done: Then, else_: fn(Option<Sink>) -> At) {
    step.state.registering = false;
    if step.state.phase == Phase::Done {
        drops(step, old, if_done);
    } else {
        step.state.sink = None;
        step.goes_to(else_(old));
    }
}

fn reset(step: &mut Step) {
    if step.state.is_submitted() {
        step.ends(Answer::Refused(Errno::BUSY));
    } else {
        let left = empties(step);
        drops(step, left, Then::End(Answer::Nothing));
    }
}

fn drop_it(step: &mut Step, at: At) {
    let done = step.state.phase == Phase::Done;
    match at {
        At::Look if !step.state.is_submitted() => finish(step),
        At::Look if step.state.process != Process::Same => {
            abandon(step);
            finish(step);
        }
        At::Look => {
            step.state.hears = None;
            registers(step, At::Close);
        }
        At::Close(old) => detached(step, old, Then::Finish, At::Ask),
        At::Ask(old) | At::Reopen(old) if done => drops(step, old, Then::Finish),
        At::Ask(old) => asks(step, old, detaches_again),
        At::Cancel(old) => step.goes_to(At::Reopen(old)),
        At::Reopen(old) => detaches_again(step, old),
        At::Reclose(old) => detached(step, old, Then::Finish, At::Wait),
        At::Wait(old) => drops(step, old, Then::Finish),
        // No other place is a drop's.
        _ => finish(step),
    }
}

/// The first detach has the sink already; this one finds none.
fn detaches_again(step: &mut Step, old: Option<Sink>) {
    step.state.registering = true;
    step.goes_to(At::Reclose(old));
}

/// A drop's last part.
fn finish(step: &mut Step) {
    let left = empties(step);
    drops(step, left, Then::Free);
}

/// Back to idle: a descriptor that nobody has read is closed; says what was in the cell.
fn empties(step: &mut Step) -> Option<Sink> {
    let state = &mut step.state;
    let unread = state.phase == Phase::Done && !state.taken && state.result >= 0;
    if state.yields_fd && unread {
        step.effects.closed = Some(state.result);
    }
    let left = state.sink;
    state.result = 0;
    state.hears = None;
    step.clear(Phase::Idle);
    left
}

/// An operation that no backend of this process has is done, and who wanted to hear of it does not.
fn abandon(step: &mut Step) {
    step.effects.forgotten = waker(step.state.sink);
    step.state.result = Errno::OWNERDEAD.to_result();
    step.state.hears = None;
    step.clear(Phase::Done);
}

fn waker(sink: Option<Sink>) -> Option<Who> {
    match sink {
        Some(Sink::Waker(who)) => Some(who),
        Some(Sink::Callback) | None => None,
    }
}

/// Drops what was in the cell, if that runs anybody's code, and goes on.
fn drops(step: &mut Step, sink: Option<Sink>, then: Then) {
    match waker(sink) {
        Some(who) => {
            step.effects.dropped = Some(who);
            step.goes_to(At::Drop(who, None, then));
        }
        None => {
            if let Some((call, _)) = step.state.call() {
                goes_on(step, call, then);
            }
        }
    }
}

fn drops_two(step: &mut Step, first: Who, second: Who, then: Then) {
    step.effects.dropped = Some(first);
    step.goes_to(At::Drop(first, Some(second), then));
}

fn goes_on(step: &mut Step, call: Call, then: Then) {
    match then {
        Then::Pending => step.ends(Answer::Pending),
        Then::Take => take(step, call),
        Then::Finish => finish(step),
        Then::Free => {
            step.state.storage = Storage::Freed;
            step.ends(Answer::Nothing);
        }
        Then::End(answer) => step.ends(answer),
    }
}

/// Takes the result of a done operation, and the waker that an inline completion left.
fn take(step: &mut Step, call: Call) {
    let left = step.state.sink;
    let result = step.state.result;
    step.clear(Phase::Done);
    step.state.taken = true;
    step.state.hears = None;
    let answer = match call {
        Call::Poll(_) => Answer::Ready(result),
        Call::Wait => Answer::Waited(result),
        _ => Answer::Value(Some(result)),
    };
    drops(step, left, Then::End(answer));
}
