//! The examples as their users run them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The built example, one for each test program. Built here too, so that it is never an old one.
pub(crate) fn example(name: &str) -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let this = std::env::current_exe().expect("a path");
        let profile_dir = this.ancestors().nth(2).expect("target/profile/deps/this-…");
        // With a target named, as under a sanitizer, its triple stands in between.
        let above = profile_dir.parent().expect("target/profile");
        let triple = above
            .file_name()
            .and_then(OsStr::to_str)
            .filter(|name| name.starts_with(&format!("{}-", std::env::consts::ARCH)));
        let (target_dir, target) = match triple {
            Some(triple) => (above.parent().expect("target/triple"), vec!["--target", triple]),
            None => (above, Vec::new()),
        };
        let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", name, "--profile", profile])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .args(target)
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the example builds");
        profile_dir.join("examples").join(name)
    })
}
