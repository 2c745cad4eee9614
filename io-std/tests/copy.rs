//! The example `copy` as its user sees it: trees come out equal, errors name their path, and nothing
//! half-written is left under a final name.

#[path = "common/example.rs"]
mod example;

use core::time::Duration;
use example::example;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

const BACKENDS: [&str; 3] = ["uring", "epoll", "pool"];

fn copy(arguments: &[&OsStr]) -> Output {
    Command::new(example("copy")).args(arguments).output().expect("runs")
}

/// Copies on one backend; `None`, with the reason printed, where that does not work here.
fn copy_on(backend: &str, more: &[&str], src: &Path, dst: &Path) -> Option<Output> {
    let mut arguments = vec![OsStr::new("--backend"), OsStr::new(backend)];
    arguments.extend(more.iter().map(OsStr::new));
    arguments.extend([src.as_os_str(), dst.as_os_str()]);
    let output = copy(&arguments);
    if backend == "uring" && text(&output.stderr).contains("does not work here") {
        println!("SKIPPED uring: {}", text(&output.stderr).trim());
        return None;
    }
    Some(output)
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).expect("UTF-8")
}

/// It failed with 1, and the message names this path.
fn assert_fails_naming(output: &Output, path: &Path) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let path = path.to_str().expect("UTF-8");
    assert!(message.contains(path), "{message:?} names {path}");
}

fn names(dir: &Path) -> BTreeSet<std::ffi::OsString> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name()).collect()
}

/// No `.part` is left in this directory.
fn assert_clean(dir: &Path) {
    let left = names(dir).into_iter().find(|name| name.as_bytes().ends_with(b".part"));
    assert_eq!(left, None);
}

