//! The backend: how an operation enters, is cancelled, waited for and counted; start and stop.
#![allow(unsafe_code, reason = "implements the unsafe backend traits")]
//! # Safety
//! A node is in one list or in one thread's hands, as its note says; every list change is under the one
//! lock, whose closures call no user code and do not nest.

use crate::queues::{Mode, Queues};
use crate::run::Turn;
use core::fmt;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr;
use core::time::Duration;
use io_core::fork::Lineage;
use io_core::queue::Fifo;
use io_core::readiness::SpinLock;
use io_core::readiness::{Count, Park, Role, Source, Teller, Tellers, give_way};
use io_core::sync::{AtomicU32, Ordering};
use io_core::syscall::{close_fd, now_ns};
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, InFlight, IoBackend, Locked, Node, NodePtr, NoopLock,
    Offload, Op, OpKind, RawLock, Route, Scope, StopError, WakeHandle, Way,
};

/// The thread-pool backend. `L` is its lock: [`SpinLock`] to share it, [`NoopLock`] for one thread.
///
/// What can be done without waiting is done inside submit; what waits for a peer waits in epoll; the rest
/// is performed by lent threads (see [`Worker`](crate::Worker)), or inside `poll` if there are none.
pub struct PoolBackend<L: RawLock = SpinLock> {
    queues: Locked<L, Queues>,
    /// How many sources there are, to look at without the lock.
    pub(crate) sources: AtomicU32,
    /// Turns in a row that delivered without having looked into epoll.
    pub(crate) unlooked: AtomicU32,
    pub(crate) park: Park,
    pub(crate) count: Count,
    pub(crate) workers: AtomicU32,
    pub(crate) release: AtomicU32,
    /// Threads that run a waker or callback now.
    pub(crate) tellers: Tellers,
    /// Whether any deadline is armed, to look at without the lock.
    pub(crate) timed: AtomicU32,
    pub(crate) lineage: Lineage,
    /// Somebody called the wake handle; the next poll returns.
    pub(crate) woken: AtomicU32,
    /// Something was delivered by a worker since the last poll returned.
    pub(crate) announced: AtomicU32,
    /// Counts both, for threads that were in poll at the time: each of them returns.
    pub(crate) news: AtomicU32,
    /// Not 0 while the pool refuses: the mode, for submit to look at without the lock.
    pub(crate) refusing: AtomicU32,
    _pinned: PhantomPinned,
}

/// The pool for one thread: no lock, no workers; `poll` does the work.
pub type LocalPool = PoolBackend<NoopLock>;

impl<L: RawLock> fmt::Debug for PoolBackend<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBackend").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

impl<L: RawLock> PoolBackend<L> {
    /// A pool without workers. Makes an epoll instance and an eventfd, both close-on-exec (three system
    /// calls, and two more for the first backend of the process), and allocates nothing.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` from `epoll_create1(2)`, `eventfd(2)` or `mmap(2)`.
    pub fn new() -> Result<PoolBackend<L>, Errno> {
        Ok(PoolBackend {
            queues: Locked::new(Queues::new()),
            sources: AtomicU32::new(0),
            unlooked: AtomicU32::new(0),
            park: Park::new()?,
            count: Count::new(L::SHARED),
            workers: AtomicU32::new(0),
            release: AtomicU32::new(0),
            tellers: Tellers::new(),
            timed: AtomicU32::new(0),
            lineage: Lineage::new()?,
            woken: AtomicU32::new(0),
            announced: AtomicU32::new(0),
            news: AtomicU32::new(0),
            refusing: AtomicU32::new(0),
            _pinned: PhantomPinned,
        })
    }

