//! The kernel's ring: setting it up, pushing SQEs, entering, and taking CQEs. The only file that names the
//! `io_uring` crate, so that a ring made on bare system calls can take its place.
//!
//! It knows nothing of nodes: what goes in and comes out are 64-bit words.
#![allow(unsafe_code, reason = "shares memory with the kernel")]
//! # Safety
//! A [`Ring`] is used by one thread at a time (it is not `Sync`), and no method calls another's code while
//! a view of the submission queue exists; so there is never a second one.

use crate::config::{BuildError, Cause, Config, MAX_ENTRIES};
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;
use io_core::op::IoVec;
use io_core::syscall::{close_fd, now_ns};
use io_core::{Errno, Fd, OpKind, OpSet};
use io_uring::{EnterFlags, IoUring, Probe, opcode, squeue, types};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::AsRawFd;

/// What a submission entry says. Plain numbers, so that it stays in registers until it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sqe {
    head: u32,
    fd: i32,
    offset: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
}

/// The first four bytes of an entry: opcode, flags, and a priority that is the kernel's choice. One word, so that
/// they are stored at once.
#[inline]
const fn head(opcode: u8, flags: u8) -> u32 {
    u32::from_ne_bytes([opcode, flags, 0, 0])
}

/// The layout of the kernel's `struct io_uring_sqe`.
///
/// The crate's own entries are built field by field and then copied; this one is stored once, where it
/// belongs.
#[repr(C)]
struct Entry {
    head: u32,
    fd: i32,
    offset: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    token: u64,
    unused: [u64; 3],
}

static_assertions::assert_eq_size!(Entry, squeue::Entry);
static_assertions::assert_eq_align!(Entry, squeue::Entry);
static_assertions::const_assert_eq!(core::mem::offset_of!(Entry, op_flags), 28);
static_assertions::const_assert_eq!(core::mem::offset_of!(Entry, token), 32);

/// How long [`Sqe::pause`] takes.
static PAUSE: types::Timespec = types::Timespec::new().nsec(10_000_000);

/// The descriptor's file position as an offset.
pub(crate) const AT_POSITION: u64 = u64::MAX;

impl Sqe {
    /// The descriptor it names; negative if none.
    #[inline]
    pub(crate) fn fd(&self) -> c_int {
        self.fd
    }

    /// The same, run by a kernel worker from the start, where it may block (`IOSQE_ASYNC`).
    pub(crate) fn blocking(self) -> Sqe {
        Sqe { head: self.head | head(0, squeue::Flags::ASYNC.bits()), ..self }
    }

    #[inline]
    fn new(opcode: u8, fd: c_int) -> Sqe {
        Sqe { head: head(opcode, 0), fd, ..Sqe::default() }
    }

    #[inline]
    pub(crate) fn accept(fd: c_int, addr: *mut u8, addr_len: *mut u32, flags: u32) -> Sqe {
        let sqe = Sqe::new(opcode::Accept::CODE, fd);
        Sqe { addr: word(addr), offset: word(addr_len), op_flags: flags, ..sqe }
    }

    #[inline]
    pub(crate) fn bind(fd: c_int, addr: *const u8, addr_len: u32) -> Sqe {
        let sqe = Sqe::new(opcode::Bind::CODE, fd);
        Sqe { addr: word(addr), offset: u64::from(addr_len), ..sqe }
    }

    /// Asks for the end of the entry that was pushed with `target` as its word.
    #[inline]
    pub(crate) fn cancel(target: u64) -> Sqe {
        Sqe { addr: target, ..Sqe::new(opcode::AsyncCancel::CODE, -1) }
    }

    #[inline]
    pub(crate) fn close(fd: c_int) -> Sqe {
        Sqe::new(opcode::Close::CODE, fd)
    }

    #[inline]
    pub(crate) fn connect(fd: c_int, addr: *const u8, addr_len: u32) -> Sqe {
        let sqe = Sqe::new(opcode::Connect::CODE, fd);
        Sqe { addr: word(addr), offset: u64::from(addr_len), ..sqe }
    }

