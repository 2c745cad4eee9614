//! [`Run`]: the program as it runs: its steps, what happens inside wakers and callbacks, and what is seen
//! after each step.

use super::bell::{Bell, Place, React, call};
use super::book::{Book, Effect, Entry, Form, Leads, Life, Reaction};
use super::held::Held;
use super::host::Host;
use super::judge::{self, Law};
use super::make::Maker;
use super::{Limits, Planned};
use crate::choices::Choices;
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use io_core::op::MsgFlags;
use io_core::{Deadline, Errno, IoBackend, Op, OpKind, Phase, StopError};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

/// A program that runs.
pub(super) struct Run {
    pub(super) choices: Choices,
    pub(super) host: Host,
    pub(super) book: RefCell<Book>,
    pub(super) limits: Limits,
    /// Raised at every event, so that "before" has a meaning.
    pub(super) tick: Cell<u32>,
    /// How deep in wakers and callbacks we are.
    depth: Cell<u32>,
    /// Whether that is the clone of a waker, so that an operation is on its way to the backend.
    cloning: Cell<bool>,
    injects: bool,
}

fn nothing_injected(_: OpKind) -> &'static [Errno] {
    &[]
}

impl React for Run {
    fn react(&self, operation: usize, place: Place) {
        if self.depth.get() >= 2 || std::thread::panicking() {
            return;
        }
        // Taken by hand while somebody acts on the book: then nothing happens here.
        let Ok(mut book) = self.book.try_borrow_mut() else { return };
        let Some(entry) = book.entries.get_mut(operation) else { return };
        let Some((_, reaction)) = entry.reaction.take_if(|(at, _)| *at == place) else { return };
        drop(book);
        self.depth.set(self.depth.get() + 1);
        let _back = Back(&self.depth);
        self.note(|| format!("  inside {place:?} of {operation}: {reaction:?}"));
        let was = self.cloning.replace(self.cloning.get() || place == Place::Clone);
        let done = catch_unwind(AssertUnwindSafe(|| self.reaction_to(reaction)));
        self.cloning.set(was);
        if let Err(payload) = done {
            // Out of a drop, it could be the second one at a time.
            if place != Place::Drop || !payload.is::<Planned>() {
                resume_unwind(payload);
            }
        }
    }
}

/// Goes one level up again, also when it unwinds.
struct Back<'d>(&'d Cell<u32>);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Run {
    pub(super) fn new(choices: Choices, host: Host, limits: Limits, injects: bool) -> Run {
        let (book, tick, depth) = (RefCell::new(Book::default()), Cell::new(2), Cell::new(0));
        let cloning = Cell::new(false);
        Run { choices, host, book, limits, tick, depth, cloning, injects }
    }

    pub(super) fn now(&self) -> u32 {
        self.tick.set(self.tick.get() + 1);
        self.tick.get()
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if self.limits.log {
            let line = line();
            self.book.borrow_mut().log.push(line);
        }
    }

    /// What has happened, a step a line, and what the simulator says of it.
    pub(super) fn story(&self) -> String {
        // A violation may be found while the book is open.
        let steps = self.book.try_borrow().map_or(String::new(), |book| book.log.join("\n"));
        format!("program:\n{steps}\nsimulation:\n{}", self.host.log())
    }

    /// What is not as it must be.
    pub(super) fn violated(&self, why: &str) -> ! {
        panic!("{why}");
    }

    pub(super) fn law(&self) -> Law {
        let injected = if self.injects { super::host::injected } else { nothing_injected };
        Law { now_ns: self.host.now_ns(), injected }
    }

    /// Acts on one operation with no borrow held; a planned panic inside goes no further than a step.
    fn act<R>(
        &self,
        at: usize,
        act: impl FnOnce(Pin<&mut dyn Held>) -> R,
    ) -> Option<Result<R, Planned>> {
        let mut held = self.book.borrow_mut().entries[at].held.take()?;
        let done = catch_unwind(AssertUnwindSafe(|| act(held.as_mut())));
        self.book.borrow_mut().entries[at].held = Some(held);
        if done.is_err() {
            self.unsubmit(at);
        }
        Some(self.planned(done))
    }

