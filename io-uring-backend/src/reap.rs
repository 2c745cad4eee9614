//! From a completion entry to a result, or to another try.
//!
//! | result | of the operation | of its wait for readiness |
//! |---|---|---|
//! | `EINTR`, the kernel's restart codes | again; a close is done, its number is free | the operation again |
//! | `EAGAIN` | wanted: the result. A descriptor that can wait is non-blocking: wait for it. Else once again, by a worker; then the result | the operation again |
//! | `ECANCELED` | asked for: the result. Else the kernel had no worker for it: again, then inside poll | asked for: the result. Else the operation again |
//! | `ENODATA` | of a send of something: tried inside poll, as if it were ready | the operation again |
//! | `EALREADY` | of a connect: another one is in progress, wait for it | the operation again |
//! | else | the result | the operation again, which gives its own error |
//!
//! A descriptor may stay ready and yet have nothing for an operation, for as long as it likes: an unread error
//! queue, data that was peeked at. What has been waited for in vain a few times is waited for again after a
//! pause, so that it is not tried without end.
//!
//! A poll is nothing but its wait: what is ready then, `poll(2)` says, because the ring's answer can hold
//! less, or more, than is true.
#![allow(unsafe_code, reason = "takes nodes back from the kernel")]
//! # Safety
//! A node whose token comes back is in the in-flight list: it was put there when its entry was pushed, one
//! entry at a time, and only its completion takes it out. An operation is performed only while its node is in
//! this thread's hands.

