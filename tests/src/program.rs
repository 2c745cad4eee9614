//! [`run`]: a random program of operations over the simulated backend, held against what the contract says
//! whatever the adversary does.
//!
//! A program makes a few files, pipes, connections and a listener, and then takes steps: it submits
//! operations of any kind in any form, polls, flushes, cancels, drops and forgets them, reads and resets them,
//! closes descriptors under them, lets time pass, stops the backend and starts it again; some of it inside
//! wakers and callbacks, some of which panic. What it decides comes from the same [`Choices`] as what the
//! adversary does, so a seed is the whole run, a fuzzer's bytes are one, and a failing one shrinks.
//!
//! # What is checked, at each step and at the end
//!
//! * Every operation that was submitted completes once. Its callback is called once, its waker is woken at
//!   least once after it was left; who was dropped, waited for or forgotten hears of nothing out of turn.
//! * A result is one that the operation can have: an error that its call lists or that the state of its file
//!   or connection gives; `ECANCELED` only if somebody asked, stopped or closed; `ETIMEDOUT`, and the end of a
//!   sleep, not before time.
//! * What was read from a stream is what was written to it, in an order that the times allow, once, and
//!   nothing is left over; also what was read by an operation that was dropped or forgotten.
//! * Each byte of a file is one that a write put there and no later one is known to have replaced.
//! * Memory to be read into has the count of bytes that the result says, and nobody touches it afterwards.
//! * Wakers are given back. Descriptors that nobody was told of are closed.
//! * The backend's count in flight is the program's after each step, 0 at the end, and its counters agree.

mod area;
mod bell;
mod book;
mod drive;
mod file;
mod held;
mod host;
mod judge;
mod make;
mod operate;
mod over;
mod run;
mod see;
mod stream;

use crate::choices::Choices;
use crate::explore::attach;
use crate::sim::Plan;
use bell::Stage;
use book::{File, Leads, Stream};
use core::cell::RefCell;
use core::fmt;
use core::ops::AddAssign;
use core::panic::AssertUnwindSafe;
use host::Host;
use io_core::OpKind;
use run::Run;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;

/// How large a program is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most steps.
    pub steps: u32,
    /// The most operations.
    pub operations: usize,
    /// The bytes of a large transfer: enough to fill a pipe, or fewer to be quick.
    pub large: usize,
    /// Whether operations are forgotten, whose memory is never given back.
    pub forget: bool,
    /// Whether what happens is written down: see [`describe`].
    pub log: bool,
    /// What the adversary may do. Half of the programs are without errors out of the blue all the same, so
    /// that more of them come to something.
    pub plan: Plan,
    /// Whether there are few kinds of operations and steps, so that all programs can be run.
    pub few: bool,
}

impl Limits {
    /// For many random programs.
    #[must_use]
    pub const fn usual() -> Limits {
        Limits {
            steps: 80,
            operations: 40,
            large: 70_000,
            forget: true,
            log: false,
            plan: Plan::legal(),
            few: false,
        }
    }

    /// For the enumeration of all: two operations, and so many steps with them.
    #[must_use]
    pub const fn tiny(steps: u32, plan: Plan) -> Limits {
        Limits { steps, operations: 2, large: 300, plan, few: true, ..Limits::usual() }
    }

    /// For an interpreter that looks for leaks and is slow.
    #[must_use]
    pub const fn small() -> Limits {
        Limits { steps: 24, operations: 12, large: 300, forget: false, ..Limits::usual() }
    }
}

/// What programs did, added up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Programs.
    pub programs: u64,
    /// Operations submitted.
    pub submitted: u64,
    /// Those that were seen to succeed.
    pub succeeded: u64,
    /// Those that were seen to fail, other than as below.
    pub failed: u64,
    /// Those that gave `ECANCELED`.
    pub canceled: u64,
    /// Those that gave `ETIMEDOUT`.
    pub timed_out: u64,
    /// Those that were dropped or forgotten in flight, so that nobody knows.
    pub unheard: u64,
    /// Streams of bytes that could be explained in too many ways to try them all, and are not judged.
    pub undecided: u64,
    /// The same five numbers for each kind of operation, in the order of [`OpKind::ALL`].
    pub by_kind: [[u64; 5]; OpKind::ALL.len()],
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.programs += other.programs;
        self.submitted += other.submitted;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.canceled += other.canceled;
        self.timed_out += other.timed_out;
        self.unheard += other.unheard;
        self.undecided += other.undecided;
        let numbers = self.by_kind.as_flattened_mut().iter_mut();
        for (sum, number) in numbers.zip(other.by_kind.as_flattened()) {
            *sum += number;
        }
    }
}

