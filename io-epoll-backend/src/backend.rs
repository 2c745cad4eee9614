//! The backend: what it consists of, and the contract's entries, one line each where there is a file for it.
#![allow(unsafe_code, reason = "implements the unsafe backend trait")]
//! # Safety
//! A node is in one list, in one thread's hands, or at the offload backend; every list change is under the
//! one lock, whose closures call no user code and do not nest. In a forked child nothing but the
//! generation is looked at until the backend is made new.

use crate::queues::Queues;
use core::fmt;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr;
use core::time::Duration;
use io_core::fork::Lineage;
use io_core::readiness::SpinLock;
use io_core::readiness::{Count, Park, Source, Tellers};
use io_core::sync::{AtomicU32, AtomicUsize, Ordering};
use io_core::syscall::close_fd;
use io_core::{
    Binding, Counters, Deadline, Errno, Fd, InFlight, IoBackend, Locked, NoOffload, Node, NodePtr,
    NoopLock, OffloadHandle, Op, OpKind, RawLock, Route, StopError, WakeHandle, Way,
};

/// The epoll backend. `L` is its lock: [`SpinLock`] to share it, [`NoopLock`] for one thread. `O` leads to
/// the backend that performs what has no readiness; without one that happens inside `poll` and `flush`.
pub struct EpollBackend<L: RawLock = SpinLock, O: OffloadHandle = NoOffload> {
    queues: Locked<L, Queues>,
    pub(crate) offload: O,
    pub(crate) park: Park,
    pub(crate) count: Count,
    pub(crate) lineage: Lineage,
    /// Not 0 if a submit may have to wait in a line: to look at without the lock.
    pub(crate) lines: AtomicUsize,
    /// Not 0 while the backend refuses: to look at without the lock.
    pub(crate) refusing: AtomicU32,
    /// Whether any deadline is armed: to look at without the lock.
    pub(crate) timed: AtomicU32,
    /// Threads that run a waker or callback now.
    pub(crate) tellers: Tellers,
    /// Turns in a row that delivered without having looked into epoll.
    pub(crate) unlooked: AtomicU32,
    /// Somebody called the wake handle; the next poll returns.
    pub(crate) woken: AtomicU32,
    /// Something was delivered outside of poll since the last one returned.
    pub(crate) announced: AtomicU32,
    /// Counts both, for threads that were in poll at the time: each of them returns.
    pub(crate) news: AtomicU32,
    _pinned: PhantomPinned,
}

/// The epoll backend for one thread: no lock, and nobody to offload to.
pub type LocalEpoll = EpollBackend<NoopLock>;

impl<L: RawLock, O: OffloadHandle> fmt::Debug for EpollBackend<L, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offload = self.offload.offload().is_some();
        f.debug_struct("EpollBackend").field("offload", &offload).finish_non_exhaustive()
    }
}

impl<L: RawLock> EpollBackend<L> {
    /// A backend without an offload. Makes an epoll instance and an eventfd, both close-on-exec (three
    /// system calls, and two more for the first backend of the process), and allocates nothing.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` from `epoll_create1(2)`, `eventfd(2)` or `mmap(2)`.
    pub fn new() -> Result<EpollBackend<L>, Errno> {
        EpollBackend::build(NoOffload)
    }
}