    fn planned<R>(&self, done: std::thread::Result<R>) -> Result<R, Planned> {
        done.map_err(|payload| {
            if self.depth.get() > 0 || !payload.is::<Planned>() {
                resume_unwind(payload);
            }
            self.note(|| "  a planned panic came out".to_owned());
            Planned
        })
    }

    /// Calls into the backend with no borrow held.
    fn call<R>(&self, call: impl FnOnce(&dyn IoBackend) -> R) -> Result<R, Planned> {
        let backend = self.host.backend();
        self.planned(catch_unwind(AssertUnwindSafe(|| call(backend.get_ref()))))
    }

    /// One step of the program.
    pub(super) fn step(&self) {
        match self.choices.below(36) {
            0..=11 => self.new_operation(),
            12..=18 => self.poll_backend(),
            19 => self.flush(),
            20 => self.advance(),
            21..=23 => self.poll_one(),
            24 => self.cancel_one(),
            25 => self.drop_one(),
            26 => self.forget_one(),
            27..=29 => {
                let _there_was_one = self.read_one();
            }
            30 => self.reset_one(),
            31 => self.wait_one(),
            32 | 33 => self.outside(),
            34 => self.submit_fresh(),
            _ => self.stop_and_start(),
        }
        self.settle();
    }

    /// One step of a program of few kinds.
    pub(super) fn small_step(&self) {
        match self.choices.below(4) {
            0 => self.poll_backend(),
            1 => self.cancel_one(),
            2 => self.drop_one(),
            _ => self.wait_one(),
        }
        self.settle();
    }

    fn reaction_to(&self, reaction: Reaction) {
        match reaction {
            Reaction::Submit => self.new_operation(),
            Reaction::Cancel => self.cancel_one(),
            Reaction::Drop => self.drop_one(),
            Reaction::Poll => self.poll_one(),
            Reaction::Flush => self.flush(),
            Reaction::Stop => self.stop_inside(),
            Reaction::Panic => resume_unwind(Box::new(Planned)),
        }
    }

    // --- operations -----------------------------------------------------------------------------

    fn reaction(&self) -> Option<(Place, Reaction)> {
        if self.limits.few || !self.choices.chance(4) {
            return None;
        }
        let place = *self.choices.pick(&[Place::Wake, Place::Callback, Place::Clone, Place::Drop]);
        let reaction = *self.choices.pick(&[
            Reaction::Submit,
            Reaction::Cancel,
            Reaction::Drop,
            Reaction::Poll,
            Reaction::Flush,
            Reaction::Stop,
            Reaction::Panic,
        ]);
        // A panic in a drop could be the second one at a time.
        (place != Place::Drop || reaction != Reaction::Panic).then_some((place, reaction))
    }

    fn deadline(&self, must: bool) -> Option<Deadline> {
        let now = self.host.now_ns();
        if self.limits.few {
            return must.then(|| Deadline::from_nanos(now + 1));
        }
        match self.choices.below(16) {
            0..=9 if !must => None,
            0..=9 | 13 => {
                Some(Deadline::from_nanos(now + 1 + u64::from(self.choices.below(20_000))))
            }
            10..=12 => Some(Deadline::from_nanos(now + 1_000_000_000)),
            14 => Some(Deadline::from_nanos(now)),
            _ => Some(Deadline::NEVER),
        }
    }

