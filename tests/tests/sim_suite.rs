//! The contract, on the simulated backend: what needs no real kernel. Once with a kernel on a good day, then
//! with an adversary.

use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use io_conformance::choices::Choices;
use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour, Needs};
use io_conformance::rig::Rig;
use io_conformance::sim::{Plan, SimBackend};
use io_conformance::suite::{all, run, trials};
use io_conformance::tally;
use io_conformance::world::{Entered, Shared};
use io_core::{IoBackend, OpKind};
use libtest_mimic::Trial;
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

    fn enter(&self) -> Option<Entered> {
        Some(Shared::default().enter())
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
        let world = Shared::current().expect("a world, from `enter`");
        let backend = pin!(SimBackend::new(Choices::seed(seed), self.plan, world));
        if flavour == Flavour::Started {
            backend.start().expect("start");
        }
        let result = test(&Rig::new(backend.as_ref()));
        tally::add(self.name, &backend.counters());
        result
    }
}

fn main() -> ExitCode {
    let mut every = trials(Simulated::new("sim_tame", Plan::tame()), all());
    // What the cases count on: no errors of the kernel's own, whole counts, memory that is not touched in
    // vain, and a poll that waits for its time.
    let unruly =
        Plan { shorten: false, scribble: false, spurious: false, ..Plan::without_errors() };
    let promised = all().into_iter().map(|case| {
        // The clock of this kernel jumps to what comes next while others are late.
        let on_time =
            ["time::sleeps_end_in_the_order_of_their_deadlines", "deadline::stop_with_deadlines"];
        if on_time.contains(&case.name.as_str()) { case.needs(Needs::Clock) } else { case }
    });
    every.extend(trials(Simulated::new("sim_unruly", unruly), promised.collect()));
    every.push(Trial::test("most_of_the_suite_needs_no_kernel", || {
        let cases = all::<Simulated>();
        let here = cases.iter().filter(|case| case.is_for_simulations()).count();
        let enough = here * 10 >= cases.len() * 7;
        if enough { Ok(()) } else { Err(format!("{here} of {} cases", cases.len()).into()) }
    }));
    run(every, &["sim_tame", "sim_unruly"])
}
