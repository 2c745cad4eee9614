//! Tests that need a process of their own: the test runs its own program again, with only this test in
//! it and a mark in the environment.

use std::env;
use std::process::{Command, Output};

const MARK: &str = "IO_STD_TEST_CHILD";

/// The part this process is to play; `None` in the process that the test started in.
pub(crate) fn part() -> Option<String> {
    env::var(MARK).ok()
}

/// Runs the test called `test` again in a process of its own, which plays `part`, with this value of
/// `IO_BACKEND` or without one.
pub(crate) fn play(test: &str, part: &str, io_backend: Option<&str>) -> Output {
    let program = env::current_exe().expect("the test's own program");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, part);
    match io_backend {
        Some(value) => command.env("IO_BACKEND", value),
        None => command.env_remove("IO_BACKEND"),
    };
    command.output().expect("the child runs")
}

/// That the child passed its one test.
#[track_caller]
pub(crate) fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}
