//! The programs of the list: the same output and code as without the tracer, and nothing lost. What is missing is installed, where that can be done.

use crate::list::{PROGRAMS, Program};
use crate::run::{BACKENDS, Run, at_length};

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// The tree they work on.
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Runs a script in a new folder, under what `run` makes of it.
pub(crate) fn in_folder(
    program: &Program,
    run: impl FnOnce(&[&'static str], &Path) -> Output,
) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    run(&["sh", "-c", program.script, "sh", SMALL], dir.path())
}

/// Whether all commands are there, or could be installed; says so if not.
pub(crate) fn ready(program: &Program) -> bool {
    // Two at once would wait for each other's lock, and fail.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().expect("nobody panicked");
    let there = |command: &str| {
        let mut look = Command::new("sh");
        look.args(["-c", "command -v -- \"$0\" >/dev/null", command]).stdin(Stdio::null());
        look.status().is_ok_and(|status| status.success())
    };
    program.needs.iter().all(|(command, package)| {
        if there(command) {
            return true;
        }
        // Without a network it is to give up soon.
        let patience = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20"];
        let install = ["install", "-y", "-qq", "--no-install-recommends", package];
        let apt = Command::new("apt-get")
            .args(patience)
            .args(install)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // No daemon is to be started by its installation.
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .output();
        let why = match apt {
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let installed = there(command);
        if !installed {
            println!("SKIPPED {}: {package} cannot be installed: {why}", program.name);
        }
        installed
    })
}

#[test]
fn real_programs_do_what_they_do_without_it() {
    if !at_length() {
        return;
    }
    for program in PROGRAMS.iter().filter(|program| ready(program)) {
        let without = in_folder(program, |command, dir| {
            let mut plain = Command::new(command[0]);
            plain.args(&command[1..]).current_dir(dir).stdin(Stdio::null());
            plain.output().expect("runs")
        });
        assert!(without.status.success(), "{}: {without:?}", program.name);
        for backend in BACKENDS {
            let mut told = None;
            let with = in_folder(program, |command, dir| {
                let mut run = Run::new(&["--backend", backend], command);
                run.command.current_dir(dir);
                let traced = run.finish();
                let output = traced.output.clone();
                told = Some(traced);
                output
            });
            let traced = told.expect("it ran");
            if backend == "uring" && traced.said().contains("does not work here") {
                println!("SKIPPED uring: {}", traced.said().trim());
                continue;
            }
            let (name, summary) = (program.name, &traced.summary);
            assert_eq!(with.status, without.status, "{name} on {backend}: {}", traced.said());
            let text = String::from_utf8_lossy;
            assert_eq!(text(&with.stdout), text(&without.stdout), "{name} on {backend}");
            traced.assert_whole();
            assert_eq!(summary["untraced"], 0, "{name} on {backend}");
            println!(
                "{name} on {backend}: {} events in {} processes and {} threads, {} writes",
                summary["events"], summary["processes"], summary["threads"], summary["writes"]
            );
        }
    }
}
