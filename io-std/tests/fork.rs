//! An `Io` in a forked child: what is left of it ends with a typed error and waits for nobody, it can be made
//! anew, and the parent notices nothing.
#![allow(unsafe_code, reason = "forks")]
//! # Safety
//! The children of this file use the allocator and start threads, which glibc permits after a `fork(2)`
//! of a program with threads, and end with `_exit(2)`.

#[path = "common/each.rs"]
mod each;

use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use each::on_each;
use io_core::ops::Ops;
use io_core::{Deadline, Errno, StopError};
use io_std::{Backend, File, Io, UnixStream};
use std::fs;
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::catch_unwind;

const TEXT: &str = "/proc/sys/kernel/ostype";

/// Runs `body` in a forked child, and asserts that it returns within a minute.
#[track_caller]
fn in_child(body: impl FnOnce()) {
    // SAFETY: see the top of the file.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        // SAFETY: only a number; the alarm's default action ends a child that hangs.
        unsafe { libc::alarm(60) };
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends this process, which shares nothing that must be told.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable, and `child` is a child of ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child's assertions");
}

fn works(io: &Io) {
    let file = io.block_on(File::open(io, TEXT)).expect("open");
    let (count, buf) = io.block_on(file.read_at([0_u8; 16], 0));
    assert_eq!((count.expect("read"), &buf[..6]), (6, &b"Linux\n"[..]));
}

#[track_caller]
fn assert_ownerless<T: core::fmt::Debug>(result: std::io::Result<T>) {
    let error = result.expect_err("the backend is the parent's");
    assert_eq!(error.raw_os_error(), Some(Errno::OWNERDEAD.raw()));
}

fn pipe_of(io: &Io) -> (File, PipeWriter) {
    let (reader, writer): (PipeReader, PipeWriter) = pipe().expect("a pipe");
    (File::from_std(io, OwnedFd::from(reader).into()), writer)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc").count()
}

/// Operations of before and after end with the error, `start` and `stop` say it, and the drop waits for no
/// thread and closes what the child has of the backend.
#[test]
fn the_child_is_told() {
    on_each(|io| {
        let io = io.clone();
        works(&io);
        in_child(|| {
            assert_ownerless(io.block_on(File::open(&io, TEXT)));
            assert_eq!(io.start(), Err(Errno::OWNERDEAD));
            let stopped = io.stop(Deadline::NEVER);
            assert_eq!(stopped, Err(StopError::WrongPlace(Errno::OWNERDEAD)));
            let entered = io.enter();
            assert_eq!(
                io.block_on(io_std::open(c"/dev/null", Default::default(), 0)).err(),
                Some(Errno::OWNERDEAD)
            );
            drop(entered);
        });
        works(&io);
    });
}

#[test]
fn the_last_clone_closes_descriptors_and_joins_nobody() {
    for (backend, own) in [(Backend::Pool, 2), (Backend::Epoll, 4), (Backend::Uring, 4)] {
        let io = match Io::builder().backend(backend).build() {
            Ok(io) => io,
            Err(error) => {
                println!("SKIPPED: {error}");
                continue;
            }
        };
        // Nothing was run on it: so no thread of the parent holds a clone, in a waker that it drops just now.
        let mut io = Some(io);
        in_child(|| {
            let before = descriptors();
            io.take();
            assert_eq!(before - descriptors(), own, "descriptors closed in the child");
        });
        works(io.as_ref().expect("the parent's"));
    }
}

#[test]
fn the_child_makes_it_anew() {
    on_each(|io| {
        works(io);
        let again = io.reinit().expect_err("nobody forked");
        assert_eq!(again.raw_os_error(), Some(Errno::ALREADY.raw()));
        in_child(|| {
            io.reinit().expect("a new backend");
            works(io);
            let again = io.reinit().expect_err("it is this process's now");
            assert_eq!(again.raw_os_error(), Some(Errno::ALREADY.raw()));
            io.block_on(io.sleep(Duration::from_millis(1))).expect("a clock");
            // And the grandchild again.
            in_child(|| {
                assert_ownerless(io.block_on(File::open(io, TEXT)));
                io.reinit().expect("a new backend");
                works(io);
                io.stop(Deadline::NEVER).expect("nothing in flight");
            });
            works(io);
        });
        works(io);
    });
}

/// Sockets and files of before the fork are used and dropped in the child, whose backend has never heard of
/// them, and their numbers used again; the parent's go on.
#[test]
fn what_was_open_before_is_the_childs_too() {
    on_each(|io| {
        let echo = |(near, far): &(UnixStream, UnixStream), text: [u8; 4]| {
            io.block_on(async {
                let mut read = pin!(far.read([0_u8; 8]));
                let first = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
                assert!(!first, "nothing to read yet");
                near.write_all(text).await.0.expect("room");
                let (count, buf) = read.await;
                assert_eq!((count.expect("data"), &buf[..4]), (4, &text[..]));
            });
        };
        let file = io.block_on(File::open(io, TEXT)).expect("open");
        let pair = UnixStream::pair(io).expect("sockets");
        echo(&pair, *b"warm");
        let mut pair = Some(pair);
        in_child(|| {
            io.reinit().expect("a new backend");
            let (count, _) = io.block_on(file.read_at([0_u8; 16], 0));
            assert_eq!(count.expect("read"), 6);
            let ours = pair.take().expect("once");
            echo(&ours, *b"cold");
            let before = ours.0.as_raw_fd();
            drop(ours);
            let others = [(); 8].map(|()| UnixStream::pair(io).expect("sockets"));
            let mut numbers = others.iter().flat_map(|(near, far)| [near, far]);
            assert!(numbers.any(|socket| socket.as_raw_fd() == before), "a number used again");
            others.iter().for_each(|pair| echo(pair, *b"anew"));
        });
        echo(pair.as_ref().expect("the parent's"), *b"more");
    });
}

/// A fork in the middle of a future: the child's operation ends, the parent's gets its data.
#[test]
fn an_operation_in_flight_is_the_parents() {
    on_each(|io| {
        let (reader, mut writer) = pipe_of(io);
        io.block_on(async {
            let mut read = pin!(reader.read([0_u8; 4]));
            poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending(), "nothing to read yet");
                Poll::Ready(())
            })
            .await;
            in_child(|| {
                let (result, _) = io.block_on(read.as_mut());
                assert_ownerless(result);
                io.reinit().expect("a new backend");
                works(io);
            });
            writer.write_all(b"data").expect("room");
            let (result, buf) = read.await;
            assert_eq!((result.expect("data"), &buf), (4, b"data"));
        });
    });
}
