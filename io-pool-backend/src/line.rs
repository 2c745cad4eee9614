//! Operations on one source take turns: lines, and the right to try (a *claim*).
//!
//! Operations that take from one source are served in the order of submission, and so are those that give to
//! it: one of a line is tried at a time, by the thread that has its direction. Whoever has had it without
//! going back to wait [passes the line on](Queues::release). What waits by a bare number is not in line: each
//! is tried when the number is ready.

use crate::note::{Note, Place, Stage, set_claim, set_missed, set_place, set_stage};
use crate::queues::Queues;
use io_core::readiness::{Claim, Entry, Lane, Readiness, Tried, Wanted};
use io_core::{Fd, Node, Op};

/// What became of an operation that was let wait.
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

/// How a node comes to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// Untried: at the end of its line.
    Untried,
    /// Tried by its number: if that is a source by now, an event may have come during the try, so it is
    /// tried again.
    Bare,
    /// Tried with a claim, which is given up: in front of those that came meanwhile.
    Tried,
    /// As [`Bare`](Self::Bare), upon an event, which has brought nothing. Whether its registration stands, so that it
    /// hears of the next one.
    Stale { stands: bool },
    /// As [`Stale`](Self::Stale), and the next event came during the try.
    Missed,
}

impl Arrival {
    /// How an operation comes to wait that was tried by its number in this stage.
    pub(crate) fn after(stage: Stage, node: &Node) -> Arrival {
        match stage {
            Stage::Edge if Note::of(node).has_missed() => Arrival::Missed,
            Stage::Edge => Arrival::Stale { stands: true },
            Stage::Ready => Arrival::Stale { stands: false },
            Stage::Fresh | Stage::Block => Arrival::Bare,
        }
    }
}

impl Queues {
    /// Asks for the direction of an operation that is new here. It may be tried, with a claim if it is on a
    /// source; or (`Err`) it is to wait behind others.
    pub(crate) fn enter_line(&mut self, node: Node) -> Result<(Node, Option<Claim>), Node> {
        let lane = Lane::of_op(node.op()).filter(|_| !node.op().wants_eagain());
        let Some((fd, its)) = lane else { return Ok((node, None)) };
        let Some(state) = self.sources.find(fd).filter(|state| !state.is_refused()) else {
            return Ok((node, None));
        };
        match state.enter(its) {
            Entry::Try(tick) => {
                let claim = Claim { generation: state.generation(), tick };
                Ok((node, Some(claim)))
            }
            Entry::Wait => Err(node),
        }
    }

    pub(crate) fn push_claimed(&mut self, node: Node, stage: Stage, generation: u32) {
        set_stage(&node, stage);
        set_claim(&node, generation);
        set_place(&node, Place::Work);
        self.work.push(node);
    }

    /// [`push_claimed`](Self::push_claimed) if there is a claim, else [`push_work`](Self::push_work).
    pub(crate) fn push_entered(&mut self, node: Node, stage: Stage, claim: Option<Claim>) {
        match claim {
            Some(claim) => self.push_claimed(node, stage, claim.generation),
            None => self.push_work(node, stage),
        }
    }

    /// Somebody who had a source's direction does not need it any more: the next in line is tried.
    pub(crate) fn release(&mut self, op: &Op, claim: Option<Claim>, tried: Tried) {
        if let Some(Claim { generation, tick }) = claim
            && let Some((fd, its)) = Lane::of_op(op)
            && let Some(state) = self.sources.find_generation(fd, generation)
        {
            state.settle(its, tick, tried);
            self.next_of_source(fd, its);
        }
    }

    /// Hands the direction of a source to the first in its line, if it may be tried.
    fn next_of_source(&mut self, fd: Fd, its: Lane) {
        if its.is_line()
            && let Some(state) = self.sources.find(fd)
            && let Some(node) = state.next(its)
        {
            let generation = state.generation();
            self.leave_line(node, generation);
        }
    }

    fn leave_line(&mut self, node: Node, generation: u32) {
        self.in_lines -= 1;
        self.passed += 1;
        self.push_claimed(node, Stage::Ready, generation);
    }

