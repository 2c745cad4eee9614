//! Operations on one descriptor take turns.
//!
//! # Lines
//!
//! Operations that take from one descriptor are served in the order of submission, and so are those that
//! give to it: one of a line is tried at a time. On a source the line is the source's, and whoever is to
//! try has its direction (a *claim*). On a bare number the line is what waits in the table, behind what is
//! in `work` or `running`; `busy` finds out quickly that there is none. Whoever leaves `work` or `running`
//! without going back to wait [passes the line on](Queues::release).

use crate::note::{Note, Place, Stage, set, set_missed};
use crate::queues::{Claim, Queues};
use io_core::queue::Fifo;
use io_core::readiness::{Lane, Readiness, Tried, Waiting, Wanted};
use io_core::{Fd, Interest, Node, Op};

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

/// How a node comes to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// From its submit, untried: at the end of its line.
    New,
    /// From its submit, tried: in front of those that came meanwhile.
    Tried,
    /// It waited before: in front.
    Again,
    /// As [`Again`](Self::Again), and it was tried by its number upon an event, which has brought nothing. Whether its
    /// registration stands, so that it hears of the next one.
    Stale { stands: bool },
    /// As [`Stale`](Self::Stale), and the next event came during the try.
    Missed,
}

impl Arrival {
    /// Whether its timer is armed.
    fn is_new(self) -> bool {
        matches!(self, Arrival::New | Arrival::Tried)
    }
}

pub(crate) fn lane(op: &Op) -> Option<(Fd, Lane)> {
    Lane::of_op(op)
}

fn in_lane(wanted: Lane) -> impl Fn(Interest) -> bool {
    move |interest| Lane::of(interest) == wanted
}

