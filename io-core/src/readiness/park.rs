//! Where threads of a backend sleep: one of them, the *watcher*, in `epoll_wait(2)`, the others on a
//! `futex(2)`.
//!
//! The rule against lost wake-ups: who wants to sleep reads the epoch, looks whether there is anything to
//! do, and sleeps only while the epoch is the one it read. Who makes something to do raises the epoch
//! first and then looks for sleepers. All four accesses are `SeqCst`, so one of the two sees the other.
//!
//! Sleepers are of two kinds: workers, who can take work, and others (pollers and waiters), who want to
//! hear of completions. When any thread sleeps, one is the watcher; a watcher that leaves wakes another to
//! take its place.
//!
//! When somebody has closed the epoll instance there is no watcher any more: every sleeper sleeps on the futex, and
//! looks after the deadlines itself.

use super::events::{Events, Readiness, Trigger};
use super::kernel::Kernel;
use crate::errno::Errno;
use crate::fd::Fd;
use crate::sync::{AtomicU32, Ordering};
use crate::time::Deadline;
use core::num::NonZeroU32;

/// Who sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Can take work.
    Worker,
    /// Waits for a completion or a wake.
    Other,
}

impl Role {
    const fn bit(self) -> NonZeroU32 {
        match self {
            Role::Worker => NonZeroU32::MIN,
            Role::Other => NonZeroU32::MIN.saturating_add(1),
        }
    }
}

/// `watcher` holds this, or a role's bit.
const NOBODY: u32 = 0;

/// Where the threads that poll, wait on or work for one backend sleep.
#[derive(Debug)]
pub struct Park {
    epoch: AtomicU32,
    watcher: AtomicU32,
    workers_asleep: AtomicU32,
    others_asleep: AtomicU32,
    kernel: Kernel,
}

impl Park {
    /// Makes an epoll instance and an eventfd, both close-on-exec: three system calls.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` from `epoll_create1(2)` or `eventfd(2)`.
    pub fn new() -> Result<Park, Errno> {
        Ok(Park {
            epoch: AtomicU32::new(0),
            watcher: AtomicU32::new(NOBODY),
            workers_asleep: AtomicU32::new(0),
            others_asleep: AtomicU32::new(0),
            kernel: Kernel::open()?,
        })
    }

    /// Makes it new in a forked child: other descriptors, nobody asleep. The parent's are closed here, and
    /// stay open in the parent.
    ///
    /// # Safety
    /// * No thread of this process is in here, or comes here before this returns: the backend's
    ///   [`Adoption`](crate::fork::Adoption) is not finished.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing is changed then.
    #[allow(unsafe_code, reason = "is exclusive by promise")]
    pub unsafe fn renew(&self) -> Result<(), Errno> {
        self.kernel.renew(&Kernel::open()?);
        self.epoch.store(0, Ordering::SeqCst);
        self.watcher.store(NOBODY, Ordering::SeqCst);
        self.workers_asleep.store(0, Ordering::SeqCst);
        self.others_asleep.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// The epoch to read before looking for something to do.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn asleep(&self, role: Role) -> &AtomicU32 {
        match role {
            Role::Worker => &self.workers_asleep,
            Role::Other => &self.others_asleep,
        }
    }

    /// Sleeps until the epoch is no longer `seen`, descriptors are ready, or `deadline` passes; may return
    /// early. What is ready is the caller's to act on. `timer` is the earliest deadline of any operation:
    /// the watcher sleeps no longer, and its caller expires what is due.
    pub fn park(&self, role: Role, seen: u32, deadline: Deadline, timer: Deadline) -> Events {
        if self.kernel.is_lost() {
            let asleep = self.asleep(role);
            asleep.fetch_add(1, Ordering::SeqCst);
            self.kernel.sleep(&self.epoch, seen, deadline.min(timer), role.bit());
            asleep.fetch_sub(1, Ordering::SeqCst);
            return Events::new();
        }
        if self
            .watcher
            .compare_exchange(NOBODY, role.bit().get(), Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            self.sleep(role, seen, deadline);
            return Events::new();
        }
        let events = if self.epoch() == seen {
            self.kernel.watch(deadline.min(timer)).0
        } else {
            Events::new()
        };
        self.watcher.store(NOBODY, Ordering::SeqCst);
        if self.kernel.is_lost() {
            self.notify_all();
        } else {
            self.hand_over();
        }
        events
    }

    /// `EBADF` when somebody has closed the epoll instance, as far as was seen: no descriptor can be waited for any
    /// more, and what waits is the caller's to end.
    pub fn lost(&self) -> Option<Errno> {
        self.kernel.is_lost().then_some(Errno::BADF)
    }

