//! The contract, on the simulated backend: what needs no real kernel. Once with a kernel on a good day, then
//! with an adversary.

use core::sync::atomic::{AtomicU64, Ordering};
use io_conformance::choices::Choices;
use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour};
use io_conformance::rig::Rig;
use io_conformance::sim::{Plan, Sim, SimBackend};
use io_conformance::suite::{all, run, trials};
use io_conformance::tally;
use io_core::{IoBackend, OpKind};
use std::process::ExitCode;

/// A simulated machine under this plan, from another seed each time.
#[derive(Debug)]
struct Simulated {
    name: &'static str,
    plan: Plan,
    next_seed: AtomicU64,
}

impl Simulated {
    fn new(name: &'static str, plan: Plan) -> Simulated {
        Simulated { name, plan, next_seed: AtomicU64::new(0) }
    }
}

impl Fixture for Simulated {
    type Backend = SimBackend;

    fn name(&self) -> &str {
        self.name
    }

    fn caps(&self) -> Caps {
        Caps {
            blocking: Blocking::Cancelled,
            runs_by_itself: false,
            one_owner: true,
            opens_fifo_at_once: false,
            in_order: self.plan.in_order,
            kernel: false,
            faults: &OpKind::ALL,
        }
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
        let sim = Sim::new(&Choices::seed(seed), self.plan);
        if flavour == Flavour::Started {
            sim.backend().start().expect("start");
        }
        let result = test(&Rig::new(sim.backend()));
        tally::add(self.name, &sim.backend().counters());
        result
    }
}

fn main() -> ExitCode {
    let mut every = trials(Simulated::new("sim_tame", Plan::tame()), all());
    every.extend(trials(Simulated::new("sim_legal", Plan::without_errors()), all()));
    run(every, &["sim_tame", "sim_legal"])
}
