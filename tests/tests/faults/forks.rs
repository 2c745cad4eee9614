//! A fork in the middle of each system call.
#![allow(unsafe_code, reason = "looks at a backend from a forked child")]
//! # Safety
//! The child is a copy of a process in which the backend is in use and in place; what is called there is what
//! the contract allows to any thread.

use crate::load::{CALLS, Props, batch, works};
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use io_conformance::child::{self, Child};
use io_conformance::fault::{Answer, Call, Census, Supervisor};
use io_conformance::fixture::Fixture;
use io_conformance::rig::Rig;
use io_conformance::watchdog::rounds;
use io_core::{Errno, IoBackend};
use std::sync::{Arc, Mutex};

/// In the child: the backend is the parent's and says so; made new, it works.
fn check_child<F: Fixture>(fx: &F, backend: &F::Backend) {
    assert_eq!(backend.generation(), 0, "the parent's");
    assert_eq!(backend.in_flight(), 0);
    assert_eq!(backend.poll(None), Err(Errno::OWNERDEAD));
    backend.wake_handle().wake();
    // SAFETY: the backend is pinned where it is, and never leaves it: the child ends without dropping it.
    let backend = unsafe { Pin::new_unchecked(backend) };
    assert_eq!(fx.reinit(backend), Some(Ok(())), "made new");
    let _: Result<(), Errno> = backend.start();
    works(&Rig::new(backend));
}

/// Forks while a thread of the load is inside the `k`-th of its system calls, for many `k`. Each child finds the
/// parent's backend dead and can make it new; the parent's results are those of a run without forks.
pub(crate) fn in_each_call<F: Fixture<Backend: Sync> + Clone>(fx: &F) {
    let calls = Supervisor::over(CALLS);
    let place: Arc<AtomicPtr<F::Backend>> = Arc::new(AtomicPtr::new(ptr::null_mut()));
    let forks = rounds(40);
    let children: Arc<Mutex<Vec<Child>>> = Arc::default();
    let seen = Arc::new(AtomicU64::new(0));
    // What is filled once is filled.
    fx.started(works);
    let before = Census::settled();
    fx.started(|rig| {
        let props = Props::new(4);
        works(rig);
        place.store(ptr::from_ref(rig.backend().get_ref()).cast_mut(), Ordering::SeqCst);
        let (fixture, at, all) = (fx.clone(), Arc::clone(&place), Arc::clone(&children));
        let (count, mut left) = (Arc::clone(&seen), forks);
        let script = move |_: &Call| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            // All of the first calls, and then some.
            if left > 0 && (number < 20 || number.is_multiple_of(7)) {
                left -= 1;
                let child = child::fork(|| {
                    // SAFETY: the address of the rig's backend, which this process has a copy of.
                    let backend = unsafe { &*at.load(Ordering::SeqCst) };
                    check_child(&fixture, backend);
                });
                all.lock().expect("nobody panics with it").push(child);
            }
            Answer::Go
        };
        let mut done = 0;
        calls.script(script);
        while done < 5 || children.lock().expect("as above").len() < forks as usize {
            batch(rig, &props);
            done += 1;
        }
        calls.calm();
        works(rig);
        let all = core::mem::take(&mut *children.lock().expect("as above"));
        all.into_iter().for_each(|child| child.join("a fork in a system call"));
        works(rig);
    });
    before.assert_same("forks in system calls");
}
