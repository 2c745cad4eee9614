//! One round of the owner's loop: take what others pushed, hand everything to the kernel, wait, reap.
//! No waker and no callback runs here.
#![allow(unsafe_code, reason = "gives the kernel memory to read a wake into")]
//! # Safety
//! The one entry pushed here points to memory that is static.

use crate::inbox::Mode;
use crate::ring::{Entered, Holds, Sqe};
use crate::seat::{Cancels, Seat, place};
use crate::token::Token;
use core::time::Duration;
use io_core::syscall::now_ns;
use io_core::{Deadline, Errno, Node, OffloadHandle, OpKind};

/// How long to go on when the kernel is short of something.
const NAP: Duration = Duration::from_millis(1);

/// Whether a round may block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// No.
    No,
    /// Until there is news or this instant.
    Until(Deadline),
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// By itself.
    Plainly,
    /// By a wake, which is used up.
    Woken,
}

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// One round. It blocks only if `wait` lets it and there are no more than `old_news` results.
    pub(crate) fn round(&self, wait: Wait, old_news: usize) -> Result<Ended, Errno> {
        self.intake();
        self.expire();
        self.ask_again();
        self.wind_down();
        self.run_turns();
        self.reap();
        let ended = match wait {
            Wait::Until(deadline) if self.nothing_new(old_news) => self.park(deadline, old_news),
            _ => self.push_out().map(|()| Ended::Plainly),
        };
        self.wind_down();
        self.publish();
        ended
    }

    fn nothing_new(&self, old_news: usize) -> bool {
        self.news() <= old_news && self.turn.is_empty()
    }

    /// Submits everything and takes what has come, without waiting.
    pub(crate) fn push_out(&self) -> Result<(), Errno> {
        self.send_all()?;
        if self.ring.unsent() > 0 || self.ring.wants_enter() || self.dead.get().is_some() {
            self.enter(0, None)?;
            self.reap();
        }
        Ok(())
    }

    /// Submits everything and waits. Announced before the last look at what others push: either we see
    /// it, or they see us parked and ring the bell.
    fn park(&self, deadline: Deadline, old_news: usize) -> Result<Ended, Errno> {
        self.arm_wake()?;
        let wake = &self.backend.wake;
        if !wake.park() {
            return self.push_out().map(|()| Ended::Woken);
        }
        self.intake();
        // A stop that came since this round began wants to hear that nothing is owned.
        let wound_down = self.backend.gate.is_stopping() && self.owned() == 0;
        let entered = match self.send_all() {
            // Sending may have reaped the read that a bell ends: without it nothing would end this wait.
            Ok(true) if self.wake_armed.get() && self.nothing_new(old_news) && !wound_down => {
                let next = self.clock.next().min(self.doubt.get());
                self.enter(1, remaining(deadline.min(next)))
            }
            Ok(_) => self.enter(0, None),
            Err(errno) => Err(errno),
        };
        self.reap();
        let woken = wake.unpark();
        entered?;
        // A signal ends the wait in the kernel but not the caller's: its handler may wake.
        Ok(if woken { Ended::Woken } else { Ended::Plainly })
    }

    /// Puts the read that ends a park into the ring, unless it is there or the kernel takes nothing now.
    fn arm_wake(&self) -> Result<(), Errno> {
        while !self.wake_armed.get() && self.dead.get().is_none() {
            let (event, count) = self.backend.wake.bell.read_target();
            // SAFETY: the memory is static.
            let room = unsafe { self.push_sqe(Sqe::read(event, count, 8, 0), Token::Wake) };
            self.wake_armed.set(room);
            if !room {
                if self.enter(0, None)? == Entered::Busy {
                    break;
                }
                self.reap();
            }
        }
        Ok(())
    }

    /// The contract's `flush`: how many operations left our lists.
    pub(crate) fn flush(&self) -> Result<usize, Errno> {
        self.intake();
        self.expire();
        self.wind_down();
        let queued = self.queued();
        self.run_turns();
        let pushed = self.push_out();
        self.wind_down();
        self.publish();
        pushed.map(|()| queued.saturating_sub(self.queued()))
    }

    /// Entries that the kernel has not taken; the ring's own among them are taken for operations'.
    fn unsent(&self) -> usize {
        self.ring.unsent().min(self.in_flight.len())
    }

    fn queued(&self) -> usize {
        self.overflow.len() + self.held.len() + self.closing.len() + self.turn.len() + self.unsent()
    }

    /// Hands everything that waits to the SQ, batch by batch; what is in the SQ at the end goes with the
    /// caller's enter. `false` if the kernel was short of something, and so some still waits.
    fn send_all(&self) -> Result<bool, Errno> {
        loop {
            self.send_cancels();
            self.drain_overflow();
            if self.overflow.is_empty() && self.cancels.get() == Cancels::None {
                return Ok(true);
            }
            if self.enter(0, None)? == Entered::Busy {
                return Ok(false);
            }
            self.reap();
        }
    }

    /// Enters the kernel. When it is short of something, completions are taken and the time passes;
    /// what it did not take stays in the SQ for the next time.
    pub(crate) fn enter(&self, want: u32, timeout: Option<Duration>) -> Result<Entered, Errno> {
        self.backend.tally.owner.syscalls.add(1);
        if let Some(errno) = self.dead.get() {
            self.give_up(errno);
            self.bury(errno, timeout.map_or(NAP, |timeout| timeout.min(NAP)));
            return Err(errno);
        }
        let before = self.ring.unsent();
        let entered = self.ring.enter(want, timeout);
        // It may also take nothing and not say why.
        let stuck = entered == Ok(Entered::Done) && before > 0 && self.ring.unsent() == before;
        match entered {
            Ok(entered) if stuck || entered == Entered::Busy => {
                self.reap();
                self.ring.nap(Some(timeout.map_or(NAP, |timeout| timeout.min(NAP))));
                Ok(Entered::Busy)
            }
            Ok(entered) => Ok(entered),
            Err(errno) => {
                self.give_up(errno);
                Err(errno)
            }
        }
    }

    /// The kernel will not take entries any more (`EPERM`, `EBADF`, `EEXIST`): what it has not taken
    /// completes with that error, and nothing is ever submitted again. A close is performed all the same.
    /// What the kernel has taken is still waited for; see [`bury`](Self::bury).
    fn give_up(&self, errno: Errno) {
        self.dead.set(Some(errno));
        let first_unsent = self.pushed.get() - self.ring.unsent() as u64;
        let stopping = self.backend.gate.refuses_owner();
        let result = if stopping { Errno::CANCELED } else { errno }.to_result();
        // First, so that none of them gets the turn of one that ends below.
        while let Some(node) = self.held.pop() {
            self.give_one_up(node, result);
        }
        let count = self.ring.unsent() as u64;
        let unsent = |node: &Node| is_unsent(node, first_unsent, count);
        self.in_flight.take_all(unsent, |node| self.give_one_up(node, result));
        while let Some(node) = self.overflow.pop() {
            self.give_one_up(node, result);
        }
        self.cancels.set(Cancels::None);
    }

    /// Whether an operation in flight is one that the kernel has not taken yet.
    pub(crate) fn is_unsent(&self, node: &Node) -> bool {
        let count = self.ring.unsent() as u64;
        is_unsent(node, self.pushed.get() - count, count)
    }

    fn give_one_up(&self, node: Node, result: i64) {
        let never_cancelled = node.op().kind().never_cancelled();
        let result = if never_cancelled { self.backend.refuse(&node) } else { result };
        self.finish(node, result);
    }

    /// What the kernel has taken of a dead ring. It cannot be cancelled one by one, and without entering
    /// most of it never comes back; so the ring is closed, which ends everything in it, and when the kernel
    /// has freed it, nothing of ours is touched any more. One short wait for that. Where the descriptor is lost, the
    /// kernel cannot say so, and keeps what it may be in the middle of for ever.
    fn bury(&self, errno: Errno, patience: Duration) {
        self.reap();
        if !self.ring.close() {
            self.ring.nap(Some(patience));
            return;
        }
        self.wake_armed.set(false);
        let over = match self.ring.holds(patience) {
            Holds::All => return,
            Holds::Work => only_waits,
            Holds::Nothing => |_: &Node| true,
        };
        let stopping = self.backend.gate.refuses_owner();
        let result = if stopping { Errno::CANCELED } else { errno }.to_result();
        self.in_flight.take_all(over, |node| self.finish(node, result));
    }

    /// Makes the gauges readable from any thread.
    pub(crate) fn publish(&self) {
        let tally = &self.backend.tally;
        tally.queued_now.set(self.queued() + self.asleep.len());
        tally.ready_now.set(self.ready.len());
        tally.in_kernel_now.set(self.in_flight.len() - self.unsent());
    }
}

