//! The lists of the pool, all behind one lock: what waits for a worker, what waits for readiness, what is
//! in a worker's hands, and what is done but not delivered.

use crate::note::{Note, Place, Stage, place_of, set_place, set_recalled, set_stage};
use io_core::queue::Fifo;
use io_core::readiness::{Claim, Lane, Sources, Tried, Waiting};
use io_core::{Fd, InFlight, Node, NodePtr, Op, Scope, Timers, Way};

/// Whether the pool takes operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Takes them; `started` or not makes no difference but to `start`.
    Open { started: bool },
    /// Stopping, or a stop whose deadline passed: refuses.
    Stopping,
    /// Refuses; nothing is owned.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) mode: Mode,
    pub(crate) work: Fifo,
    pub(crate) waiting: Waiting,
    pub(crate) sources: Sources,
    /// How many wait in sources' lines.
    pub(crate) in_lines: usize,
    /// How many were moved to `work` by passing a line on, which nobody was told of yet.
    pub(crate) passed: usize,
    pub(crate) running: Fifo,
    pub(crate) ready: Fifo,
    /// What waits for its deadline alone.
    pub(crate) sleeping: Fifo,
    /// Closes whose descriptor a worker is using: the number must not mean another file under it.
    pub(crate) held: Fifo,
    /// Threads that wait, to detach a source, until nobody's system call uses it.
    pub(crate) leaving: usize,
    pub(crate) timers: Timers,
    /// Whether any operation may have a registration that stands.
    pub(crate) edges: bool,
}

/// A node in a worker's hands: what to do, copied, so that no lock is needed to read it.
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

impl Queues {
    pub(crate) const fn new() -> Queues {
        Queues {
            mode: Mode::Open { started: false },
            work: Fifo::new(),
            waiting: Waiting::new(),
            sources: Sources::new(),
            in_lines: 0,
            passed: 0,
            running: Fifo::new(),
            ready: Fifo::new(),
            sleeping: Fifo::new(),
            held: Fifo::new(),
            leaving: 0,
            timers: Timers::new(),
            edges: false,
        }
    }

    pub(crate) fn refuses(&self) -> bool {
        !matches!(self.mode, Mode::Open { .. })
    }

    /// Operations that the pool or its workers own, other than those that are only to be delivered.
    pub(crate) fn owned(&self) -> usize {
        self.queued() + self.running.len()
    }

    /// Operations that wait for something.
    pub(crate) fn queued(&self) -> usize {
        self.work.len() + self.parked() + self.sleeping.len() + self.held.len()
    }

    /// Operations that wait in epoll.
    pub(crate) fn parked(&self) -> usize {
        self.waiting.len() + self.in_lines
    }

    pub(crate) fn push_work(&mut self, node: Node, stage: Stage) {
        set_stage(&node, stage);
        set_place(&node, Place::Work);
        self.work.push(node);
    }

    pub(crate) fn push_ready(&mut self, node: Node) {
        set_place(&node, Place::Ready);
        self.ready.push(node);
    }

    /// Whether an operation that a thread had is to end early and not to wait. A stop, cancel or recall that
    /// came meanwhile must not be missed: each sets its mark and then looks for the node under this lock.
    pub(crate) fn unwanted(&self, node: &Node) -> bool {
        self.refuses() || node.cancel_asked() || Note::of(node).is_recalled()
    }

    /// Puts a node to sleep until its deadline, unless it is to end early: then it comes back.
    pub(crate) fn let_sleep(&mut self, node: Node) -> Option<Node> {
        if self.refuses() {
            return Some(node);
        }
        set_place(&node, Place::Sleeping);
        self.sleeping.push(node);
        None
    }

    /// Hands the oldest work to the calling thread.
    pub(crate) fn take_job(&mut self) -> Option<Job> {
        loop {
            let node = self.work.pop()?;
            if !self.must_be_held(&node) {
                return Some(self.run(node));
            }
            set_place(&node, Place::Held);
            self.held.push(node);
        }
    }

    /// Whether a worker is using the descriptor that this is to close. What was queued before the close
    /// was taken before it.
    fn must_be_held(&self, node: &Node) -> bool {
        let Op::Close(close) = node.op() else { return false };
        self.is_running(close.fd)
    }

