//! Parking on the real kernel.
#![cfg(not(any(miri, io_loom)))]

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_core::Deadline;
use io_core::readiness::{Park, Role};
use io_core::syscall::deadline_in;
use std::time::Instant;

const LOST: Duration = Duration::from_secs(5);

#[test]
fn a_thread_that_only_looks_takes_no_wake_up_of_the_watchers() {
    let park = Park::new().expect("descriptors");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                park.look();
            }
        });
        for round in 0..2000 {
            let seen = park.epoch();
            let notifier = scope.spawn(|| park.notify_others());
            let begin = Instant::now();
            while park.epoch() == seen && begin.elapsed() < LOST {
                park.park(Role::Other, seen, deadline_in(LOST), Deadline::NEVER);
            }
            let late = begin.elapsed() >= LOST;
            over.store(late, Ordering::Relaxed);
            assert!(!late, "round {round}: the wake-up was lost");
            notifier.join().expect("no panic");
        }
        over.store(true, Ordering::Relaxed);
    });
}
