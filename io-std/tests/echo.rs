//! The example `echo` as its user sees it: a row for each server, no allocation in any, and an error for
//! what makes no sense.

#[path = "common/example.rs"]
mod example;

use example::example;
use serde_json::Value;
use std::process::{Command, Output};

fn echo(arguments: &[&str]) -> Output {
    Command::new(example("echo")).args(arguments).output().expect("runs")
}

/// The rows of a short run.
fn rows(more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["--json", "--seconds", "0.2"];
    arguments.extend(more);
    let output = echo(&arguments);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&errors));
    let row = |line| serde_json::from_str(line).expect("one object a line");
    text.lines().map(row).collect()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["backend"].as_str().expect("a name")).collect()
}

#[test]
fn every_server_echoes_and_none_allocates() {
    for connections in [1, 64, 1000] {
        let rows = rows(&["--connections", &connections.to_string()]);
        let names = names(&rows);
        let on_the_ring = names.contains(&"uring");
        assert_eq!(names.contains(&"raw-ring"), on_the_ring);
        for name in ["raw-epoll", "epoll", "pool"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for row in &rows {
            assert_eq!(row["connections"], connections, "{row}");
            assert_eq!(row["bytes"], 64, "{row}");
            assert_eq!(row["allocs_per_rt"], 0, "{row}");
            for key in ["round_trips", "ns_per_rt", "cpu_ns_per_rt", "ratio", "syscalls_per_rt"] {
                assert!(row[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {row}");
            }
        }
    }
}

/// Larger than a socket buffer's first size, and smaller than anything.
#[test]
fn messages_of_any_size() {
    for bytes in [1, 65536] {
        let rows = rows(&["--connections", "3", "--bytes", &bytes.to_string()]);
        assert!(rows.len() >= 2);
        assert!(rows.iter().all(|row| row["bytes"] == bytes), "{rows:?}");
    }
}

#[test]
fn one_backend_and_its_limits() {
    let rows = rows(&["--backend", "pool", "--connections", "2"]);
    let names = names(&rows);
    assert!(names.contains(&"pool") && names.contains(&"raw-epoll"), "{names:?}");
    assert!(!names.contains(&"uring"), "{names:?}");
}

#[test]
fn a_wrong_command_line() {
    for wrong in [
        &["--backend", "kqueue"][..],
        &["--connections", "0"],
        &["--bytes", "0"],
        &["--seconds", "-1"],
        &["--seconds", "nan"],
        &["surplus"],
    ] {
        let output = echo(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{wrong:?}");
    }
    let help = echo(&["--help"]);
    assert!(help.status.success() && !help.stdout.is_empty());
}