use crate::identity::{awaited_file, kept};
use crate::inbox::Mode;
use crate::probe::Plan;
use crate::seat::{Cancels, Seat, place};
use crate::token::Token;
use io_core::op::{Read, Readv, Send};
use io_core::syscall::{Attempt, attempt, attempt_again, no_longer_receives, now_ns, perform};
use io_core::{Errno, Node, OffloadHandle, Op, OpKind, OpenFlags};
use rustix::fd::BorrowedFd;

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// Takes every completion that is there. Runs no waker and no callback.
    #[inline]
    pub(crate) fn reap(&self) {
        self.ring.complete(|word, result| {
            // The common cases by themselves, without a table of jumps: this is the innermost loop.
            // SAFETY: it came back in a CQE.
            if let Some(node) = unsafe { Token::plain(word) } {
                // SAFETY: a token that comes back names a node in flight.
                let node = unsafe { self.in_flight.remove(node) };
                return self.operated(node, i64::from(result));
            }
            // SAFETY: as above.
            if let Some(node) = unsafe { Token::filed(word) } {
                // SAFETY: as above.
                let node = unsafe { self.in_flight.remove_filed(node) };
                return self.operated(node, i64::from(result));
            }
            self.reap_other(word, result);
        });
    }

    #[inline(never)]
    fn reap_other(&self, word: u64, result: i32) {
        // SAFETY: it came back in a CQE.
        match unsafe { Token::decode(word) } {
            Token::Op(_) | Token::Filed(_) => debug_assert!(false, "taken by `reap`"),
            Token::Ready(node) => {
                // SAFETY: a token that comes back names a node in flight.
                let node = unsafe { self.in_flight.remove_filed(node) };
                self.became_ready(node, i64::from(result));
            }
            Token::Wake => {
                self.wake_armed.set(false);
                // Somebody has closed the eventfd: nothing ends a wait any more.
                if result == -Errno::BADF.raw() || (0..8).contains(&result) {
                    self.dead.set(Some(Errno::BADF));
                }
            }
            Token::Cancel => self.cancel_answered(result),
        }
    }

    #[inline(always)]
    fn operated(&self, node: Node, result: i64) {
        if result >= 0 {
            return self.finish_reaped(node, result);
        }
        self.failed(node, result);
    }

    #[cold]
    fn failed(&self, node: Node, result: i64) {
        const INTR: i64 = Errno::INTR.to_result();
        const AGAIN: i64 = Errno::AGAIN.to_result();
        const NXIO: i64 = Errno::NXIO.to_result();
        const ALREADY: i64 = Errno::ALREADY.to_result();
        const ISCONN: i64 = Errno::ISCONN.to_result();
        const FAULT: i64 = Errno::FAULT.to_result();
        const CANCELED: i64 = Errno::CANCELED.to_result();
        const NODATA: i64 = Errno::from_raw(61).to_result();
        let blocks = node.scratch() & place::BLOCKS;
        match if is_restart(result) { INTR } else { result } {
            INTR if node.op().kind() == OpKind::Close => self.finish(node, 0),
            AGAIN if node.op().wants_eagain() => self.finish(node, AGAIN),
            INTR | AGAIN if self.unwanted(&node) => {
                self.finish(node, Errno::CANCELED.to_result());
            }
            ALREADY if node.op().kind() == OpKind::Connect => {
                self.again(node, place::WAITS | place::CONNECTS);
            }
            CANCELED if !self.unwanted(&node) && !is_timer(node.op()) => self.unstarted(node),
            ISCONN if node.scratch() & place::CONNECTS != 0 => self.finish(node, 0),
            NXIO if waits_for_a_reader(&node) => self.again(node, place::BLOCKS),
            AGAIN if node.op().interest().is_some() => self.wait_or_end(node),
            INTR => self.again(node, blocks),
            AGAIN if blocks == 0 => self.again(node, place::BLOCKS),
            NODATA if sends_something(node.op()) => self.try_in_turn(node),
            // The address was looked at before the descriptor: which is wrong is the system call's matter.
            FAULT if matches!(node.op(), Op::Bind(_) | Op::Connect(_)) => {
                self.backend.tally.owner.syscalls.add(1);
                // SAFETY: the node is in this thread's hands, so its promise holds (I1, I2), and the kernel is
                // done with it.
                let result = unsafe { perform(node.op()) };
                self.finish(node, result);
            }
            _ => self.finish(node, result),
        }
    }

    /// It would have to wait, unless it has just done so, for what does not come any more.
    fn wait_or_end(&self, node: Node) {
        let (op, was_ready) = (node.op(), node.scratch() & place::WAS_READY != 0);
        if was_ready && no_longer_receives(op) {
            self.backend.tally.owner.syscalls.add(2);
            // SAFETY: the node is in this thread's hands, so its promise holds (I1, I2), and the kernel is done with
            // it.
            if let Attempt::Done(result) = unsafe { attempt_again(op) } {
                return self.finish(node, result);
            }
        }
        let wait = note_stale(&node);
        self.again(node, wait);
    }

    /// Whoever polls tries what the ring has got wrong.
    #[cold]
    fn try_in_turn(&self, node: Node) {
        if self.unwanted(&node) {
            return self.finish(node, Errno::CANCELED.to_result());
        }
        let word = node.scratch();
        if word & place::CANCELS != 0 {
            self.end_cancelling();
        }
        node.requeue();
        node.set_scratch(place::TURN | place::WAS_READY | (word & place::KEPT));
        self.turn.push(node);
    }

    /// The kernel gave an operation up that nobody wanted ended: it could not start a worker, for lack of room
    /// (`RLIMIT_NPROC`, `pids.max`) or because signals kept coming. Nothing of it was done. Once more; then
    /// whoever polls is the worker.
    fn unstarted(&self, node: Node) {
        let word = node.scratch();
        if word & place::UNSTARTED == 0 {
            node.set_scratch(word | place::UNSTARTED);
            return self.again(node, word & place::BLOCKS);
        }
        if node.op().kind() == OpKind::Close {
            let result = self.backend.refuse(&node);
            return self.finish(node, result);
        }
        node.requeue();
        node.set_scratch(place::TURN | (word & place::KEPT));
        self.turn.push(node);
    }

    fn became_ready(&self, node: Node, result: i64) {
        if self.unwanted(&node) {
            self.finish(node, Errno::CANCELED.to_result());
        } else if node.op().kind() == OpKind::Poll {
            self.polled(node, result);
        } else if self.is_another_file(&node) {
            // For a cancel, its deadline or a stop. Nobody waits for it in line, or to close.
            self.leave(node.scratch());
            node.set_scratch(place::ASLEEP);
            self.asleep.push(node);
        } else if result == PAUSED {
            self.again(node, place::WAITS);
        } else if self.backend.plans.of(node.op().kind()) == Plan::Ring {
            self.again(node, place::WAS_READY);
        } else {
            node.requeue();
            node.set_scratch(place::TURN | place::WAS_READY | (node.scratch() & place::KEPT));
            self.turn.push(node);
        }
    }

    /// Whether the number of what has waited is another file's by now, or nobody's.
    fn is_another_file(&self, node: &Node) -> bool {
        self.backend.tally.owner.syscalls.add(1);
        awaited_file(node.op()) != kept(node)
    }

    /// The wait that is a poll is over: what is ready now is its result, or it waits again.
    fn polled(&self, node: Node, waited: i64) {
        const CANCELED: i64 = Errno::CANCELED.to_result();
        const INTR: i64 = Errno::INTR.to_result();
        const INVAL: i64 = Errno::INVAL.to_result();
        self.backend.tally.owner.syscalls.add(1);
        // SAFETY: the operation of a node that is not completed.
        match unsafe { attempt(node.op()) } {
            Attempt::Done(result) => self.finish(node, result),
            _ => match if is_restart(waited) { INTR } else { waited } {
                CANCELED | INTR | PAUSED => self.again(node, place::WAITS),
                0.. => {
                    node.set_scratch(node.scratch() | place::WAS_READY);
                    let wait = note_stale(&node);
                    self.again(node, wait);
                }
                // A file without readiness, and the ring says so in its own way.
                INVAL => self.finish(node, Errno::PERM.to_result()),
                errno => self.finish(node, errno),
            },
        }
    }

    /// Whether an operation that would have to go again is not to.
    pub(crate) fn unwanted(&self, node: &Node) -> bool {
        let asked = node.cancel_asked() || self.backend.gate.refuses_owner();
        asked && !node.op().kind().never_cancelled()
    }

    /// `ENOENT` may mean that the operation was just being moved inside the kernel: it is asked again, a
    /// few times, if there is one, and then now and again. `EALREADY` means that it runs and has been told; 0, that it comes back cancelled.
    fn cancel_answered(&self, result: i32) {
        if result == -Errno::NOENT.raw() && self.being_cancelled.get() > 0 {
            self.want_cancels(Cancels::Again);
        }
    }

    /// Takes what other threads have pushed, and their wishes to cancel.
    pub(crate) fn intake(&self) {
        let mode = &self.backend.mode;
        if !mode.is_empty() || !self.taken.is_empty() {
            self.taken.fill(|list| mode.take(list));
            while let Some(node) = self.taken.pop() {
                self.receive(node);
            }
        }
        if mode.take_cancels() {
            self.want_cancels(Cancels::First);
            self.complete_silent();
        }
    }

    pub(crate) fn receive(&self, node: Node) {
        match node.scratch() & place::MASK {
            place::FRESH if self.backend.gate.refuses_owner() => {
                let result = self.backend.refuse(&node);
                self.finish(node, result);
            }
            place::FRESH if self.unwanted(&node) || node.overdue(now_ns) => {
                self.finish(node, Errno::CANCELED.to_result());
            }
            place::FRESH => self.place_known(node),
            place::HOME => {
                self.backend.mode.came_home();
                let result = node.result();
                self.finish(node, result);
            }
            _ => {
                let result = node.result();
                self.finish(node, result);
            }
        }
    }
}

