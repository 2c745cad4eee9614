//! The contract, on epoll.

mod support;

use io_conformance::suite::{all, run, shared, trials};
use std::process::ExitCode;
use support::epoll::{self, LocalEpoll};

fn main() -> ExitCode {
    let (mut every, mut names) = (Vec::new(), vec!["local_epoll"]);
    let alone = epoll::alone();
    names.push(alone.name);
    every.extend(trials(alone.clone(), all()));
    every.extend(trials(alone, shared()));
    for variant in epoll::offloaded() {
        names.push(variant.name);
        every.extend(trials(variant.clone(), all()));
        every.extend(trials(variant, shared()));
    }
    every.extend(trials(LocalEpoll, all()));
    run(every, &names)
}
