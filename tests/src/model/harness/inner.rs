//! What the harness knows: the model's state beside the real one, and where to stop.

use super::storage;
use crate::keep::Kept;
use crate::model::event::{Act, Call, Event, Who};
use crate::model::state::{At, DEPTH, Frame, Process, Sink, Start, State, Storage};
use crate::model::step::{Answer, Effects, step};
use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use io_core::{Delivery, Node, NodePtr, Phase, Timers};
use std::rc::Rc;

/// Where a script is asked what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nothing is under way.
    Top,
    /// Inside user code.
    User,
    /// Before an access.
    Access,
}

/// What the script of a life is: asked at each place, it says what happens there next, or `None` to go on.
pub(super) type Script = Box<dyn FnMut(&State, Place) -> Option<Event>>;

/// What a waker went through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touch {
    Clone,
    Drop,
    Wake,
    WakeByRef,
}

/// How often what happened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    cloned: [u32; 2],
    dropped: [u32; 2],
    woken: [u32; 2],
    called: u32,
    called_with: i64,
    closed: u32,
    closed_last: i64,
}

impl Counts {
    fn add(&mut self, effects: &Effects) {
        let lists = [
            (&mut self.cloned, effects.cloned),
            (&mut self.dropped, effects.dropped),
            (&mut self.woken, effects.woken),
        ];
        for (list, who) in lists {
            if let Some(who) = who {
                list[who as usize] += 1;
            }
        }
        if let Some(result) = effects.called {
            self.called += 1;
            self.called_with = result;
        }
        if let Some(fd) = effects.closed {
            self.closed += 1;
            self.closed_last = fd;
        }
    }
}

thread_local! {
    static ACTIVE: RefCell<Option<Rc<Inner>>> = const { RefCell::new(None) };
}

/// The harness of this thread.
pub(super) fn active() -> Option<Rc<Inner>> {
    ACTIVE.with_borrow(Clone::clone)
}

pub(super) fn activate(inner: Option<Rc<Inner>>) -> Option<Rc<Inner>> {
    ACTIVE.replace(inner)
}

/// A waker of the harness was touched.
pub(super) fn touched(touch: Touch, who: Who) {
    let Some(inner) = active() else { return };
    let count = |list: &mut [u32; 2]| list[who as usize] += 1;
    inner.real.set({
        let mut real = inner.real.get();
        match touch {
            Touch::Clone => count(&mut real.cloned),
            Touch::Drop => count(&mut real.dropped),
            Touch::Wake | Touch::WakeByRef => count(&mut real.woken),
        }
        real
    });
    if matches!(touch, Touch::Wake) {
        inner.spent.set(inner.spent.get() + 1);
    }
    inner.user_window(|at| match touch {
        Touch::Clone => at == At::Clone,
        Touch::Drop => matches!(at, At::Drop(is, ..) if is == who),
        Touch::Wake => at == At::Wake,
        Touch::WakeByRef => matches!(at, At::WakeSelf(_)),
    });
}

/// The callback of every operation here.
pub(super) fn called(_: *mut (), result: i64) {
    let Some(inner) = active() else { return };
    inner.real.set(Counts {
        called: inner.real.get().called + 1,
        called_with: result,
        ..inner.real.get()
    });
    inner.user_window(|at| at == At::Called);
}

/// The closer: nothing is open.
pub(super) fn closed(fd: io_core::Fd) {
    let Some(inner) = active() else { return };
    inner.real.set(Counts {
        closed: inner.real.get().closed + 1,
        closed_last: i64::from(fd.raw()),
        ..inner.real.get()
    });
}

/// A readable list of what happened, that outlives a panic.
pub type Log = Rc<RefCell<Vec<String>>>;

/// One life: the backend, the awaitable's storage, and the model beside them.
pub(super) struct Inner {
    pub(super) start: Start,
    pub(super) model: Cell<State>,
    script: RefCell<Script>,
    log: Option<Log>,
    pub(super) node: RefCell<Option<Node>>,
    pub(super) address: Cell<Option<NodePtr>>,
    pub(super) timers: RefCell<Timers>,
    pub(super) delivery: RefCell<Option<Delivery>>,
    pub(super) storage: Cell<Option<storage::Storage>>,
    pub(super) generation: Cell<u32>,
    pub(super) generations: Cell<u32>,
    real: Cell<Counts>,
    expected: Cell<Counts>,
    /// Clones that a delivery spent, and that another process's were.
    pub(super) spent: Cell<u32>,
    forgotten: Cell<u32>,
    answers: Cell<[Option<Answer>; DEPTH]>,
    /// Calls and acts that are really under way.
    depth: Cell<usize>,
    muted: Cell<bool>,
    pub(super) steps: RefCell<Vec<(State, Event)>>,
    pub(super) mismatch: RefCell<Option<String>>,
}