impl<L: RawLock + Sync, O: OffloadHandle> EpollBackend<L, O> {
    /// As [`new`](EpollBackend::new); what has no readiness is performed by `offload`. It comes back on the
    /// offload's threads, so this is for shared backends only.
    ///
    /// # Errors
    /// As [`new`](EpollBackend::new).
    pub fn with_offload(offload: O) -> Result<EpollBackend<L, O>, Errno> {
        EpollBackend::build(offload)
    }
}

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    fn build(offload: O) -> Result<EpollBackend<L, O>, Errno> {
        Ok(EpollBackend {
            queues: Locked::new(Queues::new()),
            offload,
            park: Park::new()?,
            count: Count::new(L::SHARED),
            lineage: Lineage::new()?,
            lines: AtomicUsize::new(0),
            refusing: AtomicU32::new(0),
            timed: AtomicU32::new(0),
            tellers: Tellers::new(),
            unlooked: AtomicU32::new(0),
            woken: AtomicU32::new(0),
            announced: AtomicU32::new(0),
            news: AtomicU32::new(0),
            _pinned: PhantomPinned,
        })
    }

    /// Makes the backend of a forked parent this process's own: other descriptors, nothing in flight, an
    /// open lock, nothing allocated. Operations from before the fork stay abandoned. The offload backend,
    /// if there is one, is to be made new before.
    ///
    /// # Errors
    /// `EALREADY` if it is this process's; `EBUSY` if another thread is at it; `EPERM` in a child of
    /// `vfork(2)`; else as [`new`](EpollBackend::new).
    pub fn reinit(self: Pin<&Self>) -> Result<(), Errno> {
        let adoption = self.lineage.adopt()?;
        // SAFETY: until the adoption is finished everybody else turns back at the generation.
        unsafe { self.park.renew() }?;
        // SAFETY: as above.
        unsafe { self.queues.renew(Queues::new()) };
        self.lines.store(0, Ordering::Relaxed);
        self.tellers.renew();
        self.count.renew();
        for word in
            [&self.refusing, &self.timed, &self.unlooked, &self.woken, &self.announced, &self.news]
        {
            word.store(0, Ordering::Relaxed);
        }
        adoption.finish();
        Ok(())
    }

    /// Reaches the lists, and tells afterwards what there is to tell.
    #[inline]
    pub(crate) fn queues<R>(&self, act: impl FnOnce(&mut Queues) -> R) -> R {
        // SAFETY: every closure in this crate moves nodes between lists and reads notes: none calls
        // `queues` again or runs user code.
        let (result, news) = unsafe {
            self.queues.with(|queues| {
                let result = act(queues);
                // Ordering: Relaxed, a hint; who submits after a thread that queued has synchronized with it.
                self.lines.store(queues.lines(), Ordering::Relaxed);
                // Ordering: SeqCst, as the epoch of the parking place, which is raised after it.
                let timed = u32::from(!queues.timers.is_empty());
                if self.timed.load(Ordering::Relaxed) != timed {
                    self.timed.store(timed, Ordering::SeqCst);
                }
                (result, core::mem::take(&mut queues.news))
            })
        };
        // A thread that is alone looks by itself, in `sleep`.
        if news.work && L::SHARED {
            self.park.notify_work(true);
        }
        if news.earlier && L::SHARED {
            self.park.notify_timer();
        }
        if news.left && L::SHARED {
            self.park.notify_others();
        }
        result
    }

    pub(crate) fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Whether this is the parent's backend in a forked child.
    pub(crate) fn is_forked(&self) -> bool {
        self.lineage.is_forked()
    }

    /// Whether the backend still is what it was in this generation. Asked when user code has run: it may have
    /// forked, and come back here in the child.
    pub(crate) fn is_of(&self, born: u32) -> bool {
        born != 0 && self.lineage.generation() == born
    }

    /// Something was delivered by a thread that is not in `poll`: pollers and waiters look again.
    pub(crate) fn announce(&self) {
        self.announced.store(1, Ordering::SeqCst);
        self.news.fetch_add(1, Ordering::SeqCst);
        self.park.notify_others();
    }

    fn wake(&self) {
        if self.is_forked() {
            return;
        }
        self.woken.store(1, Ordering::SeqCst);
        self.news.fetch_add(1, Ordering::SeqCst);
        self.park.notify_others();
    }
}

