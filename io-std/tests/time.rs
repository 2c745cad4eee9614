//! Waiting for the clock, and operations that end because their time is over; on each backend, and
//! without one.

#[path = "common/each.rs"]
mod each;

use core::future::{pending, ready};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use each::on_each;
use io_core::syscall::deadline_in;
use io_core::{Deadline, Errno};
use io_std::File;
use io_std::time::{Elapsed, sleep, sleep_until, timeout};
use std::io::{ErrorKind, PipeReader, PipeWriter, pipe};
use std::os::fd::OwnedFd;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

fn pipe_of(io: &io_std::Io) -> (File, PipeWriter) {
    let (reader, writer): (PipeReader, PipeWriter) = pipe().expect("a pipe");
    (File::from_std(io, OwnedFd::from(reader).into()), writer)
}

#[test]
fn sleeping_takes_its_time_and_no_longer() {
    on_each(|io| {
        let start = Instant::now();
        io.block_on(sleep(SHORT)).expect("runs");
        assert!(start.elapsed() >= SHORT);
        // What is over is over at once.
        io.block_on(sleep(Duration::ZERO)).expect("runs");
        io.block_on(sleep_until(Deadline::NOW)).expect("runs");
        assert!(start.elapsed() < LONG);
    });
}

#[test]
fn an_operation_times_out_and_its_buffer_comes_back() {
    on_each(|io| {
        let (reader, _writer) = pipe_of(io);
        let start = Instant::now();
        let (result, buf) = io.block_on(reader.read(vec![7_u8; 4]).with_timeout(SHORT));
        assert_eq!(result.expect_err("nobody writes").kind(), ErrorKind::TimedOut);
        assert_eq!(buf, [7; 4]);
        assert!(start.elapsed() >= SHORT);
    });
}

#[test]
fn an_operation_in_time_is_not_touched_by_its_deadline() {
    on_each(|io| {
        let file = io.block_on(File::open(io, "/proc/sys/kernel/ostype")).expect("open");
        let read = file.read_at([0_u8; 16], 0).with_deadline(deadline_in(LONG));
        let (count, buf) = io.block_on(read);
        assert_eq!((count.expect("read"), &buf[..6]), (6, &b"Linux\n"[..]));
        // Over before it begins: it is not started.
        let read = file.read([0_u8; 16]).with_deadline(Deadline::NOW);
        assert_eq!(io.block_on(read).0.expect_err("over").kind(), ErrorKind::TimedOut);
        let (count, _) = io.block_on(file.read([0_u8; 16]));
        assert_eq!(count.expect("from the start"), 6);
    });
}

#[test]
fn anything_can_be_given_a_time() {
    on_each(|io| {
        assert_eq!(io.block_on(timeout(LONG, ready(1))), Ok(1));
        assert_eq!(io.block_on(timeout(SHORT, pending::<()>())), Err(Elapsed));
        let (reader, _writer) = pipe_of(io);
        let copy = async {
            let (first, buf) = reader.read([0_u8; 1]).await;
            first.map(|_| buf)
        };
        assert_eq!(io.block_on(timeout(SHORT, copy)).expect_err("nobody writes"), Elapsed);
        let error = std::io::Error::from(Elapsed);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

/// Without a backend the thread blocks, and the future is ready at its first poll.
#[test]
fn without_a_backend() {
    let mut cx = Context::from_waker(Waker::noop());
    let start = Instant::now();
    let slept = pin!(sleep(SHORT)).poll(&mut cx);
    assert!(matches!(slept, Poll::Ready(Ok(()))), "{slept:?}");
    assert!(start.elapsed() >= SHORT);
    let Poll::Ready(never) = pin!(sleep_until(Deadline::NEVER)).poll(&mut cx) else {
        panic!("it would block for ever");
    };
    let errno = never.expect_err("nothing could end it").raw_os_error();
    assert_eq!(errno, Some(Errno::DEADLK.raw()));
}
