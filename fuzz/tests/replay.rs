//! Every committed input of every fuzz target, as an ordinary test. Each target runs in a process of its
//! own, so that also an input that kills it is named.

use io_fuzz::{TARGETS, Target};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDERS: [&str; 2] = ["corpus", "regressions"];

/// The inputs of this target, in order of their names. A folder that is not there has none.
fn inputs(target: &Target) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            // A note on an input lies beside it.
            if path.extension().is_none_or(|extension| extension != "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs the inputs; `None` if all is well, else the first that fails, as a readable list.
fn failure(target: &Target, files: &[PathBuf]) -> Option<String> {
    let replay = |files: &[PathBuf]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_replay")).arg(target.name).args(files).output();
        output.expect("the program that replays runs")
    };
    let all = replay(files);
    if all.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&all.stdout).into_owned();
    // Of several files the names alone are printed, each before it is run.
    let file = match files {
        [file] => file.clone(),
        _ => text.lines().last().map(PathBuf::from).unwrap_or_default(),
    };
    let alone = replay(core::slice::from_ref(&file));
    let because = if alone.status.success() { &all } else { &alone };
    let (name, file) = (target.name, file.display());
    let run = "cargo run --manifest-path fuzz/Cargo.toml --no-default-features --bin replay --";
    let list = String::from_utf8_lossy(&alone.stdout);
    let error = String::from_utf8_lossy(&because.stderr);
    let after = if alone.status.success() { "only after those before it\n" } else { "" };
    Some(format!(
        "{name}: {}\n{after}{list}\n{error}\nreplay it: {run} {name} {file}",
        because.status
    ))
}

#[test]
fn every_committed_input_runs() {
    let mut failures = Vec::new();
    for target in &TARGETS {
        let files = inputs(target).expect("the folders of inputs can be read");
        // Not `println`, which a test that succeeds keeps to itself.
        writeln!(io::stdout(), "{}: {} inputs", target.name, files.len()).expect("standard output");
        if files.is_empty() {
            failures.push(format!("{}: no inputs", target.name));
        }
        failures.extend(failure(target, &files));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn what_fails_is_named() {
    let target = TARGETS[0];
    let text = failure(&target, &[PathBuf::from("no-such-file")]).expect("it fails");
    assert!(
        text.contains("replay -- state_model no-such-file")
            && text.contains("replay it: cargo run"),
        "{text}"
    );
}