    /// Makes an operation, and mostly submits it.
    pub(super) fn new_operation(&self) {
        let Ok(mut book) = self.book.try_borrow_mut() else { return };
        if book.entries.len() >= self.limits.operations {
            return;
        }
        let at = book.entries.len();
        // Numbers of operations are small.
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let position = |fd| self.host.position(fd);
        let (choices, large, few) = (&self.choices, self.limits.large, self.limits.few);
        // A descriptor is not closed under an operation that is about to be submitted with its number.
        let may_close = !self.cloning.get();
        let maker =
            Maker { choices, book: &mut book, number, position: &position, large, may_close };
        let draft = if few { maker.small_draft() } else { maker.draft() };
        let soon = few && self.choices.chance(2);
        let deadline = self.deadline(soon || matches!(draft.op, Op::Timeout(_)));
        let typed = few || self.choices.chance(2);
        let form = *self.choices.pick(&[Form::Future, Form::Callback, Form::Quiet]);
        let reaction = self.reaction();
        let (kind, what) = (draft.op.kind(), describe(&draft.op, deadline));
        let (effect, area, ends) = (draft.effect.clone(), draft.area.clone(), draft.ends.clone());
        let dont_wait = draft.op.wants_eagain();
        let waits_for_all = matches!(&draft.op,
            Op::Recv(op) if op.flags.contains(MsgFlags::WAITALL));
        let (held, raw) = draft.build(self.host.backend(), deadline, typed);
        book.entries.push(Entry {
            kind,
            form,
            what,
            held: Some(held),
            lost: None,
            raw,
            effect,
            area,
            got: None,
            ends,
            begin: u32::MAX,
            end: u32::MAX,
            life: Life::Fresh,
            told: None,
            asked: false,
            deadline: deadline.unwrap_or(Deadline::NEVER),
            bell: Bell::new(at),
            others: Vec::new(),
            heard: None,
            dont_wait,
            waits_for_all,
            waited: false,
            reaction,
        });
        drop(book);
        self.note(|| format!("{at}: {:?}, {reaction:?}", self.book.borrow().entries[at]));
        if few || !self.choices.chance(12) {
            self.submit(at);
        }
    }

    fn submit_fresh(&self) {
        if let Some(at) = self.one(|entry| entry.life == Life::Fresh) {
            self.note(|| format!("submit {at}"));
            self.submit(at);
        }
    }

    /// One of those that `wanted` accepts.
    fn one(&self, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        let book = self.book.try_borrow().ok()?;
        let which = book.which(wanted);
        drop(book);
        which.get(self.choices.index(which.len())).copied()
    }

    /// What the book must know before the backend has the operation. `false` if it cannot be submitted:
    /// a descriptor of it was closed since.
    fn before_submit(&self, at: usize) -> bool {
        let now = self.now();
        let mut book = self.book.borrow_mut();
        let book = &mut *book;
        let entry = &mut book.entries[at];
        let open = |&end: &usize| book.ends[end].is_open();
        if !entry.ends.iter().all(open) {
            return false;
        }
        entry.begin = now;
        entry.life = Life::Flying;
        entry.asked = book.stopped;
        book.submitted += 1;
        match entry.effect.clone() {
            Effect::FileWrite { file, change, .. } | Effect::Cut { file, change } => {
                book.files[file].changes[change].begin = now;
            }
            Effect::Closes => {
                let end = entry.ends[0];
                book.closing(end, now);
            }
            Effect::Cancels(scope) => book.ask(scope),
            Effect::Nothing if entry.kind == OpKind::Shutdown => {
                let end = entry.ends[0];
                book.shutting(end, true, true);
            }
            _ => {}
        }
        true
    }

    fn submit(&self, at: usize) {
        if !self.before_submit(at) {
            self.drop_this(at);
            return;
        }
        let (form, bell) = {
            let book = self.book.borrow();
            (book.entries[at].form, Arc::clone(&book.entries[at].bell))
        };
        let done = match form {
            Form::Future => {
                self.poll_this(at);
                // What its waker's clone has submitted was there before it.
                let mut book = self.book.borrow_mut();
                if let Effect::Cancels(scope) = book.entries[at].effect {
                    book.ask(scope);
                }
                return;
            }
            Form::Callback => {
                let context = bell.context();
                let done = self.act(at, |held| held.submit(Some((call, context))));
                if bell.calls() > 0 && self.depth.get() == 0 {
                    self.violated(&format!("{at}: the callback ran inside submit"));
                }
                done
            }
            Form::Quiet => self.act(at, |held| held.submit(None)),
        };
        if let Some(Ok(Err(errno))) = done {
            self.violated(&format!("{at}: submit says {errno:?}"));
        }
    }

