//! What is told of a run: numbers that another tool finds too, and files that others can read.

use crate::run::{BACKENDS, Run, have, on, plain};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How often strace sees each of these calls on one of these files.
fn strace(calls: &[&str], files: &[&Path], command: &[&str]) -> BTreeMap<String, u64> {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let log = log.to_str().expect("UTF-8");
    let filter = format!("trace={}", calls.join(","));
    let mut line = vec!["strace", "-f", "-qq", "-o", log, "-e", &filter];
    for file in files {
        line.extend(["-P", file.to_str().expect("UTF-8")]);
    }
    line.extend(command);
    let output = plain(&line);
    assert!(output.status.success(), "{output:?}");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in fs::read_to_string(log).expect("read").lines() {
        // `PID call(…`
        let call = line.split_whitespace().nth(1).and_then(|word| word.split('(').next());
        *counts.entry(call.expect("a call").to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn calls_are_counted_as_strace_counts_them() {
    if !have("strace") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::write(&from, vec![b'x'; 100 * 4096 + 7]).expect("written");
    let (input, output) = (format!("if={}", from.display()), format!("of={}", to.display()));
    let command = ["dd", &input, &output, "bs=4096", "status=none"];
    let calls = ["read", "write", "dup2"];
    let expected = strace(&calls, &[&from, &to], &command);
    assert_eq!((expected["read"], expected["write"]), (102, 101));
    for backend in BACKENDS {
        let Some(traced) = on(backend, &command) else { continue };
        traced.assert_whole();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for event in traced.calls() {
            let (name, file) = (event["name"].as_str(), event["args"]["file"].as_str());
            let ours = [&from, &to].into_iter().any(|path| path.to_str() == file);
            if let Some(name) = name.filter(|name| ours && calls.contains(name)) {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        assert_eq!(counts, expected, "{backend}");
        let bytes = |call: &str, path: &Path| -> u64 {
            let on = |event: &&Value| {
                event["args"]["file"].as_str() == path.to_str() && event["name"] == call
            };
            traced.calls().filter(on).filter_map(|event| event["args"]["bytes"].as_u64()).sum()
        };
        assert_eq!((bytes("read", &from), bytes("write", &to)), (409_607, 409_607));
    }
}

#[test]
fn the_trace_is_what_a_viewer_expects() {
    let traced = Run::new(&[], &["sh", "-c", "ls / | cat >/dev/null"]).finish();
    traced.assert_whole();
    for event in traced.calls() {
        for field in ["ts", "dur"] {
            assert!(event[field].as_f64().is_some_and(|time| time >= 0.0), "{field}: {event}");
        }
        for field in ["pid", "tid"] {
            assert!(event[field].is_u64(), "{field}: {event}");
        }
        assert!(event["name"].is_string() && event["args"].is_object(), "{event}");
    }
    let events = traced.trace["traceEvents"].as_array().expect("an array");
    let names: Vec<&str> = events
        .iter()
        .filter(|event| event["name"] == "process_name")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    for program in ["ls", "cat"] {
        assert!(names.iter().any(|name| name.ends_with(program)), "{program} in {names:?}");
    }
    let total = traced.summary["wall_ns"].as_f64().expect("a number") / 1e3;
    let ends = traced.calls().filter_map(|e| Some(e["ts"].as_f64()? + e["dur"].as_f64()?));
    assert!(ends.fold(0.0, f64::max) <= total, "calls after the end");
}

#[test]
fn python_reads_all_three_files() {
    if !have("python3") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (out, summary, svg) = (at("trace.json"), at("summary.json"), at("trace.svg"));
    let options = ["--out", &out, "--summary", &summary, "--svg", &svg];
    let traced = Run::new(&options, &["ls", "-l", "/usr/bin"]).finish();
    assert!(traced.output.status.success(), "{}", traced.said());
    let program = "
import json, sys, xml.etree.ElementTree as tree
trace, summary = (json.load(open(name)) for name in sys.argv[1:3])
calls = [event for event in trace['traceEvents'] if event['ph'] == 'X']
assert len(calls) == sum(row['count'] for row in summary['calls'].values()) > 100
for row in summary['calls'].values():
    assert row['p50_ns'] <= row['p99_ns'] <= row['total_ns'] and row['bytes'] >= 0
assert summary['events_lost'] == 0 and summary['processes'] == summary['threads'] == 1
svg = tree.parse(sys.argv[3]).getroot()
assert svg.tag.endswith('svg') and len(list(svg.iter())) > 10
";
    let read = plain(&["python3", "-c", program, &out, &summary, &svg]);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

#[test]
fn a_program_without_threads_has_none() {
    // Enough to be written while it runs; then what the kernel refuses to a process with threads.
    let program = "
import ctypes, os
with open('/dev/zero') as zero:
    for n in range(3000): os.pread(zero.fileno(), 1, 0)
print(len(os.listdir('/proc/self/task')), ctypes.CDLL(None).unshare(0x10000000))
";
    if !have("python3") {
        return;
    }
    let traced = Run::new(&[], &["python3", "-c", program]).finish();
    traced.assert_whole();
    let without = plain(&["python3", "-c", program]);
    assert_eq!(traced.output.stdout, without.stdout, "{}", traced.summary["route"]);
}

#[test]
fn threads_and_processes_are_seen() {
    if have("python3") {
        let program = "
import threading, os
def work():
    with open('/dev/null', 'w') as file:
        for n in range(100): os.write(file.fileno(), b'x')
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
";
        let traced = Run::new(&[], &["python3", "-c", program]).finish();
        traced.assert_whole();
        let python =
            |event: &&Value| event["name"] == "write" && event["args"]["file"] == "/dev/null";
        let mut writers: BTreeMap<u64, u64> = BTreeMap::new();
        for event in traced.calls().filter(python) {
            *writers.entry(event["tid"].as_u64().expect("a thread")).or_default() += 1;
        }
        assert_eq!(writers.values().copied().collect::<Vec<_>>(), [100; 4]);
        assert!(traced.summary["threads"].as_u64() >= Some(5), "{}", traced.summary["threads"]);
    }
    // So many that those which are over are taken while the others run.
    let script = "i=0; while [ $i -lt 200 ]; do env true; i=$((i+1)); done";
    let traced = Run::new(&[], &["sh", "-c", script]).finish();
    traced.assert_whole();
    assert_eq!(traced.summary["processes"], 201);
    assert_eq!(traced.count("exec"), 400);
    assert_eq!(traced.summary["untraced"], 0);
}

#[test]
fn the_summary_goes_where_it_was_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |options: &[&str]| {
        let mut run = Run::new(options, &["echo", "words"]);
        run.command.current_dir(dir.path());
        run.finish()
    };
    let stdout = run(&["--summary", "-"]);
    let (first, json) = stdout.stdout().split_once('\n').expect("two lines");
    assert_eq!(first, "words");
    let object: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(object["exit_code"], 0);
    // As people have it: no options at all, and the tables on the standard error.
    let mut plain = std::process::Command::new(crate::example::example("trace"));
    let output = plain.args(["echo", "words"]).current_dir(dir.path()).output().expect("runs");
    assert_eq!(output.stdout, b"words\n");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("echo words ended with 0 after"), "{said}");
    assert!(said.contains("0 lost") && said.contains("The trace is in trace.json"), "{said}");
    assert!(dir.path().join("trace.json").is_file());
}

/// A reader that waits for a writer that sleeps, by both clocks: this one's and the program's own.
#[test]
fn a_call_takes_as_long_as_it_takes() {
    let wait = "import os,sys,time
r, w = os.pipe()
if os.fork() == 0:
    time.sleep(0.2); os.write(w, b'x'); os._exit(0)
begin = time.monotonic_ns()
os.read(r, 1)
print(time.monotonic_ns() - begin)";
    for backend in BACKENDS {
        let Some(traced) = on(backend, &["python3", "-c", wait]) else { continue };
        let own: u64 = traced.stdout().trim().parse().expect("nanoseconds");
        // Of one byte: other reads may wait for what starts with the interpreter.
        let of_one = |call: &&Value| call["name"] == "read" && call["args"]["bytes"] == 1;
        let slowest = traced.calls().filter(of_one);
        let slowest = slowest.filter_map(|call| call["dur"].as_f64()).fold(0.0, f64::max);
        #[allow(clippy::cast_precision_loss, reason = "a second at most")]
        let off = own as f64 - slowest * 1e3;
        // Another scale would be off by more; a machine that does much else, by less.
        assert!(off > 0.0 && off < slowest * 500.0, "{own} ns, {slowest} µs on {backend}");
    }
}