fn times(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

fn assert_same(a: &Path, b: &Path) {
    let (left, right) = (fs::symlink_metadata(a).expect("a"), fs::symlink_metadata(b).expect("b"));
    let place = b.display();
    assert_eq!(left.file_type(), right.file_type(), "{place}");
    assert_eq!(times(&left), times(&right), "{place}");
    assert_eq!((left.uid(), left.gid()), (right.uid(), right.gid()), "{place}");
    if left.is_symlink() {
        assert_eq!(fs::read_link(a).expect("a"), fs::read_link(b).expect("b"));
        return;
    }
    assert_eq!(left.mode(), right.mode(), "{place}");
    if left.is_file() {
        assert_eq!(left.len(), right.len(), "{place}");
        assert!(fs::read(a).expect("a") == fs::read(b).expect("b"), "{place}");
        assert!(right.blocks() <= left.blocks() + 128, "{place} keeps its holes");
    } else if left.is_dir() {
        assert_eq!(names(a), names(b), "{place}");
        names(a).iter().for_each(|name| assert_same(&a.join(name), &b.join(name)));
    }
}

/// A tree with one of everything.
fn tree(top: &Path) {
    fs::create_dir_all(top.join("sub/deep/deeper")).expect("mkdir");
    fs::create_dir(top.join("empty")).expect("mkdir");
    for n in 0..300usize {
        let body: Vec<u8> = (0..n * 37).map(|i| (i % 251).to_ne_bytes()[0]).collect();
        fs::write(top.join(format!("sub/file{n}")), body).expect("write");
    }
    let big: Vec<u8> = (0..3_000_001usize).map(|i| (i % 253).to_ne_bytes()[0]).collect();
    fs::write(top.join("sub/deep/big"), big).expect("write");
    let sparse = File::create(top.join("sub/deep/sparse")).expect("create");
    sparse.write_all_at(b"start", 0).expect("write");
    sparse.write_all_at(b"middle", 5 << 20).expect("write");
    sparse.set_len(20 << 20).expect("extend");
    fs::write(top.join(OsStr::from_bytes(b"not \xff UTF-8")), b"x").expect("write");
    fs::write(top.join("n".repeat(255)), b"long name").expect("write");
    fs::write(top.join("sub/deep/deeper/run"), b"#!/bin/sh\n").expect("write");
    symlink("sub/file7", top.join("link")).expect("symlink");
    symlink("nowhere", top.join("dangling")).expect("symlink");
    symlink("..", top.join("sub/up")).expect("symlink");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("mkfifo");
    let mode = |name: &str, mode| {
        fs::set_permissions(top.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode("sub/deep/deeper/run", 0o4755);
    mode("sub/file3", 0o400);
    mode("sub/deep/deeper", 0o555);
    mode("empty", 0o1777);
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for name in ["sub/file5", "sub/deep", "empty"] {
        File::open(top.join(name)).expect("open").set_modified(old).expect("utimens");
    }
}

#[test]
fn trees_come_out_equal_and_say_how() {
    let dir = tempfile::tempdir().expect("a directory");
    let src = dir.path().join("src");
    tree(&src);
    for (backend, workers) in [("uring", "0"), ("uring", "2"), ("pool", "0"), ("pool", "3")] {
        let dst = dir.path().join(format!("{backend}{workers}"));
        let options = ["--json", "--jobs", "7", "--workers", workers];
        let Some(output) = copy_on(backend, &options, &src, &dst) else { continue };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_same(&src, &dst);
        assert!(fs::symlink_metadata(dst.join("fifo")).expect("fifo").file_type().is_fifo());
        assert_clean(dir.path());

        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(text(&output.stdout).lines().count(), 1);
        assert_eq!(
            (&line["files"], &line["dirs"], &line["symlinks"]),
            (&305.into(), &5.into(), &3.into())
        );
        for field in ["bytes", "seconds", "mb_per_s"] {
            assert!(line[field].as_f64().expect("a number") > 0.0, "{field}");
        }
        assert_eq!(line["why"], "asked for");
        let route = |name: &str| line["routes"][name].as_u64().expect("a number");
        if backend == "uring" {
            assert_eq!(line["backend"], "io_uring");
            assert!(route("ring") > 305 * 4);
        } else {
            assert_eq!(line["backend"], "threadpool");
            assert_eq!(route("ring"), 0);
            assert!(route("offload") + route("inline") + route("readiness") > 305 * 4);
        }
    }
}

#[test]
fn one_file_onto_a_new_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let src = dir.path().join("one");
    fs::write(&src, b"one file").expect("write");
    for backend in BACKENDS {
        let dst = dir.path().join(backend);
        let Some(output) = copy_on(backend, &[], &src, &dst) else { continue };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_same(&src, &dst);
        assert_eq!(text(&output.stdout).lines().count(), 1);
        assert_eq!(text(&output.stderr), "");
    }
    let output = copy(&[OsStr::new("/proc/self/status"), dir.path().join("proc").as_os_str()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read_to_string(dir.path().join("proc")).expect("read").starts_with("Name:"));
    assert_clean(dir.path());
}

#[test]
fn a_source_that_is_not_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let (src, dst) = (dir.path().join("missing"), dir.path().join("dst"));
    for backend in BACKENDS {
        let Some(output) = copy_on(backend, &[], &src, &dst) else { continue };
        assert_fails_naming(&output, &src);
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_exists_stays_without_force() {
    let dir = tempfile::tempdir().expect("a directory");
    let (src, dst) = (dir.path().join("src"), dir.path().join("dst"));
    fs::write(&src, b"new").expect("write");
    fs::write(&dst, b"old").expect("write");
    assert_fails_naming(&copy(&[src.as_os_str(), dst.as_os_str()]), &dst);
    assert_eq!(fs::read(&dst).expect("read"), b"old");
    for backend in BACKENDS {
        fs::write(&dst, b"old").expect("write");
        let Some(output) = copy_on(backend, &["--force"], &src, &dst) else { continue };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(fs::read(&dst).expect("read"), b"new");
    }
    assert_fails_naming(&copy(&[OsStr::new("--force"), src.as_os_str(), src.as_os_str()]), &src);
    assert_eq!(fs::read(&src).expect("read"), b"new");
    // A directory is a name, not a place to copy into.
    assert_fails_naming(&copy(&[src.as_os_str(), dir.path().as_os_str()]), dir.path());
    assert_clean(dir.path());
}

#[test]
fn force_merges_and_never_follows_a_link() {
    let dir = tempfile::tempdir().expect("a directory");
    let src = dir.path().join("src");
    tree(&src);
    for backend in BACKENDS {
        let dst = dir.path().join(backend);
        fs::create_dir_all(dst.join("sub")).expect("mkdir");
        fs::write(dst.join("other"), b"stays").expect("write");
        fs::write(dst.join("sub/file9"), b"goes").expect("write");
        let victim = dir.path().join("victim");
        fs::write(&victim, b"untouched").expect("write");
        symlink(&victim, dst.join("sub/file10")).expect("symlink");
        symlink("elsewhere", dst.join("link")).expect("symlink");
        let Some(output) = copy_on(backend, &["--force"], &src, &dst) else { continue };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(fs::read(dst.join("other")).expect("read"), b"stays");
        assert_eq!(fs::read(&victim).expect("read"), b"untouched");
        fs::remove_file(dst.join("other")).expect("rm");
        let top = fs::metadata(&src).expect("stat").modified().expect("mtime");
        File::open(&dst).expect("open").set_modified(top).expect("utimens");
        assert_same(&src, &dst);
    }
    // A link to a directory is not merged into.
    let (real, link) = (dir.path().join("real"), dir.path().join("to"));
    fs::create_dir(&real).expect("mkdir");
    fs::create_dir(&link).expect("mkdir");
    symlink(&real, link.join("sub")).expect("symlink");
    let output = copy(&[OsStr::new("--force"), src.as_os_str(), link.as_os_str()]);
    assert_fails_naming(&output, &link.join("sub"));
    assert!(names(&real).is_empty());
}

#[test]
fn force_leaves_alone_what_is_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (src, fifo) = (dir.path().join("src"), dir.path().join("fifo"));
    fs::write(&src, b"new").expect("write");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let force = OsStr::new("--force");
    assert_fails_naming(&copy(&[force, src.as_os_str(), fifo.as_os_str()]), &fifo);
    // Nor inside a tree that is merged.
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(&from).expect("mkdir");
    fs::create_dir_all(&to).expect("mkdir");
    fs::write(from.join("fifo"), b"new").expect("write");
    fs::rename(&fifo, to.join("fifo")).expect("rename");
    assert_fails_naming(&copy(&[force, from.as_os_str(), to.as_os_str()]), &to.join("fifo"));
    let left = fs::symlink_metadata(to.join("fifo")).expect("stat");
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&left.file_type()));
}

#[test]
fn nobody_reads_the_last_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let (src, dst) = (dir.path().join("src"), dir.path().join("dst"));
    fs::write(&src, b"new").expect("write");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output =
        Command::new(example("copy")).args([&src, &dst]).stdout(full).output().expect("copy");
    assert_eq!(output.status.code(), Some(1), "an error, and no panic");
    assert_eq!(fs::read(&dst).expect("read"), b"new");
}