impl Queues {
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
        its.is_line() && (self.waiting.any_of(fd, in_lane(its)) || self.is_busy(fd, its))
    }

    /// What is to be registered for a bare number: what waits and has nobody before it.
    pub(crate) fn wanted(&self, fd: Fd) -> Wanted {
        let busy = Lane::ALL.map(|its| self.is_busy(fd, its));
        self.waiting.wanted(fd, |interest| !busy[Lane::of(interest) as usize], self.standing(fd))
    }

    /// What those want whose registration of this bare number stands, of those that are being tried.
    fn standing(&self, fd: Fd) -> Readiness {
        if !self.busy.maybe(fd) {
            return Readiness::empty();
        }
        let mut standing = Readiness::empty();
        for node in self.work.iter().chain(self.running.iter()) {
            if Note::of(&node).stage() == Stage::Edge
                && let Some((its, interest)) = node.op().interest()
                && its == fd
            {
                standing |= Readiness::wanted(interest);
            }
        }
        standing
    }

    /// Somebody left `work` or `running` without going back to wait: the next in line is tried.
    pub(crate) fn release(&mut self, fd: Fd, its: Lane, claim: Option<Claim>, tried: Tried) {
        if let Some(Claim { generation, tick }) = claim {
            let Some(state) = self.sources.find_generation(fd, generation) else { return };
            state.settle(its, tick, tried);
            if its.is_line()
                && let Some(node) = state.next(its)
            {
                self.in_lines -= 1;
                self.push_claimed(node, Stage::Ready, generation);
            }
        } else if its.is_line()
            && !self.is_busy(fd, its)
            && let Some(node) = self.waiting.take_of(fd, in_lane(its))
        {
            self.push_taken(node);
        }
    }

    /// Makes an operation work that was taken from the waiting table.
    fn push_taken(&mut self, node: Node) {
        let stage = if Waiting::stood(&node) { Stage::Edge } else { Stage::Ready };
        self.push_work(node, stage);
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

    /// What waits or is queued by a number that has become a source's stands in its lines from now on, in the
    /// same order; the first of each is tried again.
    pub(crate) fn line_up(&mut self, fd: Fd) {
        let mut line = Fifo::new();
        if self.busy.maybe(fd) {
            line = self.work.take_all(|node| {
                let (note, op) = (Note::of(node), node.op());
                let bare = note.claim().is_none() && note.stage() != Stage::Block;
                bare && !op.wants_eagain() && lane(op).is_some_and(|(its, _)| its == fd)
            });
            line.iter().for_each(|node| self.busy.leave(node.op()));
        }
        line.append(self.waiting.take_fd(fd));
        while let Some(node) = line.pop() {
            if let Some((_, its)) = lane(node.op())
                && let Some(state) = self.sources.find(fd)
            {
                set(&node, Place::Source, Stage::Fresh);
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
            self.in_lines -= 1;
            self.push_claimed(node, Stage::Ready, generation);
        }
    }

    /// Notes an event of a source, and moves what it concerns to `work`.
    pub(crate) fn source_ready(&mut self, fd: Fd, generation: u32, events: Readiness) {
        let Some(state) = self.sources.find_generation(fd, generation) else { return };
        state.event(events);
        let firsts = [Lane::Read, Lane::Write].map(|its| state.next(its));
        for node in firsts.into_iter().flatten() {
            self.in_lines -= 1;
            self.push_claimed(node, Stage::Ready, generation);
        }
        self.try_watchers(fd);
    }

    /// Moves what an event on a bare number concerns to `work`, the first of each line. Whether more is to be
    /// registered.
    pub(crate) fn bare_ready(&mut self, fd: Fd, events: Readiness) -> bool {
        for its in Lane::ALL {
            let concerned = |interest| Lane::of(interest) == its && events.concerns(interest);
            while !self.is_busy(fd, its)
                && let Some(node) = self.waiting.take_of(fd, concerned)
            {
                self.push_taken(node);
            }
        }
        if self.busy.maybe(fd) {
            for node in &self.running {
                let here = node.op().interest().filter(|&(its, _)| its == fd);
                if here.is_some_and(|(_, interest)| events.concerns(interest)) {
                    set_missed(&node);
                }
            }
        }
        !self.wanted(fd).new.is_empty()
    }

    /// Lets a node wait for readiness. It comes back if it is to end early: a stop or cancel that came while
    /// a thread had it must not be missed; each sets its mark and then looks for the node under this lock.
    pub(crate) fn let_wait(&mut self, node: Node, fd: Fd, its: Lane, from: Arrival) -> Waits {
        if self.unwanted(&node) {
            self.timers.disarm(&node);
            return Waits::Refused(node);
        }
        if from.is_new() {
            self.news.earlier |= self.timers.arm(&node);
        }
        if let Some(state) = self.sources.find(fd).filter(|state| !state.is_refused()) {
            set(&node, Place::Source, Stage::Fresh);
            let register = state.register().then(|| state.generation());
            match from {
                Arrival::New => state.push(its, node),
                _ => state.push_front(its, node),
            }
            self.in_lines += 1;
            // It may have become a source while it was tried by its number.
            self.next_of_source(fd, its);
            return Waits::Source(register);
        }
        if from == Arrival::Missed {
            self.push_work(node, Stage::Edge);
            return Waits::Tries;
        }
        set(&node, Place::Waiting, Stage::Fresh);
        match from {
            Arrival::New => self.waiting.push(fd, node),
            Arrival::Stale { stands } => self.waiting.push_stale(fd, node, stands),
            _ => self.waiting.push_front(fd, node),
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
                if from.is_new() {
                    self.news.earlier |= self.timers.arm(&node);
                }
                self.push_claimed(node, Stage::Ready, generation);
                return Waits::Tries;
            }
            if !wanted {
                self.next_of_source(fd, its);
            }
        }
        if its == Lane::Watch
            && !self.unwanted(&node)
            && let Some(state) = self.sources.find(fd).filter(|state| !state.is_refused())
            && claim.map(|claim| claim.generation) != Some(state.generation())
        {
            // It was tried by its number, which has become a source since: an event may have come meanwhile.
            let generation = state.generation();
            if from.is_new() {
                self.news.earlier |= self.timers.arm(&node);
            }
            self.push_claimed(node, Stage::Ready, generation);
            return Waits::Tries;
        }
        let waits = self.let_wait(node, fd, its, from);
        if !from.is_new() && claim.is_none() && matches!(waits, Waits::Refused(_)) {
            // Those behind it are registered by nobody else.
            self.release(fd, its, None, Tried::Nothing);
        }
        waits
    }
}
