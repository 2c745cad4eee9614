//! Copies a file or a whole tree, with many files in flight on one thread.
//!
//! ```text
//! cargo run --release --example copy -- [OPTIONS] SRC DST
//! ```
//!
//! One thread walks the tree and drives a fixed number of slots; each slot copies one file at a time
//! through the backend. What the backends have no operation for (directories, links, modes, times) are
//! plain system calls in between. A new tree grows under a hidden name beside its place and is renamed
//! when it is complete, so there is never half a file under a final name.

mod args;
mod file;
mod meta;
mod slots;
mod stage;
mod totals;
mod walk;

use args::{Command, Options};
use file::Copier;
use io_std::{BuildError, Io};
use slots::Slots;
use stage::Stage;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use totals::Totals;

fn main() -> ExitCode {
    match args::parse() {
        Ok(Command::Help) => {
            // Nobody reading it is no failure.
            let _ = writeln!(io::stdout(), "{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Copy(options)) => match run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(message) => {
                eprintln!("copy: {message}");
                if options.json {
                    let line = serde_json::json!({ "error": message, "failures": 1 });
                    let _ = writeln!(io::stdout(), "{line}");
                }
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("copy: {error}\n{}", args::USAGE);
            ExitCode::from(2)
        }
    }
}

/// Copies; says whether everything went well. What went wrong with single files is on stderr by then.
fn run(options: &Options) -> Result<bool, String> {
    let top = stage::examine(options).map_err(|failure| failure.to_string())?;
    let io = build_io(options).map_err(|error| error.to_string())?;
    let stage = Stage::new(options).map_err(|failure| failure.to_string())?;
    let stage = Rc::new(stage);
    let totals = Rc::new(Totals::new(stage.clone(), options.json));
    let walk = walk::Walk::new(options, &stage, &top, totals.clone());
    let copier = Rc::new(Copier::new(io.clone(), walk, stage.is_hidden(), totals.clone()));
    let slots = (0..options.jobs).map(|_| {
        let copier = copier.clone();
        async move { copier.work().await }
    });
    io.block_on(Slots::new(slots));
    // The last owners of the directories go here, and those get their times.
    drop(copier);
    stage.publish(&totals).map_err(|failure| failure.to_string())?;
    totals.finish(&io).map_err(|error| format!("cannot write to the standard output: {error}"))?;
    Ok(totals.failures() == 0)
}

fn build_io(options: &Options) -> Result<Io, BuildError> {
    // One thread does everything, so it may as well own the ring.
    Io::builder().backend(options.backend).driver(false).workers(options.workers).build()
}
