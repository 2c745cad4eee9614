//! The contract, on the ring.

mod support;

use io_conformance::suite::{all, run, shared, trials};
use io_conformance::tally;
use io_core::OpKind;
use libtest_mimic::{Failed, Trial};
use std::process::ExitCode;
use support::uring;

/// Operations that were masked did not run on the ring, and the others did.
fn masked(variant: &'static str, masked: fn(OpKind) -> bool) -> Trial {
    Trial::test(format!("{variant}::masked_operations_run_elsewhere"), move || {
        for (kind, count) in OpKind::ALL.into_iter().zip(tally::ring_ops(variant)) {
            if masked(kind) && count > 0 {
                return Err(Failed::from(format!("{} ran on the ring {count} times", kind.name())));
            }
        }
        Ok(())
    })
}

fn main() -> ExitCode {
    let (mut every, mut names) = (Vec::new(), Vec::new());
    for variant in uring::shared() {
        names.push(variant.name);
        every.extend(trials(variant.clone(), all()));
        every.extend(trials(variant, shared()));
    }
    for variant in uring::offloaded() {
        names.push(variant.name);
        every.extend(trials(variant.clone(), all()));
        every.extend(trials(variant, shared()));
    }
    for variant in uring::local() {
        names.push(variant.name);
        every.extend(trials(variant, all()));
    }
    every.push(masked("uring_newer_masked", |kind| uring::NEWER.contains(&kind)));
    every.push(masked("uring_all_masked", |_| true));
    every.push(masked("uring_all_masked_offload", |_| true));
    run(every, &names)
}