    #[inline]
    pub(crate) fn fdatasync(fd: c_int) -> Sqe {
        let flags = types::FsyncFlags::DATASYNC.bits();
        Sqe { op_flags: flags, ..Sqe::new(opcode::Fsync::CODE, fd) }
    }

    #[inline]
    pub(crate) fn fsync(fd: c_int) -> Sqe {
        Sqe::new(opcode::Fsync::CODE, fd)
    }

    #[inline]
    pub(crate) fn nop() -> Sqe {
        Sqe::new(opcode::Nop::CODE, -1)
    }

    #[inline]
    pub(crate) fn openat(dir: c_int, path: *const c_char, flags: u32, mode: u32) -> Sqe {
        let sqe = Sqe::new(opcode::OpenAt::CODE, dir);
        Sqe { addr: word(path), len: mode, op_flags: flags, ..sqe }
    }

    /// Completes with `ETIME` in a hundredth of a second.
    pub(crate) fn pause() -> Sqe {
        Sqe { addr: word(&raw const PAUSE), len: 1, ..Sqe::new(opcode::Timeout::CODE, -1) }
    }

    /// Completes when one of `events` (`poll(2)`) holds, once.
    #[inline]
    pub(crate) fn poll(fd: c_int, events: u16) -> Sqe {
        // The kernel takes the two halves the other way round on big-endian machines.
        let events = u32::from(events);
        let events = if cfg!(target_endian = "big") { events.rotate_left(16) } else { events };
        Sqe { op_flags: events, ..Sqe::new(opcode::PollAdd::CODE, fd) }
    }

    #[inline]
    pub(crate) fn read(fd: c_int, buf: *mut u8, len: u32, offset: u64) -> Sqe {
        Sqe { addr: word(buf), len, offset, ..Sqe::new(opcode::Read::CODE, fd) }
    }

    #[inline]
    pub(crate) fn readv(fd: c_int, iov: *const IoVec, count: u32, offset: u64) -> Sqe {
        Sqe { addr: word(iov), len: count, offset, ..Sqe::new(opcode::Readv::CODE, fd) }
    }

    #[inline]
    pub(crate) fn recv(fd: c_int, buf: *mut u8, len: u32, flags: u32) -> Sqe {
        Sqe { addr: word(buf), len, op_flags: flags, ..Sqe::new(opcode::Recv::CODE, fd) }
    }

    #[inline]
    pub(crate) fn send(fd: c_int, buf: *const u8, len: u32, flags: u32) -> Sqe {
        Sqe { addr: word(buf), len, op_flags: flags, ..Sqe::new(opcode::Send::CODE, fd) }
    }

    /// `kind` with the flags of the new descriptor.
    #[inline]
    pub(crate) fn socket(family: u16, kind: u32, protocol: u32) -> Sqe {
        let sqe = Sqe::new(opcode::Socket::CODE, c_int::from(family));
        Sqe { offset: u64::from(kind), len: protocol, ..sqe }
    }

    #[inline]
    pub(crate) fn write(fd: c_int, buf: *const u8, len: u32, offset: u64) -> Sqe {
        Sqe { addr: word(buf), len, offset, ..Sqe::new(opcode::Write::CODE, fd) }
    }

    #[inline]
    pub(crate) fn writev(fd: c_int, iov: *const IoVec, count: u32, offset: u64) -> Sqe {
        Sqe { addr: word(iov), len: count, offset, ..Sqe::new(opcode::Writev::CODE, fd) }
    }
}

impl Entry {
    #[inline]
    fn new(sqe: Sqe, token: u64) -> Entry {
        let Sqe { head, fd, offset, addr, len, op_flags } = sqe;
        Entry { head, fd, offset, addr, len, op_flags, token, unused: [0; 3] }
    }

    /// The bytes the kernel sees.
    #[cfg(feature = "fuzz")]
    fn to_bytes(&self) -> [u8; 64] {
        let bytes: *const [u8; 64] = core::ptr::from_ref(self).cast();
        // SAFETY: 64 bytes of integers without padding, as asserted above.
        unsafe { bytes.read() }
    }

