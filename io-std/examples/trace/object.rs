//! The object to preload: built from the sources beside this program, and kept.
//!
//! There are two, each with a target folder of its own: one without the standard library for epoll and the
//! pool, and one with the ring. Whether it is up to date is cargo's to say, so cargo is asked each time.

use io_std::Backend;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The package.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tracer/Cargo.toml");
/// The name of the library in it.
const TARGET: &str = "io_tracer";
/// What the file is called.
const FILE: &str = "libio_tracer.so";

/// The object for this backend.
pub(crate) fn find(backend: Backend) -> Result<PathBuf, String> {
    if let Some(object) = env::var_os("IO_TRACE_OBJECT").filter(|object| !object.is_empty()) {
        return absolute(&PathBuf::from(object)).ok_or("IO_TRACE_OBJECT names no file".to_owned());
    }
    let (name, features) = match backend {
        Backend::Uring => ("uring", "uring"),
        _ => ("plain", ""),
    };
    let target_dir = target_dir().join("tracer").join(name);
    let built = target_dir.join("release").join(FILE);
    if !Path::new(MANIFEST).is_file() {
        return absolute(&built).ok_or_else(|| {
            format!(
                "neither {MANIFEST} nor {} is there; IO_TRACE_OBJECT names an object",
                built.display()
            )
        });
    }
    if !built.is_file() {
        eprintln!("trace: building the object to preload (once)");
    }
    match build(&target_dir, features) {
        Ok(output) if output.status.success() => from_messages(&output.stdout)
            .and_then(|object| absolute(&object))
            .or_else(|| absolute(&built))
            .ok_or_else(|| format!("cargo built no {FILE} from {MANIFEST}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("cannot build {MANIFEST}: {}\n{}", output.status, said.trim_end()))
        }
        // Without cargo, what was built before is as good as it gets.
        Err(error) => {
            absolute(&built).ok_or_else(|| format!("cannot build {MANIFEST}: cargo: {error}"))
        }
    }
}

/// The folder that cargo built this program in, or the one it would use.
fn target_dir() -> PathBuf {
    // TARGET/PROFILE/examples/trace; with a triple before the profile where a target was named.
    let this = env::current_exe().unwrap_or_default();
    let ours = this.ancestors().skip(3).take(2).find(|dir| dir.join("CACHEDIR.TAG").is_file());
    ours.unwrap_or(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"))).to_owned()
}

fn build(target_dir: &Path, features: &str) -> std::io::Result<Output> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for name in ours_alone(env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    command.args(["build", "--quiet", "--release", "--message-format=json-render-diagnostics"]);
    command.args(["--manifest-path", MANIFEST, "--features", features, "--target-dir"]);
    command.arg(target_dir).stdin(Stdio::null());
    // Without tables, stacks end at our functions: for debuggers, and for the unwinding of pthread_cancel.
    command.env("RUSTFLAGS", "-Cforce-unwind-tables=yes");
    command.output()
}

/// What the environment says of how this program is built, and not the object, which has a profile of its
/// own and runs in programs that no sanitizer knows.
fn ours_alone(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| {
        name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PROFILE_")
                || name.starts_with("CARGO_BUILD_")
                || matches!(name, "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS" | "LD_PRELOAD")
        })
    })
}

/// The library's file, as cargo names it in its messages.
fn from_messages(messages: &[u8]) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n');
    let made = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let ours = |message: &serde_json::Value| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == TARGET
    };
    let mut files = made.filter(ours).filter_map(|message| {
        let names = message["filenames"].as_array()?.clone();
        names
            .iter()
            .filter_map(|name| name.as_str())
            .find(|name| name.ends_with(".so"))
            .map(PathBuf::from)
    });
    files.next_back()
}

/// The path from the root; `None` where there is no file.
fn absolute(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{from_messages, ours_alone};
    use std::ffi::OsString;
    use std::path::PathBuf;

    #[test]
    fn the_file_is_the_librarys_own() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"io_core"},"filenames":["/t/a.so"]}
no message at all
{"reason":"compiler-artifact","target":{"name":"io_tracer"},"filenames":["/t/a.d","/t/libio_tracer.so"]}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(from_messages(messages), Some(PathBuf::from("/t/libio_tracer.so")));
        assert_eq!(from_messages(b""), None);
    }

    #[test]
    fn flags_for_this_program_are_not_for_the_object() {
        let names = ["CARGO_PROFILE_RELEASE_LTO", "PATH", "RUSTFLAGS", "CARGO_HOME"];
        let gone: Vec<OsString> = ours_alone(names.into_iter().map(OsString::from)).collect();
        assert_eq!(gone, ["CARGO_PROFILE_RELEASE_LTO", "RUSTFLAGS"]);
    }
}
