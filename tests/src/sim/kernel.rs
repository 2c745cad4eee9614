//! The simulated kernel and the backend's lists: one [`Kernel`] behind the backend's cell.
//!
//! A turn begins what is queued, lets deadlines pass, answers cancels, tries what may be tried, and lets
//! results arrive. It calls no user code; whoever calls it runs the wakers and callbacks afterwards.
#![allow(unsafe_code, reason = "unlinks nodes by address and performs operations")]
//! # Safety
//! A node that is not completed is in the list that its flight's stage says; only this file moves it. What a
//! flight points to is used only until then (I1, I2).

use super::coverage::{Claim, Coverage, End};
use super::flight::{Asked, Flight, Stage};
use super::log::{Log, What};
use super::names::Names;
use super::plan::{Bogus, Plan};
use crate::choices::Choices;
use crate::world::Shared;
use io_core::queue::Fifo;
use io_core::{Deadline, Delivery, Errno, Fd, Node, NodePtr, Op, OpKind, Timers, Way};
use std::collections::BTreeMap;

/// How long anything takes: a poll, a retry.
pub(super) const TICK_NS: u64 = 1_000;
/// The token before the first: they wrap around soon.
const BEFORE_FIRST: u32 = u32::MAX - 5;

/// Whether the backend takes operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Open { started: bool },
    Stopping,
    Stopped,
}

pub(super) struct Kernel {
    pub(super) choices: Choices,
    pub(super) plan: Plan,
    pub(super) world: Shared,
    pub(super) log: Log,
    pub(super) names: Names,
    pub(super) coverage: Coverage,
    pub(super) mode: Mode,
    pub(super) timers: Timers,
    /// By the number of their submission, which is the order.
    pub(super) flights: BTreeMap<u64, Flight>,
    queued: Fifo,
    flying: Fifo,
    late: Fifo,
    ready: Fifo,
    pub(super) submitted: u64,
    pub(super) completed: u64,
    /// Those that were in flight at a fork.
    pub(super) lost: u64,
    pub(super) overflow: u64,
    pub(super) by_way: [u64; Way::ALL.len()],
    pub(super) by_kind: [u64; OpKind::ALL.len()],
    /// The adversary has left something undone that it could have done.
    pub(super) held_back: bool,
    /// What completed in a turn, with nobody to be told.
    pub(super) quiet: usize,
    /// The completions there were, if one of them is to come again.
    pub(super) echoes: Vec<(u32, NodePtr)>,
}