    /// Hands this node to the calling thread if it waits for a worker, or what is to be done before it.
    ///
    /// # Safety
    /// * The node was submitted to this pool, and its storage is valid.
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn take_this_job(&mut self, node: NodePtr) -> Option<Job> {
        // SAFETY: promised by the caller; `&mut self` is the lock.
        if unsafe { place_of(node) } != Place::Work {
            return None;
        }
        // SAFETY: promised by the caller.
        let op = unsafe { node.op() };
        let first = self.first_of(node, &op);
        // SAFETY: its place says that it is in `work`, or it was found there.
        let node = unsafe { self.work.remove(first) };
        if self.must_be_held(&node) {
            set_place(&node, Place::Held);
            self.held.push(node);
            return None;
        }
        Some(self.run(node))
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

    /// [`end_run`](Self::end_run) for an operation that has its result: its line is passed on.
    pub(crate) fn end_job(&mut self, job: &Job, tried: Tried) -> Node {
        let node = self.end_run(job);
        self.release(&job.op, job.claim, tried);
        node
    }

    /// Takes a node back from the thread that ran it.
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) fn end_run(&mut self, job: &Job) -> Node {
        // SAFETY: `run` put it into `running`, and only who has the job takes it out.
        let node = unsafe { self.running.remove(job.node) };
        set_place(&node, Place::Nowhere);
        // Each looks again whether it still has to wait.
        while let Some(close) = self.held.pop() {
            set_place(&close, Place::Work);
            self.work.push(close);
        }
        node
    }

    /// Takes a node out that no worker has, for an early end. `None` if a worker has it, or if it is done.
    ///
    /// # Safety
    /// * The node was submitted to or accepted by this pool, and its storage is valid.
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn withdraw(&mut self, node: NodePtr) -> Option<Node> {
        // SAFETY: promised by the caller; `&mut self` is the lock.
        let place = unsafe { place_of(node) };
        // SAFETY: promised by the caller.
        let op = unsafe { node.op() };
        let node = match (place, op.interest()) {
            // SAFETY: its place says that it is in `work`.
            (Place::Work, _) => unsafe { self.work.remove(node) },
            // SAFETY: its place says that it waits, which only operations with a descriptor do.
            (Place::Waiting, Some((fd, _))) => unsafe { self.waiting.remove(node, fd) },
            // SAFETY: its place says that it is in `sleeping`.
            (Place::Sleeping, _) => unsafe { self.sleeping.remove(node) },
            (Place::Source, Some((fd, its))) => {
                let state = self.sources.find(fd)?;
                // SAFETY: its place says that it waits on its source.
                unsafe { state.remove(Lane::of(its), node) }
            }
            _ => return None,
        };
        self.taken_out(&node);
        Some(node)
    }

    /// [`withdraw`](Self::withdraw) for a node of another backend, which may be home again, and whose note
    /// then is not ours to read: it is looked for. A worker that has it is told not to let it wait.
    ///
    /// # Safety
    /// * The node was accepted by this pool, and its storage is valid.
    #[allow(unsafe_code, reason = "looks for a node by address")]
    pub(crate) unsafe fn recall(&mut self, node: NodePtr) -> Option<Node> {
        // SAFETY: promised by the caller.
        let op = unsafe { node.op() };
        let found = self.work.find_remove(node).or_else(|| {
            let (fd, its) = Lane::of_op(&op)?;
            let bare = self.waiting.find_remove(node, fd);
            bare.or_else(|| self.sources.find(fd)?.find_remove(its, node))
        });
        match &found {
            Some(node) => self.taken_out(node),
            None => {
                let ours = self.running.iter().find(|running| running.ptr() == node);
                ours.into_iter().for_each(|running| set_recalled(&running));
            }
        }
        found
    }

    /// [`recall`](Self::recall) for everything in `scope` from one home; also says how many were asked for
    /// the first time.
    pub(crate) fn recall_all(&mut self, home: *const (), scope: Scope) -> (Fifo, usize) {
        let wanted = |node: &Node| node.home() == home && is_meant(node, scope);
        let mut count = 0;
        for running in self.running.iter().filter(|running| wanted(running)) {
            count += usize::from(!Note::of(&running).is_recalled());
            set_recalled(&running);
        }
        let recalled = self.withdraw_all(wanted);
        count += recalled.len();
        (recalled, count)
    }

    /// Takes out what is in `scope` and was submitted to the pool at `home`, which is this one, and asks
    /// what a worker has; also says how many were asked for the first time.
    pub(crate) fn cancel_all(&mut self, home: *const (), scope: Scope) -> (Fifo, usize) {
        let wanted = |node: &Node| node.home() == home && is_meant(node, scope);
        let running = self.running.iter().filter(|running| wanted(running));
        let asked = running.filter(|running| running.ask_cancel()).count();
        let withdrawn = self.withdraw_all(wanted);
        let count = asked + withdrawn.len();
        (withdrawn, count)
    }

    /// Takes out what waits on a descriptor that is about to be closed.
    pub(crate) fn withdraw_fd(&mut self, fd: Fd, which: impl Fn(&Node) -> bool) -> Fifo {
        let mut withdrawn = self.waiting.take_fd_of(fd, &which);
        withdrawn.iter().for_each(|node| self.taken_out(&node));
        while let Some(node) = self.sources.find(fd).and_then(|state| state.take(&which)) {
            self.taken_out(&node);
            withdrawn.push(node);
        }
        withdrawn
    }