// SAFETY: each node is finished by who took it off its list; `wait` loops until done; `binding` is of
// `self`; drop drains; shared state is atomic or behind the lock, and `Sync` follows the lock.
unsafe impl<L: RawLock, O: OffloadHandle> IoBackend for EpollBackend<L, O> {
    fn name(&self) -> &'static str {
        if self.offload.offload().is_some() { "epoll+threadpool" } else { "epoll" }
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(self)
    }

    fn submit(&self, node: Node) {
        self.enter(node);
    }

    unsafe fn cancel(&self, node: NodePtr) {
        // SAFETY: submitted and valid, promised by the caller.
        unsafe { self.ask_cancel(node) };
    }

    unsafe fn wait(&self, node: NodePtr) {
        // SAFETY: submitted and valid, promised by the caller.
        unsafe { self.wait_for_one(node) };
    }

    fn take_back(&self, node: Node) {
        self.come_home(node);
    }

    fn closer(&self) -> unsafe fn(Fd) {
        close_fd
    }

    fn start(&self) -> Result<(), Errno> {
        self.begin()
    }

    fn stop(&self, deadline: Deadline) -> Result<(), StopError> {
        self.end(deadline)
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        match self.lineage.generation() {
            0 => Err(Errno::OWNERDEAD),
            born => self.turn(born, timeout),
        }
    }

    fn flush(&self) -> Result<usize, Errno> {
        if self.is_forked() {
            return Err(Errno::OWNERDEAD);
        }
        Ok(self.hand_on())
    }

    fn wake_handle(&self) -> WakeHandle<'_> {
        let wake = |backend: *const ()| {
            // SAFETY: made from `self` below, and the handle's lifetime is a borrow of it; `wake` touches
            // atomics and makes one or two system calls, on any thread and in a signal handler.
            unsafe { &*backend.cast::<Self>() }.wake();
        };
        // SAFETY: as argued in `wake`; what is not `Sync` in a local backend is not touched.
        unsafe { WakeHandle::new(self.address(), wake) }
    }

    fn in_flight(&self) -> usize {
        if self.is_forked() {
            return 0;
        }
        self.queues(|queues| queues.owned() + queues.ready.len())
    }

    fn generation(&self) -> u32 {
        self.lineage.generation()
    }

    unsafe fn attach(&self, source: Pin<&Source>) {
        // SAFETY: promised by the caller.
        unsafe { self.take_source(source) };
    }

    fn detach(&self, source: Pin<&Source>) {
        self.give_source_back(source);
    }

    fn dump(&self, out: &mut [InFlight]) -> usize {
        self.list(out)
    }

    fn route(&self, op: &Op) -> Route {
        let offload = self.helper().is_some();
        match op.kind() {
            kind if kind.never_blocks() => Route { way: Way::Inline, why: "cannot block" },
            OpKind::Timeout => Route { way: Way::Readiness, why: "a deadline bounds the park" },
            OpKind::Sendfile if offload => {
                Route { way: Way::Offload, why: "may have to read its file from a disk" }
            }
            _ if op.interest().is_some() => Route {
                way: Way::Readiness,
                why: if offload {
                    "tried without waiting, then waits in epoll; a file's miss, and what has no form that does not wait, goes to the offload"
                } else {
                    "tried without waiting, then waits in epoll; a file's miss is performed inside poll"
                },
            },
            OpKind::Pread | OpKind::Preadv | OpKind::Pwrite | OpKind::Pwritev => Route {
                way: Way::Inline,
                why: if offload {
                    "tried with RWF_NOWAIT; a miss goes to the offload"
                } else {
                    "tried with RWF_NOWAIT; a miss is performed inside poll"
                },
            },
            _ if offload => Route { way: Way::Offload, why: "may block" },
            _ => Route {
                way: Way::Inline,
                why: "may block, and there is no offload: performed inside poll",
            },
        }
    }

    fn counters(&self) -> Counters {
        if self.is_forked() {
            return Counters::default();
        }
        let (queued, running) = self.queues(|queues| {
            let queued = queues.work.len() + queues.idle.len() + queues.parked();
            (queued, queues.running.len() + queues.away)
        });
        self.count.read(queued, running)
    }
}

impl<L: RawLock, O: OffloadHandle> Drop for EpollBackend<L, O> {
    fn drop(&mut self) {
        // The parent's: its descriptors are closed, and nothing else is touched.
        if self.is_forked() {
            return;
        }
        self.finish_all();
    }
}
