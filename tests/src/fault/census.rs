//! [`Census`]: what the process holds, to be the same after a fault as before it.

use super::heap;
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

/// How many mappings and how much memory may come and go with the allocator.
const SPARE_MAPS: usize = 24;
const SPARE_KIB: usize = 6 * 1024;
/// How many bytes of the heap: what the standard library makes when it is first needed, such as a thread's handle
/// for parking. A round that leaves something behind does so each time.
const SPARE_BYTES: usize = 128;
/// Threads and rings end a little later than whoever ends them.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many counts of the same, a millisecond apart, are the end of what goes on.
const SETTLED: u32 = 8;

/// What the process holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Census {
    /// The open descriptors and what they are.
    pub files: BTreeSet<String>,
    /// How many threads, without the kernel's own workers for a ring.
    pub threads: usize,
    /// How many mappings.
    pub maps: usize,
    /// The resident memory.
    pub kib: usize,
    /// Bytes of the heap that are in use, without this value's own; 0 where the allocator is not
    /// [`Heap`](super::Heap).
    pub heap: usize,
    /// This value's own.
    own: usize,
}

fn files() -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        // The directory's own descriptor is closed by now, when it is looked up.
        if let Ok(target) = fs::read_link(entry.path()) {
            let number = entry.file_name();
            files.insert(format!("{} {}", number.display(), target.display()));
        }
    }
    files.retain(|file| !file.contains("/proc/"));
    files
}

fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let name = |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks.filter(|task| name(task).is_ok_and(|name| !name.starts_with("iou-"))).count()
}

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

impl Census {
    /// Counts now.
    #[must_use]
    pub fn take() -> Census {
        let heap = heap::bytes();
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().count();
        let (files, threads, kib) = (files(), threads(), resident_kib());
        let own = heap::bytes().saturating_sub(heap);
        Census { files, threads, maps, kib, heap, own }
    }

    /// Counts until nothing has changed for a while: what ends a little later than whoever ends it is gone.
    #[must_use]
    pub fn settled() -> Census {
        let (begin, mut last, mut same) = (Instant::now(), Census::take(), 0);
        while same < SETTLED && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
            let now = Census::take();
            // The last one's own is part of the next one's.
            let heap = now.heap.saturating_sub(last.own);
            let unchanged = heap == last.heap && now.threads == last.threads;
            same = if unchanged && now.files == last.files { same + 1 } else { 0 };
            last = Census { heap, ..now };
        }
        last
    }

    /// What there is more of than before.
    fn grown(&self, before: &Census, spare_kib: usize) -> Option<String> {
        // Some may have been about to be closed before.
        let new: Vec<_> = self.files.difference(&before.files).collect();
        if !new.is_empty() {
            return Some(format!("descriptors: {new:?}"));
        }
        if self.threads > before.threads {
            return Some(format!("threads: {} and not {}", self.threads, before.threads));
        }
        if self.maps > before.maps + SPARE_MAPS {
            return Some(format!("mappings: {} and not {}", self.maps, before.maps));
        }
        // `before` is there by now.
        let heap = self.heap.saturating_sub(before.own);
        if heap > before.heap + SPARE_BYTES {
            return Some(format!("heap: {heap} bytes and not {}", before.heap));
        }
        (self.kib > before.kib + spare_kib)
            .then(|| format!("memory: {} KiB and not {}", self.kib, before.kib))
    }

    /// Counts again, until it is as it was.
    ///
    /// # Panics
    /// If it does not become so.
    pub fn assert_same(&self, what: &str) {
        self.assert_same_within(SPARE_KIB, what);
    }

    /// As [`assert_same`](Self::assert_same), with so much resident memory that may come with the allocator.
    ///
    /// # Panics
    /// If it does not become so.
    pub fn assert_same_within(&self, spare_kib: usize, what: &str) {
        let begin = Instant::now();
        while let Some(grown) = Census::take().grown(self, spare_kib) {
            assert!(begin.elapsed() < PATIENCE, "{what} leaves something behind: {grown}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Runs `body` once to fill what is filled once, then `rounds` times, after which the process holds what it
/// held before.
///
/// # Panics
/// If it holds more.
pub fn flat(rounds: u32, what: &str, mut body: impl FnMut()) {
    body();
    let before = Census::settled();
    for _ in 0..rounds {
        body();
    }
    before.assert_same(what);
}
