//! The two queues: nothing is lost, nothing comes twice, and each pusher's order is kept.

use super::Shared;
use super::explore::{Bound, explore};
use crate::Locked;
use crate::context::{Node, NodePtr};
use crate::queue::{Fifo, Transfer};
use loom::thread;
use std::sync::Arc;

fn two() -> ([Arc<Shared>; 2], [Node; 2]) {
    let ((one, first), (two, second)) = (Shared::submit(None), Shared::submit(None));
    ([one, two], [first, second])
}

/// Where each of a pusher's nodes came out.
fn places(storage: &[Arc<Shared>; 2], taken: &[NodePtr]) -> [Option<usize>; 2] {
    [0, 1].map(|at: usize| taken.iter().position(|ptr| *ptr == storage[at].ptr()))
}

fn drain(queue: &Transfer, taken: &mut Vec<NodePtr>) {
    let mut list = Fifo::new();
    let count = queue.take_all(&mut list);
    assert_eq!(count, list.len());
    while let Some(node) = list.pop() {
        taken.push(node.ptr());
        drop(node.complete(0));
    }
}

fn transfer(bound: Bound, pushers: usize) {
    explore(bound, move || {
        let queue = Arc::new(Transfer::new());
        let mut storages = Vec::new();
        let threads: Vec<_> = (0..pushers)
            .map(|_| {
                let (storage, nodes) = two();
                storages.push(storage);
                let queue = Arc::clone(&queue);
                thread::spawn(move || nodes.map(|node| queue.push(node)))
            })
            .collect();
        let mut taken = Vec::new();
        drain(&queue, &mut taken);
        let before = taken.len();
        let firsts: usize = threads
            .into_iter()
            .map(|thread| {
                thread.join().expect("no panic").into_iter().filter(|first| *first).count()
            })
            .sum();
        drain(&queue, &mut taken);
        assert_eq!(taken.len(), 2 * pushers, "nothing is lost or doubled");
        for storage in &storages {
            let [one, two] = places(storage, &taken);
            assert!(one.is_some() && one < two, "the order of one pusher");
        }
        let pieces = usize::from(before > 0) + usize::from(before < taken.len());
        assert_eq!(firsts, pieces, "who finds it empty says so, once for each take");
    });
}

#[test]
fn a_pusher_against_the_taker() {
    transfer(Bound::All, 1);
}

#[test]
fn two_pushers_against_the_taker() {
    transfer(Bound::All, 2);
}

#[test]
fn three_pushers_against_the_taker() {
    transfer(Bound::Preemptions(2), 3);
}

#[cfg(feature = "syscall")]
#[test]
fn a_list_under_a_lock_with_removal_from_the_middle() {
    use crate::readiness::SpinLock;
    explore(Bound::All, || {
        let list: Arc<Locked<SpinLock, Fifo>> = Arc::new(Locked::new(Fifo::new()));
        let (storage, nodes) = two();
        let theirs = Arc::clone(&list);
        let pusher = thread::spawn(move || {
            nodes.into_iter().for_each(|node| {
                // SAFETY: closures do not nest.
                unsafe { theirs.with(|list| list.push(node)) };
            });
        });
        // SAFETY: as above.
        let removed = unsafe { list.with(|list| list.find_remove(storage[1].ptr())) };
        // SAFETY: as above.
        let popped = unsafe { list.with(Fifo::pop) };
        pusher.join().expect("no panic");
        // SAFETY: as above.
        let left = unsafe { list.with(core::mem::take) };
        let mut all: Vec<Node> = removed.into_iter().chain(popped).collect();
        all.extend(left.iter().map(|view| view.ptr()).map(|ptr| {
            // SAFETY: the list that had it is not used again.
            unsafe { ptr.into_node() }
        }));
        let ptrs: Vec<NodePtr> = all.iter().map(Node::ptr).collect();
        assert_eq!(ptrs.len(), 2);
        assert!(places(&storage, &ptrs).iter().all(Option::is_some));
        all.into_iter().for_each(|node| drop(node.complete(0)));
    });
}
