//! What other threads share with the ring's owner, under loom: `cfg(io_loom)`, run by `.ci/loom`. The ring itself is
//! the kernel's and not here: these tests do with the real words what `round.rs` and `submit.rs` do.
#![allow(unsafe_code, reason = "shares what is behind a claim between the threads of a model")]

#[path = "../../io-core/tests/loom/explore.rs"]
mod explore;

use crate::gate::Gate;
use crate::inbox::Shared;
use crate::inbox::sealed::Inbox;
use crate::threads::give_way;
use crate::wake::Wake;
use explore::{Bound, explore};
use io_core::Deadline;
use io_core::sync::{AtomicU32, Ordering, UnsafeCell};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// The words of a backend.
struct Words {
    wake: Wake,
    gate: Gate,
    mode: Shared,
    /// Stands for the inbox: how many were pushed. Relaxed, because it is for the words to order it.
    pushed: AtomicU32,
    /// Stands for the owner's half.
    half: UnsafeCell<u32>,
}

// SAFETY: the half is under a claim or binding, which is what is tested; loom checks each access.
unsafe impl Sync for Words {}
// SAFETY: as above.
unsafe impl Send for Words {}

impl Words {
    fn new() -> Arc<Words> {
        Arc::new(Words {
            wake: Wake::new().expect("eventfd"),
            gate: Gate::new(),
            mode: Shared::new(),
            pushed: AtomicU32::new(0),
            half: UnsafeCell::new(0),
        })
    }

    fn push(&self) {
        // SeqCst, as the push to a `Transfer` is.
        self.pushed.fetch_add(1, Ordering::SeqCst);
        self.wake.nudge();
    }

    fn taken(&self) -> u32 {
        self.pushed.swap(0, Ordering::SeqCst)
    }

    /// One park of the owner's; `true` if a wake has ended it.
    fn park(&self, taken: &mut u32) -> bool {
        if !self.wake.park() {
            return true;
        }
        let new = self.taken();
        *taken += new;
        if new == 0 {
            self.wake.bell.wait();
        }
        self.wake.unpark()
    }

    /// Touches the owner's half, as its owner or with a claim.
    fn touch(&self) {
        // SAFETY: whoever is here has it alone, which loom checks.
        self.half.with_mut(|half| unsafe { *half += 1 });
    }
}

fn on<T: 'static>(words: &Arc<Words>, act: impl FnOnce(&Words) -> T + 'static) -> JoinHandle<T> {
    let words = Arc::clone(words);
    thread::spawn(move || act(&words))
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no panic")
}

#[test]
fn a_push_reaches_an_owner_that_parks() {
    explore(Bound::All, || {
        let words = Words::new();
        let pusher = on(&words, Words::push);
        let mut taken = 0;
        while taken < 1 {
            assert!(!words.park(&mut taken), "nobody wakes");
        }
        join(pusher);
    });
}

#[test]
fn two_pushes_reach_an_owner_that_parks() {
    explore(Bound::Preemptions(4), || {
        let words = Words::new();
        let pushers = [(); 2].map(|()| on(&words, Words::push));
        let mut taken = 0;
        while taken < 2 {
            assert!(!words.park(&mut taken), "nobody wakes");
        }
        pushers.into_iter().for_each(join);
    });
}

#[test]
fn a_wake_ends_one_poll() {
    explore(Bound::All, || {
        let words = Words::new();
        let waker = on(&words, |words| words.wake.wake());
        while !words.park(&mut 0) {}
        join(waker);
        words.wake.use_up();
        assert!(words.wake.park(), "it is used up");
    });
}

#[test]
fn a_wake_and_a_push_are_both_seen() {
    explore(Bound::Preemptions(4), || {
        let words = Words::new();
        let pusher = on(&words, Words::push);
        let waker = on(&words, |words| words.wake.wake());
        let (mut taken, mut woken) = (0, false);
        while taken < 1 || !woken {
            woken |= words.park(&mut taken);
            taken += words.taken();
        }
        join(pusher);
        join(waker);
    });
}

#[test]
fn a_stop_leaves_nothing_of_a_visitor_behind() {
    explore(Bound::Preemptions(4), || {
        let words = Words::new();
        let visitors = [(); 2].map(|()| {
            on(&words, |words| {
                let visit = words.mode.visit();
                let taken = !words.gate.refuses();
                if taken {
                    words.pushed.fetch_add(1, Ordering::Relaxed);
                }
                drop(visit);
                u32::from(taken)
            })
        });
        words.gate.close();
        while !words.mode.unvisited() {
            give_way();
        }
        let seen = words.pushed.load(Ordering::Relaxed);
        words.gate.settle();
        assert_eq!(visitors.into_iter().map(join).sum::<u32>(), seen, "all that was let in");
    });
}

#[test]
fn claims_and_a_binding_exclude_each_other() {
    explore(Bound::Fixed(2), || {
        let words = Words::new();
        let claimer = on(&words, |words| {
            if let Some(claim) = words.mode.claim() {
                words.touch();
                drop(claim);
            }
        });
        let other = on(&words, |words| {
            if words.mode.bind() == Ok(true) {
                words.touch();
                words.mode.rest();
            }
        });
        let bound = words.mode.bind();
        if bound.is_ok() {
            words.touch();
            words.mode.rest();
        }
        join(claimer);
        join(other);
    });
}

#[test]
fn a_claim_and_a_binding_exclude_each_other() {
    explore(Bound::All, || {
        let words = Words::new();
        let claimer = on(&words, |words| {
            if let Some(claim) = words.mode.claim() {
                words.touch();
                drop(claim);
            }
        });
        if words.mode.bind() == Ok(true) {
            words.touch();
            words.mode.rest();
        }
        join(claimer);
    });
}

#[test]
fn an_owner_that_comes_back_and_a_claim_exclude_each_other() {
    explore(Bound::All, || {
        let words = Words::new();
        assert_eq!(words.mode.bind(), Ok(true));
        words.touch();
        words.mode.rest();
        let claimer = on(&words, |words| {
            if let Some(claim) = words.mode.claim() {
                words.touch();
                drop(claim);
            }
        });
        assert_eq!(words.mode.bind(), Ok(false));
        words.touch();
        join(claimer);
    });
}

#[test]
fn who_waits_hears_that_its_operation_is_done() {
    explore(Bound::All, || {
        let words = Words::new();
        let waiter = on(&words, |words| {
            let _waiting = words.mode.begin_wait();
            loop {
                let epoch = words.mode.epoch();
                if words.pushed.load(Ordering::Relaxed) > 0 {
                    return;
                }
                words.mode.wait_epoch(epoch, Deadline::NEVER);
            }
        });
        words.pushed.store(1, Ordering::Relaxed);
        words.mode.announce();
        join(waiter);
    });
}

#[test]
fn who_waits_is_told_or_finds_the_owner_at_rest() {
    explore(Bound::All, || {
        let words = Words::new();
        assert_eq!(words.mode.bind(), Ok(true));
        // As in `wait`: it helps itself where nobody drives the backend.
        let waiter = on(&words, |words| {
            let _waiting = words.mode.begin_wait();
            loop {
                let epoch = words.mode.epoch();
                if let Some(claim) = words.mode.claim() {
                    words.touch();
                    drop(claim);
                    return;
                }
                words.mode.wait_epoch(epoch, Deadline::NEVER);
            }
        });
        words.touch();
        words.mode.rest();
        join(waiter);
    });
}
