#![doc = include_str!("../SIMULATION.md")]
#![allow(unsafe_code, reason = "makes owners of the world's descriptors")]
//! # Safety
//! A number of the world is no descriptor of the process; one that was made here belongs to who made it.

mod attempt;
mod backend;
mod block;
mod bogus;
mod coverage;
mod ends;
mod errnos;
mod exercise;
mod fd;
mod flight;
mod fork;
mod kernel;
mod log;
mod menu;
mod names;
mod plan;
mod run;
mod submit;

pub use backend::SimBackend;
pub use coverage::{Claim, Coverage, End, claimed};
pub use errnos::{errnos, is_possible, works_on};
pub use exercise::exercise;
pub use fd::SimFd;
pub use flight::Asked;
pub use log::{Event, What};
pub use plan::{Bogus, Plan};
pub use run::Part;

use crate::choices::Choices;
use crate::explore::{self, Explored};
use crate::world::{Entered, Shared, World, close_fd};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use io_core::{Address, Deadline, Fd, IoBackend, OwnedFd, RawOps};

/// One simulated machine: a backend, the world behind it, and the adversary's choices.
pub struct Sim {
    // Dropped in this order: the backend while the world is entered.
    backend: Pin<Box<SimBackend>>,
    world: Shared,
    choices: Choices,
    _entered: Entered,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Runs your code under `count` schedules of the [legal](Plan::legal) adversary. See
/// [`explore::seeds`] for what a failure prints and how to replay it.
///
/// # Panics
/// If one of the runs does, or leaves a descriptor open.
pub fn check(count: u32, body: impl Fn(&Sim)) {
    check_with(Plan::legal(), count, body);
}

/// [`check`] with another adversary.
///
/// # Panics
/// As [`check`].
pub fn check_with(plan: Plan, count: u32, body: impl Fn(&Sim)) {
    explore::seeds(count, |choices| whole_run(choices, plan, &body));
}

/// Runs your code once, with the choices that a failure has printed behind `IO_SIM_TRACE=`. The plan must be the
/// one that the failure was found with.
///
/// # Panics
/// If the trace is none, and as [`check`].
pub fn replay(plan: Plan, trace: &str, body: impl Fn(&Sim)) {
    explore::replay(trace, |choices| whole_run(choices, plan, &body));
}

/// Runs your code under *all* schedules that differ in the first `depth` choices, the later ones being tame, but
/// no more than `limit`; see [`explore::exhaustive`].
///
/// Use it on programs of two or three operations with most of the plan off; runs multiply by the alternatives at
/// each choice.
///
/// # Panics
/// As [`check`].
pub fn exhaustive(plan: Plan, depth: usize, limit: u64, body: impl Fn(&Sim)) -> Explored {
    explore::exhaustive(depth, limit, |choices| whole_run(choices, plan, &body))
}

/// Runs your code under *all* schedules with at most `most` choices that are not the tamest, but no more than
/// `limit`; see [`explore::deviations`].
///
/// Most bugs need one or two things to go wrong, wherever that is: this tries each, also late in a run, where
/// [`exhaustive`] does not come.
///
/// # Panics
/// As [`check`].
pub fn deviations(plan: Plan, most: usize, limit: u64, body: impl Fn(&Sim)) -> Explored {
    explore::deviations(most, limit, |choices| whole_run(choices, plan, &body))
}

fn whole_run(choices: &Choices, plan: Plan, body: impl Fn(&Sim)) {
    let sim = Sim::new(choices, plan);
    body(&sim);
    sim.finish();
}

impl Sim {
    /// A machine with an empty world, which is this thread's for as long as it exists.
    #[must_use]
    pub fn new(choices: &Choices, plan: Plan) -> Sim {
        let world = Shared::new(World::new());
        let entered = world.enter();
        let backend = Box::pin(SimBackend::new(choices.clone(), plan, world.clone()));
        Sim { backend, world, choices: choices.clone(), _entered: entered }
    }

    /// The backend: what makes operations, raw and typed.
    #[must_use]
    pub fn backend(&self) -> Pin<&SimBackend> {
        self.backend.as_ref()
    }

    /// The backend, for code that does not care which it is.
    #[must_use]
    pub fn any_backend(&self) -> Pin<&dyn IoBackend> {
        self.backend.as_ref()
    }

    /// The world, to look at and to act on by hand.
    #[must_use]
    pub fn world(&self) -> &Shared {
        &self.world
    }

    /// The source of this run's choices, for the program's own.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// What the adversary may do.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.backend.plan()
    }

