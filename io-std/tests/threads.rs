//! The library's threads: their names, their signals, and their end. One test, because it looks at all
//! threads of the process.

use io_core::ops::Ops;
use io_std::{Backend, Io};
use std::fs;
use std::thread;

/// The signals that no mask holds: KILL, STOP, and the two that the C library keeps for itself.
const UNBLOCKABLE: u64 = 1 << (9 - 1) | 1 << (19 - 1) | 1 << (32 - 1) | 1 << (33 - 1);

/// Name and blocked signals of each thread of ours. Threads that end meanwhile are left out.
fn ours() -> Vec<(String, u64)> {
    let tasks = fs::read_dir("/proc/self/task").expect("proc");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let parse = |status: String| {
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let blocked = u64::from_str_radix(field("SigBlk:")?, 16).ok()?;
        Some((field("Name:")?.to_owned(), blocked))
    };
    let all = tasks.filter_map(|task| parse(status(task.ok()?)?));
    all.filter(|(name, _)| name.starts_with("io-")).collect()
}

/// Looks until there are so many; a thread names itself, and leaves `/proc` a moment after its end.
fn wait_for(count: usize) -> Vec<(String, u64)> {
    loop {
        let threads = ours();
        if threads.len() == count {
            return threads;
        }
        thread::yield_now();
    }
}

#[test]
fn threads_are_named_deaf_to_signals_and_joined() {
    let builder = |backend| Io::builder().backend(backend);
    let cases = [
        (builder(Backend::Pool), 4, 0),
        (builder(Backend::Pool).workers(1), 1, 0),
        (builder(Backend::Pool).workers(0), 0, 0),
        (builder(Backend::Uring), 2, 1),
        (builder(Backend::Uring).workers(0), 0, 1),
        (builder(Backend::Uring).workers(0).driver(false), 0, 0),
    ];
    for (builder, workers, drivers) in cases {
        let io = match builder.build() {
            Ok(io) => io,
            Err(error) => {
                println!("SKIPPED: {error}");
                continue;
            }
        };
        io.block_on(async { io.nop().await.expect("a nop") });
        let threads = wait_for(workers + drivers);
        assert_eq!(threads.iter().filter(|(name, _)| name == "io-worker").count(), workers);
        assert_eq!(threads.iter().filter(|(name, _)| name == "io-driver").count(), drivers);
        for (name, blocked) in threads {
            assert_eq!(blocked | UNBLOCKABLE, u64::MAX, "{name} takes no signals");
        }
        let clone = io.clone();
        drop(io);
        assert_eq!(ours().len(), workers + drivers);
        drop(clone);
        assert!(wait_for(0).is_empty());
    }
}
