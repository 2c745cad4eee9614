//! The contract, on the pool.

mod support;

use io_conformance::suite::{all, run, shared, trials};
use std::process::ExitCode;
use support::pool::{LocalPool, Pool};

fn main() -> ExitCode {
    let mut every = Vec::new();
    for (name, workers) in [("pool_4_workers", 4), ("pool_no_workers", 0)] {
        every.extend(trials(Pool { name, workers }, all()));
        every.extend(trials(Pool { name, workers }, shared()));
    }
    every.extend(trials(LocalPool, all()));
    run(every, &["pool_4_workers", "pool_no_workers", "local_pool"])
}
