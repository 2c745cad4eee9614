//! What an unprivileged user meets: the sysctl `kernel.io_uring_disabled`, and the limit of locked
//! memory. Each test gives up the privileges of a thread of its own (the bare system call `setresuid(2)`,
//! which libc would spread to all threads), and needs root to begin with.

use io_core::ops::Ops;
use io_std::{Backend, File, Io};
use io_uring_backend::Cause;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Uid, set_thread_res_uid};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";
const NOBODY: u32 = 65534;

/// Sysctls and limits are the whole system's and the whole process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `body` on a thread that is nobody's; says whether it could.
fn as_nobody(body: impl FnOnce() + Send + 'static) -> bool {
    let thread = thread::spawn(move || {
        let nobody = Uid::from_raw(NOBODY);
        let changed = set_thread_res_uid(nobody, nobody, nobody).is_ok();
        if changed {
            body();
        }
        changed
    });
    thread.join().expect("the body's assertions")
}

/// Sets the sysctl back when dropped.
struct Restore(String);

impl Drop for Restore {
    fn drop(&mut self) {
        let restored = fs::write(SYSCTL, &self.0);
        assert!(restored.is_ok() || thread::panicking(), "{restored:?}");
    }
}

#[test]
fn the_sysctl_is_named() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(before) = fs::read_to_string(SYSCTL) else {
        return println!("SKIPPED: this kernel has no {SYSCTL}");
    };
    // 1 forbids it to the unprivileged only: programs of root that run beside this one keep theirs.
    if let Err(error) = fs::write(SYSCTL, "1") {
        return println!("SKIPPED: cannot set {SYSCTL}: {error}");
    }
    let _restore = Restore(before);
    let ran = as_nobody(|| {
        let io = Io::builder().build().expect("the pool needs no ring");
        assert_ne!(io.chosen().backend, Backend::Uring);
        let refused = &io.chosen().refused[0];
        assert!(refused.why.contains(Cause::DeniedBySysctl.text()), "{refused}");
        assert!(io.chosen().to_string().contains("kernel.io_uring_disabled"), "{}", io.chosen());
        let error = Io::builder().backend(Backend::Uring).build().expect_err("forced");
        assert!(error.to_string().contains("kernel.io_uring_disabled"), "{error}");
    });
    if !ran {
        println!("SKIPPED: cannot become another user");
    }
}

/// Sets the limit back when dropped.
struct Limit(Rlimit);

impl Limit {
    /// Lets unprivileged threads lock at most this many bytes.
    fn locked_memory(bytes: u64) -> Option<Limit> {
        let before = getrlimit(Resource::Memlock);
        let limit = Rlimit { current: Some(bytes), maximum: before.maximum };
        setrlimit(Resource::Memlock, limit).is_ok().then_some(Limit(before))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let restored = setrlimit(Resource::Memlock, self.0);
        assert!(restored.is_ok() || thread::panicking(), "{restored:?}");
    }
}

/// Kernels before 5.12 count a ring as locked memory, newer ones do not. Either it works, or the cause
/// is named and the next backend takes over.
#[test]
fn little_lockable_memory_is_no_failure() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for bytes in [0, 64 << 10] {
        let Some(_limit) = Limit::locked_memory(bytes) else {
            return println!("SKIPPED: cannot lower RLIMIT_MEMLOCK");
        };
        let ran = as_nobody(move || {
            let io = Io::builder().build().expect("one of them works");
            if io.chosen().backend == Backend::Uring {
                println!("{bytes} bytes: this kernel does not count rings as locked memory");
            } else {
                let refused = &io.chosen().refused[0];
                assert!(refused.why.contains(Cause::Memlock.text()), "{refused}");
            }
            let file = io.block_on(File::open(&io, "/proc/sys/kernel/ostype")).expect("open");
            let (count, _) = io.block_on(io.pread(file, [0_u8; 16], 0));
            assert_eq!(count, Ok(6));
        });
        if !ran {
            println!("SKIPPED: cannot become another user");
        }
    }
}
