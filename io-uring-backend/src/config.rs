//! What a ring is built with, and why building one failed.

use core::fmt;
use io_core::{Errno, OpSet};

/// The most submission entries the kernel gives (`IORING_MAX_ENTRIES`).
pub const MAX_ENTRIES: u32 = 32_768;

/// How to build a [`UringBackend`](crate::UringBackend).
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) entries: u32,
    pub(crate) completions: u32,
    pub(crate) mask: OpSet,
    pub(crate) lacking: OpSet,
    pub(crate) ext_arg: bool,
    pub(crate) first_setup: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// 128 submission entries, 256 completion entries, every opcode the kernel has.
    #[must_use]
    pub const fn new() -> Config {
        Config {
            entries: 128,
            completions: 0,
            mask: OpSet::all(),
            lacking: OpSet::empty(),
            ext_arg: true,
            first_setup: 0,
        }
    }

    /// How many submission entries: 1 to [`MAX_ENTRIES`], rounded up to a power of two. It bounds one
    /// batch, not the number of operations in flight.
    #[must_use]
    pub const fn entries(mut self, entries: u32) -> Config {
        self.entries = entries;
        self
    }

    /// How many completion entries; at least twice the submission entries are taken. What does not fit
    /// is kept by the kernel until there is room.
    #[must_use]
    pub const fn completions(mut self, completions: u32) -> Config {
        self.completions = completions;
        self
    }

    /// The operations that may run on the ring; the others go the way of a kernel without their opcode.
    #[must_use]
    pub const fn mask(mut self, mask: OpSet) -> Config {
        self.mask = mask;
        self
    }

    /// Without what binds a ring to one thread of the kernel's (`IORING_SETUP_SINGLE_ISSUER`,
    /// `IORING_SETUP_DEFER_TASKRUN`): for an embedder with a lock of its own around a [`Local`](crate::Local)
    /// backend, whose threads use it one at a time. Completions cost a little more.
    #[must_use]
    pub const fn any_thread(mut self) -> Config {
        if self.first_setup < 2 {
            self.first_setup = 2;
        }
        self
    }

    /// As if the kernel did not have the opcodes of these operations. For tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn lacking(mut self, ops: OpSet) -> Config {
        self.lacking = ops;
        self
    }

    /// Waits as on kernels before 5.11, which cannot pass a timeout to `io_uring_enter(2)`. For tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn no_ext_arg(mut self) -> Config {
        self.ext_arg = false;
        self
    }

    /// Starts at the `first` set of setup flags, newest kernel first, as if the kernel had refused those
    /// before. For tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn setup_from(mut self, first: usize) -> Config {
        self.first_setup = first;
        self
    }
}

/// Why there is no ring: which step failed, with which error, and what that means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuildError {
    /// What was being done: a system call, or `config`.
    pub step: &'static str,
    /// What the kernel said.
    pub errno: Errno,
    /// What that means here.
    pub cause: Cause,
}

/// The meaning of a [`BuildError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The number of entries is 0 or more than [`MAX_ENTRIES`].
    BadConfig,
    /// The kernel was built without io_uring, or a filter hides it (`ENOSYS`).
    MissingSyscall,
    /// `/proc/sys/kernel/io_uring_disabled` forbids it.
    DeniedBySysctl,
    /// A seccomp filter or a security module forbids it (`EPERM`, `EACCES`).
    Denied,
    /// The limit of locked memory, or memory itself, does not suffice (`ENOMEM`).
    Memlock,
    /// There is no descriptor left (`EMFILE`, `ENFILE`).
    TooManyFiles,
    /// The kernel lacks something this backend needs (before 5.10), or failed in another way.
    Kernel,
}

impl Cause {
    /// The cause in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Cause::BadConfig => "entries must be 1 to 32768",
            Cause::MissingSyscall => "io_uring is not in this kernel",
            Cause::DeniedBySysctl => "forbidden by kernel.io_uring_disabled",
            Cause::Denied => "forbidden by seccomp or a security module",
            Cause::Memlock => "not enough lockable memory",
            Cause::TooManyFiles => "no descriptor left",
            Cause::Kernel => "the kernel is too old or refused",
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.step, self.cause.text(), self.errno)
    }
}

impl core::error::Error for BuildError {}