    /// The same bytes under the crate's name.
    #[inline]
    fn as_crates(&self) -> &squeue::Entry {
        let entry: *const squeue::Entry = core::ptr::from_ref(self).cast();
        // SAFETY: both are the kernel's `struct io_uring_sqe`, 64 bytes of integers without padding;
        // the crate's is `repr(C)`, and size and alignment are asserted above.
        unsafe { &*entry }
    }
}

/// What [`Ring::push`] would store.
#[cfg(feature = "fuzz")]
pub(crate) fn stored(sqe: Sqe, token: u64) -> [u8; 64] {
    Entry::new(sqe, token).to_bytes()
}

/// An address as the kernel takes it. Exposed: the kernel writes through it.
#[inline]
fn word<T>(address: *const T) -> u64 {
    address.expose_provenance() as u64
}

/// The opcode an operation runs as; `None` if it has none that is worth using.
const fn opcode_of(kind: OpKind) -> Option<u8> {
    match kind {
        OpKind::Accept => Some(opcode::Accept::CODE),
        OpKind::Bind => Some(opcode::Bind::CODE),
        OpKind::Close => Some(opcode::Close::CODE),
        OpKind::Connect => Some(opcode::Connect::CODE),
        OpKind::Fdatasync | OpKind::Fsync => Some(opcode::Fsync::CODE),
        OpKind::Nop => Some(opcode::Nop::CODE),
        OpKind::Open => Some(opcode::OpenAt::CODE),
        OpKind::Poll => Some(opcode::PollAdd::CODE),
        OpKind::Pread | OpKind::Read => Some(opcode::Read::CODE),
        OpKind::Preadv | OpKind::Readv => Some(opcode::Readv::CODE),
        OpKind::Pwrite | OpKind::Write => Some(opcode::Write::CODE),
        OpKind::Pwritev | OpKind::Writev => Some(opcode::Writev::CODE),
        OpKind::Recv => Some(opcode::Recv::CODE),
        OpKind::Send => Some(opcode::Send::CODE),
        OpKind::Socket => Some(opcode::Socket::CODE),
        OpKind::Cancel
        | OpKind::Fstat
        | OpKind::Ftruncate
        | OpKind::Listen
        | OpKind::Lseek
        | OpKind::Sendfile
        | OpKind::Shutdown
        | OpKind::Timeout => None,
    }
}

/// The operations that have an opcode worth using, whether or not this kernel knows it.
pub(crate) fn with_opcode() -> OpSet {
    collect(|kind| opcode_of(kind).is_some())
}

fn collect(has: impl Fn(OpKind) -> bool) -> OpSet {
    let kinds = OpKind::ALL.into_iter().filter(|kind| has(*kind));
    kinds.fold(OpSet::empty(), |set, kind| set | OpSet::of(kind))
}

/// How an entry into the kernel ended, when nothing is wrong with the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entered {
    /// Something was submitted or completed.
    Done,
    /// The time was over.
    TimedOut,
    /// A signal came.
    Interrupted,
    /// The kernel is short of something: take completions, then try again.
    Busy,
}

/// A ring with the features this backend needs; disabled until [`enable`](Ring::enable).
pub(crate) struct Ring {
    // One thread at a time, though the crate's type is `Sync`. Not dropped once disowned.
    stage: UnsafeCell<ManuallyDrop<Stage>>,
    /// The stage's descriptor, whole also in a forked child that finds the stage half-changed; or
    /// [`DISOWNED`].
    number: AtomicI32,
    ext_arg: bool,
}

/// See [`Ring::disown`].
const DISOWNED: c_int = -1;

/// A ring's life.
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation, and there is one ring")]
enum Stage {
    /// Usable.
    Live(IoUring),
    /// Closed. The kernel has the pipe's other end among the ring's files, and drops it when it frees the
    /// ring, which is after the last operation in it has ended: then this one hangs up.
    Closed(OwnedFd),
    /// Somebody has closed the descriptor. Nothing can be arranged without it: the ring is unmapped, and the time
    /// after which all that only waits in it is taken to be over. See [`GRACE`].
    Lost(u64),
}

/// What the kernel may still touch of what was in a closed ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// Everything.
    All,
    /// What it may be in the middle of, but not what only waits for readiness.
    Work,
    /// Nothing.
    Nothing,
}

