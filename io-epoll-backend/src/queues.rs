//! The lists of the backend, all behind one lock: what is to be tried, what waits, what some thread's
//! system call has, what is at the offload backend, and what is done but not delivered.
#![allow(unsafe_code, reason = "unlinks nodes by address")]
//! # Safety
//! A node that is not at the offload backend is in the list that its note says; every method has the lock.

use crate::busy::Busy;
use crate::line::{Arrival, lane};
use crate::note::{Note, Place, Stage, place_of, set, set_claimed, set_place};
use io_core::queue::Fifo;
pub(crate) use io_core::readiness::Claim;
use io_core::readiness::{Sources, Tried, Waiting};
use io_core::{InFlight, Node, NodePtr, Op, Timers, Way};

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
    /// Threads that wait, to detach a source, until nobody's system call uses it.
    pub(crate) leaving: usize,
    /// To be told when the lock is open again.
    pub(crate) news: News,
}

/// What a critical section leaves to be told after it: an earlier deadline was armed; there is something to
/// try; or what `left` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    pub(crate) earlier: bool,
    pub(crate) work: bool,
    /// A thread is done with an operation, and somebody waits for that.
    pub(crate) left: bool,
}

/// A node in a thread's hands: what to do, copied, so that no lock is needed to read it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) node: NodePtr,
    pub(crate) op: Op,
    pub(crate) stage: Stage,
    pub(crate) done: usize,
    pub(crate) claim: Option<Claim>,
    /// For a close: what has waited on its descriptor, and ends before it.
    pub(crate) ended: Fifo,
}

/// What a thread that is alone works on.
#[derive(Debug)]
pub(crate) enum Alone {
    Job(Job),
    /// An operation with the direction of the source of this generation, in no list.
    Claimed(Node, u32),
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
            leaving: 0,
            news: News { earlier: false, work: false, left: false },
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

    pub(crate) fn push_work(&mut self, node: Node, stage: Stage) {
        set(&node, Place::Work, stage);
        self.busy.enter(node.op());
        self.work.push(node);
        self.news.work = true;
    }

