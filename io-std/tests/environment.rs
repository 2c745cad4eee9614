//! `IO_BACKEND`, and the promise that io_uring is not even tried: each test in a process of its own,
//! with its own environment and, where it says so, a filter that kills at the first system call of
//! io_uring.

#[path = "common/child.rs"]
mod child;

use child::{assert_passed, part, play};
use io_core::ops::Ops;
use io_std::{Backend, BuildError, File, Io};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::os::unix::process::ExitStatusExt;

/// The kernel ends this process at the first `io_uring_setup(2)`.
fn kill_at_ring_setup() {
    let arch = std::env::consts::ARCH.try_into().expect("an architecture of seccomp's");
    let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
    let (allow, kill) = (SeccompAction::Allow, SeccompAction::KillProcess);
    let filter = SeccompFilter::new(rules, allow, kill, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("seccomp");
}

/// Opens and reads a file.
fn works(io: &Io) {
    let file = io.block_on(File::open(io, "/proc/sys/kernel/ostype")).expect("open");
    let (count, buf) = io.block_on(io.pread(file, [0_u8; 16], 0));
    assert_eq!((count, &buf[..6]), (Ok(6), &b"Linux\n"[..]));
}

#[test]
fn a_forced_choice_other_than_the_ring_makes_no_call_of_the_ring() {
    let test = "a_forced_choice_other_than_the_ring_makes_no_call_of_the_ring";
    match part().as_deref() {
        None => {
            for choice in ["pool", "epoll", "EPoll"] {
                assert_passed(&play(test, "environment", Some(choice)));
            }
            assert_passed(&play(test, "configuration", None));
            // And the filter does kill, so that the above says something.
            let killed = play(test, "positive control", Some("uring"));
            assert_eq!(killed.status.signal(), Some(libc::SIGSYS), "{killed:?}");
        }
        Some("environment") => {
            kill_at_ring_setup();
            let io = Io::new().expect("no ring is needed");
            assert!(io.chosen().refused.is_empty(), "{:?}", io.chosen());
            assert_eq!(io.chosen().why, "asked for by IO_BACKEND");
            works(&io);
        }
        Some("configuration") => {
            kill_at_ring_setup();
            let io = Io::builder().probe_uring(false).build().expect("no ring is needed");
            assert_eq!(io.chosen().refused[0].backend, Backend::Uring);
            assert!(io.chosen().why.contains("not tried: `probe_uring(false)`"), "{}", io.chosen());
            works(&io);
            let forced = Io::builder().probe_uring(false).backend(Backend::Uring).build();
            let error = forced.expect_err("forced, and forbidden");
            let text = "the program asks for uring, which `probe_uring(false)` forbids";
            assert_eq!(error.to_string(), text);
        }
        _ => {
            kill_at_ring_setup();
            drop(Io::new());
        }
    }
}

#[test]
fn nonsense_is_an_error_that_names_it() {
    let test = "nonsense_is_an_error_that_names_it";
    match part() {
        None => assert_passed(&play(test, "", Some("kqueue"))),
        Some(_) => {
            let error = Io::new().expect_err("no such backend");
            assert!(matches!(error, BuildError::Environment(_)), "{error:?}");
            let text = error.to_string();
            for word in ["IO_BACKEND", "\"kqueue\"", "auto", "uring", "epoll", "pool"] {
                assert!(text.contains(word), "{text}");
            }
            // What the program says itself is not for the environment to change.
            let io = Io::builder().backend(Backend::Pool).build().expect("the pool");
            assert_eq!(io.chosen().why, "asked for");
        }
    }
}

#[test]
fn an_empty_value_says_nothing() {
    let test = "an_empty_value_says_nothing";
    match part() {
        None => {
            assert_passed(&play(test, "", Some("")));
            assert_passed(&play(test, "", Some("auto")));
        }
        Some(_) => {
            let io = Io::new().expect("the pool at least");
            let why = &io.chosen().why;
            assert!(why == "first choice of auto" || why.starts_with("not available"), "{why}");
        }
    }
}

/// A forced ring that is not to be had is an error and no substitute.
#[test]
fn a_forced_ring_has_no_substitute() {
    let test = "a_forced_ring_has_no_substitute";
    match part() {
        None => assert_passed(&play(test, "", Some("uring"))),
        Some(_) => {
            let refused = Io::builder().probe_uring(false).build();
            let error = refused.expect_err("forced by IO_BACKEND, and forbidden");
            assert_eq!(error.refused().len(), 1, "{error}");
            assert_eq!(error.refused()[0].backend, Backend::Uring);
            let text = "IO_BACKEND asks for uring, which `probe_uring(false)` forbids";
            assert_eq!(error.to_string(), text);
        }
    }
}