/// How long the kernel gets to end what waits in a ring whose descriptor somebody else has closed, in nanoseconds.
///
/// It begins at once when the memory is unmapped, and says nothing when it is done. What waits for readiness in a
/// ring that ends does not touch its memory any more; what a disk or a kernel worker has, does so for as long as it
/// takes, and so is never given back. Before Linux 6.1 (without `DEFER_TASKRUN`, which lets nothing of this go on
/// outside `io_uring_enter`) a ring that a forked child has too does not end before the child has closed it,
/// and what waits in it is still written to when its time comes: there this is unsound.
const GRACE: u64 = 250_000_000;

/// The sets of setup flags, newest kernel first: 6.1, 6.0, 5.19, 5.10.
pub(crate) const SETUPS: usize = 4;

impl Ring {
    /// Sets a ring up: `io_uring_setup(2)` with the best flags the kernel takes, `mmap(2)`, and one
    /// `io_uring_enter(2)` that shows whether entering is permitted.
    pub(crate) fn build(config: &Config) -> Result<Ring, BuildError> {
        if config.entries == 0 || config.entries > MAX_ENTRIES {
            let (step, errno, cause) = ("config", Errno::INVAL, Cause::BadConfig);
            return Err(BuildError { step, errno, cause });
        }
        let uring = setup(config).map_err(|errno| failed("io_uring_setup", errno))?;
        let has = uring.params();
        let complete = has.is_feature_nodrop()
            && has.is_feature_submit_stable()
            && has.is_feature_rw_cur_pos()
            && has.is_feature_fast_poll();
        if !complete {
            let (step, errno, cause) = ("features", Errno::NOSYS, Cause::Kernel);
            return Err(BuildError { step, errno, cause });
        }
        let ext_arg = config.ext_arg && has.is_feature_ext_arg();
        try_enter(&uring)?;
        let number = AtomicI32::new(uring.as_raw_fd());
        Ok(Ring { stage: UnsafeCell::new(ManuallyDrop::new(Stage::Live(uring))), number, ext_arg })
    }

    /// The operations whose opcode this kernel knows.
    pub(crate) fn supported(&self) -> Result<OpSet, BuildError> {
        let mut probe = Probe::new();
        let Some(uring) = self.live() else { return Ok(OpSet::empty()) };
        let asked = uring.submitter().register_probe(&mut probe);
        asked.map_err(|error| failed("io_uring_register(PROBE)", errno_of(&error)))?;
        Ok(collect(|kind| opcode_of(kind).is_some_and(|code| probe.is_supported(code))))
    }

    /// Makes the calling thread the ring's owner and the ring usable (`IORING_REGISTER_ENABLE_RINGS`).
    pub(crate) fn enable(&self) -> Result<(), Errno> {
        let Some(uring) = self.live() else { return Err(Errno::BADF) };
        uring.submitter().register_enable_rings().map_err(|error| errno_of(&error))
    }

    #[inline]
    fn live(&self) -> Option<&IoUring> {
        // SAFETY: not `Sync`, and only `close` replaces it, which no borrow of ours lives across.
        match unsafe { &**self.stage.get() } {
            Stage::Live(uring) => Some(uring),
            Stage::Closed(_) | Stage::Lost(_) => None,
        }
    }