    fn poll_this(&self, at: usize) {
        let bell = Arc::clone(&self.book.borrow().entries[at].bell);
        let waker = bell.waker();
        let before = bell.wakes();
        let polled = self.act(at, |held| held.poll(&mut Context::from_waker(&waker)));
        match polled {
            Some(Ok(Poll::Ready(result))) => {
                self.book.borrow_mut().entries[at].heard = None;
                self.tell(at, result);
            }
            Some(Ok(Poll::Pending)) => {
                let mut book = self.book.borrow_mut();
                // Whoever gets a callback hears of it there.
                let entry = &mut book.entries[at];
                let hears = entry.form != Form::Callback && entry.told.is_none() && !entry.waited;
                entry.heard = hears.then_some(before);
            }
            Some(Err(Planned)) | None => {}
        }
    }

    /// A clone that panics before the submit leaves it unsubmitted.
    fn unsubmit(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let entry = &mut book.entries[at];
        let idle = entry.held.as_ref().is_some_and(|held| held.phase() == Phase::Idle);
        if idle && entry.life == Life::Flying {
            entry.life = Life::Fresh;
            entry.begin = u32::MAX;
            if let Effect::Closes = entry.effect {
                let end = entry.ends[0];
                book.ends[end].closed = None;
            }
            book.submitted -= 1;
        }
    }

    /// Polls a future again, now and then with another waker, which is then the one to be woken.
    fn poll_one(&self) {
        let fits =
            |entry: &Entry| matches!(entry.life, Life::Flying | Life::Done) && entry.told.is_none();
        if let Some(at) = self.one(fits) {
            let other = self.choices.chance(2);
            self.note(|| format!("poll {at}{}", if other { " with another waker" } else { "" }));
            if other {
                let mut book = self.book.borrow_mut();
                let entry = &mut book.entries[at];
                // A callback keeps its own.
                if entry.form != Form::Callback {
                    let old = core::mem::replace(&mut entry.bell, Bell::new(at));
                    entry.others.push(old);
                    entry.heard = None;
                }
            }
            self.poll_this(at);
        }
    }

    fn cancel_one(&self) {
        if let Some(at) = self.one(|entry| entry.life != Life::Dropped) {
            self.note(|| format!("cancel {at}"));
            self.cancel_this(at);
        }
    }

    pub(super) fn cancel_this(&self, at: usize) {
        {
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            entry.asked |= entry.life == Life::Flying;
        }
        // A planned panic has been noted.
        let _: Option<Result<(), Planned>> = self.act(at, |held| held.cancel());
    }

    fn drop_one(&self) {
        if let Some(at) = self.one(|_| true) {
            self.note(|| format!("drop {at}"));
            self.drop_this(at);
        }
    }

    pub(super) fn drop_this(&self, at: usize) {
        self.notice(at);
        let Some(held) = self.book.borrow_mut().entries[at].held.take() else { return };
        {
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            entry.asked = true;
            entry.heard = None;
        }
        let calls = self.book.borrow().entries[at].bell.calls();
        // A planned panic has been noted.
        let _ = self.planned(catch_unwind(AssertUnwindSafe(|| drop(held))));
        let now = self.now();
        let mut book = self.book.borrow_mut();
        let entry = &mut book.entries[at];
        let flying = entry.life == Life::Flying;
        entry.life = Life::Dropped;
        if flying {
            entry.end = now;
        }
        let late = entry.bell.calls() != calls && flying;
        drop(book);
        if late {
            self.violated(&format!("{at}: its callback ran in its drop"));
        }
        if flying {
            self.look(at);
        }
        self.release(at);
    }