    /// Takes out what waits or is queued on a source that goes.
    pub(crate) fn withdraw_source(&mut self, fd: Fd) -> Fifo {
        let on = |node: &Node| !node.op().kind().never_cancelled() && node.op().uses(fd);
        let work = self.work.take_all(on);
        // The lines first: what has a direction then passes it on to nobody.
        let mut withdrawn = self.withdraw_fd(fd, |_| true);
        work.iter().for_each(|node| self.taken_out(&node));
        withdrawn.append(work);
        withdrawn
    }

    /// Whether some thread's system call uses the descriptor.
    pub(crate) fn is_running(&self, fd: Fd) -> bool {
        self.running.iter().any(|running| running.op().uses(fd))
    }

    /// [`withdraw_fd`](Self::withdraw_fd), and what an event has just made work again.
    fn withdraw_before_close(&mut self, fd: Fd) -> Fifo {
        let mut withdrawn = self.withdraw_fd(fd, |_| true);
        let ready = self.work.take_all(|node| {
            let waited = Note::of(node).stage().is_ready();
            waited && node.op().interest().is_some_and(|(its, _)| its == fd)
        });
        ready.iter().for_each(|node| self.taken_out(&node));
        withdrawn.append(ready);
        withdrawn
    }

    /// Takes a node out of the ready list, if it is there.
    ///
    /// # Safety
    /// * As [`withdraw`](Self::withdraw).
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn take_this_ready(&mut self, node: NodePtr) -> Option<Node> {
        // SAFETY: promised by the caller; `&mut self` is the lock.
        if unsafe { place_of(node) } != Place::Ready {
            return None;
        }
        // SAFETY: its place says that it is in `ready`.
        let node = unsafe { self.ready.remove(node) };
        set_place(&node, Place::Nowhere);
        Some(node)
    }

    /// Takes the oldest node out that is only to be delivered.
    pub(crate) fn take_ready(&mut self) -> Option<Node> {
        let node = self.ready.pop()?;
        set_place(&node, Place::Nowhere);
        Some(node)
    }

    /// Takes out, for an early end, what no worker has and `which` accepts.
    pub(crate) fn withdraw_all(&mut self, which: impl Fn(&Node) -> bool) -> Fifo {
        let which = |node: &Node| !node.op().kind().never_cancelled() && which(node);
        let mut withdrawn = self.waiting.take_all(which);
        withdrawn.append(self.sleeping.take_all(which));
        withdrawn.iter().for_each(|node| self.taken_out(&node));
        while self.in_lines > 0
            && let Some(node) = self.sources.find_map(|_, state| state.take(which))
        {
            self.taken_out(&node);
            withdrawn.push(node);
        }
        // Last: it passes lines on, to those that stay.
        let work = self.work.take_all(which);
        work.iter().for_each(|node| self.taken_out(&node));
        withdrawn.append(work);
        withdrawn
    }

    /// Takes out what could not be registered.
    pub(crate) fn withdraw_unarmed(&mut self, fd: Fd) -> Fifo {
        let mut withdrawn = Fifo::new();
        while let Some(node) = self.waiting.take_unarmed(fd) {
            self.taken_out(&node);
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
            self.taken_out(&node);
            withdrawn.push(node);
        }
        withdrawn
    }

    /// What is to be done when a node has left a list for an early end.
    fn taken_out(&mut self, node: &Node) {
        let note = Note::of(node);
        set_place(node, Place::Nowhere);
        match note.place() {
            Place::Source => self.in_lines -= 1,
            Place::Work => {
                let claim = note.claim().map(|generation| Claim { generation, tick: 0 });
                self.release(node.op(), claim, Tried::Nothing);
            }
            _ => {}
        }
    }

    /// Writes what there is into `out`; says how many there are.
    pub(crate) fn dump(&mut self, out: &mut [InFlight], way: impl Fn(&Node) -> Way) -> usize {
        let lists = [&self.running, &self.work, &self.held, &self.sleeping, &self.ready];
        let all = lists.into_iter().flatten().chain(self.waiting.iter());
        let mut count = 0;
        let mut note = |node: &Node| {
            if let Some(place) = out.get_mut(count) {
                *place = InFlight::of(node, way(node));
            }
            count += 1;
        };
        all.for_each(|node| note(&node));
        let _: Option<()> = self.sources.find_map(|_, state| {
            state.waiting().for_each(|node| note(&node));
            None
        });
        count
    }
}

/// Whether a cancel of this scope means it.
fn is_meant(node: &Node, scope: Scope) -> bool {
    !node.op().kind().never_cancelled() && node.op().is_in(scope)
}