    /// What waits by a number that has become a source's stands in its lines from now on, in the same order; the
    /// first of each is tried again.
    pub(crate) fn line_up(&mut self, fd: Fd) {
        let mut waiting = self.waiting.take_fd(fd);
        while let Some(node) = waiting.pop() {
            if let Some((_, its)) = Lane::of_op(node.op())
                && let Some(state) = self.sources.find(fd)
            {
                set_stage(&node, Stage::Fresh);
                set_place(&node, Place::Source);
                state.push(its, node);
                self.in_lines += 1;
            }
        }
        for its in [Lane::Read, Lane::Write] {
            self.next_of_source(fd, its);
        }
        self.try_watchers(fd);
    }

    /// Those who want to be told of a source's events look again.
    fn try_watchers(&mut self, fd: Fd) {
        while let Some(state) = self.sources.find(fd)
            && let Some(node) = state.next(Lane::Watch)
        {
            let generation = state.generation();
            self.leave_line(node, generation);
        }
    }

    /// Notes an event of a source, and moves what it concerns to `work`.
    pub(crate) fn source_ready(&mut self, fd: Fd, generation: u32, events: Readiness) {
        let Some(state) = self.sources.find_generation(fd, generation) else { return };
        state.event(events);
        for its in [Lane::Read, Lane::Write] {
            self.next_of_source(fd, its);
        }
        self.try_watchers(fd);
    }

    /// Lets a node wait for readiness, unless it is to end early.
    pub(crate) fn let_wait(&mut self, node: Node, from: Arrival) -> Waits {
        let Some((fd, its)) = Lane::of_op(node.op()).filter(|_| !self.unwanted(&node)) else {
            return Waits::Refused(node);
        };
        set_stage(&node, Stage::Fresh);
        let Some(state) = self.sources.find(fd).filter(|state| !state.is_refused()) else {
            return self.let_wait_bare(node, fd, from);
        };
        let generation = state.generation();
        let bare = !matches!(from, Arrival::Untried | Arrival::Tried);
        if bare && matches!(state.enter(its), Entry::Try(_)) {
            self.passed += 1;
            self.push_claimed(node, Stage::Ready, generation);
            return Waits::Tries;
        }
        set_place(&node, Place::Source);
        let register = state.register().then_some(generation);
        match from {
            Arrival::Untried => state.push(its, node),
            _ => state.push_front(its, node),
        }
        self.in_lines += 1;
        Waits::Source(register)
    }

    fn let_wait_bare(&mut self, node: Node, fd: Fd, from: Arrival) -> Waits {
        if from == Arrival::Missed {
            self.passed += 1;
            self.push_work(node, Stage::Edge);
            return Waits::Tries;
        }
        set_place(&node, Place::Waiting);
        match from {
            Arrival::Stale { stands } => {
                self.edges = true;
                self.waiting.push_stale(fd, node, stands);
            }
            _ => self.waiting.push(fd, node),
        }
        Waits::Bare
    }

    /// What is to be registered for a bare number.
    pub(crate) fn wanted(&mut self, fd: Fd) -> Wanted {
        let mut standing = Readiness::empty();
        if self.edges {
            self.edges = self.owned() > 0;
            for node in self.work.iter().chain(self.running.iter()) {
                if Note::of(&node).stage() == Stage::Edge
                    && let Some((its, interest)) = node.op().interest()
                    && its == fd
                {
                    standing |= Readiness::wanted(interest);
                }
            }
        }
        self.waiting.wanted(fd, |_| true, standing)
    }

    /// An event on a bare number concerns what threads try there, too.
    pub(crate) fn note_missed(&mut self, fd: Fd, events: Readiness) {
        for node in &self.running {
            let here = node.op().interest().filter(|&(its, _)| its == fd);
            if here.is_some_and(|(_, interest)| events.concerns(interest)) {
                set_missed(&node);
            }
        }
    }

    /// A try would have blocked: ends it, and lets the node wait in front of its line, or as `bare` without a claim;
    /// if an event came during the try, it is in `work` again.
    pub(crate) fn wait_again(&mut self, node: Node, claim: Option<Claim>, bare: Arrival) -> Waits {
        let Some(Claim { generation, tick }) = claim else {
            return self.let_wait(node, bare);
        };
        if let Some((fd, its)) = Lane::of_op(node.op())
            && let Some(state) = self.sources.find_generation(fd, generation)
            && state.settle(its, tick, Tried::WouldBlock)
        {
            // The direction is still its own.
            if self.unwanted(&node) {
                self.release(node.op(), claim, Tried::Nothing);
                return Waits::Refused(node);
            }
            self.passed += 1;
            self.push_claimed(node, Stage::Ready, generation);
            return Waits::Tries;
        }
        self.let_wait(node, Arrival::Tried)
    }
}
