//! What tracing costs the program: real programs alone, under the tracer, and under `strace -f`, in turns.
//!
//! ```text
//! cargo run --release --example cost -- [--rounds N] [--backend B] [--tree DIR] [NAME…]
//! ```
//!
//! Prints a table: medians over the rounds, and of the ratios of each round.

mod measure;
mod options;
mod programs;
mod single;
mod table;

use measure::{Cost, Way};
use options::{Command, Options};
use programs::Workload;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use table::Row;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    // What this program runs itself as, with and without a tracer around it.
    let done = match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some(measure::INNER) => measure::inner(arguments),
        Some(single::INNER) => single::inner(arguments),
        _ => match options::parse() {
            Ok(Command::Help) => {
                println!("{}", options::HELP);
                Ok(())
            }
            Ok(Command::Measure(options)) => run(&options),
            Err(error) => Err(io::Error::other(format!("{error}\n{}", options::USAGE))),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let launcher = launcher()?;
    let dir = tempfile::tempdir()?;
    let tree = programs::tree(&options.tree, options.files, dir.path())?;
    let workloads = programs::all(&tree, dir.path())?;
    let wanted = |workload: &&Workload| {
        options.names.is_empty() || options.names.iter().any(|name| workload.name.contains(name))
    };
    table::head(&tree);
    for workload in workloads.iter().filter(wanted) {
        match row(options, &launcher, workload) {
            Ok(row) => println!("{row}"),
            Err(error) => println!("| {} | not run: {error} |", workload.name),
        }
    }
    if options.names.is_empty() || options.names.iter().any(|name| name == "pread") {
        single::tell(options, &launcher, dir.path())?;
    }
    Ok(())
}

/// All rounds of one program: the ways take turns, each round in another order.
fn row(options: &Options, launcher: &Path, workload: &Workload) -> io::Result<Row> {
    let mut row = Row::new(&workload.name);
    let traced = Way::Traced { launcher, backend: &options.backend };
    let strace = if have_strace() { options.strace } else { 0 };
    measure::once(&Way::Alone, workload)?;
    for round in 0..options.rounds {
        let mut ways = vec![&Way::Alone, &traced];
        if round < strace {
            ways.push(&Way::Strace);
        }
        if round % 2 == 1 {
            ways.reverse();
        }
        let costs: io::Result<Vec<Cost>> =
            ways.iter().map(|way| measure::once(way, workload)).collect();
        for (way, cost) in ways.into_iter().zip(costs?) {
            row.add(way, cost);
        }
    }
    Ok(row)
}

/// Whether there is a strace; without one its column stays empty.
fn have_strace() -> bool {
    let asked = std::process::Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// The example `trace`, built beside this one.
fn launcher() -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--release", "--example", "trace", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .stdin(Stdio::null())
        .status()?;
    let launcher = this.with_file_name("trace");
    if !built.success() || !launcher.is_file() {
        return Err(io::Error::other("cargo cannot build the example trace"));
    }
    // It builds the object that it preloads: now, and not in a round.
    std::process::Command::new(&launcher)
        .args(["--out", "/dev/null", "--summary", "/dev/null", "true"])
        .status()?;
    Ok(launcher)
}