    /// What is ready now, without sleeping. For a thread that has something else to do too.
    pub fn look(&self) -> Events {
        let (events, told) = self.kernel.watch(Deadline::NOW);
        // The token is an edge: whoever takes it takes it from all, and it was the watcher's. The watcher may
        // be awake in the kernel already, but finds nothing there and sleeps on.
        if told && self.watcher.load(Ordering::SeqCst) != NOBODY {
            self.wake_watcher();
        }
        events
    }

    fn sleep(&self, role: Role, seen: u32, deadline: Deadline) {
        let asleep = self.asleep(role);
        asleep.fetch_add(1, Ordering::SeqCst);
        // Between our failed try and now the watcher may have left, seen no sleeper, and woken nobody.
        if self.watcher.load(Ordering::SeqCst) != NOBODY {
            self.kernel.sleep(&self.epoch, seen, deadline, role.bit());
        }
        asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Nobody watches: if anybody sleeps, one of them must.
    fn hand_over(&self) {
        let sleeps = |role| self.asleep(role).load(Ordering::SeqCst) > 0;
        if !sleeps(Role::Worker) && !sleeps(Role::Other) {
            return;
        }
        self.raise();
        // Counted sleepers may be awake already: then they find the raised epoch and look again.
        if !self.wake_sleepers(Role::Worker, 1) {
            self.wake_sleepers(Role::Other, 1);
        }
    }

    /// A thread that was woken goes to do something else: if it was to watch, another must.
    pub fn leave(&self) {
        if self.watcher.load(Ordering::SeqCst) == NOBODY {
            self.hand_over();
        }
    }

    fn raise(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether any was asleep.
    fn wake_sleepers(&self, role: Role, count: u32) -> bool {
        self.kernel.wake_sleepers(&self.epoch, count, role.bit())
    }

    fn wake_watcher(&self) {
        self.kernel.wake();
    }

    /// There is work for one thread. Prefers a sleeping worker, then a watching one; `anyone` says that
    /// there are no workers, so that others work.
    pub fn notify_work(&self, anyone: bool) {
        self.raise();
        // The count may include a worker who is awake already and has other work: then none is woken
        // here, and the watcher is asked.
        if self.workers_asleep.load(Ordering::SeqCst) > 0 && self.wake_sleepers(Role::Worker, 1) {
            return;
        }
        let watcher = self.watcher.load(Ordering::SeqCst);
        if watcher == Role::Worker.bit().get() || anyone && watcher != NOBODY {
            self.wake_watcher();
        } else if anyone && self.others_asleep.load(Ordering::SeqCst) > 0 {
            self.wake_sleepers(Role::Other, 1);
        }
    }

    /// Something happened that all pollers and waiters want to know. Async-signal-safe.
    pub fn notify_others(&self) {
        self.raise();
        if self.watcher.load(Ordering::SeqCst) == Role::Other.bit().get() {
            self.wake_watcher();
        }
        if self.others_asleep.load(Ordering::SeqCst) > 0 {
            self.wake_sleepers(Role::Other, u32::MAX >> 1);
        }
    }

    /// A deadline was armed that is earlier than all others: the watcher looks at the clock again.
    pub fn notify_timer(&self) {
        self.raise();
        if self.watcher.load(Ordering::SeqCst) != NOBODY {
            self.wake_watcher();
        }
        if self.kernel.is_lost() {
            self.notify_all();
        }
    }

    /// Everybody looks again.
    pub fn notify_all(&self) {
        self.raise();
        if self.watcher.load(Ordering::SeqCst) != NOBODY {
            self.wake_watcher();
        }
        self.wake_sleepers(Role::Worker, u32::MAX >> 1);
        self.wake_sleepers(Role::Other, u32::MAX >> 1);
    }

    /// Registers a descriptor (`epoll_ctl(2)`); `true` if it was not registered before. What is ready at this
    /// moment is an event.
    ///
    /// Whether adding or changing is tried first is a guess by the number, so that a descriptor which waits
    /// again and again costs one call each time; the answer does not depend on it.
    ///
    /// # Errors
    /// `EPERM` for what has no readiness (files, directories), `EBADF`, `ENOMEM`, `ENOSPC`.
    pub fn register(&self, fd: Fd, wanted: Readiness, trigger: Trigger) -> Result<bool, Errno> {
        self.kernel.register(fd, wanted, trigger)
    }

    /// Registers a descriptor for every event, edge-triggered, under a generation, which is not 0. What is
    /// ready at this moment is an event too.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn register_edges(&self, fd: Fd, generation: u32) -> Result<bool, Errno> {
        self.kernel.register_edges(fd, generation)
    }

    /// A test says that the descriptor is ready from here on.
    #[cfg(io_loom)]
    pub fn arrive(&self, fd: Fd) {
        self.kernel.arrive(fd);
    }
}
