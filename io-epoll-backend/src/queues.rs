//! The lists of the backend, all behind one lock: what is to be tried, what waits, what some thread's
//! system call has, what is at the offload backend, and what is done but not delivered.
//!
//! # Lines
//!
//! Operations that take from one descriptor are served in the order of submission, and so are those that
//! give to it: one of a line is tried at a time. On a source the line is the source's, and whoever is to
//! try has its direction (a *claim*). On a bare number the line is what waits in the table, behind what is
//! in `work` or `running`; `busy` finds out quickly that there is none. Whoever leaves `work` or `running`
//! without going back to wait [passes the line on](Queues::release).
#![allow(unsafe_code, reason = "unlinks nodes by address")]
//! # Safety
//! A node that is not at the offload backend is in the list that its note says; every method has the lock.

use crate::busy::Busy;
use crate::note::{Note, Place, Stage, place_of, set, set_claimed, set_place};
use io_core::queue::Fifo;
use io_core::readiness::{Lane, Readiness, Sources, Tried, Waiting};
use io_core::{Fd, InFlight, Node, NodePtr, Op, Scope, Timers, Way};

/// Whether the backend takes operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Takes them; `started` or not makes no difference but to `start`.
    Open { started: bool },
    /// Stopping, or a stop whose deadline passed: refuses.
    Stopping,
    /// Refuses; nothing is owned.
    Stopped,
}

impl Mode {
    pub(crate) fn refuses(self) -> bool {
        !matches!(self, Mode::Open { .. })
    }
}

#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) mode: Mode,
    pub(crate) work: Fifo,
    pub(crate) waiting: Waiting,
    pub(crate) sources: Sources,
    /// How many wait in sources' lines.
    pub(crate) in_lines: usize,
    pub(crate) idle: Fifo,
    pub(crate) running: Fifo,
    pub(crate) ready: Fifo,
    pub(crate) timers: Timers,
    pub(crate) busy: Busy,
    /// How many the offload backend has.
    pub(crate) away: usize,
    /// Threads that ask the offload backend for one node by address: until they are back, what comes
    /// home stays in `late`.
    pub(crate) recalling: usize,
    pub(crate) late: Fifo,
    /// Threads that are bringing a node to the offload backend.
    pub(crate) handing: usize,
    /// Threads of the offload backend that are bringing a node home.
    pub(crate) bringing: usize,
    /// Closes whose descriptor some thread's system call uses.
    pub(crate) held: Fifo,
    /// To be told when the lock is open again: an earlier deadline was armed; there is something to try.
    pub(crate) news: News,
}

/// What a critical section leaves to be told after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    pub(crate) earlier: bool,
    pub(crate) work: bool,
}

/// How a node comes to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// From its submit, untried: at the end of its line.
    New,
    /// From its submit, tried: in front of those that came meanwhile.
    Tried,
    /// It waited before: in front.
    Again,
}

/// A node in a thread's hands: what to do, copied, so that no lock is needed to read it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) node: NodePtr,
    pub(crate) op: Op,
    pub(crate) stage: Stage,
    pub(crate) done: usize,
    pub(crate) claim: Option<Claim>,
}

/// The right to try on a source, and what it looked like before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    pub(crate) generation: u32,
    pub(crate) tick: u32,
}

/// What `let_wait` did.
#[derive(Debug)]
pub(crate) enum Waits {
    /// It is to end early instead.
    Refused(Node),
    /// It waits by its number, which is to be registered.
    Bare,
    /// It waits on a source; which is to be registered under this generation, or is already.
    Source(Option<u32>),
    /// It is tried again.
    Tries,
}

/// Where a node was found for an early end.
#[derive(Debug)]
pub(crate) enum Found {
    /// In a list; it is the caller's now.
    Here(Node),
    /// In some thread's hands, or done.
    Held,
    /// The offload backend has it, or some thread is about to complete it.
    Away,
}

