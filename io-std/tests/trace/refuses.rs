//! What cannot be traced is not run, and said so.

use crate::run::{Run, Traced};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Refused with this code, and these words.
#[track_caller]
fn assert_refused(traced: &Traced, code: i32, words: &[&str]) {
    assert_eq!(traced.output.status.code(), Some(code), "{}", traced.said());
    assert!(traced.said().starts_with("trace: "), "{}", traced.said());
    for word in words {
        assert!(traced.said().contains(word), "{word:?} in {:?}", traced.said());
    }
    assert!(traced.summary.is_null(), "a summary of nothing");
    assert_eq!(traced.stdout(), "");
}

fn run(program: &Path) -> Traced {
    Run::new(&[], &[program]).finish()
}

/// A copy of a program, changed and with this mode.
fn copy(to: &Path, mode: u32, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read("/bin/true").expect("a program");
    change(&mut bytes);
    fs::write(to, bytes).expect("written");
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Takes the loader out of the program headers, as if it were static.
fn without_loader(elf: &mut [u8]) {
    let table =
        usize::try_from(u64::from_le_bytes(elf[32..40].try_into().expect("8"))).expect("near");
    let count = usize::from(u16::from_le_bytes(elf[56..58].try_into().expect("2")));
    for entry in elf[table..].chunks_exact_mut(56).take(count) {
        if entry[..4] == 3_u32.to_le_bytes() {
            entry[..4].fill(0);
        }
    }
}

#[test]
fn programs_that_load_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("program");
    let name = program.to_str().expect("UTF-8");
    copy(&program, 0o755, |_| {});
    assert_eq!(run(&program).output.status.code(), Some(0), "the copy itself runs");
    for (mode, word) in [(0o4755, "setuid"), (0o2755, "setgid")] {
        copy(&program, mode, |_| {});
        assert_refused(&run(&program), 125, &[name, word]);
    }
    copy(&program, 0o755, |elf| without_loader(elf));
    assert_refused(&run(&program), 125, &[name, "statically linked"]);
    copy(&program, 0o755, |elf| elf[4] = 1);
    assert_refused(&run(&program), 125, &[name, "machine"]);
    let script = dir.path().join("script");
    fs::write(&script, format!("#!{name}\n")).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    copy(&program, 0o755, |elf| without_loader(elf));
    assert_refused(&run(&script), 125, &["script is run by", name, "statically linked"]);
}

#[test]
fn programs_that_are_not_there_or_not_executable() {
    assert_refused(&run(Path::new("no-such-program")), 127, &["no-such-program", "not found"]);
    assert_refused(&run(Path::new("/no/such/program")), 127, &["/no/such/program"]);
    assert_refused(&run(Path::new("/etc/passwd")), 126, &["/etc/passwd"]);
    assert_refused(&run(Path::new("/etc")), 126, &["/etc"]);
}

#[test]
fn what_could_not_be_told_is_not_begun() {
    let dir = tempfile::tempdir().expect("a directory");
    let mark = dir.path().join("mark");
    let mark = mark.to_str().expect("UTF-8");
    for options in [
        &["--out", "/no/such/folder/trace.json"][..],
        &["--svg", "/etc"],
        &["--summary", "/no/such/summary"],
        &["--backend", "aio"],
        &["--spool", "/no/such/folder"],
        &["--full", "later"],
    ] {
        let traced = Run::new(options, &["touch", mark]).finish();
        assert_refused(&traced, 125, &[]);
        assert!(!Path::new(mark).exists(), "{options:?}");
    }
}

#[test]
fn a_full_disk_at_the_end_is_said_and_changes_no_code() {
    let traced = Run::new(&["--out", "/dev/full"], &["sh", "-c", "exit 4"]).finish();
    assert_eq!(traced.output.status.code(), Some(4));
    assert!(traced.said().contains("trace: /dev/full: No space left"), "{}", traced.said());
    assert_eq!(traced.summary["exit_code"], 4);
}
