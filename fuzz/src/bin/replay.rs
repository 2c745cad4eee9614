//! Runs inputs of a fuzz target without a fuzzer: `replay TARGET FILE` prints what the input does, as a
//! readable list, and runs it. With more files it prints their names only, and runs them in turn.

use io_conformance::watchdog::Watchdog;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| io_fuzz::target(&name)) else {
        let names = io_fuzz::TARGETS.map(|target| target.name).join(" | ");
        eprintln!("usage: replay {names} FILE...");
        return ExitCode::FAILURE;
    };
    let files: Vec<String> = arguments.collect();
    for file in &files {
        println!("{file}");
        let data = match std::fs::read(Path::new(file)) {
            Ok(data) => data,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        };
        if let [_] = files.as_slice() {
            println!("{}", (target.describe)(&data));
        }
        let watchdog = Watchdog::arm(file);
        (target.run)(&data);
        drop(watchdog);
    }
    println!("{}: {} inputs", target.name, files.len());
    ExitCode::SUCCESS
}