/// How the awaitable reaches the harness.
pub(super) type Here = Kept<Rc<Inner>>;

impl Inner {
    pub(super) fn new(start: Start, script: Script, log: Option<Log>) -> Inner {
        Inner {
            start,
            model: Cell::new(State::new(start)),
            script: RefCell::new(script),
            log,
            node: RefCell::new(None),
            address: Cell::new(None),
            timers: RefCell::new(Timers::new()),
            delivery: RefCell::new(None),
            storage: Cell::new(None),
            generation: Cell::new(1),
            generations: Cell::new(1),
            real: Cell::default(),
            expected: Cell::default(),
            spent: Cell::new(0),
            forgotten: Cell::new(0),
            answers: Cell::default(),
            depth: Cell::new(0),
            muted: Cell::new(false),
            steps: RefCell::default(),
            mismatch: RefCell::default(),
        }
    }

    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            log.borrow_mut().push(format!(
                "{:indent$}{}",
                "",
                text(),
                indent = 2 * self.depth.get()
            ));
        }
    }

    /// Whether the code and the model have parted: then nothing is offered or compared any more.
    pub(super) fn failed(&self) -> bool {
        self.mismatch.borrow().is_some()
    }

    pub(super) fn fail(&self, what: fmt::Arguments<'_>) {
        let model = self.model.get();
        if !self.failed() {
            self.say(|| format!("MISMATCH: {what}"));
            *self.mismatch.borrow_mut() = Some(format!("{what}; the model is at: {model}"));
        }
    }

    /// Without stops.
    pub(super) fn muted<R>(&self, run: impl FnOnce() -> R) -> R {
        let before = self.muted.replace(true);
        let result = run();
        self.muted.set(before);
        result
    }

    /// The model makes this step. `None` if it cannot.
    pub(super) fn steps(&self, event: Event) -> Option<Effects> {
        let before = self.model.get();
        let (after, effects) = step(before, event);
        if effects.refused.is_some() {
            return None;
        }
        self.steps.borrow_mut().push((before, event));
        self.model.set(after);
        let mut expected = self.expected.get();
        expected.add(&effects);
        self.expected.set(expected);
        self.forgotten.set(self.forgotten.get() + u32::from(effects.forgotten.is_some()));
        if effects.answer.is_some() {
            let mut answers = self.answers.get();
            answers[after.depth()] = effects.answer;
            self.answers.set(answers);
        }
        Some(effects)
    }

    fn resumes(&self) -> bool {
        let resumes = self.steps(Event::Resume).is_some();
        if !resumes {
            self.fail(format_args!("the code goes on where the model cannot"));
        }
        resumes
    }

    fn at(&self) -> Option<At> {
        self.model.get().top().map(Frame::at)
    }

    /// User code runs: the model must come to the same window. Then the script is asked.
    pub(super) fn user_window(&self, is: impl Fn(At) -> bool) {
        if self.muted.get() || self.failed() {
            return;
        }
        let depth = self.depth.get();
        for _ in 0..DEPTH * 2 {
            if self.model.get().depth() != depth || self.at().is_none_or(&is) {
                break;
            }
            if !self.resumes() {
                return;
            }
        }
        let arrived = self.model.get().depth() == depth && self.at().is_some_and(&is);
        if !arrived {
            self.fail(format_args!("the code is in user code, the model is not"));
            return;
        }
        self.compare();
        self.compare_word();
        self.offer(Place::User);
        if !self.failed() && !matches!(self.at(), Some(At::Wait(_))) {
            self.resumes();
        }
    }

    /// The end of a wait's window.
    pub(super) fn leaves_wait(&self) {
        if !self.failed() {
            self.resumes();
        }
    }

    /// An access comes: the model must be able to have the same word. Then the script is asked.
    #[cfg(feature = "steps")]
    pub(super) fn access_window(&self, site: io_core::sync::steps::Site) {
        use io_core::sync::steps::Access;
        let depth = self.depth.get();
        let model = self.model.get();
        let over = model.depth() != depth || self.at().is_none_or(At::is_user);
        if self.muted.get() || self.failed() || over {
            return;
        }
        let Some(word) = self.word() else { return };
        let text = word.as_str();
        if !(text.starts_with("queued") || text.starts_with("in flight")) {
            // On the only thread there is, the sink may be read after "done".
            let unshared = model.acts(Act::CompleteUnshared);
            if text.starts_with("done") && !unshared && model.top().is_some_and(Frame::holds_node) {
                self.fail(format_args!("I3: {site:?} touches a node after \"done\""));
            }
            return;
        }
        for _ in 0..DEPTH * 2 {
            if self.model.get().word() == word {
                break;
            }
            if !self.resumes() {
                return;
            }
        }
        let looks = matches!(self.model.get().top(), Some(Frame::Caller(Call::Poll(_), At::Look)));
        if looks && site.access == Access::Read && !self.resumes() {
            return;
        }
        self.compare();
        let here = self.model.get().depth() == depth && self.at().is_some_and(|at| !at.is_user());
        if here && self.model.get().is_window() {
            self.say(|| format!("before {:?} at {}", site.access, site.at));
            self.offer(Place::Access);
        }
    }

    /// An event that can happen here, or else the harness is wrong.
    pub(super) fn must(&self, event: Event) {
        let steps = self.steps.borrow().len();
        self.applies(event);
        if self.steps.borrow().len() == steps {
            self.fail(format_args!("{event} cannot happen at the end"));
        }
    }

    /// Lets the script put events here, until it lets go on.
    pub(super) fn offer(&self, place: Place) {
        while !self.failed() {
            let model = self.model.get();
            let Some(event) = (self.script.borrow_mut())(&model, place) else { return };
            if event == Event::Resume {
                return;
            }
            self.applies(event);
        }
    }

    /// One event, in the model and in the real code.
    pub(super) fn applies(&self, event: Event) {
        let depth = self.model.get().depth();
        if self.steps(event).is_none() {
            self.say(|| format!("{event}: cannot happen here"));
            return;
        }
        self.say(|| event.to_string());
        if self.model.get().depth() == depth {
            // No call and no act: it is over.
            self.outside(event);
            self.compare();
            return;
        }
        self.depth.set(depth + 1);
        let real = match event {
            Event::Act(act) => self.acts(act),
            Event::Call(call) => self.calls(call),
            Event::Resume | Event::Fork | Event::Reinit => None,
        };
        while !self.failed() && self.model.get().depth() > depth && self.resumes() {}
        self.depth.set(depth);
        if self.failed() {
            return;
        }
        let wanted = self.answers.get()[depth];
        if real.is_some() && real != wanted {
            self.fail(format_args!("{event} answers {real:?}, the model says {wanted:?}"));
        }
        self.say(|| format!("  … {event}: {wanted:?}; {}", self.model.get()));
        self.compare();
        if self.model.get().top().is_none_or(|frame| frame.at().is_user()) {
            self.compare_word();
        }
    }

    /// The word is the model's. Between accesses it may be a change ahead.
    fn compare_word(&self) {
        let wanted = self.model.get().word();
        if let Some(word) = self.word()
            && word != wanted
        {
            self.fail(format_args!("the word is {word:?}, not {wanted:?}"));
        }
    }

    /// What can be seen of both is the same.
    pub(super) fn compare(&self) {
        if self.failed() {
            return;
        }
        let model = self.model.get();
        let (real, expected) = (self.real.get(), self.expected.get());
        if real != expected {
            self.fail(format_args!("counted {real:?}, the model says {expected:?}"));
        }
        self.muted(|| self.compare_node(&model));
    }

    fn compare_node(&self, model: &State) {
        let slot = self.node.borrow();
        let Some(node) = slot.as_ref() else { return };
        let wanted = (
            model.phase,
            model.sink.is_some() || model.registering,
            model.sink == Some(Sink::Callback),
            model.cancel,
            model.result,
            model.timed,
        );
        let real = (
            node.phase(),
            node.has_sink(),
            node.has_callback(),
            node.cancel_asked(),
            node.result(),
            node.is_timed(),
        );
        // Inside a call, the word may be a change ahead of the model until the next access.
        if real != wanted && self.word().is_some_and(|word| word == model.word()) {
            self.fail(format_args!("the node says {real:?}, the model {wanted:?}"));
        }
    }

    /// At the end of a life: each clone of a waker was woken, dropped, or another process's.
    pub(super) fn compare_end(&self) {
        let real = self.real.get();
        let model = self.model.get();
        if model.process != Process::Same && model.storage == Storage::Forgotten {
            // Abandoned by the harness's own drop, outside of the model.
            return;
        }
        let sum = |list: [u32; 2]| list.iter().sum::<u32>();
        let gone = sum(real.dropped) + self.spent.get() + self.forgotten.get();
        if sum(real.cloned) != gone {
            let forgotten = self.forgotten.get();
            self.fail(format_args!("I6: {real:?}, {forgotten} forgotten: clones are lost"));
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.model.get().phase == Phase::Done
    }

    /// The next event that brings the life to its end.
    pub(super) fn next_to_the_end(&self) -> Option<Event> {
        let model = self.model.get();
        let canceled = io_core::Errno::CANCELED.to_result();
        if model.left.is_some() {
            Some(Event::Act(Act::Deliver))
        } else if model.armed {
            Some(Event::Act(Act::Disarm))
        } else if model.owned {
            Some(Event::Act(Act::Complete(canceled)))
        } else if model.storage == Storage::Held {
            Some(Event::Call(Call::Drop))
        } else {
            None
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner(")?;
        f.write_str(self.model.get().word().as_str())?;
        f.write_char(')')
    }
}