    fn forget_one(&self) {
        if !self.limits.forget {
            return;
        }
        // Its memory is never given back.
        let small = |entry: &Entry| entry.area.as_ref().is_none_or(|area| area.len() < 1000);
        if let Some(at) = self.one(|entry| entry.life == Life::Flying && small(entry)) {
            self.note(|| format!("forget {at}"));
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            if let Some(held) = entry.held.take() {
                entry.lost = Some(super::held::forget(held));
                entry.life = Life::Forgotten;
            }
        }
    }

    /// Takes a result; `false` if there is none to take.
    pub(super) fn read_one(&self) -> bool {
        let unread = |entry: &Entry| entry.life == Life::Done && entry.told.is_none();
        let Some(at) = self.one(unread) else { return false };
        self.note(|| format!("read {at}"));
        match self.act(at, |held| held.take()) {
            Some(Ok(Some(result))) => self.tell(at, result),
            _ => self.violated(&format!("{at}: done, and no result")),
        }
        true
    }

    /// Another operation of the same shape in the same storage.
    fn reset_one(&self) {
        let fits = |entry: &Entry| entry.raw && matches!(entry.life, Life::Done | Life::Flying);
        let Some(at) = self.one(fits) else { return };
        self.notice(at);
        let owned = self.book.borrow().entries[at].life == Life::Flying;
        let nop = Op::Nop(io_core::op::Nop);
        let reset = self.act(at, |held| held.reset(nop, super::held::Kept::default()));
        let Some(Ok(Some(reset))) = reset else { return };
        self.note(|| format!("reset {at}: {reset:?}"));
        match reset {
            Ok(()) if owned => self.violated(&format!("{at}: reset in flight")),
            Ok(()) => self.again(at),
            Err(errno) if errno != Errno::BUSY || !owned => {
                self.violated(&format!("{at}: reset says {errno:?}"))
            }
            Err(_) => {}
        }
    }

    /// A new entry for what is in the storage of the old one now.
    fn again(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let new = book.entries.len();
        let entry = &mut book.entries[at];
        let held = entry.held.take();
        entry.life = Life::Dropped;
        let (deadline, form) = (entry.deadline, entry.form);
        book.entries.push(Entry {
            kind: OpKind::Nop,
            form,
            what: format!("nop in the storage of {at}"),
            held,
            lost: None,
            raw: true,
            effect: Effect::Nothing,
            area: None,
            got: None,
            ends: Vec::new(),
            begin: u32::MAX,
            end: u32::MAX,
            life: Life::Fresh,
            told: None,
            asked: false,
            deadline,
            bell: Bell::new(new),
            others: Vec::new(),
            heard: None,
            dont_wait: false,
            waits_for_all: false,
            waited: false,
            reaction: None,
        });
        drop(book);
        self.release(at);
        self.submit(new);
    }

    /// Blocks for one that is asked to end, so that it does.
    fn wait_one(&self) {
        let Some(at) = self.one(|entry| entry.life == Life::Flying) else { return };
        self.note(|| format!("cancel and wait for {at}"));
        self.notice(at);
        {
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            if entry.life != Life::Flying {
                return;
            }
            entry.asked = true;
            entry.waited = true;
            entry.heard = None;
        }
        let waited = self.act(at, |mut held| {
            held.as_mut().cancel();
            held.wait()
        });
        if let Some(Ok(result)) = waited {
            match result {
                Some(result) => self.tell(at, result),
                None => self.violated(&format!("{at}: a wait without a result")),
            }
        }
    }

    // --- the backend ----------------------------------------------------------------------------

