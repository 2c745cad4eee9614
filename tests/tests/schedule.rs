//! Random programs of operations over the simulated backend: many seeds, all small ones, and those that once
//! failed.

use core::cell::Cell;
use io_conformance::explore;
use io_conformance::program::{Limits, Summary, run};
use io_core::{OpKind, OpSet};
use std::time::Instant;

/// So many within five minutes on one core.
const SEEDS: u32 = if cfg!(miri) { 4 } else { 100_000 };

fn report(name: &str, total: &Summary, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    let missing: Vec<&str> = OpKind::ALL
        .into_iter()
        .filter(|kind| total.kinds & OpSet::of(*kind).bits() == 0)
        .map(OpKind::name)
        .collect();
    println!("{name}: {total:?}");
    println!("{name}: {seconds:.1} s, kinds never submitted: {missing:?}");
}

/// Whatever the adversary does, the contract holds.
#[test]
fn random_programs_keep_the_contract() {
    let total = Cell::new(Summary::default());
    let begin = Instant::now();
    let limits = if cfg!(miri) { Limits::small() } else { Limits::usual() };
    explore::seeds(SEEDS, |choices| {
        let mut sum = total.get();
        sum += run(choices, limits);
        total.set(sum);
    });
    report("random programs", &total.get(), begin);
}