    /// Adds a line of the program's own to the log, which a failure prints.
    pub fn note(&self, text: impl Into<String>) {
        self.backend.note(text.into());
    }

    /// Says that this place was reached, which must happen in one run at least if it is in
    /// [`must_reach`](Self::must_reach).
    pub fn reached(&self, label: &str) {
        explore::reached(label);
    }

    /// What must be [`reached`](Self::reached) in one run at least of those that are made: said in each of them, at
    /// its top.
    pub fn must_reach(&self, labels: &[&str]) {
        labels.iter().for_each(|label| explore::must_reach(label));
    }

    /// Says whether this is so, which it must be in one run at least of those that come here.
    pub fn sometimes(&self, label: &str, is_so: bool) {
        explore::must_reach(label);
        if is_so {
            explore::reached(label);
        }
    }

    /// What the simulated clock shows.
    #[must_use]
    pub fn now(&self) -> Deadline {
        Deadline::from_nanos(self.world.with(|world| world.now_ns()))
    }

    /// The instant `timeout` from now on the simulated clock.
    #[must_use]
    pub fn deadline_in(&self, timeout: Duration) -> Deadline {
        Deadline::after(self.now().as_nanos(), timeout)
    }

    /// Waits until the simulated clock has gone on by `timeout`.
    pub fn sleep(&self, timeout: Duration) -> impl Future<Output = ()> + '_ {
        let deadline = self.deadline_in(timeout);
        let timeout = self.backend().submit_timeout(deadline);
        async move {
            let result = timeout.await;
            debug_assert_eq!(result, 0, "a timeout ends with its deadline");
        }
    }

    /// Moves the clock on by hand. What is due happens in the next poll.
    pub fn advance(&self, by: Duration) {
        let to = self.deadline_in(by).as_nanos();
        self.world.with(|world| world.advance_to(to));
    }

    /// Runs `run` at an instant, as another thread would; see [`SimBackend::at`].
    pub fn at(&self, deadline: Deadline, run: impl FnOnce() + 'static) {
        self.backend.at(deadline.as_nanos(), run);
    }

    /// A descriptor of the world as an owned one.
    #[must_use]
    pub fn own(&self, fd: Fd) -> SimFd {
        // SAFETY: the caller has it from the world, which does not close it by itself.
        SimFd::new(unsafe { OwnedFd::from_raw(fd, close_fd) })
    }

    /// A file with this content, open for both.
    #[must_use]
    pub fn file(&self, content: &[u8]) -> SimFd {
        self.own(self.world.with(|world| world.file(content)))
    }

    /// A pipe's reading and writing end.
    #[must_use]
    pub fn pipe(&self) -> (SimFd, SimFd) {
        let (reader, writer) = self.world.with(World::pipe);
        (self.own(reader), self.own(writer))
    }

    /// The two ends of a stream.
    #[must_use]
    pub fn pair(&self) -> (SimFd, SimFd) {
        let (one, other) = self.world.with(World::pair);
        (self.own(one), self.own(other))
    }

    /// A TCP socket (`Family::INET`) that listens on 127.0.0.1, and its address.
    #[must_use]
    pub fn listener(&self) -> (SimFd, Address) {
        let (fd, address) = self.world.with(World::listener);
        (self.own(fd), address)
    }

    /// What has happened so far, a line each.
    #[must_use]
    pub fn log(&self) -> String {
        self.backend.log_text()
    }

    /// Looks whether anything is left, an operation in flight or a descriptor open, and stops the backend. An
    /// operation is left if its future was forgotten, or is kept where it outlives the run. In a forked child
    /// whose backend is the parent's there is nothing to stop.
    ///
    /// # Panics
    /// If there is, with its name.
    pub fn finish(&self) {
        let left = self.backend.in_flight();
        let which = if left > 0 { self.backend.waiting() } else { String::new() };
        if self.backend.generation() != 0 {
            self.stop();
        }
        assert!(left == 0, "in flight at the end of the run, with nobody to hear of it:\n{which}");
        let open = self.world.with(|world| world.open_fds());
        let open: Vec<String> = open.into_iter().map(|fd| self.backend.describe(fd)).collect();
        assert!(open.is_empty(), "open at the end of the run: {}", open.join("; "));
    }

    fn stop(&self) {
        assert!(self.backend.stop(Deadline::NEVER).is_ok(), "a stop at the end of a run");
        while self.backend.in_flight() > 0 {
            let delivered = self.backend.poll(Some(Duration::ZERO));
            assert_ne!(delivered, Ok(0), "something is in flight, and nothing comes of it");
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() || explore::is_logged() {
            explore::attach(format!("events:\n{}", self.log()));
        }
    }
}
