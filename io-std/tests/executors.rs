//! Futures of one [`Io`] on executors that know nothing of it.

#[path = "common/each.rs"]
mod common;

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use io_std::{File, Io};
use std::path::PathBuf;
use std::sync::Arc;

const TASKS: usize = 64;

/// Writes a file of its own, reads it back, and checks it.
async fn round_trip(io: Io, path: PathBuf, task: usize) -> usize {
    let byte = u8::try_from(task % 251).expect("fits");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&io, &path)
        .await
        .expect("creates");
    let (written, buf) = file.write_all_at(vec![byte; 10_000 + task], 0).await;
    written.expect("writes");
    let (read, back) = file.read_exact_at(vec![0; buf.len()], 0).await;
    read.expect("reads");
    assert_eq!(buf, back);
    file.close().await.expect("closes");
    back.len()
}

fn total() -> usize {
    (0..TASKS).map(|task| 10_000 + task).sum()
}

#[test]
fn tokio_runs_many_operations() {
    common::on_each_with_threads(|io| {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .build()
            .expect("a runtime");
        let sum = runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let path = dir.path().join(task.to_string());
                    tokio::spawn(round_trip(io.clone(), path, task))
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.expect("no panic");
            }
            sum
        });
        assert_eq!(sum, total());
    });
}

#[test]
fn smol_runs_many_operations() {
    common::on_each_with_threads(|io| {
        let dir = tempfile::tempdir().expect("a directory");
        let executor = Arc::new(smol::Executor::new());
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                std::thread::spawn(move || {
                    // An error says that the sender is gone: the end.
                    let _ = smol::block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        let sum = smol::block_on(async {
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let path = dir.path().join(task.to_string());
                    executor.spawn(round_trip(io.clone(), path, task))
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        });
        drop(stop);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(sum, total());
    });
}

#[test]
fn the_last_handle_may_go_on_any_thread() {
    common::on_each_with_threads(|io| {
        for _ in 0..20 {
            let io = io.chosen().backend;
            let io = Io::builder().backend(io).build().expect("it worked just now");
            let (from, to) = std::io::pipe().expect("a pipe");
            let file = File::from_std(&io, std::fs::File::from(std::os::fd::OwnedFd::from(from)));
            // The task, and with it the last `Io`, is dropped by whoever completes it.
            let task = smol::spawn(async move { file.read_exact(vec![0; 4]).await.1 });
            drop(io);
            std::io::Write::write_all(&mut { to }, b"last").expect("writes");
            assert_eq!(smol::block_on(task), b"last");
        }
    });
}

/// A waker as bad as they come.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose: a waker that panics");
    }
}

#[test]
fn our_threads_outlive_a_waker_that_panics() {
    common::on_each_with_threads(|io| {
        let (from, to) = std::io::pipe().expect("a pipe");
        let from = File::from_std(io, std::fs::File::from(std::os::fd::OwnedFd::from(from)));
        let mut read = pin!(from.read_exact([0; 4]));
        let waker = Waker::from(Arc::new(Panics));
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        std::io::Write::write_all(&mut { to }, b"data").expect("writes");
        // The next poll's waker is ours, unless the bad one has run already.
        assert_eq!(io.block_on(read).1, *b"data");
        let dir = tempfile::tempdir().expect("a directory");
        for task in 0..20 {
            let path = dir.path().join(task.to_string());
            io.block_on(round_trip(io.clone(), path, task));
        }
    });
}
