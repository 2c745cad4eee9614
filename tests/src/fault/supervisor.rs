//! [`Supervisor`]: a thread that answers for the kernel.
//!
//! It is a thread of the process it supervises, without a filter of its own. So a script can perform a call
//! itself, with other arguments: half of a read, half of a submission, a fork in the middle of one.
#![allow(unsafe_code, reason = "talks to the kernel about system calls, and makes them")]
//! # Safety
//! The kernel's structs are locals. A call that is performed here has the arguments of a thread that
//! waits for its end, so whatever they point to is as good as it was for that thread.

use super::{filter, not_here, signals};
use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use core::time::Duration;
use io_core::Errno;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread;

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const RECEIVE: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
const CONTINUE: u32 = 1;

/// A system call that a thread of this process is about to make.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which one.
    pub number: i64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Call {
    /// Argument `i` as a number of 32 bits, such as a descriptor.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the register's lower half is the argument"
    )]
    pub fn int(&self, i: usize) -> i32 {
        self.args[i] as i32
    }

    /// Makes the call on this thread, with argument `i` replaced; the result or `-errno`.
    #[must_use]
    pub fn perform_with(&self, i: usize, value: u64) -> i64 {
        let mut args = self.args;
        args[i] = value;
        let [a, b, c, d, e, f] = args;
        // SAFETY: the thread that wants to make this call waits until we have answered; what differs is a
        // smaller count.
        let result = unsafe { libc::syscall(self.number, a, b, c, d, e, f) };
        if result >= 0 {
            return result;
        }
        let errno = std::io::Error::last_os_error().raw_os_error().expect("an errno");
        -i64::from(errno)
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The kernel performs it.
    Go,
    /// It fails with this, and nothing is done.
    Fail(Errno),
    /// It returns this (`-errno` for an error), and nothing is done that the script has not done.
    Return(i64),
}

type Script = Box<dyn FnMut(&Call) -> Answer + Send>;

struct Shared {
    listener: AtomicI32,
    script: Mutex<Option<Script>>,
    seen: AtomicU64,
    changed: AtomicU64,
}

/// Asked before each of the supervised system calls of the thread that installed it, and of the threads
/// started from there since.
pub struct Supervisor {
    calls: &'static [i64],
    shared: Arc<Shared>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// The `n`-th of the calls that `which` picks, from 1, gets this answer; all others go.
pub fn nth(
    n: u64,
    which: impl Fn(&Call) -> bool + Send + 'static,
    answer: Answer,
) -> impl FnMut(&Call) -> Answer + Send {
    let mut count = 0;
    move |call| {
        let picked = which(call);
        count += u64::from(picked);
        if picked && count == n { answer } else { Answer::Go }
    }
}

/// Every `n`-th call gets this answer; all others go.
pub fn every(n: u64, answer: Answer) -> impl FnMut(&Call) -> Answer + Send {
    let mut count = 0_u64;
    move |_| {
        count += 1;
        if count.is_multiple_of(n) { answer } else { Answer::Go }
    }
}

impl Supervisor {
    /// The process's supervisor, which is for good: of these calls by this thread, and by those that it
    /// starts from now on. Without a script all calls go.
    ///
    /// # Panics
    /// If there is one already, of other calls.
    #[must_use]
    pub fn over(calls: &'static [i64]) -> &'static Supervisor {
        static ONE: OnceLock<Supervisor> = OnceLock::new();
        let one = ONE.get_or_init(|| Supervisor::begin(calls));
        assert_eq!(one.calls, calls, "one supervisor for each process");
        one
    }

    fn begin(calls: &'static [i64]) -> Supervisor {
        let shared = Arc::new(Shared {
            listener: AtomicI32::new(-1),
            script: Mutex::new(None),
            seen: AtomicU64::new(0),
            changed: AtomicU64::new(0),
        });
        let inside = Arc::clone(&shared);
        // Before the filter, so that it has none.
        thread::spawn(move || {
            signals::block_all();
            inside.serve();
        });
        match filter::install(calls) {
            // Not by a channel or a lock: their system calls may be among the supervised.
            Ok(listener) => shared.listener.store(listener, Ordering::SeqCst),
            Err(error) => not_here(format!("no supervisor of system calls: {error}")),
        }
        Supervisor { calls, shared }
    }

    /// Lets this script answer from now on.
    pub fn script(&self, script: impl FnMut(&Call) -> Answer + Send + 'static) {
        self.replace(Some(Box::new(script)));
    }

    /// Lets all calls go. What was asked before has been answered.
    pub fn calm(&self) {
        self.replace(None);
    }

    fn replace(&self, script: Option<Script>) {
        let old = core::mem::replace(&mut *self.shared.lock(), script);
        // What the script holds may make system calls when it goes.
        drop(old);
    }

    /// How many calls were asked about.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// How many of them did not simply go.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.shared.changed.load(Ordering::SeqCst)
    }

    /// Runs `body` with `script`, and returns how many calls it changed.
    pub fn during(
        &self,
        script: impl FnMut(&Call) -> Answer + Send + 'static,
        body: impl FnOnce(),
    ) -> u64 {
        let before = self.changed();
        self.script(script);
        body();
        self.calm();
        self.changed() - before
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Script>> {
        // Never asleep: who unlocks for a sleeper wakes him by a system call, which may be supervised, and waits for him.
        loop {
            match self.script.try_lock() {
                Ok(script) => return script,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => thread::yield_now(),
            }
        }
    }

    fn serve(&self) {
        while self.listener.load(Ordering::SeqCst) < 0 {
            thread::sleep(Duration::from_micros(50));
        }
        let listener = self.listener.load(Ordering::SeqCst);
        loop {
            // SAFETY: all zeroes is a notification, and what the kernel wants to find.
            let mut asked: libc::seccomp_notif = unsafe { core::mem::zeroed() };
            // SAFETY: the struct that this call fills, a local.
            if unsafe { libc::ioctl(listener, RECEIVE, &raw mut asked) } != 0 {
                // Whoever asked was interrupted or is gone.
                continue;
            }
            let call = Call { number: i64::from(asked.data.nr), args: asked.data.args };
            self.seen.fetch_add(1, Ordering::SeqCst);
            let answer = self.lock().as_mut().map_or(Answer::Go, |script| script(&call));
            self.changed.fetch_add(u64::from(answer != Answer::Go), Ordering::SeqCst);
            let (val, error, flags) = match answer {
                Answer::Go => (0, 0, CONTINUE),
                Answer::Fail(errno) => (0, -errno.raw(), 0),
                Answer::Return(error @ -4095..=-1) => (0, i32::try_from(error).unwrap_or(-1), 0),
                Answer::Return(value) => (value, 0, 0),
            };
            let mut answer = libc::seccomp_notif_resp { id: asked.id, val, error, flags };
            // Whoever asked may be gone: a signal came.
            // SAFETY: the struct that this call reads, a local.
            unsafe { libc::ioctl(listener, SEND, &raw mut answer) };
        }
    }
}