    /// Makes their number readable without the lock; called under it.
    pub(crate) fn count_sources(&self, queues: &Queues) {
        // Ordering: Relaxed, a hint: the owner of a source has attached it before it uses it.
        self.sources
            .store(u32::try_from(queues.sources.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Makes the mode readable without the lock; called under it.
    fn publish(&self, queues: &Queues) {
        self.refusing.store(u32::from(queues.refuses()), Ordering::Relaxed);
    }

    /// Reaches the lists, and tells afterwards of the work that was passed on.
    #[inline]
    pub(crate) fn queues<R>(&self, act: impl FnOnce(&mut Queues) -> R) -> R {
        // SAFETY: every closure in this crate moves nodes between lists and reads notes: none calls
        // `queues` again or runs user code.
        let (result, passed) = unsafe {
            self.queues.with(|queues| {
                let result = act(queues);
                (result, core::mem::take(&mut queues.passed))
            })
        };
        if passed > 0 {
            self.notify_passed(passed);
        }
        result
    }

    pub(crate) fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Ends operations early that were taken off their lists.
    pub(crate) fn refuse_all(&self, mut withdrawn: Fifo) {
        while let Some(node) = withdrawn.pop() {
            self.refuse(node, Turn::Reap);
        }
    }

    /// Ends what waits on a descriptor that is about to be closed.
    pub(crate) fn end_waiting(&self, fd: Fd) {
        let withdrawn = self.queues(|queues| queues.withdraw_fd(fd, |_| true));
        self.refuse_all(withdrawn);
    }

    /// Makes the pool new in a forked child: no operations, no workers, not started, with descriptors of
    /// its own (`epoll_create1(2)`, `eventfd(2)`). It allocates nothing. What was in flight at the fork is
    /// the parent's; here it is done with `EOWNERDEAD` when it is next touched. [`Worker`](crate::Worker)s
    /// of before the fork are of no use here.
    ///
    /// # Errors
    /// `EALREADY` in the process that made the pool, `EPERM` in a child of `vfork(2)`, `EBUSY` if another
    /// thread is at it, and those of [`new`](Self::new).
    pub fn reinit(&self) -> Result<(), Errno> {
        let adoption = self.lineage.adopt()?;
        // SAFETY: the adoption is not finished, so every entry point turns other threads away.
        unsafe { self.park.renew()? };
        // SAFETY: as above.
        unsafe { self.queues.renew(Queues::new()) };
        self.tellers.renew();
        // The tickets of before are not valid.
        self.release.fetch_add(1, Ordering::SeqCst);
        let words = [&self.workers, &self.timed, &self.woken, &self.announced, &self.refusing];
        for word in words.into_iter().chain([&self.sources, &self.unlooked]) {
            word.store(0, Ordering::SeqCst);
        }
        self.count.renew();
        adoption.finish();
        Ok(())
    }

    /// Where its threads sleep, for a test that says what is ready.
    #[cfg(io_loom)]
    #[doc(hidden)]
    pub fn park(&self) -> &Park {
        &self.park
    }

    fn withdraw(&self, node: NodePtr) {
        // SAFETY: submitted here and valid, promised by the caller.
        let node = self.queues(|queues| unsafe { queues.withdraw(node) });
        if let Some(node) = node {
            self.refuse(node, Turn::Reap);
        }
    }

    /// Refuses new operations, ends the rest, and waits as [`drain`](Self::drain) does.
    fn halt(&self, deadline: Deadline) -> usize {
        let stopped = self.queues(|queues| {
            // A close may have come since.
            let stopped = queues.mode == Mode::Stopped && self.left(queues) == 0;
            if !stopped {
                queues.mode = Mode::Stopping;
                self.publish(queues);
            }
            stopped
        });
        if stopped {
            return 0;
        }
        // Also what was accepted from other backends: it goes home cancelled.
        let withdrawn = self.queues(|queues| queues.withdraw_all(|_| true));
        self.refuse_all(withdrawn);
        self.drain(deadline)
    }

    /// How many operations have no result yet. A thread that has that of what it took off the lists may be about to
    /// store it.
    fn left(&self, queues: &Queues) -> usize {
        let telling = self.count.undelivered().saturating_sub(queues.ready.len() as u64);
        queues.owned().max(usize::try_from(telling).unwrap_or(usize::MAX))
    }

    /// Waits until nothing is owned. The number that is, when the deadline passes.
    fn drain(&self, deadline: Deadline) -> usize {
        loop {
            let seen = self.park.epoch();
            let (owned, left) = self.queues(|queues| {
                let left = self.left(queues);
                // Under the same lock: a start cannot come in between.
                if left == 0 && queues.mode == Mode::Stopping {
                    queues.mode = Mode::Stopped;
                }
                (queues.owned(), left)
            });
            if left == 0 || deadline.is_over(now_ns) {
                self.park.leave();
                return left;
            }
            if owned == 0 {
                give_way();
            } else {
                self.help(seen, deadline);
            }
        }
    }
}

// SAFETY: each node is finished by who took it off its list; `wait` loops until done; `binding` is of
// `self`; drop drains; shared state is atomic or behind the lock, and `Sync` follows the lock.
unsafe impl<L: RawLock> IoBackend for PoolBackend<L> {
    fn name(&self) -> &'static str {
        "threadpool"
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        self.enter(node);
    }

    unsafe fn cancel(&self, node: NodePtr) {
        // SAFETY: submitted and valid, promised by the caller.
        if !unsafe { node.kind() }.never_cancelled() {
            self.withdraw(node);
        }
    }

    unsafe fn wait(&self, node: NodePtr) {
        loop {
            let seen = self.park.epoch();
            // SAFETY: submitted here and valid until done, promised by the caller.
            let ready = self.queues(|queues| unsafe { queues.take_this_ready(node) });
            if let Some(node) = ready {
                // Its sink was taken out before: nobody's code runs.
                let result = node.result();
                self.finish(node, result, Turn::Reap);
                self.park.leave();
                return;
            }
            // SAFETY: as above.
            let job = self.queues(|queues| unsafe { queues.take_this_job(node) });
            if let Some(job) = job {
                self.run(job, Turn::Reap);
                continue;
            }
            // SAFETY: valid, promised by the caller.
            if !unsafe { node.add_waiter() } {
                self.park.leave();
                return;
            }
            // Other work is left to workers, unless all of them may be waiting as we are.
            if self.has_free_workers() {
                self.expire();
                self.sleep(Role::Other, seen, Deadline::NEVER);
            } else {
                self.help(seen, Deadline::NEVER);
            }
        }
    }

    fn closer(&self) -> unsafe fn(Fd) {
        close_fd
    }

    fn start(&self) -> Result<(), Errno> {
        self.check_fork()?;
        self.queues(|queues| match queues.mode {
            Mode::Open { started: true } => Err(Errno::ALREADY),
            Mode::Stopping if queues.owned() > 0 => Err(Errno::BUSY),
            Mode::Open { started: false } | Mode::Stopping | Mode::Stopped => {
                queues.mode = Mode::Open { started: true };
                self.publish(queues);
                Ok(())
            }
        })
    }

    fn stop(&self, deadline: Deadline) -> Result<(), StopError> {
        self.check_fork().map_err(StopError::WrongPlace)?;
        if self.tellers.is_inside(L::SHARED) {
            return Err(StopError::WrongPlace(Errno::DEADLK));
        }
        match self.halt(deadline) {
            0 => Ok(()),
            owned => Err(StopError::StillOwned(owned)),
        }
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let born = self.check_fork()?;
        self.turn(born, timeout)
    }

    fn flush(&self) -> Result<usize, Errno> {
        self.check_fork()?;
        let queued = self.queues(|queues| queues.work.len());
        if self.has_workers() {
            // They were woken at submit, and come to it.
            return Ok(queued);
        }
        // There is nobody to hand it to: it is done here, and delivered by the next poll.
        for _ in 0..queued {
            if self.work(Turn::Reap).is_none() {
                break;
            }
        }
        Ok(queued)
    }

    unsafe fn attach(&self, source: Pin<&Source>) {
        // SAFETY: promised by the caller.
        unsafe { self.take_source(source) };
    }

    fn detach(&self, source: Pin<&Source>) {
        self.give_source_back(source);
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        let wake = |pool: *const ()| {
            // SAFETY: made from `self` below, and the handle's lifetime is a borrow of it; `wake` touches
            // atomics and makes one or two system calls, on any thread and in a signal handler.
            unsafe { &*pool.cast::<Self>() }.wake();
        };
        // SAFETY: as argued in `wake`; what is not `Sync` in a local pool is not touched.
        unsafe { WakeHandle::new(self.address(), wake) }
    }

    fn in_flight(&self) -> usize {
        if self.lineage.is_forked() {
            return 0;
        }
        self.queues(|queues| queues.owned() + queues.ready.len())
    }

    fn route(&self, op: &Op) -> Route {
        let workers = self.has_workers();
        let words = |lent: &'static str, alone: &'static str| if workers { lent } else { alone };
        let (way, why) = match op.kind() {
            OpKind::Timeout => (Way::Readiness, "a deadline bounds the park"),
            kind if kind.never_blocks() => (Way::Inline, "cannot block"),
            OpKind::Poll => (Way::Readiness, "asked with poll(2), then waits in epoll"),
            OpKind::Connect => {
                let lent = "waits in epoll; a Unix or blocking socket's call is a worker's";
                let alone =
                    "waits in epoll; a Unix or blocking socket's call is performed inside poll";
                (Way::Readiness, words(lent, alone))
            }
            OpKind::Read
            | OpKind::Readv
            | OpKind::Recv
            | OpKind::Send
            | OpKind::Write
            | OpKind::Writev => {
                let lent =
                    "tried without waiting, then waits in epoll; a file's miss goes to a worker";
                let alone = "tried without waiting, then waits in epoll; a file's miss is performed inside poll";
                (Way::Readiness, words(lent, alone))
            }
            OpKind::Accept | OpKind::Sendfile => {
                let alone = "waits in epoll, then is performed inside poll";
                (Way::Readiness, words("waits in epoll, then a worker acts", alone))
            }
            OpKind::Pread | OpKind::Preadv | OpKind::Pwrite | OpKind::Pwritev => {
                let lent = "tried with RWF_NOWAIT; a miss goes to a worker";
                (Way::Inline, words(lent, "tried with RWF_NOWAIT; a miss is performed inside poll"))
            }
            OpKind::Bind => {
                let lent = "cannot block; a Unix socket's name may be a file, for a worker to make";
                let alone = "cannot block; a Unix socket's name may be a file, made inside poll";
                (Way::Inline, words(lent, alone))
            }
            OpKind::Socket => {
                let lent = "cannot block; a family that may need a module goes to a worker";
                let alone = "cannot block; a family that may need a module is made inside poll";
                (Way::Inline, words(lent, alone))
            }
            _ if workers => (Way::Offload, "may block"),
            _ => (Way::Inline, "may block, and no worker is lent: performed inside poll"),
        };
        Route { way, why }
    }

    fn counters(&self) -> Counters {
        let (queued, running) = if self.lineage.is_forked() {
            (0, 0)
        } else {
            self.queues(|queues| (queues.queued(), queues.running.len()))
        };
        self.count.read(queued, running)
    }

    fn generation(&self) -> u32 {
        self.lineage.generation()
    }

    fn dump(&self, out: &mut [InFlight]) -> usize {
        if self.lineage.is_forked() {
            return 0;
        }
        self.queues(|queues| queues.dump(out, |node| self.route(node.op()).way))
    }
}

impl<L: RawLock> PoolBackend<L> {
    /// The generation; not in a forked child whose parent's the pool is.
    pub(crate) fn check_fork(&self) -> Result<u32, Errno> {
        match self.lineage.generation() {
            0 => Err(Errno::OWNERDEAD),
            born => Ok(born),
        }
    }

    /// Whether the pool still is what it was in this generation. Asked when user code has run: it may have
    /// forked, and come back here in the child.
    pub(crate) fn is_of(&self, born: u32) -> bool {
        born != 0 && self.lineage.generation() == born
    }
}

// SAFETY: an accepted node is queued, and goes home from `finish` exactly once, never inside `accept`.
unsafe impl<L: RawLock + Sync> Offload for PoolBackend<L> {
    fn accept(&self, node: Node) {
        // Notes of the home's are not ours. What it has transferred is not to be transferred again.
        node.set_scratch(0);
        self.count.queued();
        self.take_in(node);
    }

    unsafe fn recall(&self, node: NodePtr) {
        // SAFETY: accepted and valid, promised by the caller.
        if unsafe { node.kind() }.never_cancelled() {
            return;
        }
        // SAFETY: as above.
        let node = self.queues(|queues| unsafe { queues.recall(node) });
        if let Some(node) = node {
            self.refuse(node, Turn::Reap);
        }
    }

    fn recall_all(&self, home: *const (), scope: Scope) -> usize {
        // In one step: what moves between the lists meanwhile would be missed.
        let (recalled, count) = self.queues(|queues| queues.recall_all(home, scope));
        self.refuse_all(recalled);
        count
    }

    fn closing(&self, home: *const (), fd: Fd) {
        let withdrawn = self.queues(|queues| queues.withdraw_fd(fd, |node| node.home() == home));
        self.refuse_all(withdrawn);
    }
}

impl<L: RawLock> Drop for PoolBackend<L> {
    fn drop(&mut self) {
        if self.lineage.is_forked() {
            // What is in flight is the parent's; only the descriptors are this process's.
            return;
        }
        // No worker is lent: each borrows the pool. What is left is done or refused here, also for who drops
        // the pool from inside a callback: a stop would be refused there, a drop must not return before.
        let owned = self.halt(Deadline::NEVER);
        debug_assert_eq!(owned, 0, "never is never over");
        let teller = Teller::new(L::SHARED);
        while self.deliver_ready(&teller) > 0 {}
    }
}
