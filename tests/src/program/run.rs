//! [`Run`]: the program as it runs: its steps, what happens inside wakers and callbacks, and what is seen
//! after each step.

use super::bell::{Place, React};
use super::book::{Book, Reaction};
use super::held::Held;
use super::host::Host;
use super::judge::Law;
use super::{Limits, Planned};
use crate::choices::Choices;
use crate::world::FileKind;
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use io_core::{Errno, IoBackend, OpKind};
use std::panic::{catch_unwind, resume_unwind};

/// A program that runs.
pub(super) struct Run {
    pub(super) choices: Choices,
    pub(super) host: Host,
    pub(super) book: RefCell<Book>,
    pub(super) limits: Limits,
    /// Raised at every event, so that "before" has a meaning.
    pub(super) tick: Cell<u32>,
    /// How deep in wakers and callbacks we are.
    pub(super) depth: Cell<u32>,
    /// Whether that is the clone of a waker, so that an operation is on its way to the backend.
    pub(super) cloning: Cell<bool>,
    injects: bool,
}

fn nothing_injected(_: OpKind, _: Option<FileKind>) -> &'static [Errno] {
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
    pub(super) fn act<R>(
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

    pub(super) fn planned<R>(&self, done: std::thread::Result<R>) -> Result<R, Planned> {
        done.map_err(|payload| {
            if self.depth.get() > 0 || !payload.is::<Planned>() {
                resume_unwind(payload);
            }
            self.note(|| "  a planned panic came out".to_owned());
            Planned
        })
    }

    /// Calls into the backend with no borrow held.
    pub(super) fn call<R>(&self, call: impl FnOnce(&dyn IoBackend) -> R) -> Result<R, Planned> {
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

    pub(super) fn reaction_to(&self, reaction: Reaction) {
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
}
