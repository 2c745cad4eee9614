//! A backend that runs programs, and is held against what the plain system calls gave.

use super::build::{Built, build, rest};
use super::objects::{Place, Table, digest};
use super::script::{Act, End, Kind, Limit, Script, Step, Target, What};
use crate::oracle::oracle;
use crate::raw::{Held, Raw};
use crate::rig::{Form, Note, Rig};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use io_core::syscall::deadline_in;
use io_core::{Deadline, Handle, IoBackend, Op, OpKind, Phase};
use std::collections::BTreeMap;
use std::time::Instant;

/// How long an operation may take that waits for nothing, before the watchdog's factor.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that runs programs.
pub trait Subject {
    /// Its name, for reports.
    fn name(&self) -> &str;

    /// Runs a program with objects of its own.
    ///
    /// # Errors
    /// What was not as the plain system calls have it.
    fn run(&self, script: &Script) -> Result<(), String>;
}

/// A backend as a [`Subject`], driven by the thread that has it.
#[derive(Debug)]
pub struct Driven<'b, B: IoBackend> {
    name: String,
    rig: Rig<'b, B>,
    place: Place,
}

impl<'b, B: IoBackend> Driven<'b, B> {
    /// A backend that this thread may poll.
    #[must_use]
    pub fn new(name: &str, backend: Pin<&'b B>) -> Driven<'b, B> {
        Driven { name: name.to_owned(), rig: Rig::new(backend), place: Place::new() }
    }
}

impl<B: IoBackend> Subject for Driven<'_, B> {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, script: &Script) -> Result<(), String> {
        let table = Table::new(&self.place, script.nonblocking);
        let mut run = Run { rig: &self.rig, table, flying: BTreeMap::new(), ids: 0 };
        for (number, step) in script.steps.iter().enumerate() {
            run.step(step).map_err(|error| format!("step {number}: {error}"))?;
        }
        let left = run.table.left();
        for (slot, (got, expected)) in left.iter().zip(&script.left).enumerate() {
            if got != expected {
                return Err(format!("left at #{slot}: {got}\n instead of: {expected}"));
            }
        }
        match self.rig.backend().in_flight() {
            0 => Ok(()),
            count => Err(format!("{count} operations are in flight at the end")),
        }
    }
}

/// A raw operation with or without a deadline.
trait Flight {
    fn submit(&mut self);
    fn submit_callback(&mut self, note: &Note);
    fn poll(&mut self, cx: &mut core::task::Context<'_>) -> Poll<i64>;
    fn cancel(&mut self);
    fn phase(&self) -> Phase;
    fn result(&mut self) -> Option<i64>;
    fn wait(&mut self) -> i64;
}

impl<H: Handle, A: Held<H>> Flight for Pin<Box<Raw<H, A>>> {
    fn submit(&mut self) {
        Raw::submit(self).expect("a first submit");
    }

    fn submit_callback(&mut self, note: &Note) {
        Raw::submit_callback(self, note.hook()).expect("a first submit");
    }

    fn poll(&mut self, cx: &mut core::task::Context<'_>) -> Poll<i64> {
        self.as_mut().poll(cx)
    }

    fn cancel(&mut self) {
        Raw::cancel(self);
    }

    fn phase(&self) -> Phase {
        Raw::phase(self)
    }

    fn result(&mut self) -> Option<i64> {
        Raw::result(self)
    }

    fn wait(&mut self) -> i64 {
        Raw::wait(self)
    }
}

/// An operation that was submitted.
struct Flying<'r> {
    flight: Box<dyn Flight + 'r>,
    built: Built,
    act: Act,
    form: Form,
    note: Note,
    /// What a future gave already.
    result: Option<i64>,
}

struct Run<'r, 'b, B: IoBackend> {
    rig: &'r Rig<'b, B>,
    table: Table<'r>,
    flying: BTreeMap<usize, Flying<'b>>,
    ids: usize,
}