impl Kernel {
    pub(super) fn new(choices: Choices, plan: Plan, world: Shared) -> Kernel {
        Kernel {
            choices,
            plan,
            world,
            log: Log::default(),
            names: Names::default(),
            coverage: Coverage::new(),
            mode: Mode::Open { started: false },
            timers: Timers::new(),
            flights: BTreeMap::new(),
            queued: Fifo::new(),
            flying: Fifo::new(),
            late: Fifo::new(),
            ready: Fifo::new(),
            submitted: 0,
            completed: 0,
            lost: 0,
            overflow: 0,
            by_way: [0; Way::ALL.len()],
            by_kind: [0; OpKind::ALL.len()],
            held_back: false,
            quiet: 0,
            echoes: Vec::new(),
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.world.with(|world| world.now_ns())
    }

    pub(super) fn note(&mut self, what: What) {
        let now = self.now_ns();
        self.log.push(now, what);
    }

    fn token(seq: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
        BEFORE_FIRST.wrapping_add(seq as u32)
    }

    /// The submission that a token stands for, if that is not over.
    pub(super) fn find(&self, token: u32) -> Option<u64> {
        let back = Kernel::token(self.submitted).wrapping_sub(token);
        let seq = self.submitted.checked_sub(u64::from(back))?;
        self.flights.contains_key(&seq).then_some(seq)
    }

    /// The submission that this node belongs to.
    pub(super) fn of(&self, node: NodePtr) -> Option<u64> {
        // SAFETY: the caller has the node's storage, and this thread is the only one.
        let token = unsafe { node.scratch() };
        self.find(token)
            .filter(|seq| self.flights.get(seq).is_some_and(|flight| flight.node == node))
    }

    /// Numbers a new submission and writes it down.
    pub(super) fn enter(&mut self, node: &Node) -> u64 {
        self.submitted += 1;
        let seq = self.submitted;
        let token = Kernel::token(seq);
        node.set_scratch(token);
        let op = *node.op();
        let stamp = |fd: Option<Fd>| {
            let fd = fd.unwrap_or(Fd::new(-1));
            (fd, self.world.with(|world| world.stamp(fd)))
        };
        let other = match &op {
            Op::Sendfile(op) => Some(op.in_fd),
            Op::Open(op) => Some(op.dir),
            _ => None,
        };
        let flight = Flight {
            token,
            node: node.ptr(),
            op,
            kind: op.kind(),
            on: op.fd().and_then(|fd| self.world.with(|world| world.kind(fd))),
            stage: Stage::Queued,
            due_ns: 0,
            stamps: [stamp(op.fd()), stamp(other)],
            done: 0,
            question: None,
            asked: Asked::Not,
            tried: false,
            waited: false,
            parked: false,
            expired: false,
            deadline_ns: node.deadline().as_nanos(),
        };
        self.flights.insert(seq, flight);
        if let Some(name) = op.fd().and_then(|fd| self.name_of(fd)) {
            self.log.name(seq, name);
        }
        self.note(What::Submitted { seq, kind: op.kind(), fd: op.fd() });
        seq
    }

    /// Lines a new operation up.
    pub(super) fn enqueue(&mut self, node: Node) {
        self.timers.arm(&node);
        self.queued.push(node);
        self.overflow = self.overflow.max(self.queued.len() as u64);
    }

    pub(super) fn is_stopped(&self) -> bool {
        !matches!(self.mode, Mode::Open { .. })
    }

    /// How many are owned: not only to be delivered.
    pub(super) fn owned(&self) -> usize {
        self.queued.len() + self.flying.len() + self.late.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.len()
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Every listed node, the oldest of each list first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = io_core::queue::View<'_>> {
        [&self.flying, &self.queued, &self.late, &self.ready].into_iter().flatten()
    }

    pub(super) fn list_flying(&mut self, node: Node) {
        self.flying.push(node);
    }

    pub(super) fn list_ready(&mut self, node: Node) {
        self.ready.push(node);
    }

    pub(super) fn take_from_any(&mut self, node: NodePtr) -> Option<Node> {
        [&mut self.queued, &mut self.flying, &mut self.late, &mut self.ready]
            .into_iter()
            .find_map(|list| list.find_remove(node))
    }

    fn list(&mut self, stage: Stage) -> &mut Fifo {
        match stage {
            Stage::Queued => &mut self.queued,
            Stage::Running | Stage::Waiting => &mut self.flying,
            Stage::Late => &mut self.late,
            Stage::Ready => &mut self.ready,
        }
    }

    /// Takes a node out of its list.
    fn unlist(&mut self, seq: u64) -> Option<Node> {
        let (stage, node) = self.flights.get(&seq).map(|flight| (flight.stage, flight.node))?;
        // SAFETY: it is in the list that its stage says.
        Some(unsafe { self.list(stage).remove(node) })
    }

    /// Moves a node to the list of its next stage.
    fn advance(&mut self, seq: u64, stage: Stage, due_ns: u64) {
        let Some(node) = self.unlist(seq) else { return };
        self.list(stage).push(node);
        if let Some(flight) = self.flights.get_mut(&seq) {
            (flight.stage, flight.due_ns) = (stage, due_ns);
        }
    }

    /// Looks at a listed node.
    pub(super) fn view<R>(&self, seq: u64, look: impl FnOnce(&Node) -> R) -> Option<R> {
        let wanted = self.flights.get(&seq)?.node;
        self.nodes().find(|node| node.ptr() == wanted).map(|node| look(&node))
    }

    /// Queued → in flight, of one that is to be tried now.
    pub(super) fn begin_this(&mut self, seq: u64) {
        let Some(flight) = self.flights.get_mut(&seq) else { return };
        if flight.stage == Stage::Queued {
            self.advance(seq, Stage::Running, 0);
            self.view(seq, Node::begin);
        } else if core::mem::take(&mut flight.parked) {
            self.view(seq, Node::begin);
        }
    }

    /// What is in flight is another process's. Its storage may be gone already: nothing of it is touched.
    pub(super) fn lose_all(&mut self) {
        self.lost += self.flights.len() as u64;
        self.flights.clear();
        self.echoes.clear();
        self.quiet = 0;
        // Lists and heap are links in the nodes: they let go without a look at them.
        for list in [&mut self.queued, &mut self.flying, &mut self.late, &mut self.ready] {
            *list = Fifo::new();
        }
        self.timers = Timers::new();
    }

    /// A backend that was just made.
    pub(super) fn renew(&mut self) {
        self.mode = Mode::Open { started: false };
        self.held_back = false;
    }

    // --- the adversary's clockwork ------------------------------------------------------------

    /// When the kernel does something that it could do now.
    pub(super) fn due(&self, deadline_ns: u64) -> u64 {
        let now = self.now_ns();
        if !self.plan.delay {
            return now;
        }
        match self.choices.below(10) {
            0..=4 => now,
            5 | 6 => now + TICK_NS,
            7 => now + TICK_NS * u64::from(2 + self.choices.below(8)),
            8 => now + TICK_NS * u64::from(1 + self.choices.below(2000)),
            _ if deadline_ns > now && deadline_ns < now + 1_000_000_000_000 => {
                (deadline_ns + u64::from(self.choices.below(3))).saturating_sub(1).max(now)
            }
            _ => now + 1_000_000,
        }
    }

    /// When something happens by itself; `None` if never.
    pub(super) fn next_event(&self) -> Option<u64> {
        let timer = Some(self.timers.next()).filter(|next| *next != Deadline::NEVER);
        let question = |flight: &Flight| flight.question.map(|question| question.due_ns);
        let due = |flight: &Flight| {
            matches!(flight.stage, Stage::Running | Stage::Late).then_some(flight.due_ns)
        };
        let now = self.now_ns();
        let flights = self.flights.values();
        let own = flights.flat_map(|flight| [due(flight), question(flight)]).flatten();
        // What is over could be done and was not: it waits for something else.
        own.chain(timer.map(Deadline::as_nanos)).filter(|at| *at > now).min()
    }

    /// One turn of the kernel. Whether anything has changed.
    pub(super) fn turn(&mut self) -> bool {
        self.held_back = false;
        for flight in self.flights.values_mut() {
            flight.tried = false;
        }
        let began = self.begin();
        self.expire();
        let answered = self.answer_all();
        let tried = self.try_all();
        let arrived = self.arrive();
        began | answered | tried | arrived
    }

    /// Hands as many of the queued to the kernel as there is room for.
    pub(super) fn begin(&mut self) -> bool {
        let mut room = match self.plan.no_room.then(|| self.choices.below(4)) {
            None | Some(0) => usize::MAX,
            Some(few) => few as usize,
        };
        let any = !self.queued.is_empty();
        while room > 0
            && let Some(node) = self.queued.pop()
        {
            room -= 1;
            let Some(seq) = self.of(node.ptr()) else {
                // Not by way of `unlist`: it is in hand.
                self.flying.push(node);
                continue;
            };
            node.begin();
            let due_ns = self.due(node.deadline().as_nanos());
            self.flying.push(node);
            self.note(What::Began { seq, due_ns });
            if let Some(flight) = self.flights.get_mut(&seq) {
                let waits = flight.kind == OpKind::Timeout;
                flight.stage = if waits { Stage::Waiting } else { Stage::Running };
                flight.due_ns = due_ns;
            }
        }
        self.held_back |= !self.queued.is_empty();
        any
    }

    fn expire(&mut self) {
        let now = self.now_ns();
        while let Some(node) = self.timers.expire(now) {
            if let Some(seq) = self.of(node) {
                if let Some(flight) = self.flights.get_mut(&seq) {
                    flight.expired = true;
                }
                self.ask(seq, true);
            }
        }
    }

    /// Lets those results arrive whose time has come.
    pub(super) fn arrive(&mut self) -> bool {
        let now = self.now_ns();
        let here = |flight: &&Flight| flight.stage == Stage::Late && flight.due_ns <= now;
        let mut here: Vec<u32> =
            self.flights.values().filter(here).map(|flight| flight.token).collect();
        let any = !here.is_empty();
        self.falsify(&mut here);
        while !here.is_empty() {
            let at = if self.plan.reorder { self.choices.index(here.len()) } else { 0 };
            let token = here.remove(at);
            let seq = self.reap(token);
            self.note(What::Arrived { seq });
            self.advance(seq, Stage::Ready, now);
            self.complete_quietly(seq);
        }
        any
    }

    // --- ends ---------------------------------------------------------------------------------

    /// The operation has its result: it arrives some time.
    pub(super) fn land(&mut self, seq: u64, result: i64) {
        let deadline = self.flights.get(&seq).map_or(u64::MAX, |flight| flight.deadline_ns);
        let due_ns = self.due(deadline);
        self.note(What::Result { seq, result: self.told(seq, result), due_ns });
        self.view(seq, |node| node.set_result(result));
        self.advance(seq, Stage::Late, due_ns);
    }

    /// What is ready and has nobody to tell is done on arrival, if the adversary likes.
    fn complete_quietly(&mut self, seq: u64) {
        let quiet = self.view(seq, |node| !node.has_sink()) == Some(true);
        if !quiet || !self.plan.inline || self.choices.chance(2) {
            return;
        }
        let Some(node) = self.unlist(seq) else { return };
        self.timers.disarm(&node);
        self.write_down(seq, node.result());
        let result = node.result();
        let ptr = node.ptr();
        match node.complete_quiet(result) {
            // Nobody waits on another thread.
            Ok(_) => {
                self.quiet += 1;
                self.forget(seq, ptr, result, false);
            }
            Err(node) => self.ready.push(node),
        }
    }

    /// Takes the next to deliver off the list and completes it. What is left to run is user code.
    pub(super) fn deliver_next(&mut self) -> Option<Delivery> {
        let node = self.ready.pop()?;
        Some(self.finish(node))
    }

    /// Takes this one off the list, if it is there, and completes it.
    pub(super) fn deliver_this(&mut self, node: NodePtr) -> Option<Delivery> {
        let node = self.ready.find_remove(node)?;
        Some(self.finish(node))
    }

    /// The final completion, in one of the ways there are.
    fn finish(&mut self, node: Node) -> Delivery {
        self.timers.disarm(&node);
        let ptr = node.ptr();
        let told = node.has_sink();
        let seq = self.of(ptr).unwrap_or(0);
        let result = node.result();
        self.write_down(seq, result);
        let way = if self.plan.variants { self.choices.below(3) } else { 0 };
        let delivery = match way {
            0 => node.complete_stored(),
            1 => node.complete(result),
            // SAFETY: the backend is not `Sync`.
            _ => unsafe { node.complete_unshared() },
        };
        self.forget(seq, ptr, result, told);
        if self.plan.bogus == Some(Bogus::Twice) {
            self.plan.bogus = None;
            self.complete_twice(ptr);
        }
        delivery
    }

    /// Inside submit.
    pub(super) fn finish_inline(&mut self, seq: u64, node: Node, result: i64) {
        self.note(What::Inline { seq, result: self.told(seq, result) });
        self.write_down(seq, result);
        let ptr = node.ptr();
        node.complete_inline(result);
        self.forget(seq, ptr, result, false);
    }

    /// The result as its caller gets it: an early end that the deadline asked for is told so.
    fn told(&self, seq: u64, result: i64) -> i64 {
        match self.flights.get(&seq) {
            Some(flight) if flight.expired && result == Errno::CANCELED.to_result() => {
                if flight.kind == OpKind::Timeout { 0 } else { Errno::TIMEDOUT.to_result() }
            }
            _ => result,
        }
    }

    fn write_down(&mut self, seq: u64, result: i64) {
        let Some(flight) = self.flights.get(&seq) else { return };
        let end = match io_core::decode(result) {
            Ok(_) => End::Success,
            Err(Errno::CANCELED) if flight.expired => End::Expired,
            Err(Errno::CANCELED) => End::Cancelled,
            Err(errno) => End::Failed(errno),
        };
        let Flight { kind, on, asked, .. } = *flight;
        self.coverage.add(Claim { kind, on, end, asked });
    }

    /// Crosses a completed submission off.
    fn forget(&mut self, seq: u64, node: NodePtr, result: i64, told: bool) {
        self.completed += 1;
        let result = self.told(seq, result);
        let flight = self.flights.remove(&seq);
        debug_assert!(flight.is_some(), "I5: a completion of what was not submitted");
        if let Some(flight) = flight
            && self.plan.bogus.is_some()
        {
            self.echoes.push((flight.token, node));
        }
        self.note(What::Completed { seq, result, told });
    }
}
