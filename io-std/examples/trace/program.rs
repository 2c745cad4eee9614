//! The program that a command names, and whether the object can be preloaded into it.

use crate::elf::{self, Kind};
use core::fmt::Display;
use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why the command is not run, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u8,
    pub(crate) why: String,
}

/// There is no such program.
const MISSING: u8 = 127;
/// It is there and cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// It could be run, but not traced; or we ourselves cannot do what we were asked.
pub(crate) const REFUSED: u8 = 125;

/// As many interpreters of interpreters as the kernel follows.
const DEPTH: usize = 5;

impl Refusal {
    /// With [`REFUSED`].
    pub(crate) fn new(why: impl Into<String>) -> Refusal {
        Refusal { code: REFUSED, why: why.into() }
    }

    fn of(code: u8, path: &Path, why: impl Display) -> Refusal {
        Refusal { code, why: format!("{}: {why}", path.display()) }
    }
}

/// Where `execvp(3)` finds the command, given this `PATH`.
pub(crate) fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Refusal> {
    if command.as_bytes().contains(&b'/') {
        let program = PathBuf::from(command);
        executable(&program)?;
        return Ok(program);
    }
    let missing = || Refusal::of(MISSING, Path::new(command), "command not found");
    if command.is_empty() {
        return Err(missing());
    }
    let default = OsString::from("/bin:/usr/bin");
    let mut denied = None;
    for dir in path.unwrap_or(&default).as_bytes().split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) };
        let program = dir.join(command);
        match executable(&program) {
            Ok(()) => return Ok(program),
            Err(refusal) if refusal.code == NOT_EXECUTABLE => denied = denied.or(Some(refusal)),
            Err(_) => {}
        }
    }
    Err(denied.unwrap_or_else(missing))
}

/// That it is a file which we may execute.
fn executable(program: &Path) -> Result<(), Refusal> {
    let refuse = |error: io::Error| {
        let missing = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
        );
        let code = if missing { MISSING } else { NOT_EXECUTABLE };
        Refusal::of(code, program, error)
    };
    let metadata = program.metadata().map_err(refuse)?;
    if !metadata.is_file() {
        return Err(Refusal::of(NOT_EXECUTABLE, program, "it is no file"));
    }
    accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS).map_err(|errno| refuse(errno.into()))
}

/// Refuses what would not load the object: a static or privileged program, one for another machine or C
/// library, and a script with such an interpreter.
pub(crate) fn check(program: &Path) -> Result<(), Refusal> {
    check_at(program, DEPTH)
}

fn check_at(program: &Path, depth: usize) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::of(REFUSED, program, why));
    privileged(program)?;
    let file = match File::open(program) {
        Ok(file) => file,
        // It may be executed and not read: the kernel knows more than we can.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(Refusal::of(NOT_EXECUTABLE, program, error)),
    };
    let mut head = [0; 256];
    let len = file.read_at(&mut head, 0).map_err(|error| Refusal::of(REFUSED, program, error))?;
    let head = &head[..len];
    if elf::is_elf(head) {
        return match elf::examine(&file).map_err(|error| Refusal::of(REFUSED, program, error))? {
            Kind::Dynamic(loader) if loader.contains("musl") => {
                refuse("it is linked with another C library (musl), which cannot load the tracer")
            }
            Kind::Dynamic(_) => Ok(()),
            Kind::Static => refuse("it is statically linked, and nothing can be preloaded into it"),
            Kind::Foreign => {
                refuse("it is no program for this machine and word size, as the tracer is")
            }
        };
    }
    // What is neither is run by the shell: `execvp` does so.
    let interpreter = interpreter(head).unwrap_or_else(|| PathBuf::from("/bin/sh"));
    if depth == 0 {
        return refuse("its interpreter is a script of a script, and so on");
    }
    executable(&interpreter).and_then(|()| check_at(&interpreter, depth - 1)).map_err(|inner| {
        Refusal { why: format!("{} is run by {}", program.display(), inner.why), ..inner }
    })
}

