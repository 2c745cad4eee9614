//! Taking operations out of the lists before they are done, for an early end.
#![allow(unsafe_code, reason = "unlinks nodes by address")]
//! # Safety
//! As in `queues.rs`: a node that is not at the offload backend is in the list that its note says.

use crate::line::lane;
use crate::note::{Note, Place, Stage, place_of, set, set_place};
use crate::queues::{Claim, Queues};
use io_core::queue::Fifo;
use io_core::readiness::{Tried, Waiting};
use io_core::{Fd, Node, NodePtr, Op, Scope};

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

impl Queues {
    pub(crate) fn may_be_away(&self) -> bool {
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
        let stale = from == Place::Waiting && Waiting::was_stale(node);
        set(node, Place::Nowhere, Stage::Fresh);
        self.timers.disarm(node);
        match from {
            Place::Source => self.in_lines -= 1,
            Place::Waiting if stale => {
                // The event that brought it nothing may have something for the next one.
                if let Some((fd, its)) = lane(node.op()) {
                    self.release(fd, its, None, Tried::Nothing);
                }
            }
            Place::Work => {
                self.busy.leave(node.op());
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

    /// Takes out, for an early end, what waits for readiness of this descriptor. Costs what there is on it, not
    /// what there is in all.
    pub(crate) fn withdraw_waiting(&mut self, fd: Fd) -> Fifo {
        let mut withdrawn = Fifo::new();
        let waiting = self.waiting.take_fd(fd);
        self.move_out(waiting, Place::Waiting, &mut withdrawn);
        while let Some(node) = self.sources.find(fd).and_then(|state| state.take(|_| true)) {
            self.taken_out(&node, Place::Source);
            withdrawn.push(node);
        }
        withdrawn
    }

    /// As [`withdraw_waiting`](Self::withdraw_waiting), and what an event has just made work again. What was
    /// queued before the close was taken before it.
    pub(crate) fn withdraw_before_close(&mut self, fd: Fd) -> Fifo {
        let mut withdrawn = self.withdraw_waiting(fd);
        if self.busy.maybe(fd) {
            let ready = self.work.take_all(|node| {
                let waited = Note::of(node).stage().is_ready();
                waited && lane(node.op()).is_some_and(|(its, _)| its == fd)
            });
            self.move_out(ready, Place::Work, &mut withdrawn);
        }
        withdrawn
    }

    /// As [`withdraw_waiting`](Self::withdraw_waiting), and what is to be tried.
    pub(crate) fn withdraw_fd(&mut self, fd: Fd) -> Fifo {
        let on = |node: &Node| !node.op().kind().never_cancelled() && node.op().uses(fd);
        let mut withdrawn = self.withdraw_waiting(fd);
        if self.busy.maybe(fd) {
            let work = self.work.take_all(on);
            self.move_out(work, Place::Work, &mut withdrawn);
        }
        withdrawn
    }

    /// Takes out what could not be registered.
    pub(crate) fn withdraw_unarmed(&mut self, fd: Fd) -> Fifo {
        let mut withdrawn = Fifo::new();
        while let Some(node) = self.waiting.take_unarmed(fd) {
            self.taken_out(&node, Place::Waiting);
            withdrawn.push(node);
        }
        withdrawn
    }

    /// The same of a source, which cannot be registered.
    pub(crate) fn withdraw_refused(&mut self, fd: Fd, generation: u32) -> Fifo {
        let mut withdrawn = Fifo::new();
        while let Some(node) =
            self.sources.find_generation(fd, generation).and_then(|state| state.refuse())
        {
            self.taken_out(&node, Place::Source);
            withdrawn.push(node);
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
}
