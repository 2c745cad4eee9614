//! Both queues, held against plain lists by random calls. With the feature `steps`, further calls come between
//! the accesses of a push or a take.

use io_conformance::choices::Choices;
use io_conformance::queues::{Log, live};
use io_conformance::watchdog::{Watchdog, rounds};
use std::rc::Rc;

/// So many bytes describe a life.
fn bytes(seed: u64) -> Vec<u8> {
    let choices = Choices::seed(seed);
    (0..200).map(|_| choices.below(256).to_le_bytes()[0]).collect()
}

#[test]
fn queues_follow_plain_lists() {
    // Miri's clock is not the machine's.
    let _watchdog = (!cfg!(miri)).then(|| Watchdog::arm("queues"));
    let lives = if cfg!(miri) { rounds(4) } else { rounds(5_000) };
    let mut calls = 0;
    for life in 0..lives {
        let data = bytes(u64::from(life));
        match live(&data, None) {
            Ok(made) => calls += made,
            Err(mismatch) => {
                let log = Log::default();
                // The same again, in words.
                let _: Result<usize, String> = live(&data, Some(Rc::clone(&log)));
                panic!("life {life}: {mismatch}\n{}", log.borrow().join("\n"));
            }
        }
    }
    assert!(calls > lives as usize * 20, "a life in which nothing happens proves nothing");
    println!("{lives} lives, {calls} calls");
}
