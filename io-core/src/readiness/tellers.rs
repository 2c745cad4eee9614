//! Which threads are inside a waker or callback that a backend runs: what a `stop` from in there is told
//! apart by.

use super::kernel::this_thread;
use crate::sync::plain::AtomicI32;
use crate::sync::{AtomicU32, Ordering, const_unless_loom};
use core::cell::Cell;
use core::num::NonZeroI32;

/// How many such threads are told apart at once; a stop from inside the callback of one beyond that is not
/// noticed, and waits like any other.
const ROOM: usize = 16;

/// A thread in a turn that may run wakers and callbacks.
#[derive(Debug)]
pub struct Teller {
    shared: bool,
    thread: Cell<Option<NonZeroI32>>,
}

impl Teller {
    /// The calling thread; `shared` if the backend can have others.
    #[must_use]
    pub const fn new(shared: bool) -> Teller {
        Teller { shared, thread: Cell::new(None) }
    }

    /// The thread's number (`gettid(2)`), asked for once.
    fn thread(&self) -> NonZeroI32 {
        let known = self.thread.get();
        let thread = known.unwrap_or_else(this_thread);
        self.thread.set(Some(thread));
        thread
    }
}

/// The threads in user code.
#[derive(Debug)]
pub struct Tellers {
    count: AtomicU32,
    threads: [AtomicI32; ROOM],
}

impl Default for Tellers {
    fn default() -> Self {
        Self::new()
    }
}

impl Tellers {
    const_unless_loom! {
        /// Nobody.
        #[must_use]
        pub const fn new() -> Tellers {
            Tellers { count: AtomicU32::new(0), threads: [const { AtomicI32::new(0) }; ROOM] }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// The teller's thread goes into user code.
    #[must_use]
    #[inline]
    pub fn enter(&self, teller: &Teller) -> Telling<'_> {
        if teller.shared {
            return self.enter_shared(teller);
        }
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Telling { tellers: self, shared: false, place: None }
    }

    fn enter_shared(&self, teller: &Teller) -> Telling<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let thread = teller.thread().get();
        // Ordering: Relaxed, only the same thread asks for its own number.
        let free = |place: &&AtomicI32| {
            place.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        Telling { tellers: self, shared: true, place: self.threads.iter().find(free) }
    }

    /// Whether the calling thread is in user code; `shared` as in [`Teller::new`].
    #[must_use]
    pub fn is_inside(&self, shared: bool) -> bool {
        // Looked at once: another thread may go in between two looks.
        match self.count() {
            0 => return false,
            _ if !shared => return true,
            _ => {}
        }
        let thread = Teller::new(shared).thread().get();
        self.threads.iter().any(|place| place.load(Ordering::Relaxed) == thread)
    }

    /// Nobody is, in a forked child.
    pub fn renew(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.threads.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }
}

/// A stay in user code; ends with [`leave`](Telling::leave).
#[derive(Debug)]
pub struct Telling<'t> {
    tellers: &'t Tellers,
    shared: bool,
    place: Option<&'t AtomicI32>,
}

impl Telling<'_> {
    /// The thread is back.
    #[inline]
    pub fn leave(&self) {
        if !self.shared {
            let count = &self.tellers.count;
            return count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
        if let Some(place) = self.place {
            place.store(0, Ordering::Relaxed);
        }
        self.tellers.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{Teller, Tellers};
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn who_is_outside_is_never_taken_for_who_is_inside() {
        let (tellers, over) = (Tellers::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let teller = Teller::new(true);
                while !over.load(Ordering::Relaxed) {
                    let telling = tellers.enter(&teller);
                    assert!(tellers.is_inside(true));
                    telling.leave();
                }
            });
            let taken = (0..if cfg!(miri) { 1000 } else { 1_000_000 })
                .filter(|_| tellers.is_inside(true))
                .count();
            over.store(true, Ordering::Relaxed);
            assert_eq!(taken, 0);
        });
    }
}
