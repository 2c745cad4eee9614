//! The command's process: started as if we were not there, waited for, and followed in how it ended.
#![allow(unsafe_code, reason = "signal dispositions, and what a child does before it executes")]
//! # Safety
//! A handler touches atomics and makes the system call kill(2). Between fork and exec only system calls are
//! made: no memory is allocated and no lock taken.

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Ours is not to die of these while the command runs: the terminal sends them to it as well.
const DEAF: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];
/// Handed on to the command.
const FORWARDED: [i32; 2] = [libc::SIGTERM, libc::SIGHUP];
/// All we change.
const CHANGED: [i32; 6] =
    [libc::SIGPIPE, libc::SIGCHLD, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// The command's process; 0 before and after.
static COMMAND: AtomicI32 = AtomicI32::new(0);
/// Somebody asked us to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether `SIGPIPE` and `SIGCHLD` were ignored when this program was started.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CHILD_IGNORED: AtomicBool = AtomicBool::new(false);
/// Which of the descriptors 0, 1 and 2 were closed then.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Runs before `main`, and before the standard library ignores `SIGPIPE` and opens what is closed of the
/// first descriptors. The command is to find all that as we did.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn at_start() {
        PIPE_IGNORED.store(disposition(libc::SIGPIPE) == libc::SIG_IGN, Ordering::Relaxed);
        CHILD_IGNORED.store(disposition(libc::SIGCHLD) == libc::SIG_IGN, Ordering::Relaxed);
        // Nobody could be waited for.
        set_disposition(libc::SIGCHLD, libc::SIG_DFL);
        for (fd, closed) in (0..).zip(&CLOSED) {
            // SAFETY: reads a flag of a descriptor, or says that there is none.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            closed.store(flags < 0, Ordering::Relaxed);
        }
    }
    at_start
};

/// Who handles a signal: `SIG_DFL`, `SIG_IGN` or a function.
fn disposition(signal: i32) -> libc::sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only writes to `action`.
    unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zero is valid for it, and the call has filled it unless it failed.
    unsafe { action.assume_init() }.sa_sigaction
}

fn set_disposition(signal: i32, handler: libc::sighandler_t) {
    // SAFETY: plain data, for which zero is valid.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
    // SAFETY: `action` is valid; the handler is one of this file's, or none.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

/// Remembers, and hands on what somebody sent; what the terminal sends reaches the command by itself.
extern "C" fn forward(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid record to a handler with `SA_SIGINFO`.
    let sent = unsafe { (*info).si_code } <= 0;
    let command = COMMAND.load(Ordering::Relaxed);
    if command == 0 {
        INTERRUPTED.store(true, Ordering::Relaxed);
    } else if sent && FORWARDED.contains(&signal) {
        // SAFETY: sends a signal to a child that was not waited for, so that the number is its own. It may be
        // over; that is no error of ours.
        unsafe { libc::kill(command, signal) };
    }
}

/// A set of signals, for the mask.
#[derive(Clone, Copy)]
struct Mask(libc::sigset_t);

impl Mask {
    /// Blocks all signals; gives what was blocked before.
    fn block_all() -> Mask {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut old = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: writes to `all`.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: both are valid for what is done with them.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) };
        // SAFETY: zero is a valid set, and the call has filled it.
        Mask(unsafe { old.assume_init() })
    }

    /// Makes this the mask. Async-signal-safe.
    fn set(&self) {
        // SAFETY: a valid set; null says that the old one is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Starts the command, with these variables beside ours. Its process's number.
pub(crate) fn spawn(
    program: &Path,
    name: &OsString,
    arguments: &[OsString],
    environment: Vec<(&'static str, OsString)>,
) -> io::Result<i32> {
    let mut command = Command::new(program);
    command.arg0(name).args(arguments).envs(environment);
    let mask = Mask::block_all();
    let mut before = CHANGED.map(disposition);
    for (before, ignored) in before.iter_mut().zip([&PIPE_IGNORED, &CHILD_IGNORED]) {
        *before = if ignored.load(Ordering::Relaxed) { libc::SIG_IGN } else { libc::SIG_DFL };
    }
    let as_we_were = move || {
        for (signal, handler) in CHANGED.into_iter().zip(before) {
            set_disposition(signal, handler);
        }
        for (fd, closed) in (0..).zip(&CLOSED) {
            if closed.load(Ordering::Relaxed) {
                // SAFETY: the standard library opened it, and what is executed next is to find it closed.
                unsafe { libc::close(fd) };
            }
        }
        mask.set();
        Ok(())
    };
    // SAFETY: it makes only system calls that are allowed between fork and exec.
    unsafe { command.pre_exec(as_we_were) };
    for signal in DEAF.into_iter().chain(FORWARDED) {
        // What was ignored stays so.
        if disposition(signal) != libc::SIG_IGN {
            set_disposition(signal, forward as *const () as libc::sighandler_t);
        }
    }
    let spawned = command.spawn().map(|child| child.id().cast_signed());
    COMMAND.store(*spawned.as_ref().unwrap_or(&0), Ordering::Relaxed);
    mask.set();
    spawned
}

/// Says that the command was waited for: signals are ours from now on, and end what we wait for.
pub(crate) fn is_over() {
    COMMAND.store(0, Ordering::Relaxed);
}

/// Whether a signal asked us to end, after the command was over.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Signals end this program again: what is left to do is its own, and may take long.
pub(crate) fn mortal() {
    for signal in DEAF.into_iter().chain(FORWARDED) {
        if disposition(signal) == forward as *const () as libc::sighandler_t {
            set_disposition(signal, libc::SIG_DFL);
        }
    }
}

/// Ends this process by the signal that ended the command, without a core of our own.
pub(crate) fn die_of(signal: i32) -> ! {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // Where it cannot be had there is a core too many, and no more.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    set_disposition(signal, libc::SIG_DFL);
    // SAFETY: plain data, for which zero is valid: the empty set.
    Mask(unsafe { MaybeUninit::zeroed().assume_init() }).set();
    // SAFETY: sends a signal to ourselves.
    unsafe { libc::raise(signal) };
    // A signal whose default is not to end a process cannot have ended the command.
    std::process::exit(128 + signal)
}