impl<'b, B: IoBackend> Run<'_, 'b, B> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            What::Make(object) => self.table.make(*object),
            What::Start { act, form, limit } => self.start(act, *form, *limit),
            What::Cancel(id) => self.flown(*id)?.flight.cancel(),
            What::Drop(id) => drop(self.flying.remove(id)),
        }
        for end in &step.ends {
            self.end(end).map_err(|error| format!("operation {}: {error}", end.id))?;
        }
        if step.ends.is_empty() {
            // Others may be under way.
            return Ok(());
        }
        self.flying.iter().try_for_each(|(id, flying)| match flying.flight.phase() {
            Phase::Done => Err(format!("operation {id} is done, and should wait: {}", flying.act)),
            _ => Ok(()),
        })
    }

    fn flown(&mut self, id: usize) -> Result<&mut Flying<'b>, String> {
        self.flying.get_mut(&id).ok_or_else(|| format!("there is no operation {id}"))
    }

    fn start(&mut self, act: &Act, form: Form, limit: Limit) {
        let built = build(act, &self.table);
        let deadline = match limit {
            Limit::None => None,
            Limit::Far => Some(deadline_in(Duration::from_secs(3600))),
            Limit::Soon => Some(deadline_in(Duration::from_millis(1))),
            Limit::Past => Some(Deadline::NOW),
        };
        let mut flight: Box<dyn Flight + 'b> = match deadline {
            None => Box::new(self.rig.raw(built.op, &built.keep)),
            Some(deadline) => Box::new(self.rig.timed(built.op, &built.keep, deadline)),
        };
        let note = Note::new(self.rig.signal());
        if act.kind == OpKind::Close {
            self.table.forget(act.at);
        }
        let mut result = None;
        match form {
            Form::Wait => flight.submit(),
            Form::Callback => flight.submit_callback(&note),
            Form::Future => {
                let mut cx = core::task::Context::from_waker(self.rig.waker());
                if let Poll::Ready(word) = flight.poll(&mut cx) {
                    result = Some(word);
                }
            }
        }
        let act = act.clone();
        self.flying.insert(self.ids, Flying { flight, built, act, form, note, result });
        self.ids += 1;
    }

    /// Waits for an operation that must be done, and compares.
    fn end(&mut self, end: &End) -> Result<(), String> {
        let mut flying = self.flying.remove(&end.id).ok_or("it was not started")?;
        let result = self.result(&mut flying)?;
        let Flying { built, act, .. } = &flying;
        if let Some(kind) = end.made {
            if result < 0 {
                return Err(format!("{result} instead of a descriptor: {act}"));
            }
            let group = None;
            self.table.adopt(result, kind, group);
        } else if result != end.result {
            self.go_on(&flying, result, end.result)?;
        }
        if let (OpKind::Listen, Target::Slot(slot), 0) = (act.kind, act.at, result) {
            self.table.set_kind(slot, Kind::Listener);
        }
        for (index, (got, expected)) in built.memory().iter().zip(&end.memory).enumerate() {
            if got != expected {
                let (got, expected) = (digest(got), digest(expected));
                return Err(format!("memory {index}: {got}\n instead of: {expected}: {act}"));
            }
        }
        Ok(())
    }

    fn result(&self, flying: &mut Flying<'_>) -> Result<i64, String> {
        let patience = PATIENCE.mul_f64(crate::watchdog::scale());
        let begin = Instant::now();
        loop {
            if let Some(result) = flying.look(self.rig) {
                return Ok(result);
            }
            if begin.elapsed() > patience {
                let phase = flying.flight.phase();
                return Err(format!("it is {phase:?} after {patience:?}: {}", flying.act));
            }
            self.rig.poll(Some(Duration::from_millis(20)));
        }
    }

    /// On a stream a transfer may be shorter than the plain one: then the rest is made outside of the
    /// backend, and all is as it should be.
    fn go_on(&self, flying: &Flying<'_>, result: i64, expected: i64) -> Result<(), String> {
        let act = &flying.act;
        let wrong = || format!("{result} instead of {expected}: {act}");
        let done = usize::try_from(result).ok().filter(|done| *done > 0).ok_or_else(wrong)?;
        let rest_len = expected - result;
        let built = &flying.built;
        let whole = matches!(built.op, Op::Recv(op) if !op.flags.is_empty());
        if rest_len <= 0 || whole {
            return Err(wrong());
        }
        let mut keep = built.keep.clone();
        let op = rest(built, done, &mut keep).ok_or_else(wrong)?;
        match oracle(&op, &keep) {
            more if more == rest_len => Ok(()),
            more => Err(format!("{}, and then {more}", wrong())),
        }
    }
}

impl Flying<'_> {
    /// The result, if it is there.
    fn look<B: IoBackend>(&mut self, rig: &Rig<'_, B>) -> Option<i64> {
        match self.form {
            Form::Future => {
                let mut cx = core::task::Context::from_waker(rig.waker());
                if self.result.is_none()
                    && let Poll::Ready(word) = self.flight.poll(&mut cx)
                {
                    self.result = Some(word);
                }
                self.result
            }
            Form::Callback => {
                let called = (self.note.calls() > 0).then(|| self.note.result())?;
                assert_eq!(self.note.calls(), 1, "calls of one callback");
                assert_eq!(self.flight.result(), Some(called), "the callback's result");
                Some(called)
            }
            Form::Wait => Some(self.flight.wait()),
        }
    }
}
