//! [`exercise`]: every kind of operation in every form, cancelled, overdue and stopped at any point, so that
//! the adversary can show what it does, and whether each result is one that the operation may have.
#![allow(unsafe_code, reason = "makes raw operations over memory of its own")]
//! # Safety
//! An operation's addresses are null or in its [`Block`], which is freed after the awaitable: an awaitable's
//! drop waits.

use super::block::Block;
use super::menu::{Menu, Nudge};
use super::{Sim, SimBackend, errnos};
use crate::raw::Held;
use crate::world::FileKind;
use core::pin::Pin;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use io_core::op::Nop;
use io_core::{Deadline, Errno, Fd, IoAwaitable, IoBackend, Op, OpKind, Phase, decode};
use std::sync::Arc;
use std::task::Wake;

type Backend<'s> = Pin<&'s SimBackend>;

/// How often its waker or callback ran, and what the callback was told last.
#[derive(Debug, Default)]
struct Told {
    times: AtomicU32,
    result: AtomicI64,
}

impl Told {
    fn times(&self) -> u32 {
        self.times.load(Ordering::SeqCst)
    }
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::SeqCst);
    }
}

/// How its end is heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Quiet,
    Future,
    Callback,
}

/// One operation, its memory, and what it needs.
struct Act<'s> {
    held: Pin<Box<dyn Held<Backend<'s>> + 's>>,
    block: Block,
    told: Arc<Told>,
    kind: OpKind,
    on: Option<FileKind>,
    form: Form,
    deadline: Deadline,
    nudge: Nudge,
    asked: bool,
    /// It was polled, and not ready.
    pending: bool,
    fds: Vec<Fd>,
}

/// One round: a few operations at once, a few things that happen to them, and the end of all.
///
/// # Panics
/// If an operation ends with what it cannot end with, or is told of not exactly as often as it should.
pub fn exercise(sim: &Sim) {
    let choices = sim.choices();
    let mut acts: Vec<Act<'_>> = (0..1 + choices.below(5)).map(|_| Act::make(sim)).collect();
    for act in &mut acts {
        act.submit();
        if choices.chance(4) {
            act.cancel();
        }
    }
    let stops = choices.chance(4);
    for _ in 0..choices.below(8) {
        let at = choices.index(acts.len());
        let act = &mut acts[at];
        match choices.below(7) {
            0 => drop(sim.backend().poll(Some(Duration::ZERO))),
            1 => act.nudge(sim),
            2 => act.cancel(),
            3 => sim.advance(Duration::from_micros(u64::from(choices.below(40)))),
            4 => drop(sim.backend().flush()),
            5 => act.look(),
            _ => drop(sim.backend().poll(Some(Duration::from_micros(30)))),
        }
    }
    if stops {
        assert_eq!(sim.backend().stop(Deadline::NEVER), Ok(()));
    }
    let cancelled = stops || acts.iter().any(|act| act.kind == OpKind::Cancel);
    for mut act in acts {
        act.end(sim, cancelled);
    }
    if stops {
        assert_eq!(sim.backend().start(), Ok(()));
    }
}

impl<'s> Act<'s> {
    fn make(sim: &'s Sim) -> Act<'s> {
        let choices = sim.choices();
        let kind = *choices.pick(&OpKind::ALL);
        let block = Block::new();
        let (op, nudge, fds) = Menu::new(sim, &block, kind).order();
        let on = op.fd().and_then(|fd| sim.world().with(|world| world.kind(fd)));
        let ticks = match choices.below(8) {
            0..=3 => None,
            4 => Some(0),
            5 => Some(1),
            6 => Some(u64::from(choices.below(30))),
            _ => Some(1_000),
        };
        let now = sim.now().as_nanos();
        let deadline =
            ticks.map_or(Deadline::NEVER, |ticks| Deadline::from_nanos(now + ticks * 1000));
        // SAFETY: the addresses are in `block`, which is dropped after the awaitable, and nobody else uses
        // them; its descriptors are closed after it too.
        let awaitable = unsafe { IoAwaitable::new(sim.backend(), op) };
        let held: Pin<Box<dyn Held<Backend<'s>> + 's>> =
            if deadline == Deadline::NEVER && kind != OpKind::Timeout {
                Box::pin(awaitable)
            } else {
                Box::pin(awaitable.with_deadline(deadline))
            };
        let form = *choices.pick(&[Form::Future, Form::Callback, Form::Quiet]);
        let told = Arc::new(Told::default());
        Act {
            held,
            block,
            told,
            kind,
            on,
            form,
            deadline,
            nudge,
            asked: false,
            pending: false,
            fds,
        }
    }

    fn submit(&mut self) {
        let submitted = match self.form {
            Form::Future => return self.look(),
            Form::Quiet => self.held.as_mut().op().submit(),
            Form::Callback => {
                let told = Arc::as_ptr(&self.told).cast_mut().cast();
                self.held.as_mut().op().submit_with_callback(count, told)
            }
        };
        assert_eq!(submitted, Ok(()));
    }

    /// Polls it, if that is its form.
    fn look(&mut self) {
        if self.form == Form::Future && self.held.get_ref().phase() != Phase::Done {
            // Told from here on, if it is not ready.
            self.told.times.store(0, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&self.told));
            let polled = self.held.as_mut().poll(&mut Context::from_waker(&waker));
            self.pending = polled.is_pending();
            if let Poll::Ready(result) = polled {
                self.keep(result);
            }
        }
    }

