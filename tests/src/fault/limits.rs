//! Limits that are set back: [`Files`], [`FileSize`], [`LockedMemory`], [`AddressSpace`], [`Disabled`],
//! [`without_threads`], [`as_nobody`].
#![allow(unsafe_code, reason = "sets limits of the process")]
//! # Safety
//! The system calls here take numbers and locals.

use super::not_here;
use core::panic::AssertUnwindSafe;
use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::thread;

/// A limit on the number of descriptors, until it is dropped.
#[derive(Debug)]
pub struct Files {
    before: libc::rlimit,
}

fn get(which: libc::__rlimit_resource_t) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills a local.
    let got = unsafe { libc::getrlimit(which, &raw mut limit) };
    assert_eq!(got, 0, "getrlimit");
    limit
}

fn set(which: libc::__rlimit_resource_t, limit: libc::rlimit) {
    // SAFETY: reads a local.
    let set = unsafe { libc::setrlimit(which, &raw const limit) };
    assert_eq!(set, 0, "setrlimit");
}

impl Files {
    /// Room for this many more descriptors, if those that are open have no gaps between them.
    ///
    /// # Panics
    /// If the limit cannot be set.
    #[must_use]
    pub fn spare(count: u64) -> Files {
        let before = get(libc::RLIMIT_NOFILE);
        // SAFETY: takes a number.
        let next = unsafe { libc::dup(0) };
        assert!(next >= 0, "dup");
        // SAFETY: the number just made, and nobody else's.
        unsafe { libc::close(next) };
        let rlim_cur = u64::try_from(next).expect("a number") + count;
        set(libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur, ..before });
        Files { before }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        set(libc::RLIMIT_NOFILE, self.before);
    }
}

/// A limit on the size of files, until it is dropped. The signal that goes with it is ignored from then on.
#[derive(Debug)]
pub struct FileSize {
    before: libc::rlimit,
}

impl FileSize {
    /// No write may reach beyond so many bytes.
    ///
    /// # Panics
    /// If the limit cannot be set.
    #[must_use]
    pub fn at_most(bytes: u64) -> FileSize {
        // SAFETY: no handler; nobody else in this process cares for the signal.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let before = get(libc::RLIMIT_FSIZE);
        set(libc::RLIMIT_FSIZE, libc::rlimit { rlim_cur: bytes, ..before });
        FileSize { before }
    }
}

impl Drop for FileSize {
    fn drop(&mut self) {
        set(libc::RLIMIT_FSIZE, self.before);
    }
}

/// A limit on the memory that may be locked, which counts for the unprivileged, until it is dropped.
#[derive(Debug)]
pub struct LockedMemory {
    before: libc::rlimit,
}

impl LockedMemory {
    /// At most so many bytes.
    ///
    /// # Panics
    /// If the limit cannot be set.
    #[must_use]
    pub fn at_most(bytes: u64) -> LockedMemory {
        let before = get(libc::RLIMIT_MEMLOCK);
        set(libc::RLIMIT_MEMLOCK, libc::rlimit { rlim_cur: bytes, ..before });
        LockedMemory { before }
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        set(libc::RLIMIT_MEMLOCK, self.before);
    }
}

/// A limit on what the process may map, until it is dropped.
#[derive(Debug)]
pub struct AddressSpace {
    before: libc::rlimit,
}

impl AddressSpace {
    /// So many KiB more than it maps now.
    ///
    /// # Panics
    /// If the limit cannot be set.
    #[must_use]
    pub fn spare_kib(count: u64) -> AddressSpace {
        let before = get(libc::RLIMIT_AS);
        let status = fs::read_to_string("/proc/self/status").expect("procfs");
        let mapped = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let mapped = mapped.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        let mapped: u64 = mapped.expect("the size of the address space");
        drop(status);
        set(libc::RLIMIT_AS, libc::rlimit { rlim_cur: (mapped + count) << 10, ..before });
        AddressSpace { before }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        set(libc::RLIMIT_AS, self.before);
    }
}

/// Runs `body` on a thread that is nobody's.
///
/// # Panics
/// As `body`.
pub fn as_nobody(body: impl FnOnce() + Send) {
    const NOBODY: libc::uid_t = 65534;
    let ended = thread::scope(|scope| {
        let nobody = scope.spawn(move || {
            // The bare call, which changes this thread only.
            // SAFETY: takes numbers.
            match unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) } {
                0 => body(),
                _ => not_here("cannot become another user"),
            }
        });
        nobody.join()
    });
    ended.unwrap_or_else(|payload| resume_unwind(payload));
}

/// Runs `body` on a thread that is nobody's, where nobody may start another thread or process: neither the
/// thread nor the kernel's ring on its behalf.
///
/// # Panics
/// As `body`.
pub fn without_threads(body: impl FnOnce() + Send) {
    let before = get(libc::RLIMIT_NPROC);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        as_nobody(|| {
            set(libc::RLIMIT_NPROC, libc::rlimit { rlim_cur: 0, ..before });
            body();
        });
    }));
    set(libc::RLIMIT_NPROC, before);
    ended.unwrap_or_else(|payload| resume_unwind(payload));
}

const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// `kernel.io_uring_disabled`, which is the whole system's, until it is dropped.
#[derive(Debug)]
pub struct Disabled {
    before: String,
}

impl Disabled {
    /// Sets it. To be held for a moment only: all programs are forbidden new rings.
    pub fn set(value: &str) -> Disabled {
        let Ok(before) = fs::read_to_string(DISABLED) else {
            not_here(format!("this kernel has no {DISABLED}"));
        };
        match fs::write(DISABLED, value) {
            Ok(()) => Disabled { before },
            Err(error) => not_here(format!("cannot set {DISABLED}: {error}")),
        }
    }
}

impl Drop for Disabled {
    fn drop(&mut self) {
        let restored = fs::write(DISABLED, &self.before);
        assert!(restored.is_ok() || thread::panicking(), "{DISABLED} stays changed: {restored:?}");
    }
}