    /// Closes the ring, which ends all that is in it, in a way that lets [`holds`](Self::holds) tell
    /// when the kernel has let go of everything; results that were not taken before are lost. `false` if
    /// that cannot be arranged, and so nothing was done. Called with no view and no iterator alive.
    pub(crate) fn close(&self) -> bool {
        let Some(uring) = self.live() else { return true };
        let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC) else { return false };
        if let Err(error) =
            uring.submitter().register_files(&[rustix::fd::AsRawFd::as_raw_fd(&writer)])
        {
            let lost = matches!(errno_of(&error), Errno::BADF | Errno::OPNOTSUPP);
            if lost {
                self.lose(&writer);
            }
            return lost;
        }
        drop(writer);
        // Before the ring's own is closed: a child forked in between closes only what is open.
        self.number.store(rustix::fd::AsRawFd::as_raw_fd(&reader), Ordering::Relaxed);
        let next = ManuallyDrop::new(Stage::Closed(reader));
        // SAFETY: `uring` is not used again, and no view or iterator is alive: entering and reaping are
        // over when `Seat::bury` comes here.
        let closed = unsafe { self.stage.get().replace(next) };
        drop(ManuallyDrop::into_inner(closed));
        true
    }

    /// [`close`](Self::close) of a ring whose number is not its own any more.
    #[cold]
    fn lose(&self, spare: &OwnedFd) {
        self.number.store(DISOWNED, Ordering::Relaxed);
        let next = ManuallyDrop::new(Stage::Lost(now_ns().saturating_add(GRACE)));
        // SAFETY: as in `close`.
        let closed = unsafe { self.stage.get().replace(next) };
        if let Stage::Live(uring) = ManuallyDrop::into_inner(closed) {
            drop_beside_number(uring, spare);
        }
    }

    /// In a forked child: closes the descriptor and forgets the rest. The memory is not mapped here
    /// (`MADV_DONTFORK`), and its addresses may be somebody else's by now. From any thread.
    pub(crate) fn disown(&self) {
        let number = self.number.swap(DISOWNED, Ordering::Relaxed);
        if number != DISOWNED {
            // SAFETY: the child's copy of a descriptor that is this ring's, which nobody uses here.
            unsafe { close_fd(Fd::new(number)) };
        }
    }

    /// What a closed ring still holds, after a wait of up to `patience`.
    pub(crate) fn holds(&self, patience: Duration) -> Holds {
        // SAFETY: as in `live`.
        let (over, rest) = match unsafe { &**self.stage.get() } {
            Stage::Live(_) => return Holds::All,
            Stage::Closed(reader) => {
                (wait_for(reader.as_fd(), Some(patience)) == Entered::Done, Holds::Nothing)
            }
            Stage::Lost(over) => {
                wait_for_nothing(patience);
                (now_ns() >= *over, Holds::Work)
            }
        };
        if over { rest } else { Holds::All }
    }

    /// Pushes an entry whose CQE will carry `token`; `false` if there is no room. The kernel sees it at
    /// the next [`enter`](Self::enter).
    ///
    /// # Safety
    /// * What the entry points to stays valid until its CQE came back.
    #[inline]
    pub(crate) unsafe fn push(&self, sqe: Sqe, token: u64) -> bool {
        let Some(uring) = self.live() else { return false };
        // SAFETY: not `Sync`, and dropped in this statement's function: the only view.
        let mut queue = unsafe { uring.submission_shared() };
        // SAFETY: the memory is promised by the caller.
        unsafe { queue.push(Entry::new(sqe, token).as_crates()) }.is_ok()
    }

    /// How many entries were pushed that the kernel has not taken.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        let Some(uring) = self.live() else { return 0 };
        // SAFETY: not `Sync`: the only view.
        unsafe { uring.submission_shared() }.len()
    }

    /// Whether completions wait inside the kernel for an enter: deferred work, or an overfull CQ.
    #[inline]
    pub(crate) fn wants_enter(&self) -> bool {
        let Some(uring) = self.live() else { return false };
        // SAFETY: not `Sync`: the only view.
        let queue = unsafe { uring.submission_shared() };
        queue.taskrun() || queue.cq_overflow()
    }

    /// Hands out the completions that are there, as word and result; they are given back to the kernel in one
    /// store afterwards.
    #[inline]
    pub(crate) fn complete(&self, mut each: impl FnMut(u64, i32)) {
        let Some(uring) = self.live() else { return };
        // SAFETY: not `Sync`, and no completion leads back here: `Seat::reap` alone asks.
        let queue = unsafe { uring.completion_shared() };
        for cqe in queue {
            each(cqe.user_data(), cqe.result());
        }
    }

    fn has_completions(&self) -> bool {
        let Some(uring) = self.live() else { return false };
        // SAFETY: as in `complete`.
        !unsafe { uring.completion_shared() }.is_empty()
    }

    /// `io_uring_enter(2)`: submits everything pushed, and waits for `want` completions or `timeout`
    /// (`None`: as long as it takes). What the kernel did not take stays for the next time.
    pub(crate) fn enter(&self, want: u32, timeout: Option<Duration>) -> Result<Entered, Errno> {
        let Some(uring) = self.live() else { return Err(Errno::BADF) };
        let timespec = timeout.and_then(kernel_time);
        let unsent = u32::try_from(self.unsent()).unwrap_or(u32::MAX);
        let entered = match timespec {
            Some(timespec) if want > 0 && self.ext_arg => {
                let args = types::SubmitArgs::new().timespec(&timespec);
                let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
                // SAFETY: the argument is what EXT_ARG asks for and outlives the call; what the
                // entries point to was promised to `push`.
                unsafe { uring.submitter().enter(unsent, want, flags.bits(), Some(&args)) }
            }
            Some(_) if want > 0 => return self.enter_and_poll(uring, unsent, timeout),
            _ => enter_plain(uring, unsent, want),
        };
        outcome(entered)
    }

    /// The timed wait of kernels before 5.11: submit, then poll the ring's descriptor.
    fn enter_and_poll(
        &self,
        uring: &IoUring,
        unsent: u32,
        timeout: Option<Duration>,
    ) -> Result<Entered, Errno> {
        let entered = outcome(enter_plain(uring, unsent, 0))?;
        if entered != Entered::Done || self.unsent() > 0 || self.has_completions() {
            return Ok(entered);
        }
        Ok(self.nap(timeout))
    }

    /// Waits on the ring's descriptor without entering the ring (`ppoll(2)`).
    pub(crate) fn nap(&self, timeout: Option<Duration>) -> Entered {
        // SAFETY: as in `live`.
        match unsafe { &**self.stage.get() } {
            Stage::Live(uring) => {
                // SAFETY: the ring's descriptor is open for as long as `uring`.
                wait_for(unsafe { BorrowedFd::borrow_raw(uring.as_raw_fd()) }, timeout)
            }
            Stage::Closed(reader) => wait_for(reader.as_fd(), timeout),
            Stage::Lost(_) => {
                wait_for_nothing(timeout.unwrap_or_default());
                Entered::TimedOut
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if *self.number.get_mut() != DISOWNED {
            // SAFETY: dropped here only, once.
            unsafe { ManuallyDrop::drop(self.stage.get_mut()) };
        }
    }
}

/// Drops a ring that would close a number which is not its own: it closes a duplicate of `spare` where the number
/// is free; and where it is another file's, that file gets it back.
fn drop_beside_number(uring: IoUring, spare: &OwnedFd) {
    let number = uring.as_raw_fd();
    // Never in place of another file; elsewhere, if the number is taken.
    let at_number = |fd: BorrowedFd<'_>| {
        let there = rustix::io::fcntl_dupfd_cloexec(fd, number).ok()?;
        (rustix::fd::AsRawFd::as_raw_fd(&there) == number).then(|| there.into_raw_fd())
    };
    if at_number(spare.as_fd()).is_some() {
        return drop(uring);
    }
    // SAFETY: not negative; whether it is open is the kernel's to say.
    let theirs = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(theirs);
    let kept = rustix::io::fcntl_dupfd_cloexec(theirs, 0);
    drop(uring);
    if let (Ok(flags), Ok(kept)) = (flags, kept)
        && at_number(kept.as_fd()).is_some()
    {
        // It fails for no number that is open.
        let _: rustix::io::Result<()> = rustix::io::fcntl_setfd(theirs, flags);
    }
}