    fn cancel(&mut self) {
        self.asked = true;
        self.held.as_mut().op().cancel();
    }

    fn nudge(&mut self, sim: &Sim) {
        match core::mem::replace(&mut self.nudge, Nudge::Nothing) {
            Nudge::Nothing => {}
            Nudge::Put(fd) => {
                let _sent = sim.world().with(|world| world.put(fd, &[9; 5]));
            }
            Nudge::Connect(address) => {
                self.fds.push(sim.world().with(|world| world.connect(&address)));
            }
        }
    }

    /// Brings it to its end, one way or the other, and looks what came of it.
    fn end(&mut self, sim: &'s Sim, cancelled: bool) {
        if sim.choices().chance(8) {
            // Its drop cancels and waits; what its callback was given is not closed.
            if self.form == Form::Callback && self.told.times() > 0 {
                self.keep(self.told.result.load(Ordering::SeqCst));
            }
            return self.close_all(sim);
        }
        self.nudge(sim);
        let mut turns = 0;
        while !self.is_over() {
            turns += 1;
            if turns == 6 && self.deadline == Deadline::NEVER {
                self.cancel();
            }
            let polled = sim.backend().poll(Some(Duration::from_micros(50)));
            assert!(polled.is_ok() && turns < 1000, "{:?} does not end", self.kind);
        }
        let told = self.told.times();
        match self.form {
            Form::Callback => {
                assert_eq!(told, 1, "one callback of {:?}", self.kind);
                let told = self.told.result.load(Ordering::SeqCst);
                assert_eq!(self.held.as_mut().op().result(), Some(told), "what it was told");
            }
            Form::Future => assert!(told == 1 || !self.pending && told == 0, "{told} wakes"),
            Form::Quiet => assert_eq!(told, 0),
        }
        let result = self.held.as_mut().op().result().unwrap_or(i64::MIN);
        self.judge(result, cancelled);
        if self.form != Form::Future || self.pending {
            self.keep(result);
        }
        self.close_all(sim);
    }

    /// A descriptor in the result is ours.
    fn keep(&mut self, result: i64) {
        if self.kind.yields_fd() && result >= 0 {
            self.fds.push(Fd::new(i32::try_from(result).unwrap_or(-1)));
        }
    }

    fn is_over(&self) -> bool {
        let told = self.form != Form::Callback || self.told.times() > 0;
        self.held.get_ref().phase() == Phase::Done && told
    }

    /// Whether it may end so.
    fn judge(&self, result: i64, cancelled: bool) {
        let Err(errno) = decode(result) else { return };
        let timed = self.deadline != Deadline::NEVER;
        let may_end = !self.kind.never_cancelled();
        let cancelled = errno == Errno::CANCELED && may_end && (self.asked || cancelled);
        let expired = errno == Errno::TIMEDOUT && timed && may_end;
        let own = errnos(self.kind, self.on).contains(&errno);
        let (kind, on) = (self.kind, self.on);
        assert!(own || cancelled || expired, "{kind:?} on {on:?} ended with {errno}");
    }

    /// Drops the operation before what it used.
    fn close_all(&mut self, sim: &'s Sim) {
        let nop = Op::Nop(Nop);
        // SAFETY: no pointers and no descriptor.
        self.held = Box::pin(unsafe { IoAwaitable::new(sim.backend(), nop) });
        for fd in self.fds.drain(..) {
            assert_eq!(sim.world().with(|world| world.close(fd)), Ok(()), "{fd:?} was open");
        }
        self.block.check();
    }
}

fn count(told: *mut (), result: i64) {
    // SAFETY: `submit` made the pointer of the act's counter, which outlives its operation.
    let told = unsafe { &*told.cast::<Told>() };
    told.times.fetch_add(1, Ordering::SeqCst);
    told.result.store(result, Ordering::SeqCst);
}