pub(crate) fn lane(op: &Op) -> Option<(Fd, Lane)> {
    op.interest().map(|(fd, interest)| (fd, Lane::of(interest)))
}

fn in_lane(wanted: Lane) -> impl Fn(io_core::Interest) -> bool {
    move |interest| Lane::of(interest) == wanted
}

impl Queues {
    pub(crate) const fn new() -> Queues {
        Queues {
            mode: Mode::Open { started: false },
            work: Fifo::new(),
            waiting: Waiting::new(),
            sources: Sources::new(),
            in_lines: 0,
            idle: Fifo::new(),
            running: Fifo::new(),
            ready: Fifo::new(),
            timers: Timers::new(),
            busy: Busy::new(),
            away: 0,
            recalling: 0,
            late: Fifo::new(),
            handing: 0,
            bringing: 0,
            held: Fifo::new(),
            news: News { earlier: false, work: false },
        }
    }

    pub(crate) fn refuses(&self) -> bool {
        self.mode.refuses()
    }

    /// Whether an operation is not to be let in or wait again.
    pub(crate) fn unwanted(&self, node: &Node) -> bool {
        !node.op().kind().never_cancelled() && (self.refuses() || node.cancel_asked())
    }

    /// Operations owned, other than those that are only to be delivered.
    pub(crate) fn owned(&self) -> usize {
        let listed = self.work.len() + self.held.len() + self.idle.len() + self.running.len();
        listed + self.parked() + self.away + self.late.len()
    }

    /// Operations that wait in epoll.
    pub(crate) fn parked(&self) -> usize {
        self.waiting.len() + self.in_lines
    }

    /// Not 0 if a submit must look for a line to join.
    pub(crate) fn lines(&self) -> usize {
        self.sources.len() + self.waiting.len() + self.busy.all()
    }

    // --- lines --------------------------------------------------------------------------------

    /// Whether somebody on this bare number is being tried in this direction.
    fn is_busy(&self, fd: Fd, its: Lane) -> bool {
        let same =
            |node: &Node| Note::of(node).claim().is_none() && lane(node.op()) == Some((fd, its));
        its.is_line()
            && self.busy.maybe(fd)
            && (self.work.iter().any(|node| same(&node))
                || self.running.iter().any(|node| same(&node)))
    }

    /// Whether an operation on this bare number must wait behind others.
    pub(crate) fn has_before(&self, fd: Fd, its: Lane) -> bool {
        its.is_line()
            && (!self.waiting.union_of(fd, in_lane(its)).is_empty() || self.is_busy(fd, its))
    }

    /// What is to be registered for a bare number: what waits and has nobody before it.
    pub(crate) fn wanted(&self, fd: Fd) -> Readiness {
        self.waiting.union_of(fd, |interest| !self.is_busy(fd, Lane::of(interest)))
    }

    /// Somebody left `work` or `running` without going back to wait: the next in line is tried.
    pub(crate) fn release(&mut self, fd: Fd, its: Lane, claim: Option<Claim>, tried: Tried) {
        if let Some(Claim { generation, tick }) = claim {
            if let Some(state) = self.sources.find_generation(fd, generation) {
                state.settle(its, tick, tried);
                self.next_of_source(fd, its);
            }
        } else if its.is_line()
            && !self.is_busy(fd, its)
            && let Some(node) = self.waiting.take_of(fd, in_lane(its))
        {
            self.push_work(node, Stage::Ready);
        }
    }

    /// Hands the direction of a source to the first in its line, if it may be tried.
    fn next_of_source(&mut self, fd: Fd, its: Lane) {
        if its.is_line()
            && let Some(state) = self.sources.find(fd)
            && let Some(node) = state.next(its)
        {
            let generation = state.generation();
            self.in_lines -= 1;
            self.push_claimed(node, Stage::Ready, generation);
        }
    }

