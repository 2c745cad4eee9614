//! The state word between the caller, the completer, and who asks for an early end.

use super::explore::{Bound, explore};
use super::{Bell, Shared};
use crate::context::Node;
use crate::sink::Sink;
use core::task::Waker;
use loom::thread;
use std::sync::Arc;

/// Completes it with 7 and runs its sink; whether a thread is to be told.
fn complete(node: Node) -> bool {
    let delivery = node.complete(7);
    let waiter = delivery.waiter();
    delivery.run();
    waiter
}

#[test]
fn a_waiter_against_the_completion() {
    explore(Bound::All, || {
        let (shared, node) = Shared::submit(None);
        let completer = thread::spawn(move || node.complete(7).waiter());
        // SAFETY: the storage is valid.
        let asked = unsafe { shared.ptr().add_waiter() };
        if !asked {
            // It is done: the result is there at once.
            assert_eq!(shared.finish(), 7);
        }
        let told = completer.join().expect("no panic");
        assert_eq!(told, asked, "the completer tells of whoever was let wait, and of nobody else");
        if asked {
            assert_eq!(shared.finish(), 7);
        }
    });
}

#[test]
fn a_waiter_against_a_completion_with_a_sink() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let waker = Waker::from(Arc::clone(&bell));
        let (shared, node) = Shared::submit(Some(Sink::Waker(waker)));
        let completer = thread::spawn(move || complete(node));
        // SAFETY: the storage is valid.
        let asked = unsafe { shared.ptr().add_waiter() };
        if !asked {
            assert_eq!(shared.finish(), 7);
        }
        assert_eq!(completer.join().expect("no panic"), asked);
        assert_eq!((bell.times(), Arc::strong_count(&bell)), (1, 1));
    });
}

#[test]
fn a_cancel_against_the_completion() {
    explore(Bound::All, || {
        let (shared, node) = Shared::submit(None);
        let completer = thread::spawn(move || {
            node.begin();
            let seen = node.cancel_asked();
            drop(node.complete(if seen { -125 } else { 7 }));
            seen
        });
        let asked = shared.0.ask_cancel();
        assert!(!shared.0.ask_cancel(), "asked before, or done");
        let seen = completer.join().expect("no panic");
        assert!(asked || !seen, "what is seen was asked");
        assert_eq!(shared.finish(), if seen { -125 } else { 7 });
    });
}

#[test]
fn a_waker_and_a_cancel_against_two_tries() {
    explore(Bound::Preemptions(3), || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(None);
        let asker = Arc::clone(&shared);
        let completer = thread::spawn(move || {
            node.begin();
            // It would have blocked, waits, and is tried again.
            node.requeue();
            node.begin();
            node.complete(7).run();
        });
        // A cancel by descriptor comes from any thread, while the node is valid: the last to use the storage
        // is this test.
        let canceller = thread::spawn(move || asker.0.ask_cancel());
        let waker = Waker::from(Arc::clone(&bell));
        shared.wait(&waker, &bell);
        completer.join().expect("no panic");
        canceller.join().expect("no panic");
        drop(waker);
        assert_eq!(shared.finish(), 7);
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

#[test]
fn a_deadline_against_a_waker() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let (shared, node) = Shared::submit(Some(Sink::Waker(Waker::from(Arc::clone(&bell)))));
        let completer = thread::spawn(move || {
            node.begin();
            node.expire();
            assert!(node.cancel_asked());
            node.complete(7).run();
        });
        assert_eq!(shared.poll(&bell), 7);
        completer.join().expect("no panic");
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}

#[test]
fn a_drop_against_the_completion() {
    explore(Bound::All, || {
        let bell = Bell::new();
        let waker = Waker::from(Arc::clone(&bell));
        let (shared, node) = Shared::submit(Some(Sink::Waker(waker)));
        let completer = thread::spawn(move || complete(node));
        // What a drop does: nobody is to hear of it, it ends early, and the thread waits.
        let sink = shared.0.detach();
        shared.0.ask_cancel();
        // SAFETY: the storage is valid.
        let asked = unsafe { shared.ptr().add_waiter() };
        drop(sink);
        assert_eq!(completer.join().expect("no panic"), asked);
        assert_eq!(shared.finish(), 7);
        assert_eq!(Arc::strong_count(&bell), 1);
    });
}
