//! File systems of our own, in a mount namespace that ends with the process.
#![allow(unsafe_code, reason = "unshares and mounts")]
//! # Safety
//! The system calls here take numbers and NUL-terminated locals.

use super::not_here;
use core::ffi::CStr;
use core::ptr;
use std::ffi::CString;
use std::fs::File;
use std::io::Error;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Once;
use tempfile::TempDir;

/// Gives this thread, and those it starts, mounts of their own, once.
fn unshare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: takes a number.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            not_here(format!("no mount namespace: {}", Error::last_os_error()));
        }
        mount(c"none", Path::new("/"), c"none", libc::MS_REC | libc::MS_PRIVATE, c"");
    });
}

/// `mount(2)`.
pub(super) fn mount(what: &CStr, at: &Path, kind: &CStr, flags: libc::c_ulong, options: &CStr) {
    let path = CString::new(at.as_os_str().as_bytes()).expect("a path without NUL");
    let data = if options.is_empty() { ptr::null() } else { options.as_ptr().cast() };
    // SAFETY: four strings that outlive the call, or null.
    let mounted = unsafe { libc::mount(what.as_ptr(), path.as_ptr(), kind.as_ptr(), flags, data) };
    if mounted != 0 {
        not_here(format!("cannot mount {kind:?}: {}", Error::last_os_error()));
    }
}

/// A temporary directory in a namespace of its own.
pub(super) fn directory() -> TempDir {
    unshare();
    tempfile::tempdir().expect("a temporary directory")
}

/// Takes a mount away.
pub(super) fn unmount(at: &Path) {
    let path = CString::new(at.as_os_str().as_bytes()).expect("a path without NUL");
    // SAFETY: a string that outlives the call.
    let gone = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    debug_assert_eq!(gone, 0, "umount");
}

/// A file system in memory that is full soon.
#[derive(Debug)]
pub struct Tmpfs(TempDir);

impl Tmpfs {
    /// One with room for this many KiB.
    ///
    /// # Panics
    /// If there is no room for a directory.
    #[must_use]
    pub fn of_kib(kib: u32) -> Tmpfs {
        let directory = directory();
        let options = CString::new(format!("size={kib}k")).expect("no NUL");
        mount(c"tmpfs", directory.path(), c"tmpfs", 0, &options);
        Tmpfs(directory)
    }

    /// A new file in it, for reading and writing.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn file(&self, name: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        options.open(self.0.path().join(name)).expect("a file in the tmpfs")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(self.0.path());
    }
}
