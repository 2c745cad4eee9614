//! What this process has: descriptors, threads, resident memory.

use core::time::Duration;
use std::thread;
use std::time::Instant;

/// Open descriptors.
pub(crate) fn descriptors() -> usize {
    // The listing itself has one.
    entries("/proc/self/fd").saturating_sub(1)
}

/// What they are.
pub(crate) fn descriptor_names() -> String {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let names = entries.map(|entry| format!("{:?}", std::fs::read_link(entry.path())));
    names.collect::<Vec<_>>().join(", ")
}

/// Threads.
pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

/// Waits until there are `wanted` threads: one that was joined may be listed for a moment more.
pub(crate) fn threads_settled(wanted: usize) -> usize {
    let begin = Instant::now();
    while threads() > wanted && begin.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(1));
    }
    threads()
}

/// Resident memory in KiB.
pub(crate) fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