impl Summary {
    /// The kinds that were never submitted.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let never = |(kind, ends): (OpKind, [u64; 5])| {
            ends.iter().all(|count| *count == 0).then_some(kind.name())
        };
        OpKind::ALL.into_iter().zip(self.by_kind).filter_map(never).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} programs, {} operations, {} streams not judged",
            self.programs, self.submitted, self.undecided
        )?;
        let names = ["succeeded", "failed", "canceled", "timed out", "unheard"];
        let line = |f: &mut fmt::Formatter<'_>, kind: &str, ends: [u64; 5]| {
            write!(f, "{kind:>10}")?;
            ends.iter().try_for_each(|count| write!(f, " {count:>10}"))?;
            writeln!(f)
        };
        write!(f, "{:>10}", "")?;
        names.iter().try_for_each(|name| write!(f, " {name:>10}"))?;
        writeln!(f)?;
        for (kind, ends) in OpKind::ALL.into_iter().zip(self.by_kind) {
            line(f, kind.name(), ends)?;
        }
        let Summary { succeeded, failed, canceled, timed_out, unheard, .. } = *self;
        line(f, "all", [succeeded, failed, canceled, timed_out, unheard])
    }
}

/// A planned panic, which comes out of whatever ran the waker or callback.
#[derive(Debug)]
struct Planned;

/// Runs the program that these choices make.
///
/// # Panics
/// If anything is not as the contract says; [`describe`] of the same choices is then
/// [attached](crate::explore::attach).
pub fn run(choices: &Choices, limits: Limits) -> Summary {
    match catch_unwind(AssertUnwindSafe(|| execute(choices, limits))) {
        Ok((summary, _)) => summary,
        Err(payload) => {
            let answers = choices.trace();
            attach(describe(&Choices::replay(&answers.0), limits));
            resume_unwind(payload)
        }
    }
}

/// Runs it and says what happened, a step a line, also if it fails: the last line then says why.
#[must_use]
pub fn describe(choices: &Choices, limits: Limits) -> String {
    let limits = Limits { log: true, ..limits };
    FAILED.with_borrow_mut(String::clear);
    match catch_unwind(AssertUnwindSafe(|| execute(choices, limits))) {
        Ok((_, log)) => log.join("\n"),
        Err(payload) => {
            let why = match payload.downcast::<String>() {
                Ok(text) => *text,
                Err(payload) => (*payload.downcast_ref().unwrap_or(&"a panic")).to_owned(),
            };
            format!("{}{why}\n", FAILED.take())
        }
    }
}

thread_local! {
    /// What a program that failed had written down.
    static FAILED: RefCell<String> = const { RefCell::new(String::new()) };
}

fn execute(choices: &Choices, limits: Limits) -> (Summary, Vec<String>) {
    let injects = limits.plan.errno_one_in > 0 && choices.chance(2);
    let plan = if injects { limits.plan } else { Plan { errno_one_in: 0, ..limits.plan } };
    let plan = Plan { short_files: plan.shorten && choices.chance(4), ..plan };
    let host = Host::new(choices, plan);
    let kept = Kept(Some(Rc::new(Run::new(choices.clone(), host, limits, injects))));
    let Kept(Some(run)) = &kept else { return (Summary::default(), Vec::new()) };
    let stage = Stage::enter(Rc::clone(run) as Rc<dyn bell::React>);
    objects(run);
    if limits.few {
        run.new_operation();
        run.new_operation();
        run.settle();
        for _ in 0..limits.steps {
            run.small_step();
        }
    } else {
        if choices.chance(2) {
            run.start();
        }
        for _ in 0..4 + choices.below(limits.steps.saturating_sub(4)) {
            run.step();
        }
    }
    let summary = run.wind_up();
    drop(stage);
    let log = core::mem::take(&mut run.book.borrow_mut().log);
    (summary, log)
}

/// A run that is kept for ever if it fails: its operations may never end.
struct Kept(Option<Rc<Run>>);

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(run) = self.0.take()
        {
            if run.limits.log {
                FAILED.set(run.story());
            }
            core::mem::forget(run);
        }
    }
}

/// What every program starts with: two files, two pipes, a connection and a listener with a connection.
fn objects(run: &Run) {
    let mut book = run.book.borrow_mut();
    let book = &mut *book;
    for number in [make::CONSTANT, make::CONSTANT - 1] {
        let content = area::patterned(number, 64);
        let end = book.add_end(run.host.file(&content), Leads::File(book.files.len()));
        book.files.push(File::new(end, &content));
    }
    let streams = |book: &mut book::Book| {
        book.streams.push(Stream::default());
        Some(book.streams.len() - 1)
    };
    for _ in 0..2 {
        let (reader, writer) = run.host.pipe();
        let stream = streams(book);
        book.add_end(reader, Leads::Stream { reads: stream, writes: None, socket: false });
        book.add_end(writer, Leads::Stream { reads: None, writes: stream, socket: false });
    }
    let (near, far) = run.host.pair();
    let (there, back) = (streams(book), streams(book));
    book.add_end(near, Leads::Stream { reads: back, writes: there, socket: true });
    book.add_end(far, Leads::Stream { reads: there, writes: back, socket: true });
    let (listener, address) = run.host.listener();
    book.add_end(listener, Leads::Listener(Rc::new(address)));
    book.add_end(run.host.connect(&address), Leads::Loose { socket: true });
}