    pub(crate) fn push_claimed(&mut self, node: Node, stage: Stage, generation: u32) {
        set_claimed(&node, Place::Work, stage, generation);
        self.busy.enter(node.op());
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

    /// Hands the oldest work to the calling thread.
    pub(crate) fn take_job(&mut self) -> Option<Job> {
        loop {
            let node = self.work.pop()?;
            if let Some(node) = self.hold(node) {
                return Some(self.run(node));
            }
        }
    }

    /// [`take_job`](Self::take_job) for a thread that is alone: a source's operation that had to wait is given
    /// out as it is.
    pub(crate) fn take_alone(&mut self) -> Option<Alone> {
        let first = self.work.iter().next()?;
        let (note, connect) = (Note::of(&first), matches!(first.op(), Op::Connect(_)));
        match note.claim() {
            Some(generation) if note.stage() == Stage::Ready && !connect => {
                let node = self.work.pop()?;
                self.busy.leave(node.op());
                Some(Alone::Claimed(node, generation))
            }
            _ => self.take_job().map(Alone::Job),
        }
    }

    /// Makes a job of what [`take_alone`](Self::take_alone) gave out.
    pub(crate) fn take_up(&mut self, node: Node, generation: u32) -> Job {
        set_claimed(&node, Place::Work, Stage::Ready, generation);
        self.busy.enter(node.op());
        self.run(node)
    }

    /// What [`take_alone`](Self::take_alone) gave out has its result: as [`end_job`](Self::end_job).
    pub(crate) fn end_alone(&mut self, node: &Node, generation: u32, tried: Tried) {
        self.timers.disarm(node);
        if let Some((fd, its)) = lane(node.op())
            && let Some(state) = self.sources.find_generation(fd, generation)
        {
            let tick = state.tick();
            self.release(fd, its, Some(Claim { generation, tick }), tried);
        }
    }

    /// Keeps a close that must wait; gives back what need not.
    fn hold(&mut self, node: Node) -> Option<Node> {
        if !self.must_be_held(&node) {
            return Some(node);
        }
        self.busy.leave(node.op());
        set(&node, Place::Held, Stage::Block);
        self.held.push(node);
        None
    }

    /// Hands this node to the calling thread if it is to be tried, or what is to be tried before it.
    ///
    /// # Safety
    /// * The node was submitted to this backend, and its storage is valid.
    pub(crate) unsafe fn take_this_job(&mut self, node: NodePtr) -> Option<Job> {
        let queued = if self.may_be_away() {
            self.work.iter().any(|listed| listed.ptr() == node)
        } else {
            // SAFETY: valid, promised by the caller; none is at the offload backend.
            unsafe { place_of(node) == Place::Work }
        };
        if !queued {
            return None;
        }
        // SAFETY: promised by the caller.
        let op = unsafe { node.op() };
        let first = self.first_of(node, &op);
        // SAFETY: it is in `work`: its place says so, or it was found there.
        let node = unsafe { self.work.remove(first) };
        self.hold(node).map(|node| self.run(node))
    }

    /// What is to be done before this node, or itself: a close taken out of its turn would leave older work on
    /// its descriptor a number that means nothing, or another file.
    fn first_of(&self, node: NodePtr, op: &Op) -> NodePtr {
        let Op::Close(close) = op else { return node };
        let mut older = self.work.iter().take_while(|listed| listed.ptr() != node);
        older.find(|listed| listed.op().uses(close.fd)).map_or(node, |older| older.ptr())
    }

    fn run(&mut self, node: Node) -> Job {
        // In one step with the look at what runs: in between, an event could make what waits work again,
        // behind the close, and that would mean the number's next file.
        let ended = match *node.op() {
            Op::Close(close) => self.withdraw_before_close(close.fd),
            _ => Fifo::new(),
        };
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
        Job { node: ptr, op, stage: note.stage(), done, claim, ended }
    }

    /// Takes a node back from the thread that ran it. Its line is to be [released](Self::release), unless it
    /// goes back to wait.
    pub(crate) fn end_run(&mut self, job: &Job) -> Node {
        self.end_try(job, false).0
    }

    /// [`end_run`](Self::end_run), and how it comes to wait if it must; `in_vain` if it is to wait for the next event.
    pub(crate) fn end_try(&mut self, job: &Job, in_vain: bool) -> (Node, Arrival) {
        // SAFETY: `run` put it into `running`, and only who has the job takes it out.
        let node = unsafe { self.running.remove(job.node) };
        self.busy.leave(&job.op);
        let missed = Note::of(&node).has_missed();
        let from = match job.stage {
            _ if !in_vain => Arrival::Again,
            Stage::Edge if missed => Arrival::Missed,
            Stage::Edge => Arrival::Stale { stands: true },
            Stage::Ready => Arrival::Stale { stands: false },
            Stage::Fresh | Stage::Block => Arrival::Again,
        };
        set(&node, Place::Nowhere, Stage::Fresh);
        self.news.left |= self.leaving > 0;
        // Each looks again whether it still has to wait.
        while let Some(close) = self.held.pop() {
            self.push_work(close, Stage::Block);
        }
        (node, from)
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

    /// Whether some thread's system call uses the descriptor that this is to close: the number must not
    /// mean another file under it.
    fn must_be_held(&self, node: &Node) -> bool {
        let Op::Close(close) = node.op() else { return false };
        self.busy.maybe(close.fd) && self.running.iter().any(|running| running.op().uses(close.fd))
    }

    /// Whether this is a close of a descriptor that is used by what is to be tried before it.
    pub(crate) fn is_behind(&self, node: &Node) -> bool {
        let Op::Close(close) = node.op() else { return false };
        let uses = |list: &Fifo| list.iter().any(|node| node.op().uses(close.fd));
        self.busy.maybe(close.fd) && (uses(&self.work) || uses(&self.running))
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
