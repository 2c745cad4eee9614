//! What a program does with operations: makes, submits, polls, cancels, drops, forgets, reads, resets and
//! waits for them.

use super::Planned;
use super::bell::{Bell, Place, call};
use super::book::{Effect, Entry, Form, Life, Reaction};
use super::make::Maker;
use super::run::Run;
use core::panic::AssertUnwindSafe;
use core::task::{Context, Poll};
use io_core::op::MsgFlags;
use io_core::{Deadline, Errno, Op, OpKind, Phase};
use std::panic::catch_unwind;
use std::sync::Arc;

impl Run {
    pub(super) fn reaction(&self) -> Option<(Place, Reaction)> {
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

    pub(super) fn deadline(&self, must: bool) -> Option<Deadline> {
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

    pub(super) fn submit_fresh(&self) {
        if let Some(at) = self.one(|entry| entry.life == Life::Fresh) {
            self.note(|| format!("submit {at}"));
            self.submit(at);
        }
    }

    /// One of those that `wanted` accepts.
    pub(super) fn one(&self, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        let book = self.book.try_borrow().ok()?;
        let which = book.which(wanted);
        drop(book);
        which.get(self.choices.index(which.len())).copied()
    }

    /// What the book must know before the backend has the operation. `false` if it cannot be submitted:
    /// a descriptor of it was closed since.
    pub(super) fn before_submit(&self, at: usize) -> bool {
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

    pub(super) fn submit(&self, at: usize) {
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

    pub(super) fn poll_this(&self, at: usize) {
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
    pub(super) fn unsubmit(&self, at: usize) {
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
    pub(super) fn poll_one(&self) {
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

    pub(super) fn cancel_one(&self) {
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

    pub(super) fn drop_one(&self) {
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

    pub(super) fn forget_one(&self) {
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
    pub(super) fn reset_one(&self) {
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
    pub(super) fn again(&self, at: usize) {
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
    pub(super) fn wait_one(&self) {
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
