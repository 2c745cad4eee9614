//! A script out of bytes, for fuzzers and random runs: [`live`].

use super::event::{Act, Call, Event, Who};
use super::harness::{self, Log, Place, Report};
use super::state::{Start, State};
use super::step::legal;
use core::cell::RefCell;
use io_core::Errno;
use std::rc::Rc;

const CANCELED: i64 = Errno::CANCELED.to_result();

/// Every event, with each kind of result.
pub const EVENTS: [Event; 34] = [
    Event::Call(Call::Poll(Who::A)),
    Event::Call(Call::Poll(Who::B)),
    Event::Call(Call::Submit),
    Event::Call(Call::SubmitCallback),
    Event::Call(Call::Cancel),
    Event::Call(Call::Wait),
    Event::Call(Call::Result),
    Event::Call(Call::Reset),
    Event::Call(Call::Drop),
    Event::Call(Call::Forget),
    Event::Act(Act::Begin),
    Event::Act(Act::BeginUnshared),
    Event::Act(Act::Requeue),
    Event::Act(Act::Store(3)),
    Event::Act(Act::AskCancel),
    Event::Act(Act::AddWaiter),
    Event::Act(Act::Arm),
    Event::Act(Act::Disarm),
    Event::Act(Act::Expire),
    Event::Act(Act::Overdue),
    Event::Act(Act::GoHome(4)),
    Event::Act(Act::GoHome(CANCELED)),
    Event::Act(Act::Inline(7)),
    Event::Act(Act::Inline(CANCELED)),
    Event::Act(Act::Complete(0)),
    Event::Act(Act::Complete(5)),
    Event::Act(Act::Complete(CANCELED)),
    Event::Act(Act::CompleteStored),
    Event::Act(Act::CompleteQuiet(6)),
    Event::Act(Act::CompleteQuiet(CANCELED)),
    Event::Act(Act::CompleteUnshared),
    Event::Act(Act::Deliver),
    Event::Fork,
    Event::Reinit,
];

/// Lives what bytes describe: the first says what kind of operation it is; then each place at which something
/// can happen takes one. Zero goes on, another number chooses among what can happen there. When a life is
/// over, the next begins, until the bytes are used up. The steps are those of all lives.
pub fn live(data: &[u8], log: Option<&Log>) -> Report {
    let bytes = Rc::new(RefCell::new(Vec::from(data).into_iter()));
    let starts = [Start::PLAIN, Start::TIMED, Start::FD, Start::READY];
    let mut all = Report { steps: Vec::new(), mismatch: None };
    loop {
        let Some(first) = bytes.borrow_mut().next() else { return all };
        let start = starts[usize::from(first) % starts.len()];
        let rest = Rc::clone(&bytes);
        let life = harness::run(start, log.cloned(), move |state, place| {
            chosen(rest.borrow_mut().next()?, state, place)
        });
        all.steps.extend(life.steps);
        if life.mismatch.is_some() {
            return Report { mismatch: life.mismatch, ..all };
        }
    }
}

fn chosen(byte: u8, state: &State, place: Place) -> Option<Event> {
    let count = legal(state, &EVENTS).count();
    // Between calls there is nothing to go on with.
    let tame = usize::from(place != Place::Top);
    let choice = usize::from(byte) % (count + tame).max(1);
    legal(state, &EVENTS).nth(choice.checked_sub(tame)?)
}
