//! Random load with random faults on each backend for a given time, and what must hold all the while: what was
//! submitted is completed, no byte is lost or changed, and descriptors, threads and memory stay flat.
//!
//! `cargo run --release --example soak -- [--backend uring|epoll|pool|all] [--seconds N] [--seed S] [--json]`;
//! `--help` says what is done and checked.

mod epoch;
mod faults;
#[allow(unreachable_pub, reason = "the test kit's, where it is public")]
#[path = "../../../tests/src/fault/heap.rs"]
mod heap;
mod lane;
mod options;
mod process;
mod random;
mod report;
mod sessions;
mod watch;
mod world;

use io_std::Backend;
use options::{Command, Options};
use random::Random;
use report::Report;
use std::process::ExitCode;
use std::time::Instant;
use watch::Watch;

#[global_allocator]
static ALLOCATOR: heap::Heap = heap::Heap;

fn main() -> ExitCode {
    let options = match options::parse() {
        Ok(Command::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Soak(options)) => options,
        Err(error) => {
            eprintln!("soak: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    faults::prepare();
    for &backend in &options.backends {
        if let Err(error) = soak(backend, &options) {
            eprintln!("soak: {}: {error}", backend.name());
            eprintln!("soak: {}", options.again(backend));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// One backend, for its time.
fn soak(backend: Backend, options: &Options) -> Result<(), String> {
    let begin = Instant::now();
    let watch = Watch::start(options.again(backend));
    let mut report = Report::new(backend, options.seed);
    let mut random = Random::new(options.seed);
    while begin.elapsed() < options.time {
        let number = report.epochs();
        let outcome = epoch::run(backend, &mut random, &watch);
        let outcome = outcome.map_err(|error| format!("epoch {number}: {error}"))?;
        report.add(&outcome)?;
    }
    report.finish(begin.elapsed(), options.json)
}
