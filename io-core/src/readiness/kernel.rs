//! What parking asks of the kernel: an epoll instance with an eventfd in it, and a futex.
//! `kernel_loom.rs` stands in its place in front of the model checker.
//!
//! Somebody may close these descriptors, as a program does that closes all: then their numbers are nobody's, or
//! another file's. A lost epoll instance is noted for good, and its number left alone from then on; a lost eventfd
//! is replaced.

use super::events::{EVENTS, Event, Events, Readiness, Trigger};
use crate::errno::Errno;
use crate::fd::Fd;
use crate::sync::plain::{AtomicBool, AtomicI32};
use crate::sync::{AtomicU32, Ordering, plain, real};
use crate::syscall::{close_fd, lifted, now_ns};
use crate::time::Deadline;
use core::mem::MaybeUninit;
use core::num::{NonZeroI32, NonZeroU32};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use rustix::thread::futex;
use rustix::time::Timespec;

/// The longest sleep in `epoll_wait(2)`, in nanoseconds: as many milliseconds as it has room for. Kernels
/// before 5.11 refuse a longer one, at once; who has slept that long looks again.
const LONGEST: u64 = 1_000_000 * 0x7fff_ffff;
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

/// How the eventfd is registered. Edge-triggered: each write is an event, so nobody has to read the counter back.
const WRITTEN: EventFlags = EventFlags::IN.union(EventFlags::ET);

/// The two descriptors, as numbers, so that a forked child can replace them.
#[derive(Debug)]
pub(super) struct Kernel {
    epoll: AtomicI32,
    event: AtomicI32,
    /// Whether the epoll instance was seen to be gone.
    lost: AtomicBool,
    known: Known,
}

impl Kernel {
    /// Three system calls.
    pub(super) fn open() -> Result<Kernel, Errno> {
        let epoll = lifted(epoll::create(CreateFlags::CLOEXEC).map_err(errno)?);
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(errno)?;
        let event = lifted(event);
        epoll::add(&epoll, &event, EventData::new_u64(WAKE), WRITTEN).map_err(errno)?;
        Ok(Kernel {
            epoll: AtomicI32::new(epoll.into_raw_fd()),
            event: AtomicI32::new(event.into_raw_fd()),
            lost: AtomicBool::new(false),
            known: Known::new(),
        })
    }