    fn poll_backend(&self) {
        let sure = |entry: &Entry| entry.kind == OpKind::Nop && entry.life == Life::Flying;
        let timeout = match if self.limits.few { 0 } else { self.choices.below(4) } {
            0 | 1 => Some(Duration::ZERO),
            2 => Some(Duration::from_micros(u64::from(self.choices.below(50)))),
            _ if self.book.borrow().entries.iter().any(sure) => None,
            _ => Some(Duration::from_millis(1)),
        };
        let polled = self.call(|backend| backend.poll(timeout));
        self.note(|| format!("poll the backend {timeout:?}: {polled:?}"));
        if let Ok(Err(errno)) = polled {
            self.violated(&format!("poll says {errno:?}"));
        }
    }

    fn flush(&self) {
        let flushed = self.call(|backend| backend.flush());
        self.note(|| format!("flush: {flushed:?}"));
        if let Ok(Err(errno)) = flushed {
            self.violated(&format!("flush says {errno:?}"));
        }
    }

    fn advance(&self) {
        let by = *self.choices.pick(&[1, 1_000, 20_000, 1_000_000, 2_000_000_000]);
        self.note(|| format!("{by} ns later"));
        self.host.advance(by);
    }

    fn stop_inside(&self) {
        let stopped = self.host.backend().stop(Deadline::NEVER);
        let refused = matches!(stopped, Err(StopError::WrongPlace(Errno::DEADLK)));
        self.note(|| format!("  stop inside: {stopped:?}"));
        // A clone or drop of a waker in a plain poll of a future is not inside of the backend.
        if !refused {
            self.after_stop(&stopped);
        }
    }

    fn after_stop(&self, stopped: &Result<(), StopError>) {
        let Ok(mut book) = self.book.try_borrow_mut() else { return };
        book.stopped |= !matches!(stopped, Err(StopError::WrongPlace(_)));
        let flying = book.entries.iter_mut().filter(|entry| entry.is_flying());
        flying.for_each(|entry| entry.asked = true);
    }

    fn stop_and_start(&self) {
        if !self.choices.chance(4) || self.book.borrow().stopped {
            self.start();
            return;
        }
        let patient = self.choices.chance(2);
        self.stop(if patient { Deadline::NEVER } else { Deadline::NOW });
    }

    fn stop(&self, deadline: Deadline) {
        let patient = deadline == Deadline::NEVER;
        // All that flies is asked, whoever looks at it while the backend stops.
        self.after_stop(&Ok(()));
        let stopped = self.call(|backend| backend.stop(deadline));
        self.note(|| format!("stop: {stopped:?}"));
        match stopped {
            Ok(Err(StopError::StillOwned(_))) if patient => {
                self.violated("a patient stop left something");
            }
            Ok(Err(StopError::WrongPlace(errno))) => {
                self.violated(&format!("stop says {errno:?}"));
            }
            _ => {}
        }
    }

    pub(super) fn start(&self) {
        let started = self.call(|backend| backend.start());
        self.note(|| format!("start: {started:?}"));
        match started {
            Ok(Ok(())) => self.book.borrow_mut().stopped = false,
            Ok(Err(errno)) if !matches!(errno, Errno::ALREADY | Errno::BUSY) => {
                self.violated(&format!("start says {errno:?}"));
            }
            _ => {}
        }
    }

    // --- what is seen ---------------------------------------------------------------------------

    /// Looks at everything that is done since.
    pub(super) fn settle(&self) {
        self.finish_all();
        self.counted();
    }

    pub(super) fn finish_all(&self) {
        let done: Vec<usize> = {
            let book = self.book.borrow();
            let is_done = |entry: &Entry| match (&entry.held, entry.lost) {
                (Some(held), _) => entry.life == Life::Flying && held.phase() == Phase::Done,
                (None, Some(lost)) => entry.is_flying() && super::held::phase(lost) == Phase::Done,
                (None, None) => false,
            };
            (0..book.entries.len()).filter(|&at| is_done(&book.entries[at])).collect()
        };
        for at in done {
            self.finish(at);
        }
    }