#[test]
fn a_destination_inside_the_source() {
    let dir = tempfile::tempdir().expect("a directory");
    let src = dir.path().join("src");
    fs::create_dir_all(src.join("a")).expect("mkdir");
    symlink(&src, dir.path().join("alias")).expect("symlink");
    for dst in [src.join("a/b"), src.join("b"), dir.path().join("alias/a/b")] {
        assert_fails_naming(&copy(&[src.as_os_str(), dst.as_os_str()]), &dst);
    }
    assert_eq!(names(&src).len(), 1);
    assert!(names(&src.join("a")).is_empty());
    // A name that only begins like the source is beside it.
    let beside = dir.path().join("src2");
    assert!(copy(&[src.as_os_str(), beside.as_os_str()]).status.success());
}

#[test]
fn sockets_are_reported_and_the_rest_is_copied() {
    let dir = tempfile::tempdir().expect("a directory");
    let (src, dst) = (dir.path().join("src"), dir.path().join("dst"));
    fs::create_dir(&src).expect("mkdir");
    fs::write(src.join("file"), b"file").expect("write");
    let _socket = std::os::unix::net::UnixListener::bind(src.join("socket")).expect("bind");
    assert_fails_naming(&copy(&[src.as_os_str(), dst.as_os_str()]), &src.join("socket"));
    assert_eq!(names(&dst).len(), 1);
    assert_same(&src.join("file"), &dst.join("file"));
    assert_clean(dir.path());
}

