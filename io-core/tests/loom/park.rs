//! Sleepers of both kinds against those who notify them.

use crate::explore::{Bound, explore};
use io_core::Deadline;
use io_core::readiness::{Park, Role};
use io_core::sync::{AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// A parking place and what its threads wait for. All relaxed: it is for parking to order what was done
/// before a notification before what is seen after it.
struct Place {
    park: Park,
    work: AtomicU32,
    done: AtomicU32,
}

impl Place {
    fn new() -> Arc<Place> {
        Arc::new(Place {
            park: Park::new().expect("nothing to fail"),
            work: AtomicU32::new(0),
            done: AtomicU32::new(0),
        })
    }

    /// Sleeps until `ready` says so, in the way of every loop of a backend.
    fn until(&self, role: Role, mut ready: impl FnMut() -> bool) {
        loop {
            let seen = self.park.epoch();
            if ready() {
                return self.park.leave();
            }
            self.park.park(role, seen, Deadline::NEVER, Deadline::NEVER);
        }
    }

    /// Takes one piece of work.
    fn take(&self) -> bool {
        let mut left = self.work.load(Ordering::Relaxed);
        while left > 0 {
            let taken =
                self.work.compare_exchange(left, left - 1, Ordering::Relaxed, Ordering::Relaxed);
            match taken {
                Ok(_) => return true,
                Err(now) => left = now,
            }
        }
        false
    }

    fn work_once(&self) {
        self.until(Role::Worker, || self.take());
    }

    fn is_done(&self, count: u32) -> bool {
        self.done.load(Ordering::Relaxed) >= count
    }

    fn add_work(&self, anyone: bool) {
        self.work.fetch_add(1, Ordering::Relaxed);
        self.park.notify_work(anyone);
    }

    fn add_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.park.notify_others();
    }
}

fn on(place: &Arc<Place>, act: impl FnOnce(&Place) + 'static) -> JoinHandle<()> {
    let place = Arc::clone(place);
    thread::spawn(move || act(&place))
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn work_for_a_worker() {
    explore(Bound::All, || {
        let place = Place::new();
        let worker = on(&place, Place::work_once);
        place.add_work(false);
        join([worker]);
    });
}

#[test]
fn news_for_a_poller() {
    explore(Bound::All, || {
        let place = Place::new();
        let poller = on(&place, |place| place.until(Role::Other, || place.is_done(1)));
        place.add_done();
        join([poller]);
    });
}

#[test]
fn work_for_a_poller_where_nobody_works() {
    explore(Bound::All, || {
        let place = Place::new();
        let poller = on(&place, |place| place.until(Role::Other, || place.take()));
        place.add_work(true);
        join([poller]);
    });
}

#[test]
fn an_earlier_deadline_for_the_watcher() {
    explore(Bound::All, || {
        let place = Place::new();
        let poller = on(&place, |place| place.until(Role::Other, || place.is_done(1)));
        place.done.store(1, Ordering::Relaxed);
        place.park.notify_timer();
        join([poller]);
    });
}

#[test]
fn two_pieces_of_work_for_two_workers() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        let workers = [(); 2].map(|()| on(&place, Place::work_once));
        place.add_work(false);
        place.add_work(false);
        join(workers);
    });
}

#[test]
fn news_for_two_pollers() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        let pollers =
            [(); 2].map(|()| on(&place, |place| place.until(Role::Other, || place.is_done(1))));
        place.add_done();
        join(pollers);
    });
}

#[test]
fn work_for_a_worker_beside_a_poller_that_waits_for_it() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        let worker = on(&place, |place| {
            place.work_once();
            place.add_done();
        });
        let poller = on(&place, |place| place.until(Role::Other, || place.is_done(1)));
        place.add_work(false);
        join([worker, poller]);
    });
}

#[test]
fn a_watcher_that_leaves_is_followed_by_another() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        // The first to hear leaves; the earlier deadline is told to whoever watches then.
        let pollers = [1, 2].map(|count| {
            on(&place, move |place| place.until(Role::Other, || place.is_done(count)))
        });
        place.add_done();
        place.done.fetch_add(1, Ordering::Relaxed);
        place.park.notify_timer();
        join(pollers);
    });
}

#[test]
fn a_thread_that_only_looks_takes_no_wake_up_of_the_watchers() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        let poller = on(&place, |place| place.until(Role::Other, || place.is_done(1)));
        let looker = on(&place, |place| {
            place.park.look();
        });
        place.add_done();
        join([poller, looker]);
    });
}

#[test]
fn everybody_is_sent_home() {
    explore(Bound::Preemptions(4), || {
        let place = Place::new();
        let worker = on(&place, |place| place.until(Role::Worker, || place.is_done(1)));
        let poller = on(&place, |place| place.until(Role::Other, || place.is_done(1)));
        place.done.store(1, Ordering::Relaxed);
        place.park.notify_all();
        join([worker, poller]);
    });
}
