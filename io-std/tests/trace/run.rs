//! Programs with and without the launcher, and what it left of them.

use crate::example::example;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use tempfile::TempDir;

/// The backends that are asked for.
pub(crate) const BACKENDS: [&str; 3] = ["uring", "epoll", "pool"];

/// A run under the launcher that is over.
pub(crate) struct Traced {
    pub(crate) output: Output,
    /// Null if the program was not run.
    pub(crate) summary: Value,
    pub(crate) trace: Value,
}

/// A run under the launcher to be.
pub(crate) struct Run {
    dir: TempDir,
    pub(crate) command: Command,
}

/// The first run of all builds the objects, and says so among what the program says.
fn built() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        for backend in ["uring", "pool"] {
            let mut run = Command::new(example("trace"));
            run.args([
                "--backend",
                backend,
                "--out",
                "/dev/null",
                "--summary",
                "/dev/null",
                "true",
            ]);
            // Where it does not work, the tests will say so.
            let _: Output = run.stdin(Stdio::null()).output().expect("the launcher runs");
        }
    });
}

impl Run {
    /// `command`, with these options before it.
    pub(crate) fn new(options: &[&str], command: &[impl AsRef<OsStr>]) -> Run {
        Run::through(example("trace").into(), &[], options, command)
    }

    /// The same, started by another program with these arguments before the launcher's path.
    pub(crate) fn through(
        starter: PathBuf,
        before: &[&OsStr],
        options: &[&str],
        command: &[impl AsRef<OsStr>],
    ) -> Run {
        built();
        let dir = tempfile::tempdir().expect("a directory");
        let mut run = Command::new(starter);
        run.args(before).arg("--out").arg(dir.path().join("trace.json")).arg("--json");
        run.arg("--summary").arg(dir.path().join("summary.json")).args(options);
        run.args(command.iter().map(AsRef::as_ref)).stdin(Stdio::null());
        Run { dir, command: run }
    }

    pub(crate) fn finish(mut self) -> Traced {
        let output = self.command.output().expect("the launcher runs");
        self.read(output)
    }

    /// What is left by a run that gave this.
    pub(crate) fn read(self, output: Output) -> Traced {
        let json = |name: &str| match fs::read(self.dir.path().join(name)) {
            Ok(text) => serde_json::from_slice(&text).expect("JSON"),
            Err(_) => Value::Null,
        };
        Traced { output, summary: json("summary.json"), trace: json("trace.json") }
    }
}

impl Traced {
    /// What the launcher, or the program, said on the standard error.
    pub(crate) fn said(&self) -> &str {
        core::str::from_utf8(&self.output.stderr).expect("UTF-8")
    }

    pub(crate) fn stdout(&self) -> &str {
        core::str::from_utf8(&self.output.stdout).expect("UTF-8")
    }

    /// How often this function was called.
    pub(crate) fn count(&self, call: &str) -> u64 {
        self.summary["calls"][call]["count"].as_u64().unwrap_or(0)
    }

    /// The calls in the trace.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Value> {
        let events = self.trace["traceEvents"].as_array().expect("an array");
        events.iter().filter(|event| event["ph"] == "X")
    }

    /// That it ran, that nothing was lost, and that the library wrote it all.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        let summary = &self.summary;
        assert!(summary.is_object(), "{}", self.said());
        assert_eq!(summary["events_lost"], 0, "{summary}");
        assert!(summary["writes"].as_u64() > Some(0), "{summary}");
        let counted: u64 = summary["calls"]
            .as_object()
            .expect("an object")
            .values()
            .map(|row| row["count"].as_u64().expect("a count"))
            .sum();
        // An exec that fails is told twice.
        let failed = summary["calls"]["exec"]["errors"].as_u64().unwrap_or(0);
        assert_eq!(self.calls().count() as u64, counted + failed);
    }
}

/// Runs on one backend; `None`, with the reason printed, where that does not work here.
pub(crate) fn on(backend: &str, command: &[impl AsRef<OsStr>]) -> Option<Traced> {
    let traced = Run::new(&["--backend", backend], command).finish();
    if backend == "uring" && traced.said().contains("does not work here") {
        println!("SKIPPED uring: {}", traced.said().trim());
        return None;
    }
    Some(traced)
}

/// Without the launcher.
pub(crate) fn plain(command: &[impl AsRef<OsStr>]) -> Output {
    let mut plain = Command::new(command[0].as_ref());
    plain.args(command[1..].iter().map(AsRef::as_ref)).stdin(Stdio::null());
    plain.output().expect("the program runs")
}

/// Whether a program is here; says so if it is not.
pub(crate) fn have(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", "command -v -- \"$0\"", program]).output();
    let there = there.is_ok_and(|output| output.status.success());
    if !there {
        println!("SKIPPED: there is no {program} here");
    }
    there
}

/// Whether the long tests are wanted: not where repetitions are fewer than usual, as under sanitizers, which
/// see nothing of other people's programs. Says so if not.
pub(crate) fn at_length() -> bool {
    let rounds = std::env::var("IO_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse::<f64>().ok());
    let short = rounds.is_some_and(|rounds| rounds < 1.0);
    if short {
        println!("SKIPPED: IO_TEST_ROUNDS asks for less than usual");
    }
    !short
}