/// Whether an operation of the kernel's waits for readiness and does nothing else, so that it ends at once with its
/// ring. What may be in a kernel worker's hands, or a disk's, does not. By what was known when it was pushed: the
/// number may be another file's since.
fn only_waits(node: &Node) -> bool {
    let word = node.scratch();
    if word & place::WAITS != 0 {
        // The entry is a poll, and names no memory.
        return true;
    }
    match node.op().kind() {
        _ if word & (place::BLOCKS | place::POSITION) != 0 => false,
        OpKind::Accept | OpKind::Connect | OpKind::Recv | OpKind::Send => true,
        OpKind::Read | OpKind::Readv | OpKind::Write | OpKind::Writev => word & place::STREAM != 0,
        _ => false,
    }
}

/// Whether a node's entry is among the last `count`, which begin with number `first`.
fn is_unsent(node: &Node, first: u64, count: u64) -> bool {
    let number = node.result().cast_unsigned();
    if node.scratch() & place::WAITS == 0 {
        return number >= first;
    }
    // Half of the number is all there is. An entry of 2^32 pushes ago may be taken for one of the last few.
    (number.wrapping_sub(first) & u64::from(u32::MAX)) < count
}

/// How long the kernel may wait: `None` for as long as it takes.
fn remaining(deadline: Deadline) -> Option<Duration> {
    match deadline {
        Deadline::NEVER => None,
        deadline => deadline.remaining(now_ns()),
    }
}