/// Sleeps (`ppoll(2)` of nothing).
fn wait_for_nothing(timeout: Duration) {
    if let Ok(timeout) = Timespec::try_from(timeout) {
        // Interrupted is an early return.
        let _: rustix::io::Result<usize> = poll(&mut [], Some(&timeout));
    }
}

/// `ppoll(2)` of one descriptor.
fn wait_for(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Entered {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
        Ok(0) => Entered::TimedOut,
        Ok(_) => Entered::Done,
        Err(rustix::io::Errno::INTR) => Entered::Interrupted,
        // ENOMEM: the callers' loops try again.
        Err(_) => Entered::Busy,
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let params = self.live().map(IoUring::params);
        f.debug_struct("Ring").field("params", &params).finish_non_exhaustive()
    }
}

/// A disabled ring answers `EBADFD`; a filter in front of it, its own error. What the kernel may say
/// at any time is not looked at here: it is dealt with when it matters.
fn try_enter(uring: &IoUring) -> Result<(), BuildError> {
    let Err(error) = uring.submit() else { return Ok(()) };
    match errno_of(&error) {
        errno @ (Errno::PERM | Errno::ACCES | Errno::NOSYS) => Err(failed("io_uring_enter", errno)),
        _ => Ok(()),
    }
}

/// The first set of flags the kernel takes; `EINVAL` means it does not know one of them.
fn setup(config: &Config) -> Result<IoUring, Errno> {
    let mut refused = Errno::INVAL;
    for level in config.first_setup.min(SETUPS - 1)..SETUPS {
        let mut builder = IoUring::builder();
        builder.setup_r_disabled().setup_clamp().dontfork();
        builder.setup_cqsize(config.completions.max(config.entries * 2));
        if level <= 1 {
            builder.setup_single_issuer();
        }
        if level == 0 {
            builder.setup_defer_taskrun();
        }
        if level == 1 || level == 2 {
            builder.setup_coop_taskrun();
        }
        if level <= 2 {
            builder.setup_taskrun_flag().setup_submit_all();
        }
        match builder.build(config.entries) {
            Ok(uring) => return Ok(uring),
            Err(error) => refused = errno_of(&error),
        }
        if refused != Errno::INVAL {
            break;
        }
    }
    Err(refused)
}

