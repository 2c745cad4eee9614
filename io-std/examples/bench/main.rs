//! Compares each backend with its practical limit, written by hand in this same program.
//!
//! `cargo run --release --example bench -- [--json] [--quick]`; `--help` explains the columns.

mod allocs;
mod callbacks;
mod data;
mod futures;
mod groups;
mod limits;
mod measure;
mod options;
mod ready;
mod report;
mod rows;
mod stable;
mod work;

use core::time::Duration;
use measure::Plan;
use options::Command;
use report::Report;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocs::Counting = allocs::Counting;

/// Whatever ends the program: it is only printed.
pub(crate) type Failure = Box<dyn core::error::Error>;

const FULL: Plan = Plan { rounds: 31, slice: Duration::from_millis(25) };
const QUICK: Plan = Plan { rounds: 11, slice: Duration::from_millis(14) };

fn main() -> ExitCode {
    let command = match options::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("bench: {error}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help => {
            println!("{}", options::HELP);
            Ok(())
        }
        Command::Compare { json, quick, directory } => compare(json, quick, &directory),
        Command::Count { row, ops, directory } => groups::count(row, ops, &directory),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(json: bool, quick: bool, directory: &Path) -> Result<(), Failure> {
    let mut report = Report::new(json);
    let plan = if quick { QUICK } else { FULL };
    groups::compare_all(directory, plan, |row, figures| report.row(row, figures))?;
    Ok(report.finish()?)
}
