//! Both queues, held against plain lists by random calls. With the feature `steps`, further calls come between
//! the accesses of a push or a take.

use io_conformance::queues::{Log, live};
use io_conformance::watchdog::{Watchdog, rounds};
use std::rc::Rc;

/// A byte of a simple generator.
fn next(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*seed >> 40).to_le_bytes()[0]
}

#[test]
fn queues_follow_plain_lists() {
    // Miri's clock is not the machine's.
    let _watchdog = (!cfg!(miri)).then(|| Watchdog::arm("queues"));
    let lives = if cfg!(miri) { rounds(4) } else { rounds(5_000) };
    let (mut seed, mut calls) = (1_u64, 0);
    for life in 0..lives {
        let data: Vec<u8> = core::iter::repeat_with(|| next(&mut seed)).take(200).collect();
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