fn enter_plain(uring: &IoUring, unsent: u32, want: u32) -> std::io::Result<usize> {
    let flags = EnterFlags::GETEVENTS.bits();
    // SAFETY: no argument; what the entries point to was promised to `push`.
    unsafe { uring.submitter().enter::<u64>(unsent, want, flags, None) }
}

/// The ring is not enabled.
const BADFD: Errno = Errno::BADFD;

fn outcome(entered: std::io::Result<usize>) -> Result<Entered, Errno> {
    let error = match entered {
        Ok(_) => return Ok(Entered::Done),
        Err(error) => errno_of(&error),
    };
    match error {
        Errno::TIME => Ok(Entered::TimedOut),
        Errno::INTR => Ok(Entered::Interrupted),
        // EAGAIN, ENOMEM: no memory for a request now; EBUSY: the CQ overflowed.
        // EPERM, EACCES, ENOSYS: a filter installed later. EBADF, EBADFD: somebody closed the ring, or it
        // could not be enabled. EEXIST: not the owner, which only a drop on another thread can be.
        Errno::PERM | Errno::ACCES | Errno::NOSYS | Errno::BADF | BADFD | Errno::EXIST => {
            Err(error)
        }
        // Somebody closed the ring, and its number is another file's.
        Errno::OPNOTSUPP => Err(Errno::BADF),
        // EAGAIN, ENOMEM: no memory for a request now; EBUSY: the CQ overflowed. What is not known to be
        // for good is not taken to be.
        _ => Ok(Entered::Busy),
    }
}

/// A relative time for the kernel; `None` for times beyond its range, which nobody outlives.
fn kernel_time(timeout: Duration) -> Option<types::Timespec> {
    let fits = i64::try_from(timeout.as_secs()).is_ok_and(|seconds| seconds < 1 << 40);
    fits.then(|| timeout.into())
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

fn failed(step: &'static str, errno: Errno) -> BuildError {
    let cause = match errno {
        Errno::NOSYS => Cause::MissingSyscall,
        Errno::PERM | Errno::ACCES if crate::probe::forbidden_by_sysctl() => Cause::DeniedBySysctl,
        Errno::PERM | Errno::ACCES => Cause::Denied,
        Errno::NOMEM => Cause::Memlock,
        Errno::MFILE | Errno::NFILE => Cause::TooManyFiles,
        _ => Cause::Kernel,
    };
    BuildError { step, errno, cause }
}
