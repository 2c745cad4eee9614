//! Builds the tracer's objects and the small C programs, and runs one under the other.

use super::lives::{Life, read};
use core::time::Duration;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, PoisonError};
use tempfile::TempDir;

const TRACER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tracer");

/// Which object, and which of its backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Pool,
    Epoll,
    Uring,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        ["pool", "epoll", "uring"][self as usize]
    }
}

/// Where things are built: beside the tests.
fn target() -> PathBuf {
    let this = std::env::current_exe().expect("this test");
    this.ancestors().nth(3).expect("TARGET/PROFILE/deps/this").join("tracer")
}

fn build_object(name: &str, features: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--features", features, "--manifest-path"]);
    cargo.arg(format!("{TRACER}/Cargo.toml")).arg("--target-dir").arg(target().join(name));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_BUILD_")
            || name.ends_with("RUSTFLAGS")
        {
            cargo.env_remove(name);
        }
    }
    // As the launcher does: a cancelled thread is unwound through the hooks.
    cargo.env("RUSTFLAGS", "-Cforce-unwind-tables=yes");
    let built = cargo.output().map_err(|error| format!("no cargo: {error}"))?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(target().join(name).join("release/libio_tracer.so"))
}

/// The object for a backend; why there is none.
pub(crate) fn object(backend: Backend) -> Result<PathBuf, String> {
    static PLAIN: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build_object("plain", ""));
    static URING: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| build_object("uring", "uring"));
    if backend == Backend::Uring { URING.clone() } else { PLAIN.clone() }
}

/// A compiled program; why there is none.
pub(crate) fn program(name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    static BUILT: Mutex<Option<HashMap<String, Result<PathBuf, String>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let compile = || {
        let path = target().join("programs").join(format!("{}-{name}", std::process::id()));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-Wall", "-Werror", "-pthread"]).args(flags);
        gcc.arg(format!("{TRACER}/programs/{name}.c")).arg("-o").arg(&path).arg("-ldl");
        let compiled = gcc.output().map_err(|error| format!("no gcc: {error}"))?;
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Ok(path)
    };
    built.get_or_insert_default().entry(name.to_owned()).or_insert_with(compile).clone()
}

/// A run under the tracer.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) lives: Vec<Life>,
}

impl Run {
    /// Events with this name, of all lives.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.lives.iter().map(|life| life.count(call)).sum()
    }

    /// What the program says it has done is what was recorded; nothing is lost or dropped.
    pub(crate) fn assert_whole(&self) {
        for life in &self.lives {
            let lost = (life.missing(), life.dropped, life.failed);
            assert_eq!(lost, (0, 0, 0), "{}: missing, dropped, failed", life.name);
        }
        self.assert_expected();
    }

    /// Each line `expect CALL COUNT` is true.
    pub(crate) fn assert_expected(&self) {
        let said = String::from_utf8_lossy(&self.output.stdout).into_owned();
        let mut lines = 0;
        for line in said.lines().filter_map(|line| line.strip_prefix("expect ")) {
            let (call, count) = line.split_once(' ').expect("a call and a count");
            assert_eq!(self.count(call).to_string(), count, "{call}");
            lines += 1;
        }
        assert!(lines > 0, "{said} {}", String::from_utf8_lossy(&self.output.stderr));
    }
}

/// How to run.
pub(crate) struct Tracer {
    pub(crate) backend: Backend,
    /// Events are dropped when the buffer is full.
    pub(crate) drops: bool,
    /// An object in front of the tracer's.
    pub(crate) before: Option<PathBuf>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) dir: Option<PathBuf>,
}

impl Tracer {
    pub(crate) fn new(backend: Backend) -> Tracer {
        Tracer { backend, drops: false, before: None, spool: None, dir: None }
    }

    /// Runs a program to its end, at most a minute.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> Result<Run, String> {
        let object = object(self.backend)?;
        let shm = Path::new("/dev/shm");
        let dir =
            if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.expect("a folder");
        let spool = TempDir::new().expect("a folder");
        let live = self.dir.as_deref().unwrap_or(dir.path());
        let files = self.spool.as_deref().unwrap_or(spool.path());
        let mut preload = OsString::from(object);
        if let Some(before) = &self.before {
            preload = OsString::from(format!("{}:{}", before.display(), preload.display()));
        }
        // Bounded: a tracer that hangs its program is a failure, not a hang of this test.
        let limit = Duration::from_secs(60).mul_f64(scale());
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", &format!("{}s", limit.as_secs())]).arg("env");
        command.arg(format!("LD_PRELOAD={}", preload.display())).arg(program).args(arguments);
        command.env("IO_TRACE_DIR", live).env("IO_TRACE_SPOOL", files);
        command.env("IO_TRACE_BACKEND", self.backend.name());
        // Each of the clocks with some of the tests.
        let clock = if self.backend == Backend::Epoll { "kernel" } else { "ticks" };
        command.env("IO_TRACE_CLOCK", clock);
        command.env("IO_TRACE_FULL", if self.drops { "drop" } else { "wait" });
        let output = command.output().map_err(|error| format!("no timeout: {error}"))?;
        let mut lives = read(live, files);
        // `env` itself is not traced: the loader saw no preload when it was started.
        lives.retain(|life| life.counted > 0);
        Ok(Run { output, lives })
    }
}

fn factor(name: &str) -> f64 {
    let set = std::env::var(name).ok();
    set.and_then(|factor| factor.parse().ok()).unwrap_or(1.0)
}

/// The factor on time limits, as in the other suites.
fn scale() -> f64 {
    factor("IO_TEST_SCALE")
}

/// How often something is repeated, as in the other suites; at least a hundred times.
pub(crate) fn rounds(count: u32) -> usize {
    let scaled = f64::from(count) * factor("IO_TEST_ROUNDS");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let scaled = scaled as usize;
    scaled.max(100)
}