    /// Notes an event of a source, and moves what it concerns to `work`.
    pub(crate) fn source_ready(&mut self, fd: Fd, generation: u32, events: Readiness) {
        let Some(state) = self.sources.find_generation(fd, generation) else { return };
        state.event(events);
        for its in [Lane::Read, Lane::Write] {
            self.next_of_source(fd, its);
        }
        while let Some(node) = self.sources.find(fd).and_then(|state| state.next(Lane::Watch)) {
            self.in_lines -= 1;
            self.push_claimed(node, Stage::Ready, generation);
        }
    }

    /// Moves what an event on a bare number concerns to `work`, the first of each line. Whether more is to be
    /// registered.
    pub(crate) fn bare_ready(&mut self, fd: Fd, events: Readiness) -> bool {
        for its in Lane::ALL {
            let concerned = |interest| Lane::of(interest) == its && events.concerns(interest);
            while !self.is_busy(fd, its)
                && let Some(node) = self.waiting.take_of(fd, concerned)
            {
                self.push_work(node, Stage::Ready);
            }
        }
        !self.wanted(fd).is_empty()
    }

    // --- into the lists -----------------------------------------------------------------------

    pub(crate) fn push_work(&mut self, node: Node, stage: Stage) {
        set(&node, Place::Work, stage);
        self.busy.enter(node.op().fd());
        self.work.push(node);
        self.news.work = true;
    }

    pub(crate) fn push_claimed(&mut self, node: Node, stage: Stage, generation: u32) {
        set_claimed(&node, Place::Work, stage, generation);
        self.busy.enter(node.op().fd());
        self.work.push(node);
        self.news.work = true;
    }

    pub(crate) fn push_ready(&mut self, node: Node) {
        set(&node, Place::Ready, Stage::Fresh);
        self.ready.push(node);
    }

    /// Lets a new node in: arms its timer. It comes back if it is to end early.
    pub(crate) fn admit(&mut self, node: Node) -> Result<Node, Node> {
        if self.unwanted(&node) {
            return Err(node);
        }
        self.news.earlier |= self.timers.arm(&node);
        Ok(node)
    }

    /// Lets a node wait for readiness. It comes back if it is to end early: a stop or cancel that came while
    /// a thread had it must not be missed; each sets its mark and then looks for the node under this lock.
    pub(crate) fn let_wait(&mut self, node: Node, fd: Fd, its: Lane, from: Arrival) -> Waits {
        if self.unwanted(&node) {
            self.timers.disarm(&node);
            return Waits::Refused(node);
        }
        if from != Arrival::Again {
            self.news.earlier |= self.timers.arm(&node);
        }
        if let Some(state) = self.sources.find(fd).filter(|state| !state.is_refused()) {
            set(&node, Place::Source, Stage::Fresh);
            let register = state.register().then(|| state.generation());
            match from {
                Arrival::New => state.push(its, node),
                Arrival::Tried | Arrival::Again => state.push_front(its, node),
            }
            self.in_lines += 1;
            // It may have become a source while it was tried by its number.
            self.next_of_source(fd, its);
            return Waits::Source(register);
        }
        set(&node, Place::Waiting, Stage::Fresh);
        match from {
            Arrival::New => self.waiting.push(fd, node),
            Arrival::Tried | Arrival::Again => self.waiting.push_front(fd, node),
        }
        Waits::Bare
    }

    /// A try would have blocked: ends it, and lets the node wait in front of its line; if an event came
    /// during the try, it is in `work` again.
    pub(crate) fn wait_again(
        &mut self,
        node: Node,
        fd: Fd,
        its: Lane,
        claim: Option<Claim>,
        from: Arrival,
    ) -> Waits {
        if let Some(Claim { generation, tick }) = claim
            && let Some(state) = self.sources.find_generation(fd, generation)
        {
            let wanted = !self.mode.refuses() && !node.cancel_asked();
            let tried = if wanted { Tried::WouldBlock } else { Tried::Nothing };
            if state.settle(its, tick, tried) {
                if from != Arrival::Again {
                    self.news.earlier |= self.timers.arm(&node);
                }
                self.push_claimed(node, Stage::Ready, generation);
                return Waits::Tries;
            }
            if !wanted {
                self.next_of_source(fd, its);
            }
        }
        self.let_wait(node, fd, its, from)
    }

