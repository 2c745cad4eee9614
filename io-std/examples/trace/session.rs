//! The folders that the object writes to, and the environment that tells it so.

use crate::args::Full;
use crate::clock::counter_is_trusted;
use io_std::Backend;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where shared memory has its files, on every Linux that has any.
const MEMORY: &str = "/dev/shm";

/// Two folders of our own, removed at the end.
pub(crate) struct Session {
    dir: TempDir,
    spool: TempDir,
}

impl Session {
    /// Makes them: one in memory for the mappings, and one for the events, in `spool` or where temporary
    /// files are.
    pub(crate) fn new(spool: Option<&Path>) -> io::Result<Session> {
        let temporary = std::env::temp_dir();
        let spool = in_folder(spool.unwrap_or(&temporary))?;
        // What is no file system in memory works as well.
        let dir = in_folder(Path::new(MEMORY)).or_else(|_| in_folder(&temporary))?;
        Ok(Session { dir, spool })
    }

    /// Where the mappings are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the events are.
    pub(crate) fn spool(&self) -> &Path {
        self.spool.path()
    }

    /// What the program's environment has beside ours, which has `preloaded` before.
    pub(crate) fn environment(
        &self,
        object: &Path,
        backend: Backend,
        full: Full,
        preloaded: Option<&OsStr>,
    ) -> io::Result<Vec<(&'static str, OsString)>> {
        let mut preload = self.speakable(object)?.into_os_string();
        if let Some(before) = preloaded.filter(|before| !before.is_empty()) {
            preload.push(":");
            preload.push(before);
        }
        Ok(vec![
            ("LD_PRELOAD", preload),
            ("IO_TRACE_DIR", self.dir().into()),
            ("IO_TRACE_SPOOL", self.spool().into()),
            ("IO_TRACE_BACKEND", backend.name().into()),
            ("IO_TRACE_FULL", full.name().into()),
            ("IO_TRACE_CLOCK", if counter_is_trusted() { "ticks" } else { "kernel" }.into()),
        ])
    }

    /// The object under a name that the loader can read, which takes blanks and colons for separators, and
    /// `$` for the beginning of a word of its own.
    fn speakable(&self, object: &Path) -> io::Result<PathBuf> {
        if !object.as_os_str().as_bytes().iter().any(|byte| b" \t\n:;$".contains(byte)) {
            return Ok(object.to_owned());
        }
        let link = self.dir().join("io_tracer.so");
        symlink(object, &link)?;
        Ok(link)
    }

    /// Removes the folders, and says what could not be.
    pub(crate) fn close(self) -> io::Result<()> {
        self.dir.close().and(self.spool.close())
    }
}

/// A new folder in this one, for its owner alone.
fn in_folder(folder: &Path) -> io::Result<TempDir> {
    let folder = folder.canonicalize()?;
    let ours = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("io-trace-").permissions(ours).tempdir_in(folder)
}

#[cfg(test)]
mod tests {
    use super::Session;
    use crate::args::Full;
    use io_std::Backend;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folders_are_ours_alone_and_go() {
        let spool = tempfile::tempdir().expect("a directory");
        let session = Session::new(Some(spool.path())).expect("made");
        for dir in [session.dir(), session.spool()] {
            let mode = fs::metadata(dir).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", dir.display());
            assert!(dir.is_absolute());
        }
        assert!(session.spool().starts_with(spool.path().canonicalize().expect("there")));
        let dir = session.dir().to_owned();
        session.close().expect("removed");
        assert!(!dir.exists());
        assert_eq!(fs::read_dir(spool.path()).expect("there").count(), 0);
    }

    #[test]
    fn what_was_preloaded_before_stays_behind_ours() {
        let session = Session::new(None).expect("made");
        let object = std::env::current_exe().expect("a path");
        let preload = |before: Option<&str>| {
            let all =
                session.environment(&object, Backend::Pool, Full::Drop, before.map(OsStr::new));
            all.expect("made").into_iter().find(|(name, _)| *name == "LD_PRELOAD").expect("there").1
        };
        let name = object.to_str().expect("UTF-8");
        assert_eq!(preload(None), name);
        assert_eq!(preload(Some("")), name);
        assert_eq!(preload(Some("libfoo.so")), format!("{name}:libfoo.so")[..]);
    }

    #[test]
    fn a_path_that_the_loader_cannot_read_gets_another() {
        let folder = tempfile::tempdir().expect("a directory");
        let object = folder.path().join("my object:1.so");
        fs::write(&object, b"").expect("written");
        let session = Session::new(None).expect("made");
        let link = session.speakable(&object).expect("made");
        assert!(!link.to_str().expect("UTF-8").contains([' ', ':']));
        assert_eq!(
            link.canonicalize().expect("leads there"),
            object.canonicalize().expect("there")
        );
    }
}
