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

use super::events::{EVENTS, Event, Events, Readiness};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::syscall::now_ns;
use crate::time::Deadline;
use core::mem::MaybeUninit;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::thread::futex;
use rustix::time::Timespec;

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

/// The longest sleep in `epoll_wait(2)`, in nanoseconds: as many milliseconds as it has room for. Kernels
/// before 5.11 refuse a longer one, at once; who has slept that long looks again.
const LONGEST: u64 = 1_000_000 * 0x7fff_ffff;
/// `watcher` holds this, or a role's bit.
const NOBODY: u32 = 0;
/// The token of the eventfd among epoll's events; no descriptor has it.
const WAKE: u64 = u64::MAX;
/// Nanoseconds.
const MILLISECOND: u64 = 1_000_000;
/// Waits shorter than this are counted exactly, for one more system call. Miri knows no descriptors of
/// epoll in `ppoll`.
const SHORT: u64 = if cfg!(miri) { 0 } else { 20 * MILLISECOND };
/// How descriptors are registered: one event, then no more until registered again. Miri knows edges
/// only, which bring events we do not need and ignore.
const ONCE: EventFlags = if cfg!(miri) { EventFlags::ET } else { EventFlags::ONESHOT };

/// Where the threads that poll, wait on or work for one backend sleep.
#[derive(Debug)]
pub struct Park {
    epoch: AtomicU32,
    watcher: AtomicU32,
    workers_asleep: AtomicU32,
    others_asleep: AtomicU32,
    files: Files,
    known: Known,
}

/// The two descriptors, as numbers, so that a forked child can replace them.
#[derive(Debug)]
struct Files {
    epoll: AtomicI32,
    event: AtomicI32,
}

impl Files {
    fn open() -> Result<Files, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(errno)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(errno)?;
        // Edge-triggered: each write is an event, so nobody has to read the counter back.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &event, EventData::new_u64(WAKE), flags).map_err(errno)?;
        Ok(Files {
            epoll: AtomicI32::new(epoll.into_raw_fd()),
            event: AtomicI32::new(event.into_raw_fd()),
        })
    }

    fn epoll(&self) -> BorrowedFd<'_> {
        borrowed(&self.epoll)
    }

    fn event(&self) -> BorrowedFd<'_> {
        borrowed(&self.event)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for number in [&mut self.epoll, &mut self.event] {
            #[allow(unsafe_code, reason = "owns the descriptor")]
            // SAFETY: made by `open`, and this value's alone.
            drop(unsafe { OwnedFd::from_raw_fd(*number.get_mut()) });
        }
    }
}