    /// Looks whether this one is done since.
    fn notice(&self, at: usize) {
        let done = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            let phase = entry.held.as_ref().map(|held| held.phase());
            entry.life == Life::Flying && phase == Some(Phase::Done)
        };
        if done {
            self.finish(at);
        }
    }

    /// The number in flight is the book's.
    fn counted(&self) {
        let book = self.book.borrow();
        let flying = book.entries.iter().filter(|entry| entry.is_flying()).count();
        drop(book);
        let in_flight = self.host.backend().in_flight();
        if in_flight != flying {
            self.violated(&format!("{in_flight} in flight, but {flying} are not done"));
        }
    }

    /// Notes that an operation is done, once.
    fn finish(&self, at: usize) {
        let now = self.now();
        {
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            if entry.life == Life::Flying {
                entry.life = Life::Done;
            }
            entry.end = now;
        }
        self.look(at);
        let heard = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            let calls = entry.bell.calls();
            (calls > 0 && !entry.waited).then(|| entry.bell.told())
        };
        if let Some(told) = heard {
            self.tell(at, told);
            self.take_typed(at, told);
        }
        let book = self.book.borrow();
        let heard = judge::heard(&book.entries[at]);
        drop(book);
        // Inside of user code, it may be just about to hear.
        if let (Err(why), 0) = (heard, self.depth.get()) {
            self.violated(&format!("{at}: {why}"));
        }
        self.release(at);
    }

    /// A typed operation keeps the descriptor that its callback was told of, until it is taken.
    fn take_typed(&self, at: usize, told: i64) {
        let (kind, raw) = {
            let book = self.book.borrow();
            (book.entries[at].kind, book.entries[at].raw)
        };
        if raw || !kind.yields_fd() {
            return;
        }
        match self.act(at, |held| held.take()) {
            Some(Ok(Some(result))) if result != told => {
                self.violated(&format!("{at}: {result} taken, {told} told"));
            }
            Some(Ok(None)) => self.violated(&format!("{at}: nothing to take after its callback")),
            _ => {}
        }
    }

    /// Looks at the memory of an operation that is over, and marks it as nobody's.
    fn look(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let entry = &mut book.entries[at];
        let Some(area) = entry.area.clone().filter(|_| entry.got.is_none()) else { return };
        let why = match &entry.effect {
            Effect::Write { data, .. } if area.bytes() != *data => Some("wrote to what it sends"),
            Effect::Write { .. } | Effect::FileWrite { .. } => {
                entry.got = Some(Vec::new());
                None
            }
            _ => match area.filled() {
                Some(filled) => {
                    entry.got = Some(area.bytes()[..filled].to_vec());
                    None
                }
                None => Some("wrote behind what it read"),
            },
        };
        drop(book);
        area.retire();
        if let Some(why) = why {
            self.violated(&format!("{at}: {why}"));
        }
    }

    /// Takes the result of an operation, and holds it against what is legal.
    fn tell(&self, at: usize, result: i64) {
        self.note(|| format!("  {at} gave {result}"));
        let first = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            if entry.told.is_some_and(|told| told != result) {
                drop(book);
                self.violated(&format!("{at}: {result} after another result"));
            }
            entry.told.is_none()
        };
        if !first {
            return;
        }
        {
            let now = self.now();
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            entry.told = Some(result);
            entry.life = if entry.life == Life::Forgotten { Life::Forgotten } else { Life::Done };
            entry.end = entry.end.min(now);
        }
        self.look(at);
        let law = self.law();
        let judged = {
            let book = self.book.borrow();
            judge::result(&book, &book.entries[at], result, &law)
        };
        if let Err(why) = judged {
            let what = format!("{:?}", self.book.borrow().entries[at]);
            self.violated(&format!("{at}: {what}: {why}"));
        }
        self.learn(at, result);
        self.release(at);
    }

    /// What the book knows by the result.
    fn learn(&self, at: usize, result: i64) {
        let mut book = self.book.borrow_mut();
        let book = &mut *book;
        let entry = &book.entries[at];
        let count = usize::try_from(result);
        match &entry.effect {
            Effect::FileWrite { file, change, .. } => {
                let change = &mut book.files[*file].changes[*change];
                change.known = Some(count.unwrap_or(0));
                change.end = entry.end;
            }
            Effect::Cut { file, change } => {
                let change = &mut book.files[*file].changes[*change];
                change.known = Some(usize::from(result == 0));
                change.end = entry.end;
            }
            // One that is typed and forgotten keeps it for ever.
            Effect::MakesFd(_) if !entry.raw && entry.lost.is_some() => {}
            Effect::MakesFd(leads) if result >= 0 => {
                let leads = leads.clone();
                let number = i32::try_from(result).unwrap_or(-1);
                book.add_end(io_core::Fd::new(number), leads);
            }
            Effect::Connects(end) if result == 0 => {
                book.ends[*end].leads = Leads::Loose { socket: true };
            }
            _ => {}
        }
    }

    /// Lets another operation have the file's position, once this one has let go of it.
    fn release(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let entry = &book.entries[at];
        if entry.is_flying() || entry.life == Life::Fresh {
            return;
        }
        let (never, end) = (entry.begin == u32::MAX, entry.end);
        if let Effect::FileWrite { file, change, .. } | Effect::Cut { file, change } = entry.effect
        {
            let change = &mut book.files[file].changes[change];
            if never {
                change.known = Some(0);
            }
            change.end = change.end.min(end);
        }
        for file in &mut book.files {
            file.mover.take_if(|mover| *mover == at);
        }
    }

    /// Data that comes and goes without an operation.
    fn outside(&self) {
        let ends = self.book.borrow().open(|leads| matches!(leads, Leads::Stream { .. }));
        let Some(&end) = ends.get(self.choices.index(ends.len())) else { return };
        let (fd, leads) = {
            let book = self.book.borrow();
            (book.ends[end].fd, book.ends[end].leads.clone())
        };
        let Leads::Stream { reads, writes, .. } = leads else { return };
        let begin = self.now();
        if let Some(stream) = writes.filter(|_| self.choices.chance(2)) {
            // A number that no operation has.
            let number = u32::MAX / 2 + begin;
            let data = super::area::patterned(number, 1 + self.choices.below(12) as usize);
            let count = self.host.put(fd, &data);
            self.note(|| format!("put {count} of {} bytes into {fd:?}", data.len()));
            let end = self.now();
            let put = super::stream::Put { data, count: Some(count), begin, end };
            self.book.borrow_mut().streams[stream].puts.push(put);
        } else if let Some(stream) = reads {
            let bytes = self.host.get(fd, 1 + self.choices.below(24) as usize);
            self.note(|| format!("got {} bytes from {fd:?}", bytes.len()));
            let end = self.now();
            let got = super::stream::Got { bytes, begin, end };
            self.book.borrow_mut().streams[stream].gots.push(got);
        }
    }
}

/// What an operation is, in a line.
fn describe(op: &Op, deadline: Option<Deadline>) -> String {
    let fd = op.fd().map_or(String::new(), |fd| format!(" of {}", fd.raw()));
    let detail = match op {
        Op::Cancel(op) => format!(" {:?}", op.scope),
        Op::Pread(op) => format!(" {} at {}", op.len, op.offset),
        Op::Pwrite(op) => format!(" {} at {}", op.len, op.offset),
        Op::Read(op) => format!(" {}", op.len),
        Op::Write(op) => format!(" {}", op.len),
        Op::Recv(op) => format!(" {} {:?}", op.len, op.flags),
        Op::Send(op) => format!(" {} {:?}", op.len, op.flags),
        Op::Poll(op) => format!(" {:?}", op.events),
        Op::Ftruncate(op) => format!(" to {}", op.len),
        _ => String::new(),
    };
    let until = deadline.map_or(String::new(), |at| format!(" until {}", at.as_nanos()));
    format!("{}{fd}{detail}{until}", op.kind().name())
}
