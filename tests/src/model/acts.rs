//! The backend's half of [`step`](super::step()).

use super::event::Act;
use super::state::{At, Frame, Left, Sink, State};
use super::step::{Answer, Refused, Step};
use io_core::{Errno, Phase};

pub(super) fn refusal(state: &State, act: Act) -> Option<Refused> {
    match act {
        Act::Deliver if state.left.is_none() => return Some(Refused::Delivered),
        Act::Deliver => return state.acts(Act::Deliver).then_some(Refused::InUse),
        Act::AddWaiter => {
            let waits = state.top().is_some_and(|top| matches!(top.at(), At::Wait(_)));
            return (!waits || state.waiter).then_some(Refused::Place);
        }
        _ if !state.owned => return Some(Refused::NotOwned),
        _ if state.node_in_use() => return Some(Refused::InUse),
        _ => {}
    }
    let queued = state.phase == Phase::Queued;
    let in_submit = state.top().is_some_and(|top| top.at() == At::Submit);
    let refused = match act {
        Act::Begin if !queued => Refused::Phase,
        Act::Requeue if queued => Refused::Phase,
        Act::BeginUnshared | Act::Inline(_) | Act::Overdue if !in_submit => Refused::Place,
        Act::BeginUnshared | Act::Inline(_) if !queued => Refused::Phase,
        Act::Inline(_) if state.sink == Some(Sink::Callback) => Refused::Place,
        Act::Arm | Act::Overdue if !state.timed || state.armed || state.expired => Refused::Timer,
        Act::Disarm | Act::Expire if !state.armed => Refused::Timer,
        _ if completes(act) && state.armed => Refused::Timer,
        Act::Complete(_) | Act::CompleteStored | Act::CompleteUnshared if undelivered(state) => {
            Refused::Undelivered
        }
        Act::CompleteUnshared if interrupts(state) => Refused::Place,
        _ => return None,
    };
    Some(refused)
}

fn completes(act: Act) -> bool {
    matches!(
        act,
        Act::Inline(_)
            | Act::Complete(_)
            | Act::CompleteStored
            | Act::CompleteQuiet(_)
            | Act::CompleteUnshared
    )
}

/// Whether a completion could have nowhere to put what it leaves to run.
fn undelivered(state: &State) -> bool {
    let detached = state.call().is_some_and(|(_, at)| matches!(at, At::Wait(_)));
    state.left.is_some() && !detached
}

/// Whether a call is between two accesses: on the only thread there is, nothing comes there.
fn interrupts(state: &State) -> bool {
    state.stack.iter().flatten().any(|frame| !frame.at().is_user())
}

/// Begins to run what a completion left. What is left belongs to no node, which may be gone.
pub(super) fn deliver(step: &mut Step) {
    let at = match step.state.left.take() {
        Some(Left::Call(result)) => {
            step.effects.called = Some(result);
            At::Called
        }
        Some(Left::Wake(who)) => {
            step.wakes(who);
            At::Wake
        }
        None => return,
    };
    step.push(Frame::Backend(Act::Deliver, at));
}

pub(super) fn resume(step: &mut Step, act: Act, at: At) {
    let state = &mut step.state;
    let answer = match act {
        Act::Begin | Act::BeginUnshared => {
            state.phase = Phase::InFlight;
            Answer::Nothing
        }
        Act::Requeue => {
            state.phase = Phase::Queued;
            Answer::Nothing
        }
        Act::Store(result) | Act::GoHome(result) => {
            state.result = result;
            Answer::Nothing
        }
        Act::AskCancel => Answer::First(!core::mem::replace(&mut state.cancel, true)),
        Act::AddWaiter => {
            let in_time = state.phase != Phase::Done;
            state.waiter |= in_time;
            Answer::First(in_time)
        }
        Act::Arm | Act::Disarm => {
            state.armed = act == Act::Arm;
            Answer::Nothing
        }
        Act::Expire | Act::Overdue => {
            state.armed = false;
            state.expired = true;
            state.cancel = true;
            Answer::Nothing
        }
        Act::Deliver => Answer::Nothing,
        Act::Inline(result) => {
            let sink = state.sink;
            state.result = told(state, result);
            publish(step);
            step.state.sink = sink;
            Answer::Nothing
        }
        Act::CompleteQuiet(result) => {
            state.result = told(state, result);
            if state.sink.is_some() && !state.registering { Answer::Kept } else { publish(step) }
        }
        Act::Complete(result) => return complete(step, at, result),
        Act::CompleteStored => {
            let result = state.result;
            return complete(step, at, result);
        }
        Act::CompleteUnshared => {
            state.result = told(state, state.result);
            leaves(step)
        }
    };
    step.ends(answer);
}

fn complete(step: &mut Step, at: At, result: i64) {
    let state = &mut step.state;
    let answer = if at == At::Taking {
        leaves(step)
    } else {
        state.result = told(state, result);
        if state.sink.is_some() && !state.registering {
            state.taking = true;
            step.goes_to(At::Taking);
            return;
        }
        publish(step)
    };
    step.ends(answer);
}

/// The result as its caller gets it: an early end that the deadline asked for is `ETIMEDOUT`.
fn told(state: &State, result: i64) -> i64 {
    if state.timed && state.expired && result == Errno::CANCELED.to_result() {
        Errno::TIMEDOUT.to_result()
    } else {
        result
    }
}

/// Done, with the sink taken out to be run.
fn leaves(step: &mut Step) -> Answer {
    let sink = step.state.sink;
    let answer = publish(step);
    step.state.left = match sink {
        // What is left of an earlier operation stays: there was room, or nobody to tell.
        None => step.state.left,
        Some(Sink::Waker(who)) => Some(Left::Wake(who)),
        Some(Sink::Callback) => {
            // The callback takes the result over.
            step.state.taken = true;
            Some(Left::Call(step.state.result))
        }
    };
    answer
}

/// The final transition.
fn publish(step: &mut Step) -> Answer {
    let (registering, waiter) = (step.state.registering, step.state.waiter);
    step.clear(Phase::Done);
    step.state.registering = registering;
    step.state.owned = false;
    step.effects.completed = true;
    Answer::Completed(waiter)
}