    /// Takes the new descriptors of a forked child; `new` gets the old ones.
    pub(super) fn renew(&self, new: &Kernel) {
        let swap = |old: &AtomicI32, new: &AtomicI32| {
            new.store(old.swap(new.load(Ordering::Relaxed), Ordering::Relaxed), Ordering::Relaxed);
        };
        swap(&self.epoll, &new.epoll);
        swap(&self.event, &new.event);
        new.lost.store(self.lost.swap(false, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether somebody has closed the epoll instance: nothing can be waited for any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Sleeps while `word` is `seen`, until `deadline` or a [`wake_sleepers`](Self::wake_sleepers) with one
    /// of these bits; may return early.
    #[allow(clippy::unused_self, reason = "the model's futex is its own")]
    pub(super) fn sleep(&self, word: &AtomicU32, seen: u32, deadline: Deadline, bits: NonZeroU32) {
        let until = (deadline != Deadline::NEVER).then(|| timespec(deadline.as_nanos()));
        // The bitset form takes an absolute CLOCK_MONOTONIC time. Interrupted, timed out or changed before we
        // slept: the caller looks again in every case.
        let private = futex::Flags::PRIVATE;
        let _: rustix::io::Result<()> =
            futex::wait_bitset(real(word), private, seen, until.as_ref(), bits);
    }

    /// Wakes so many of those who sleep on `word` with one of these bits; whether there was any.
    #[allow(clippy::unused_self, reason = "the model's futex is its own")]
    pub(super) fn wake_sleepers(&self, word: &AtomicU32, count: u32, bits: NonZeroU32) -> bool {
        // It can only fail for an address that is not ours.
        futex::wake_bitset(real(word), futex::Flags::PRIVATE, count, bits)
            .is_ok_and(|woken| woken > 0)
    }

    /// Ends a [`watch`](Self::watch), this one or the next.
    pub(super) fn wake(&self) {
        let event = self.event();
        // Else it fails only when the counter is full, after 2^64 wakes.
        if let Err(rustix::io::Errno::BADF) = rustix::io::write(event, &1_u64.to_ne_bytes()) {
            self.replace_event(event.as_raw_fd());
        }
    }

    /// Somebody has closed the eventfd: another one, which has been written to, takes its place in epoll. Without
    /// epoll there is nothing left to wake a watcher by.
    #[cold]
    fn replace_event(&self, old: i32) {
        let Ok(event) = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) else { return };
        let event = lifted(event);
        if epoll::add(self.epoll(), &event, EventData::new_u64(WAKE), WRITTEN).is_err() {
            return self.lose();
        }
        let (new, relaxed) = (event.as_raw_fd(), Ordering::Relaxed);
        // If somebody else has replaced it, that was the wake.
        if self.event.compare_exchange(old, new, relaxed, relaxed).is_ok() {
            let _: i32 = event.into_raw_fd();
        }
    }

    /// Waits for events until `deadline`, or until [`wake`](Self::wake); may return early. Whether it took a
    /// wake's token.
    pub(super) fn watch(&self, deadline: Deadline) -> (Events, bool) {
        let timeout = match deadline {
            Deadline::NEVER => None,
            Deadline::NOW => Some(timespec(0)),
            _ => match deadline.remaining(now_ns()).map(nanos) {
                Some(left) if left < SHORT => {
                    if !self.ready_within(left) {
                        return (Events::new(), false);
                    }
                    Some(timespec(0))
                }
                // Down to the millisecond: what is left is short, and waited for then.
                left => left.map(|left| timespec((left - left % MILLISECOND).min(LONGEST))),
            },
        };
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        // Interrupted is an early return with nothing ready. Anything else it could say is about a number that is
        // not ours any more.
        let ready = match epoll::wait(self.epoll(), &mut room, timeout.as_ref()) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => &mut [],
            Err(_) => {
                self.lose();
                &mut []
            }
        };
        let (mut events, mut told) = (Events::new(), false);
        for event in ready {
            if let Some((fd, generation)) = from_token(event.data.u64()) {
                // Copied: the kernel's struct is packed.
                let flags = event.flags;
                let readiness = Readiness::from_bits_retain(flags.bits());
                events.push(Event { fd, generation, readiness });
            } else {
                told = true;
            }
        }
        (events, told)
    }

    /// Whether there is anything to take within `ns` nanoseconds, which `ppoll(2)` counts exactly, and
    /// `epoll_wait(2)` in milliseconds (`epoll_pwait2` is younger than the oldest kernel).
    fn ready_within(&self, ns: u64) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(self.epoll(), PollFlags::IN)];
        // Interrupted is an early return, as in `watch`.
        rustix::event::poll(&mut asked, Some(&timespec(ns))).is_ok_and(|ready| ready > 0)
    }

    /// Registers a descriptor (`epoll_ctl(2)`); `true` if it was not registered before.
    ///
    /// Whether adding or changing is tried first is a guess by the number, so that a descriptor which waits
    /// again and again costs one call each time; the answer does not depend on it.
    ///
    /// # Errors
    /// `EPERM` for what has no readiness (files, directories), `EBADF`, `ENOMEM`, `ENOSPC`.
    pub(super) fn register(
        &self,
        fd: Fd,
        wanted: Readiness,
        trigger: Trigger,
    ) -> Result<bool, Errno> {
        let (file, token) = borrow(fd, 0).ok_or(Errno::BADF)?;
        let trigger = match trigger {
            Trigger::Once => ONCE,
            Trigger::Edges => EventFlags::ET,
        };
        let flags = EventFlags::from_bits_retain(wanted.bits()) | trigger;
        self.control(file, token, flags, self.known.has(fd)).inspect(|_| self.known.note(fd))
    }

    /// Registers a descriptor for every event, edge-triggered, under a generation, which is not 0. What is
    /// ready at this moment is an event too.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub(super) fn register_edges(&self, fd: Fd, generation: u32) -> Result<bool, Errno> {
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
                epoll::modify(self.epoll(), file, data, flags)
            } else {
                epoll::add(self.epoll(), file, data, flags)
            };
            match done {
                Ok(()) => return Ok(!change),
                // Registered already: it is the same file.
                Err(rustix::io::Errno::EXIST) => change = true,
                // Not registered; or closed and reused in between: it is a new file now.
                Err(rustix::io::Errno::NOENT) => change = false,
                Err(error) => {
                    self.doubt(error, file);
                    return Err(errno(error));
                }
            }
        }
    }

    /// A registration failed: whether that is about the epoll instance and not about the file.
    #[cold]
    fn doubt(&self, error: rustix::io::Errno, file: BorrowedFd<'_>) {
        let lost = match error {
            rustix::io::Errno::BADF => rustix::io::fcntl_getfd(self.epoll()).is_err(),
            // Else it would be a registration of epoll in itself.
            rustix::io::Errno::INVAL => file.as_raw_fd() != self.epoll().as_raw_fd(),
            _ => false,
        };
        if lost {
            self.lose();
        }
    }

    fn epoll(&self) -> BorrowedFd<'_> {
        borrowed(&self.epoll)
    }

    fn event(&self) -> BorrowedFd<'_> {
        borrowed(&self.event)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The number of a lost one is somebody else's by now.
        let epoll = (!*self.lost.get_mut()).then_some(*self.epoll.get_mut());
        for number in epoll.into_iter().chain([*self.event.get_mut()]) {
            #[allow(unsafe_code, reason = "owns the descriptor")]
            // SAFETY: made by `open`, and this value's alone.
            unsafe {
                close_fd(Fd::new(number));
            }
        }
    }
}

fn borrowed(number: &AtomicI32) -> BorrowedFd<'_> {
    #[allow(unsafe_code, reason = "names a descriptor that `Kernel` owns")]
    // SAFETY: open as long as the `Kernel`, which is borrowed; replaced only while nobody is here.
    unsafe {
        BorrowedFd::borrow_raw(number.load(Ordering::Relaxed))
    }
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

/// The calling thread's number (`gettid(2)`).
pub(super) fn this_thread() -> NonZeroI32 {
    rustix::thread::gettid().as_raw_nonzero()
}

/// Numbers that were registered once: a guess, by a few bits of the number.
#[derive(Debug)]
struct Known([plain::AtomicU32; 64]);

impl Known {
    const fn new() -> Known {
        Known([const { plain::AtomicU32::new(0) }; 64])
    }

    fn at(&self, fd: Fd) -> (&plain::AtomicU32, u32) {
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
