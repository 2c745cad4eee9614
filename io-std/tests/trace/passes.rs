//! The program finds everything as it would without the launcher, and its end is the launcher's.

use crate::example::example;
use crate::run::{BACKENDS, Run, have, on, plain};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

/// No descriptor of the tracer's is below this one, where the limit is the usual 1024.
const FLOOR: u32 = 1000;

/// A folder with something in it.
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn output_and_code_are_the_programs() {
    let script = "cat \"$1\"/lib.rs | wc -l; echo words >&2; ls \"$1\"/nothing; exit 7";
    let programs: [&[&str]; 4] = [
        &["ls", "-lR", TREE],
        &["sh", "-c", script, "sh", TREE],
        &["tar", "cf", "-", "-C", TREE, "."],
        &[
            "python3",
            "-c",
            "import os, sys; print(sorted(os.listdir(sys.argv[1]))); sys.exit(3)",
            TREE,
        ],
    ];
    for program in programs {
        if !have(program[0]) {
            continue;
        }
        let without = plain(program);
        for backend in BACKENDS {
            let Some(with) = on(backend, program) else { continue };
            assert_eq!(with.output, without, "{program:?} on {backend}: {}", with.said());
            with.assert_whole();
            assert_eq!(with.summary["route"], backend, "{program:?}");
            assert_eq!(with.summary["exit_code"], without.status.code().expect("a code"));
        }
    }
}

#[test]
fn a_tree_is_copied() {
    let dir = tempfile::tempdir().expect("a directory");
    for backend in BACKENDS {
        let copy = dir.path().join(backend);
        let command = [OsStr::new("cp"), OsStr::new("-r"), OsStr::new(TREE), copy.as_os_str()];
        let Some(traced) = on(backend, &command) else { continue };
        assert!(traced.output.status.success(), "{}", traced.said());
        traced.assert_whole();
        let compared =
            plain(&[OsStr::new("diff"), OsStr::new("-r"), OsStr::new(TREE), copy.as_os_str()]);
        assert!(compared.status.success() && compared.stdout.is_empty(), "{compared:?}");
    }
}

#[test]
fn the_standard_input_is_the_programs() {
    let mut run = Run::new(&[], &["sort"]);
    run.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = run.command.spawn().expect("the launcher runs");
    child.stdin.take().expect("a pipe").write_all(b"b\nc\na\n").expect("written");
    let traced = run.read(child.wait_with_output().expect("waited"));
    assert_eq!(traced.stdout(), "a\nb\nc\n");
    traced.assert_whole();
}

#[test]
fn the_launcher_dies_of_the_programs_signal() {
    for (name, number) in
        [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("INT", 2), ("PIPE", 13), ("HUP", 1)]
    {
        let script = format!("cat /dev/null; kill -{name} $$");
        // Who runs the tests may have it ignored, and so have the programs then.
        let without = plain(&["sh", "-c", &script]).status.signal();
        let traced = Run::new(&[], &["sh", "-c", &script]).finish();
        assert_eq!(traced.output.status.signal(), without, "{name}: {}", traced.said());
        if without.is_none() {
            println!("SKIPPED {name}: it is ignored here");
            continue;
        }
        assert_eq!(traced.summary["signal"], number, "{name}");
        assert!(!traced.output.status.core_dumped(), "{name}: a core of the launcher");
        assert_eq!(traced.summary["events_lost"], 0, "{name}: {}", traced.summary);
    }
}

#[test]
fn signal_settings_and_closed_descriptors_are_passed_on() {
    let trace = example("trace").to_str().expect("UTF-8");
    // What the shell ignores and closes, its programs find ignored and closed.
    for setup in
        ["", "trap '' PIPE INT;", "trap '' TERM HUP QUIT CHLD;", "exec <&-;", "exec <&- 2>&-;"]
    {
        let script = format!("{setup} exec \"$@\"");
        let status = ["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"];
        for look in [&status[..], &["ls", "/proc/self/fd"]] {
            let without = plain(&[&["sh", "-c", &script, "sh"], look].concat());
            assert!(without.status.success(), "{setup}: {without:?}");
            let before = ["-c", &script, "sh", trace].map(OsStr::new);
            let with = Run::through("/bin/sh".into(), &before, &[], look).finish();
            assert_eq!(below_floor(&with.output.stdout), below_floor(&without.stdout), "{setup}");
        }
    }
}

/// Without the descriptors above the floor, where the tracer keeps its own.
fn below_floor(text: &[u8]) -> Vec<&str> {
    let lines = core::str::from_utf8(text).expect("UTF-8").lines();
    lines
        .filter(|line| line.parse::<u32>().is_ok_and(|fd| fd < FLOOR) || line.starts_with("Sig"))
        .collect()
}

/// Reads one line of what a child prints.
fn line_of(child: &mut Child) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("read");
    (line, reader)
}

#[test]
fn signals_to_the_launcher_reach_the_program_or_nobody() {
    let script = "trap 'echo terminated; exit 9' TERM; echo ready; while :; do read line; done";
    let mut run = Run::new(&[], &["sh", "-c", script]);
    run.command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = run.command.spawn().expect("the launcher runs");
    let (line, mut reader) = line_of(&mut child);
    assert_eq!(line, "ready\n");
    let pid = Pid::from_child(&child);
    // The terminal would send these to the program as well.
    kill_process(pid, Signal::INT).expect("sent");
    kill_process(pid, Signal::QUIT).expect("sent");
    kill_process(pid, Signal::TERM).expect("sent");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("read");
    let status = child.wait().expect("waited");
    assert_eq!((rest.as_str(), status.code()), ("terminated\n", Some(9)));
}

#[test]
fn what_the_program_leaves_behind_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let made = plain(&[OsStr::new("mkfifo"), path("gate").as_os_str()]);
    assert!(made.status.success(), "{made:?}");
    let script = "cat gate > late 2>/dev/null </dev/null & exit 5";
    let mut run = Run::new(&[], &["sh", "-c", script]);
    run.command.current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = run.command.spawn().expect("the launcher runs");
    // Only when the command is over, and the other is known.
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("waiting for 1") {
        line.clear();
        assert!(said.read_line(&mut line).expect("read") > 0, "the launcher did not wait");
    }
    fs::write(path("gate"), "at last\n").expect("written");
    let traced = run.read(child.wait_with_output().expect("waited"));
    assert_eq!(traced.output.status.code(), Some(5));
    assert_eq!(fs::read_to_string(path("late")).expect("read"), "at last\n");
    traced.assert_whole();
    assert_eq!(traced.summary["processes"], 2);
    let written =
        |event: &&serde_json::Value| event["name"] == "write" && event["args"]["bytes"] == 8;
    assert_eq!(traced.calls().filter(written).count(), 1);
}

#[test]
fn nothing_is_left_in_the_folders() {
    let spool = tempfile::tempdir().expect("a directory");
    let spool_path = spool.path().to_str().expect("UTF-8");
    let script = "echo $IO_TRACE_DIR; echo $IO_TRACE_SPOOL; stat -c %a $IO_TRACE_DIR";
    let traced = Run::new(&["--spool", spool_path], &["sh", "-c", script]).finish();
    let lines: Vec<&str> = traced.stdout().lines().collect();
    assert_eq!(lines.len(), 3, "{}", traced.said());
    assert!(lines[1].starts_with(spool_path), "{lines:?}");
    assert_eq!(lines[2], "700");
    assert!(!Path::new(lines[0]).exists() && !Path::new(lines[1]).exists(), "{lines:?}");
    assert_eq!(fs::read_dir(spool.path()).expect("listed").count(), 0);
}