fn borrowed(number: &AtomicI32) -> BorrowedFd<'_> {
    #[allow(unsafe_code, reason = "names a descriptor that `Files` owns")]
    // SAFETY: open as long as the `Files`, which is borrowed; replaced only while nobody is here.
    unsafe {
        BorrowedFd::borrow_raw(number.load(Ordering::Relaxed))
    }
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
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
            files: Files::open()?,
            known: Known::new(),
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
        let files = Files::open()?;
        let swap = |old: &AtomicI32, new: &AtomicI32| {
            new.store(old.swap(new.load(Ordering::Relaxed), Ordering::Relaxed), Ordering::Relaxed);
        };
        swap(&self.files.epoll, &files.epoll);
        swap(&self.files.event, &files.event);
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
        if self
            .watcher
            .compare_exchange(NOBODY, role.bit().get(), Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            self.sleep(role, seen, deadline);
            return Events::new();
        }
        let events =
            if self.epoch() == seen { self.watch(deadline.min(timer)) } else { Events::new() };
        self.watcher.store(NOBODY, Ordering::SeqCst);
        self.hand_over();
        events
    }

    /// What is ready now, without sleeping. For a thread that has something else to do too.
    pub fn look(&self) -> Events {
        self.watch(Deadline::NOW)
    }

    fn sleep(&self, role: Role, seen: u32, deadline: Deadline) {
        let asleep = self.asleep(role);
        asleep.fetch_add(1, Ordering::SeqCst);
        // Between our failed try and now the watcher may have left, seen no sleeper, and woken nobody.
        if self.watcher.load(Ordering::SeqCst) != NOBODY {
            let until = (deadline != Deadline::NEVER).then(|| timespec(deadline.as_nanos()));
            // The bitset form takes an absolute CLOCK_MONOTONIC time. Interrupted, timed out or
            // changed before we slept: the caller looks again in every case.
            let _: rustix::io::Result<()> = futex::wait_bitset(
                &self.epoch,
                futex::Flags::PRIVATE,
                seen,
                until.as_ref(),
                role.bit(),
            );
        }
        asleep.fetch_sub(1, Ordering::SeqCst);
    }

    fn watch(&self, deadline: Deadline) -> Events {
        let timeout = match deadline {
            Deadline::NEVER => None,
            Deadline::NOW => Some(timespec(0)),
            _ => match deadline.remaining(now_ns()).map(nanos) {
                Some(left) if left < SHORT => {
                    if !self.ready_within(left) {
                        return Events::new();
                    }
                    Some(timespec(0))
                }
                // Down to the millisecond: what is left is short, and waited for then.
                left => left.map(|left| timespec((left - left % MILLISECOND).min(LONGEST))),
            },
        };
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        // Interrupted is an early return with nothing ready, as is anything else it could say about
        // descriptors that are ours.
        let ready = match epoll::wait(self.files.epoll(), &mut room, timeout.as_ref()) {
            Ok((ready, _)) => ready,
            Err(_) => &mut [],
        };
        let mut events = Events::new();
        for event in ready {
            // The wake token is no descriptor, and says no more than that `epoll_wait` returned.
            if let Some((fd, generation)) = from_token(event.data.u64()) {
                // Copied: the kernel's struct is packed.
                let flags = event.flags;
                let readiness = Readiness::from_bits_retain(flags.bits());
                events.push(Event { fd, generation, readiness });
            }
        }
        events
    }

    /// Whether there is anything to take within `ns` nanoseconds, which `ppoll(2)` counts exactly, and
    /// `epoll_wait(2)` in milliseconds (`epoll_pwait2` is younger than the oldest kernel).
    fn ready_within(&self, ns: u64) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(self.files.epoll(), PollFlags::IN)];
        // Interrupted is an early return, as in `watch`.
        rustix::event::poll(&mut asked, Some(&timespec(ns))).is_ok_and(|ready| ready > 0)
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
        // It can only fail for an address that is not ours.
        let woken = futex::wake_bitset(&self.epoch, futex::Flags::PRIVATE, count, role.bit());
        woken.is_ok_and(|woken| woken > 0)
    }

    fn wake_watcher(&self) {
        // It fails only when the counter is full, after 2^64 wakes.
        let _: rustix::io::Result<usize> =
            rustix::io::write(self.files.event(), &1_u64.to_ne_bytes());
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

    /// Registers a descriptor for one event (`epoll_ctl(2)`); `true` if it was not registered before.
    ///
    /// Whether adding or changing is tried first is a guess by the number, so that a descriptor which waits
    /// again and again costs one call each time; the answer does not depend on it.
    ///
    /// # Errors
    /// `EPERM` for what has no readiness (files, directories), `EBADF`, `ENOMEM`, `ENOSPC`.
    pub fn register(&self, fd: Fd, wanted: Readiness) -> Result<bool, Errno> {
        let (file, token) = borrow(fd, 0).ok_or(Errno::BADF)?;
        let flags = EventFlags::from_bits_retain(wanted.bits()) | ONCE;
        self.control(file, token, flags, self.known.has(fd)).inspect(|_| self.known.note(fd))
    }

    /// Registers a descriptor for every event, edge-triggered, under a generation, which is not 0. What is
    /// ready at this moment is an event too.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn register_edges(&self, fd: Fd, generation: u32) -> Result<bool, Errno> {
        let (file, token) = borrow(fd, generation).ok_or(Errno::BADF)?;
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI;
        self.control(file, token, all | EventFlags::ET, false)
    }

    fn control(
        &self,
        file: BorrowedFd<'_>,
        token: u64,
        flags: EventFlags,
        mut change: bool,
    ) -> Result<bool, Errno> {
        let data = EventData::new_u64(token);
        loop {
            let done = if change {
                epoll::modify(self.files.epoll(), file, data, flags)
            } else {
                epoll::add(self.files.epoll(), file, data, flags)
            };
            match done {
                Ok(()) => return Ok(!change),
                // Registered already: it is the same file.
                Err(rustix::io::Errno::EXIST) => change = true,
                // Not registered; or closed and reused in between: it is a new file now.
                Err(rustix::io::Errno::NOENT) => change = false,
                Err(error) => return Err(errno(error)),
            }
        }
    }
}

/// Numbers that were registered once: a guess, by a few bits of the number.
#[derive(Debug)]
struct Known([AtomicU32; 64]);

impl Known {
    const fn new() -> Known {
        Known([const { AtomicU32::new(0) }; 64])
    }

    fn at(&self, fd: Fd) -> (&AtomicU32, u32) {
        let bit = fd.raw().unsigned_abs() % 2048;
        (&self.0[bit as usize / 32], 1 << (bit % 32))
    }

    fn has(&self, fd: Fd) -> bool {
        let (word, bit) = self.at(fd);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn note(&self, fd: Fd) {
        let (word, bit) = self.at(fd);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// What epoll keeps of a registration: the number below, the generation above.
fn to_token(number: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(number)
}

/// `None` for [`WAKE`].
fn from_token(token: u64) -> Option<(Fd, u32)> {
    let number = i32::try_from(token & u64::from(u32::MAX)).ok()?;
    Some((Fd::new(number), u32::try_from(token >> 32).ok()?))
}

/// The descriptor for the length of one call, and its token; `None` for a negative number.
fn borrow<'a>(fd: Fd, generation: u32) -> Option<(BorrowedFd<'a>, u64)> {
    let number = u32::try_from(fd.raw()).ok()?;
    #[allow(unsafe_code, reason = "names a descriptor for the length of one call")]
    // SAFETY: not negative; a number that is closed or reused is the kernel's to say.
    let file = unsafe { BorrowedFd::borrow_raw(fd.raw()) };
    Some((file, to_token(number, generation)))
}

fn nanos(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn timespec(ns: u64) -> Timespec {
    let second = 1_000_000_000;
    Timespec {
        tv_sec: i64::try_from(ns / second).unwrap_or(i64::MAX),
        // Less than a second.
        tv_nsec: i64::try_from(ns % second).unwrap_or(0),
    }
}