/// What a pause ends with (`ETIME`).
const PAUSED: i64 = Errno::from_raw(62).to_result();

/// An operation that may have been ready has to wait. The flags for its next entry: a wait, or a pause before that.
pub(crate) fn note_stale(node: &Node) -> u32 {
    let word = node.scratch();
    if word & place::WAS_READY == 0 {
        return place::WAITS;
    }
    if word & place::STALE == place::STALE {
        return place::WAITS | place::WAS_READY;
    }
    node.set_scratch(word + place::ONCE_STALE);
    place::WAITS
}

/// The kernel's own codes for "restart the system call", which the ring lets through when a worker is
/// interrupted: `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`.
fn is_restart(result: i64) -> bool {
    matches!(result, -514..=-512 | -516)
}

/// Whether it reads a timer (`timerfd_gettime(2)`), which says `ECANCELED` itself, and only once, when its clock
/// was set.
fn is_timer(op: &Op) -> bool {
    let (Op::Read(Read { fd, .. }) | Op::Readv(Readv { fd, .. })) = *op else { return false };
    if fd.raw() < 0 {
        return false;
    }
    // SAFETY: not negative; whether it is open is the kernel's to say, and the borrow ends with the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.raw()) };
    rustix::time::timerfd_gettime(fd).is_ok()
}

/// Whether it sends a message that is not empty. To a full netlink peer the kernel's first try says `EAGAIN`, and has
/// read the message; its second one then finds an empty message, and refuses that.
fn sends_something(op: &Op) -> bool {
    matches!(op, Op::Send(Send { len: 1.., .. }))
}

/// Whether an open that got `ENXIO` may be of a FIFO without a reader. The kernel's first try is with
/// `O_NONBLOCK`, also for a caller who did not ask for it; the second, by a worker, waits.
fn waits_for_a_reader(node: &Node) -> bool {
    let first = node.scratch() & place::BLOCKS == 0;
    matches!(node.op(), Op::Open(op) if first && !op.flags.contains(OpenFlags::NONBLOCK))
}