/// What the first line of a script names.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).filter(|w| !w.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// The loader ignores what is preloaded, or takes it from trusted folders only, where a program gets rights
/// that its caller has not.
fn privileged(program: &Path) -> Result<(), Refusal> {
    let metadata =
        program.metadata().map_err(|error| Refusal::of(NOT_EXECUTABLE, program, error))?;
    let refuse = |what| {
        let why = format!("it is {what}, and nothing can be preloaded into it");
        Err(Refusal::of(REFUSED, program, why))
    };
    if metadata.mode() & 0o4000 != 0 {
        return refuse("setuid");
    }
    // Without the right to execute it for the group, the bit means something else.
    if metadata.mode() & 0o2010 == 0o2010 {
        return refuse("setgid");
    }
    let mut value = [0_u8; 256];
    match getxattr(program, "security.capability", &mut value) {
        Ok(_) | Err(Errno::RANGE) => refuse("a program with file capabilities"),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, check, find, interpreter};
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn with_mode(path: &Path, text: &[u8], mode: u32) {
        fs::write(path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn code(result: Result<impl Sized, Refusal>) -> (u8, String) {
        let refusal = result.err().expect("refused");
        (refusal.code, refusal.why)
    }

    #[test]
    fn the_path_is_searched_as_execvp_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("folder")).expect("mkdir");
        fs::create_dir(&b).expect("mkdir");
        with_mode(&a.join("locked"), b"", 0o644);
        with_mode(&a.join("tool"), b"", 0o644);
        with_mode(&b.join("tool"), b"", 0o755);
        let path = [a.as_os_str(), b.as_os_str()].join(OsStr::new(":"));
        let find = |name: &str| find(OsStr::new(name), Some(&path));
        assert_eq!(find("tool").expect("found"), b.join("tool"));
        assert_eq!(code(find("locked")).0, 126);
        assert_eq!(code(find("folder")).0, 126);
        assert_eq!(code(find("nothing")).0, 127);
        assert_eq!(code(find("")).0, 127);
        assert_eq!(code(find("/no/such/file")).0, 127);
        assert_eq!(code(find("./")).0, 126);
        assert_eq!(code(find("/dev/null/x")).0, 127);
        // A link is what it leads to.
        symlink("nowhere", b.join("dangling")).expect("symlink");
        assert_eq!(code(find("dangling")).0, 127);
    }

    #[test]
    fn privileged_programs_are_refused_and_say_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let this = std::env::current_exe().expect("a path");
        let copy = dir.path().join("copy");
        fs::copy(this, &copy).expect("copied");
        let as_mode = |mode| {
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("chmod");
            check(&copy)
        };
        as_mode(0o755).expect("runs");
        as_mode(0o2744).expect("no setgid without the right to execute");
        for (mode, word) in [(0o4755, "setuid"), (0o2755, "setgid"), (0o6755, "setuid")] {
            let (code, why) = code(as_mode(mode));
            assert_eq!(code, 125);
            assert!(why.contains(word) && why.contains("copy"), "{why}");
        }
    }

    #[test]
    fn scripts_are_judged_by_their_interpreter() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("script");
        let with = |text: &str| {
            with_mode(&script, text.as_bytes(), 0o755);
            check(&script)
        };
        with("#!/bin/sh\n").expect("runs");
        with("#! /usr/bin/env -S sh -x\n").expect("runs");
        with("echo no line at all").expect("the shell's");
        let (missing, why) = code(with("#!/no/such/shell\n"));
        assert_eq!(missing, 127);
        assert!(why.contains("/no/such/shell") && why.contains("script"), "{why}");
        let (circle, _) = code(with(&format!("#!{}\n", script.display())));
        assert_eq!(circle, 125);
    }

    #[test]
    fn the_first_line_of_a_script() {
        assert_eq!(interpreter(b"#!  /bin/sh -e\nx").as_deref(), Some(Path::new("/bin/sh")));
        assert_eq!(interpreter(b"#!/bin/x"), Some("/bin/x".into()));
        for none in [&b"# /bin/sh"[..], b"#!", b"#!  \n/bin/sh", b""] {
            assert_eq!(interpreter(none), None);
        }
    }
}
