//! The sink between its caller and the completer: taken once, dropped once, and no wake-up lost.

use super::explore::{Bound, explore};
use super::{Bell, Shared};
use crate::sink::Sink;
use core::task::Waker;
use loom::thread;
use std::sync::Arc;

fn waker(bell: &Arc<Bell>) -> Waker {
    Waker::from(Arc::clone(bell))
}

#[test]
fn a_first_waker_against_the_completion() {
    explore(Bound::All, || {
        let (shared, node) = Shared::submit(None);
        let bell = Bell::new();
        let completer = thread::spawn(move || node.complete(7).run());
        assert_eq!(shared.poll(&bell), 7);
        completer.join().expect("no panic");
        assert_eq!(Arc::strong_count(&bell), 1, "each waker was dropped once");
    });
}

#[test]
fn a_new_waker_against_the_completion() {
    explore(Bound::All, || {
        let (old, new) = (Bell::new(), Bell::new());
        let (shared, node) = Shared::submit(Some(Sink::Waker(waker(&old))));
        let completer = thread::spawn(move || node.complete(7).run());
        // Woken after its registration, or told that it is done: else it waits for ever.
        assert_eq!(shared.poll(&new), 7);
        completer.join().expect("no panic");
        assert!(old.times() <= 1);
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 1));
    });
}

#[test]
fn the_same_waker_against_the_completion() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(Some(Sink::Waker(waker(&bell))));
        let completer = thread::spawn(move || node.complete(7).run());
        assert_eq!(shared.poll(&bell), 7);
        completer.join().expect("no panic");
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

#[test]
fn two_new_wakers_against_the_completion() {
    explore(Bound::All, || {
        let (one, two) = (Bell::new(), Bell::new());
        let (shared, node) = Shared::submit(None);
        let completer = thread::spawn(move || node.complete(7).run());
        if shared.0.register(&waker(&one)).is_pending() {
            assert_eq!(shared.poll(&two), 7);
        } else {
            assert_eq!(shared.finish(), 7);
        }
        completer.join().expect("no panic");
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (1, 1));
    });
}

#[test]
fn a_waker_against_a_completion_that_tells_nobody_first() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(None);
        let completer = thread::spawn(move || {
            // As a reap does: what has somebody to tell goes on a list, and is delivered later.
            if let Err(node) = node.complete_quiet(7) {
                node.complete_stored().run();
            }
        });
        assert_eq!(shared.poll(&bell), 7);
        completer.join().expect("no panic");
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

#[test]
fn taking_a_waker_out_against_the_completion() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(Some(Sink::Waker(waker(&bell))));
        let completer = thread::spawn(move || node.complete(7).run());
        let sink = shared.0.detach();
        let ours = sink.is_some();
        drop(sink);
        completer.join().expect("no panic");
        assert_eq!(shared.finish(), 7);
        assert_eq!(bell.times(), usize::from(!ours), "dropped here or run there");
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

#[test]
fn taking_a_callback_out_against_the_completion() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let ring = |context: *mut (), result: i64| {
            assert_eq!(result, 7);
            // SAFETY: the test's own reference lives longer.
            let bell = unsafe { &*context.cast::<Arc<Bell>>() };
            waker(bell).wake();
        };
        let context = (&raw const bell).cast_mut().cast();
        let (shared, node) = Shared::submit(Some(Sink::Callback(ring, context)));
        let completer = thread::spawn(move || node.complete(7).run());
        let ours = shared.0.detach().is_some();
        completer.join().expect("no panic");
        assert_eq!(shared.finish(), 7);
        assert_eq!(bell.times(), usize::from(!ours));
    });
}

#[test]
fn a_new_waker_and_then_none_against_the_completion() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(None);
        let completer = thread::spawn(move || node.complete(7).run());
        let pending = shared.0.register(&waker(&bell)).is_pending();
        let ours = pending && shared.0.detach().is_some();
        completer.join().expect("no panic");
        assert_eq!(shared.finish(), 7);
        // It may have woken itself in the window of the completer.
        assert!(!ours || bell.times() == 0);
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}
