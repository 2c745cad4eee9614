//! [`block_on`]: one future, one thread, which waits in the backend where it may drive it, and
//! otherwise until it is woken.
//!
//! The waker is a flag and a way to end the wait. States of the flag:
//!
//! | state | the thread | who wakes |
//! |---|---|---|
//! | `AWAKE` | polls the future, or is about to wait | sets `WOKEN` |
//! | `WOKEN` | will poll the future (again) before it waits | nothing |
//! | `DRIVING` | is inside the backend's poll | sets `WOKEN`, and ends the poll unless it is that very thread, whose poll returns by itself after a delivery |
//! | `PARKED` | is parked | sets `WOKEN`, unparks |
//!
//! Only the thread leaves `WOKEN`, and only to `AWAKE`. Every change is one read-modify-write of the
//! flag, so of a wake and a wait that race one sees the other.

use crate::driver::Drive;
use crate::io::Io;
use core::cell::Cell;
use core::future::Future;
use core::pin::pin;
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use io_core::{Errno, Handle};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};

const AWAKE: u8 = 0;
const WOKEN: u8 = 1;
const DRIVING: u8 = 2;
const PARKED: u8 = 3;

thread_local! {
    static ANCHOR: u8 = const { 0 };
}

/// A number no other living thread has, never 0; 0 for a thread whose locals are gone.
fn this_thread() -> usize {
    ANCHOR.try_with(|anchor| core::ptr::from_ref(anchor).addr()).unwrap_or(0)
}

/// Which thread drives a backend that has no threads of its own.
pub(crate) struct Lead {
    /// [`this_thread`] of the leader, 0 if there is none.
    leader: AtomicUsize,
    /// The ring has one owner for life; a pool is led in turn.
    for_life: bool,
    /// Those who would lead.
    waiting: Mutex<Vec<Thread>>,
}

impl Lead {
    pub(crate) const fn in_turn() -> Lead {
        Lead { leader: AtomicUsize::new(0), for_life: false, waiting: Mutex::new(Vec::new()) }
    }

    pub(crate) const fn for_life() -> Lead {
        Lead { leader: AtomicUsize::new(0), for_life: true, waiting: Mutex::new(Vec::new()) }
    }

    /// Whether the calling thread leads now.
    fn claim(&self, claimed: &Cell<*const Lead>) -> bool {
        let this = this_thread();
        // Ordering: SeqCst with `release`, so that a thread that queued itself before it looked here,
        // and a leader that left before it looked at the queue, do not miss each other.
        match self.leader.compare_exchange(0, this, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {
                claimed.set(self);
                true
            }
            // A block_on inside another one on the leading thread leads as well.
            Err(leader) => leader == this && this != 0,
        }
    }

    /// Ends a lead that [`claim`](Self::claim) began, and lets the others try.
    fn release(&self) {
        self.leader.store(0, Ordering::SeqCst);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain(..).for_each(|thread| thread.unpark());
    }

    fn queue(&self, thread: &Thread) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|queued| queued.id() == thread.id()) {
            waiting.push(thread.clone());
        }
    }
}

/// The waker: a flag and the thread it is for.
struct Parker {
    io: Io,
    thread: Thread,
    anchor: usize,
    state: AtomicU8,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Ordering: AcqRel, what the waker's owner did before is seen by the thread that polls next.
        match self.state.swap(WOKEN, Ordering::AcqRel) {
            DRIVING if this_thread() != self.anchor => self.io.backend().wake_handle().wake(),
            PARKED => self.thread.unpark(),
            _ => {}
        }
    }
}

/// One thread's wait for one future.
struct Blocking {
    parker: Arc<Parker>,
    /// This call made the thread the leader of that, and ends it.
    claimed: Cell<*const Lead>,
    /// It was seen that this process is a forked child and the backend its parent's.
    forked: Cell<bool>,
}

impl Blocking {
    fn new(io: &Io) -> Blocking {
        let (thread, anchor) = (thread::current(), this_thread());
        // Woken from the start: poll first.
        let state = AtomicU8::new(WOKEN);
        Blocking {
            parker: Arc::new(Parker { io: io.clone(), thread, anchor, state }),
            claimed: Cell::new(ptr::null()),
            forked: Cell::new(false),
        }
    }

    /// Returns when the waker was used, or earlier.
    fn wait(&self) {
        match self.parker.io.runtime().drive() {
            // The operations from before the fork end when they are next polled: once more, then.
            None if !self.forked.replace(true) => {}
            None | Some(Drive::Threads) => self.park(),
            Some(Drive::Caller(lead)) => {
                if lead.claim(&self.claimed) {
                    return self.drive(lead);
                }
                lead.queue(&self.parker.thread);
                // The leader may have left before it could see us in the queue.
                if lead.claim(&self.claimed) {
                    return self.drive(lead);
                }
                self.park();
            }
        }
    }

    /// `AWAKE` → `state`; `false` if a wake came first.
    fn begin(&self, state: u8) -> bool {
        // Ordering: as in `wake_by_ref`.
        let change = (Ordering::AcqRel, Ordering::Acquire);
        self.parker.state.compare_exchange(AWAKE, state, change.0, change.1).is_ok()
    }

    /// Any → `AWAKE`.
    fn awake(&self) {
        // Ordering: as in `wake_by_ref`.
        self.parker.state.swap(AWAKE, Ordering::AcqRel);
    }

    fn park(&self) {
        if self.begin(PARKED) {
            thread::park();
        }
    }

    fn drive(&self, lead: &Lead) {
        if !self.begin(DRIVING) {
            return;
        }
        match self.parker.io.backend().poll(None) {
            Ok(_) => {}
            Err(Errno::EXIST) => {
                // Another thread owns the ring and did not tell us: it drives.
                if ptr::eq(self.claimed.replace(ptr::null()), lead) {
                    lead.release();
                }
                lead.queue(&self.parker.thread);
                let driving = (DRIVING, PARKED, Ordering::AcqRel, Ordering::Acquire);
                let state = &self.parker.state;
                if state.compare_exchange(driving.0, driving.1, driving.2, driving.3).is_ok() {
                    thread::park();
                }
            }
            // Short of kernel memory, most likely: others go first. Or a callback forked: see `wait`.
            Err(_) => thread::yield_now(),
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // Not the parent's, whose lock some thread of it may hold.
        if let Some(Drive::Caller(lead)) = self.parker.io.runtime().drive()
            && ptr::eq(self.claimed.get(), lead)
            && !lead.for_life
        {
            lead.release();
        }
    }
}

/// See [`Io::block_on`].
pub fn block_on<F: Future>(io: &Io, future: F) -> F::Output {
    let _current = io.enter();
    let blocking = Blocking::new(io);
    let mut future = pin!(future);
    let waker = Waker::from(blocking.parker.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        blocking.awake();
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        blocking.wait();
    }
}
