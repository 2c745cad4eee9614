//! `block_on` in all its forms: who drives, who waits, and how a wait ends.

#[path = "common/each.rs"]
mod common;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use io_core::ops::Ops;
use io_core::syscall::now_ns;
use io_core::{Deadline, Errno};
use io_std::{Backend, File, Io};
use std::io::{PipeReader, PipeWriter, Write};
use std::sync::Arc;

fn pipe(io: &Io) -> (File, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (over(io, reader), writer)
}

fn over(io: &Io, reader: PipeReader) -> File {
    File::from_std(io, std::fs::File::from(std::os::fd::OwnedFd::from(reader)))
}

#[test]
fn an_operation_that_waits_for_another_thread() {
    common::on_each(|io| {
        for round in 0..200u32 {
            let (file, mut writer) = pipe(io);
            let bytes = round.to_ne_bytes();
            let thread = std::thread::spawn(move || writer.write_all(&bytes).expect("writes"));
            let (read, buf) = io.block_on(file.read_exact([0; 4]));
            read.expect("reads");
            assert_eq!(buf, bytes);
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn wakes_that_have_nothing_to_do_with_the_backend() {
    common::on_each(|io| {
        let (sender, receiver) = smol::channel::bounded(1);
        let thread = std::thread::spawn(move || {
            (0..1000).for_each(|n| smol::block_on(sender.send(n)).expect("a receiver"));
        });
        let sum = io.block_on(async {
            let mut sum = 0;
            while let Ok(n) = receiver.recv().await {
                sum += n;
                io.nop().await.expect("a nop");
            }
            sum
        });
        assert_eq!(sum, 999 * 1000 / 2);
        thread.join().expect("no panic");
    });
}

#[test]
fn a_future_that_wakes_itself() {
    common::on_each(|io| {
        let mut left = 1000;
        io.block_on(poll_fn(|cx: &mut Context<'_>| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
    });
}

#[test]
fn one_inside_another() {
    common::on_each(|io| {
        let (file, mut writer) = pipe(io);
        let bytes = io.block_on(async {
            let mut read = pin!(file.read([0; 8]));
            let first = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
            assert!(first, "nothing to read yet");
            io.block_on(async { io.nop().await.expect("a nop") });
            writer.write_all(b"12345678").expect("writes");
            read.await.1
        });
        assert_eq!(&bytes, b"12345678");
    });
}

#[test]
fn a_pool_without_workers_is_driven_by_each_thread_in_turn() {
    let io = Io::builder().backend(Backend::Pool).workers(0).build().expect("a pool");
    let done = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4u8)
        .map(|n| {
            let (io, done) = (io.clone(), done.clone());
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let (file, mut writer) = pipe(&io);
                    writer.write_all(&[n; 16]).expect("writes");
                    let (read, buf) = io.block_on(file.read_exact([0; 16]));
                    read.expect("reads");
                    assert_eq!(buf, [n; 16]);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(done.load(Ordering::Relaxed), 800);
}

#[test]
fn every_thread_may_block_where_there_are_threads() {
    common::on_each_with_threads(|io| {
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                let io = io.clone();
                std::thread::spawn(move || {
                    for _ in 0..200 {
                        let (file, mut writer) = pipe(&io);
                        writer.write_all(&[n; 16]).expect("writes");
                        assert_eq!(io.block_on(file.read_exact([0; 16])).1, [n; 16]);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn stop_refuses_and_start_begins_again() {
    common::on_each(|io| {
        io.block_on(async { io.nop().await.expect("a nop") });
        let (file, mut writer) = pipe(io);
        {
            let mut read = pin!(file.read([0; 8]));
            io.block_on(poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            }));
            let soon = Deadline::after(now_ns(), Duration::from_secs(20));
            io.stop(soon).expect("nothing is left");
            let error = io.block_on(read).0.expect_err("cancelled");
            assert_eq!(error.raw_os_error(), Some(Errno::CANCELED.raw()));
        }
        assert_eq!(io.block_on(io.fsync(file.clone())), Err(Errno::CANCELED));
        io.start().expect("starts again");
        assert_eq!(io.start(), Err(Errno::ALREADY));
        writer.write_all(b"again").expect("writes");
        assert_eq!(io.block_on(file.read_exact([0; 5])).1, *b"again");
    });
}