#[test]
fn a_file_that_may_not_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
    };
    open(dir.path());
    let src = dir.path().join("src");
    fs::create_dir(&src).expect("mkdir");
    fs::write(src.join("good"), b"good").expect("write");
    fs::write(src.join("bad"), b"bad").expect("write");
    fs::set_permissions(src.join("bad"), fs::Permissions::from_mode(0o0)).expect("chmod");
    let program = dir.path().join("copy");
    // Not from here: a child that another test starts would inherit a descriptor open for writing,
    // and the program would be busy.
    let copied = Command::new("cp").args([example("copy"), &program]).status().expect("cp runs");
    assert!(copied.success());
    open(&program);
    for backend in BACKENDS {
        let dst = dir.path().join(backend);
        // The superuser may read everything, so somebody else copies.
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if root { Path::new("setpriv") } else { &program });
        if root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        }
        let output = match command.args(["--backend", backend]).args([&src, &dst]).output() {
            Ok(output) => output,
            Err(error) => {
                println!("SKIPPED: this needs setpriv: {error}");
                return;
            }
        };
        if text(&output.stderr).contains("does not work here") {
            println!("SKIPPED {backend}: {}", text(&output.stderr).trim());
            continue;
        }
        assert_fails_naming(&output, &src.join("bad"));
        assert_eq!(fs::read(dst.join("good")).expect("read"), b"good");
        assert_eq!(names(&dst).len(), 1);
    }
    assert_clean(dir.path());
}

/// A file system of 64 KiB that is unmounted at the end.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: PathBuf) -> Option<Tiny> {
        fs::create_dir(&at).expect("mkdir");
        let arguments = ["-t", "tmpfs", "-o", "size=64k", "none"];
        let mounted = Command::new("mount").args(arguments).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Tiny(at)),
            Ok(output) => {
                println!("SKIPPED: {}", text(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("SKIPPED: this needs mount: {error}");
                None
            }
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let src = dir.path().join("src");
    fs::create_dir(&src).expect("mkdir");
    File::create(src.join("large"))
        .and_then(|mut file| file.write_all(&vec![7; 1 << 20]))
        .expect("write");
    let Some(tiny) = Tiny::mount(dir.path().join("tiny")) else { return };
    for backend in BACKENDS {
        // One file, a new tree, and a tree that is merged into.
        let (one, new, old) = (tiny.0.join("one"), tiny.0.join("new"), tiny.0.join("old"));
        fs::create_dir_all(&old).expect("mkdir");
        let Some(output) = copy_on(backend, &[], &src.join("large"), &one) else { continue };
        assert_fails_naming(&output, &one);
        assert!(text(&output.stderr).contains("No space left on device"));
        let output = copy_on(backend, &[], &src, &new).expect("it worked just now");
        assert_fails_naming(&output, &new.join("large"));
        let output = copy_on(backend, &["--force"], &src, &old).expect("it worked just now");
        assert_fails_naming(&output, &old.join("large"));
        assert!(!one.exists());
        assert!(names(&old).is_empty(), "{:?}", names(&old));
        assert!(names(&new).is_empty(), "{:?}", names(&new));
        assert_clean(&tiny.0);
        fs::remove_dir_all(new).expect("rm");
    }
}

#[test]
fn a_wrong_command_line() {
    let wrong: [&[&str]; 7] = [
        &[],
        &["one"],
        &["one", "two", "three"],
        &["--backend", "epoll2", "one", "two"],
        &["--jobs", "0", "one", "two"],
        &["--jobs", "many", "one", "two"],
        &["--unknown", "one", "two"],
    ];
    for arguments in wrong {
        let output = Command::new(example("copy")).args(arguments).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("usage: copy"), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    let help = Command::new(example("copy")).arg("--help").output().expect("runs");
    assert!(help.status.success() && text(&help.stdout).contains("Hard links"));
}
