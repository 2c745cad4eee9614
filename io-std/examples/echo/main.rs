//! A TCP echo server on each backend, next to the same server written by hand on epoll and on io_uring, and
//! the client that loads them.
//!
//! `cargo run --release --example echo -- [--backend uring|epoll|pool|all] [--json]`; `--help` explains the
//! columns.

#[path = "../bench/allocs.rs"]
mod allocs;
mod client;
mod contenders;
mod executor;
mod gate;
mod measure;
mod options;
mod raw_epoll;
mod raw_ring;
mod report;
mod service;
mod sockets;
#[path = "../bench/stable.rs"]
mod stable;

use options::{Command, Options};
use report::Report;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocs::Counting = allocs::Counting;

/// Whatever ends the program: it is only printed.
pub(crate) type Failure = Box<dyn core::error::Error>;

fn main() -> ExitCode {
    let options = match options::parse() {
        Ok(Command::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Compare(options)) => options,
        Err(error) => {
            eprintln!("echo: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Failure> {
    let mut report = Report::new(options);
    contenders::with_all(options, |contenders, client| {
        measure::compare(contenders, client, options, |name, figures| report.row(name, figures))
    })?;
    Ok(report.finish()?)
}