    // --- work ---------------------------------------------------------------------------------

    /// Hands the oldest work to the calling thread.
    pub(crate) fn take_job(&mut self) -> Option<Job> {
        loop {
            let node = self.work.pop()?;
            if let Some(node) = self.hold(node) {
                return Some(self.run(node));
            }
        }
    }

    /// Keeps a close that must wait; gives back what need not.
    fn hold(&mut self, node: Node) -> Option<Node> {
        if !self.must_be_held(&node) {
            return Some(node);
        }
        self.busy.leave(node.op().fd());
        set(&node, Place::Held, Stage::Block);
        self.held.push(node);
        None
    }

    /// Hands this node to the calling thread if it is to be tried.
    ///
    /// # Safety
    /// * The node was submitted to this backend, and its storage is valid.
    pub(crate) unsafe fn take_this_job(&mut self, node: NodePtr) -> Option<Job> {
        let node = if self.may_be_away() {
            self.work.find_remove(node)?
        } else {
            // SAFETY: valid, promised by the caller; none is at the offload backend.
            let place = unsafe { place_of(node) };
            // SAFETY: its place says that it is in `work`.
            (place == Place::Work).then(|| unsafe { self.work.remove(node) })?
        };
        self.hold(node).map(|node| self.run(node))
    }

    fn run(&mut self, node: Node) -> Job {
        node.begin();
        set_place(&node, Place::Running);
        let (note, op) = (Note::of(&node), *node.op());
        let done = usize::try_from(node.result()).unwrap_or(0);
        let claim = note.claim().zip(op.fd()).map(|(generation, fd)| Claim {
            generation,
            tick: self.sources.find_generation(fd, generation).map_or(0, |state| state.tick()),
        });
        let ptr = node.ptr();
        self.running.push(node);
        Job { node: ptr, op, stage: note.stage(), done, claim }
    }

    /// Takes a node back from the thread that ran it. Its line is to be [released](Self::release), unless it
    /// goes back to wait.
    pub(crate) fn end_run(&mut self, job: &Job) -> Node {
        // SAFETY: `run` put it into `running`, and only who has the job takes it out.
        let node = unsafe { self.running.remove(job.node) };
        self.busy.leave(job.op.fd());
        set(&node, Place::Nowhere, Stage::Fresh);
        // Each looks again whether it still has to wait.
        while let Some(close) = self.held.pop() {
            self.push_work(close, Stage::Block);
        }
        node
    }

    /// [`end_run`](Self::end_run) for an operation that has its result: its line is passed on, and its timer
    /// is its own again.
    pub(crate) fn end_job(&mut self, job: &Job, tried: Tried) -> Node {
        let node = self.end_run(job);
        self.timers.disarm(&node);
        if let Some((fd, its)) = lane(&job.op) {
            self.release(fd, its, job.claim, tried);
        }
        node
    }

    // --- out of the lists ---------------------------------------------------------------------

    fn may_be_away(&self) -> bool {
        self.away > 0
    }

    /// Takes the node out for an early end, and passes its line on.
    ///
    /// # Safety
    /// * The node was submitted to this backend, is not done, and its storage is valid.
    pub(crate) unsafe fn withdraw(&mut self, node: NodePtr) -> Found {
        // SAFETY: promised by the caller.
        let op = unsafe { node.op() };
        // A timeout is never at the offload backend.
        let place = if self.may_be_away() && !matches!(op, Op::Timeout(_)) {
            match self.search(node, &op) {
                Some(place) => place,
                None => return Found::Away,
            }
        } else {
            // SAFETY: valid, promised by the caller; it is not at the offload backend.
            unsafe { place_of(node) }
        };
        let found = match (place, lane(&op)) {
            // SAFETY: its place says that it is in `work`.
            (Place::Work, _) => unsafe { self.work.remove(node) },
            // SAFETY: its place says that it is in `idle`.
            (Place::Idle, _) => unsafe { self.idle.remove(node) },
            // SAFETY: its place says that it waits, which only operations with a descriptor do.
            (Place::Waiting, Some((fd, _))) => unsafe { self.waiting.remove(node, fd) },
            (Place::Source, Some((fd, its))) => match self.sources.find(fd) {
                // SAFETY: its place says that it waits on its source.
                Some(state) => unsafe { state.remove(its, node) },
                None => return Found::Held,
            },
            _ => return Found::Held,
        };
        self.taken_out(&found, place);
        Found::Here(found)
    }

