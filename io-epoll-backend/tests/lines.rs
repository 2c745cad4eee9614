//! The line of a bare number goes on, however the first of it ends.
#![allow(unsafe_code, reason = "takes descriptors over")]

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_core::op::MsgFlags;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Fd, IoBackend, OwnedFd, Phase};
use io_epoll_backend::EpollBackend;
use leaked::leaked;
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

#[path = "../../tests/src/leaked.rs"]
mod leaked;

type Shared = Pin<&'static EpollBackend>;

/// The first is cancelled while it is tried, and its try would have blocked, because somebody else took the
/// bytes: the second, which nobody has registered, has its turn.
#[test]
fn who_is_cancelled_during_its_try_passes_the_line_on() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 5_000 } else { 50_000 };
    let backend: Shared = Pin::static_ref(leaked(Box::new(EpollBackend::new().expect("one"))));
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let mut thief = near.try_clone().expect("a second number");
    near.set_nonblocking(true).expect("non-blocking");
    // SAFETY: `into_raw_fd` gives the ownership up.
    let near = unsafe { OwnedFd::from_raw(Fd::new(near.into_raw_fd()), close_fd) };
    let near: &'static OwnedFd = leaked(Box::new(near));
    let over = AtomicBool::new(false);
    let (done, heard) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                backend.poll(None).expect("poll");
            }
        });
        scope.spawn(move || {
            for round in 0..ROUNDS {
                let mut first = pin!(backend.recv(near, [0_u8; 1], MsgFlags::empty()));
                first.as_mut().submit().expect("submit");
                let mut second = pin!(backend.recv(near, [0_u8; 1], MsgFlags::empty()));
                second.as_mut().submit().expect("submit");
                far.write_all(b"x").expect("write");
                let _: std::io::Result<usize> = thief.read(&mut [0]);
                for _ in 0..20_000 {
                    if first.phase() != Phase::Queued {
                        break;
                    }
                }
                first.as_mut().cancel();
                first.as_mut().wait().expect("it has ended").0.ok();
                far.write_all(b"y").expect("write");
                assert_eq!(second.as_mut().wait().expect("a result").0, Ok(1));
                // What neither took.
                let _: std::io::Result<usize> = thief.read(&mut [0; 2]);
                done.send(round).expect("told");
            }
        });
        let mut rounds = 0;
        while rounds < ROUNDS {
            if heard.recv_timeout(Duration::from_secs(5)).is_err() {
                // Nobody could end the other threads, nor would a captured line be seen.
                let what = format!("the second of round {rounds} waits for ever\n");
                std::io::stderr().write_all(what.as_bytes()).expect("told");
                std::process::abort();
            }
            rounds += 1;
        }
        over.store(true, Ordering::SeqCst);
        backend.wake_handle().wake();
    });
}
