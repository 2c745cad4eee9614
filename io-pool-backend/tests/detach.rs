//! A source that goes while another thread works on it.
#![cfg(not(miri))]
#![allow(unsafe_code, reason = "takes descriptors over")]

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use io_core::op::PollEvents;
use io_core::ops::Ops;
use io_core::syscall::close_fd;
use io_core::{Errno, Fd, IoBackend, OwnedFd, Registered};
use io_pool_backend::PoolBackend;
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

type Shared = Pin<&'static PoolBackend>;

/// Each event is tried and says nothing, so the operation goes back to wait again and again: who detaches
/// meanwhile hears of it, although nothing is completed.
#[test]
fn a_detach_hears_of_a_try_that_goes_back_to_wait() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let backend: Shared = Pin::static_ref(Box::leak(Box::new(PoolBackend::new().expect("one"))));
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let mut drain = near.try_clone().expect("a second number");
    near.set_nonblocking(true).expect("non-blocking");
    // SAFETY: `into_raw_fd` gives the ownership up.
    let near = unsafe { OwnedFd::from_raw(Fd::new(near.into_raw_fd()), close_fd) };
    let near: &'static OwnedFd = Box::leak(Box::new(near));
    let over = AtomicBool::new(false);
    let (gone, heard) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                backend.poll(None).expect("poll");
            }
        });
        scope.spawn(move || {
            for round in 0..ROUNDS {
                let source = Box::pin(Registered::new(backend, near));
                source.as_ref().attach();
                let mut watch = pin!(backend.poll_fd(near, PollEvents::PRI));
                watch.as_mut().submit().expect("submit");
                far.write_all(b"x").expect("write");
                for _ in 0..round % 97 * 20 {
                    core::hint::spin_loop();
                }
                drop(source);
                let ended = watch.as_mut().wait().expect("a result");
                assert_eq!(ended, Err(Errno::CANCELED));
                drain.read_exact(&mut [0]).expect("read");
                gone.send(round).expect("told");
            }
        });
        let mut rounds = 0;
        while rounds < ROUNDS {
            match heard.recv_timeout(Duration::from_secs(5)) {
                Ok(_) => rounds += 1,
                Err(_) => {
                    over.store(true, Ordering::SeqCst);
                    // Wakes also the one that sleeps in its detach, so that the test ends.
                    for _ in 0..100 {
                        backend.wake_handle().wake();
                        thread::sleep(Duration::from_millis(1));
                    }
                    panic!("the detach of round {rounds} sleeps");
                }
            }
        }
        over.store(true, Ordering::SeqCst);
        backend.wake_handle().wake();
    });
}