    /// What is to be done when a node has left a list for an early end.
    fn taken_out(&mut self, node: &Node, from: Place) {
        let claim = Note::of(node).claim();
        set(node, Place::Nowhere, Stage::Fresh);
        self.timers.disarm(node);
        match from {
            Place::Source => self.in_lines -= 1,
            Place::Work => {
                self.busy.leave(node.op().fd());
                if let Some((fd, its)) = lane(node.op()) {
                    let claim = claim.map(|generation| Claim { generation, tick: 0 });
                    self.release(fd, its, claim, Tried::Nothing);
                }
            }
            _ => {}
        }
    }

    /// The list a node is in, without looking at the node. `None` if it is in none.
    fn search(&mut self, node: NodePtr, op: &Op) -> Option<Place> {
        let has = |list: &Fifo| list.iter().any(|listed| listed.ptr() == node);
        if has(&self.work) {
            return Some(Place::Work);
        }
        if has(&self.running) {
            return Some(Place::Running);
        }
        if has(&self.ready) || has(&self.late) || has(&self.held) {
            return Some(Place::Ready);
        }
        let (fd, _) = lane(op)?;
        if self.waiting.has(node, fd) {
            return Some(Place::Waiting);
        }
        let state = self.sources.find(fd)?;
        state.waiting().any(|listed| listed.ptr() == node).then_some(Place::Source)
    }

    /// Takes a node out of the ready list, if it is there.
    ///
    /// # Safety
    /// * As [`withdraw`](Self::withdraw), but it may be done.
    pub(crate) unsafe fn take_this_ready(&mut self, node: NodePtr) -> Option<Node> {
        let node = if self.may_be_away() {
            self.ready.find_remove(node)?
        } else {
            // SAFETY: valid, promised by the caller; none is at the offload backend.
            let place = unsafe { place_of(node) };
            // SAFETY: its place says that it is in `ready`.
            (place == Place::Ready).then(|| unsafe { self.ready.remove(node) })?
        };
        set_place(&node, Place::Nowhere);
        Some(node)
    }

    /// Takes the oldest node out that is only to be delivered.
    pub(crate) fn take_ready(&mut self) -> Option<Node> {
        let node = self.ready.pop()?;
        set_place(&node, Place::Nowhere);
        Some(node)
    }

    /// Takes out, for an early end, what is in no thread's hands and `which` accepts.
    pub(crate) fn withdraw_all(&mut self, which: impl Fn(&Node) -> bool) -> Fifo {
        let which = |node: &Node| !node.op().kind().never_cancelled() && which(node);
        let mut withdrawn = Fifo::new();
        let waiting = self.waiting.take_all(which);
        self.move_out(waiting, Place::Waiting, &mut withdrawn);
        let idle = self.idle.take_all(which);
        self.move_out(idle, Place::Idle, &mut withdrawn);
        while self.in_lines > 0
            && let Some(node) = self.sources.find_map(|_, state| state.take(which))
        {
            self.taken_out(&node, Place::Source);
            withdrawn.push(node);
        }
        // Last: it passes lines on, which are empty now, but for those that stay.
        let work = self.work.take_all(which);
        self.move_out(work, Place::Work, &mut withdrawn);
        withdrawn
    }

    /// Takes out, for an early end, what waits or is queued on this descriptor. Costs what there is on it,
    /// not what there is in all.
    pub(crate) fn withdraw_fd(&mut self, fd: Fd) -> Fifo {
        let on = |node: &Node| !node.op().kind().never_cancelled() && node.op().uses(fd);
        let mut withdrawn = Fifo::new();
        let waiting = self.waiting.take_fd(fd);
        self.move_out(waiting, Place::Waiting, &mut withdrawn);
        while let Some(node) = self.sources.find(fd).and_then(|state| state.take(|_| true)) {
            self.taken_out(&node, Place::Source);
            withdrawn.push(node);
        }
        if self.busy.maybe(fd) {
            let work = self.work.take_all(on);
            self.move_out(work, Place::Work, &mut withdrawn);
        }
        withdrawn
    }

    fn move_out(&mut self, mut taken: Fifo, from: Place, into: &mut Fifo) {
        while let Some(node) = taken.pop() {
            self.taken_out(&node, from);
            into.push(node);
        }
    }

    /// Takes out what is in `scope`, and asks what a thread has; also says how many were asked for the first
    /// time.
    pub(crate) fn cancel_all(&mut self, scope: Scope) -> (Fifo, usize) {
        let meant = |node: &Node| node.op().is_in(scope) && !node.op().kind().never_cancelled();
        let running = self.running.iter().filter(|running| meant(running));
        let asked = running.filter(|running| running.ask_cancel()).count();
        let withdrawn = self.withdraw_all(meant);
        let count = asked + withdrawn.len();
        (withdrawn, count)
    }

    // --- closes and the offload backend -------------------------------------------------------

    /// Whether some thread's system call uses the descriptor that this is to close: the number must not
    /// mean another file under it.
    fn must_be_held(&self, node: &Node) -> bool {
        let Op::Close(close) = node.op() else { return false };
        self.busy.maybe(close.fd) && self.running.iter().any(|running| running.op().uses(close.fd))
    }

    /// Ends a job that the offload backend is to go on with. `Err` if it is to end early instead.
    pub(crate) fn end_to_go_away(&mut self, job: &Job, done: usize) -> Result<Node, Node> {
        let node = self.end_run(job);
        if let Some((fd, its)) = lane(&job.op) {
            self.release(fd, its, job.claim, Tried::Nothing);
        }
        node.set_result(i64::try_from(done).unwrap_or(0));
        if self.unwanted(&node) {
            self.timers.disarm(&node);
            return Err(node);
        }
        node.requeue();
        self.go_away();
        Ok(node)
    }

    /// One node is the offload backend's from here on; the thread that brings it there is counted until it
    /// is back.
    pub(crate) fn go_away(&mut self) {
        self.away += 1;
        self.handing += 1;
    }

    /// What cannot wait for readiness is away, and comes back to be brought there, or is work.
    pub(crate) fn leave_epoll(&mut self, node: Node, offload: bool) -> Option<Node> {
        if offload {
            set(&node, Place::Nowhere, Stage::Fresh);
            self.go_away();
            return Some(node);
        }
        self.push_work(node, Stage::Block);
        None
    }

    /// Writes what there is into `out`; says how many there are. What is at the offload backend is listed
    /// there.
    pub(crate) fn dump(&mut self, out: &mut [InFlight], way: impl Fn(&Node) -> Way) -> usize {
        let mut count = 0;
        let mut note = |node: &Node| {
            if let Some(place) = out.get_mut(count) {
                *place = InFlight::of(node, way(node));
            }
            count += 1;
        };
        for list in [&self.running, &self.work, &self.held, &self.idle, &self.late, &self.ready] {
            list.iter().for_each(|node| note(&node));
        }
        self.waiting.iter().for_each(|node| note(&node));
        let _: Option<()> = self.sources.find_map(|_, state| {
            state.waiting().for_each(|node| note(&node));
            None
        });
        count + self.away
    }
}
