//! Counts and times, for each call and for each file, and the slowest calls.

use crate::calls;
use crate::durations::Durations;
use crate::format::Call;
use crate::names::{NameId, Names};
use crate::story::Told;
use std::collections::{BTreeMap, HashMap};

/// How many of the slowest are kept.
const SLOWEST: usize = 10;

/// What is counted of one call or one file.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) total_ns: u64,
    pub(crate) durations: Durations,
}

/// One of the slowest.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) nanos: u64,
    /// From the beginning.
    pub(crate) begin: u64,
    pub(crate) name: &'static str,
    pub(crate) file: String,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) calls: BTreeMap<&'static str, Row>,
    pub(crate) files: HashMap<NameId, Row>,
    /// The slowest first.
    pub(crate) slowest: Vec<Slow>,
}

impl Row {
    fn add(&mut self, told: &Told<'_>) {
        let failed = told.event.result < 0;
        self.errors += u64::from(failed);
        // An exec is told when it is called, and once more if it failed.
        if told.call == Call::Exec && failed {
            return;
        }
        self.count += 1;
        self.bytes = self.bytes.saturating_add(calls::bytes(told.call, told.event));
        self.total_ns = self.total_ns.saturating_add(told.event.took);
        self.durations.push(told.event.took);
    }
}

impl Stats {
    /// Counts a call.
    pub(crate) fn add(&mut self, told: &Told<'_>, names: &Names) {
        self.calls.entry(told.name).or_default().add(told);
        if let Some(file) = told.file {
            self.files.entry(file).or_default().add(told);
        }
        let nanos = told.event.took;
        if self.slowest.len() == SLOWEST && self.slowest.last().is_some_and(|s| s.nanos >= nanos) {
            return;
        }
        let file = told.file.map(|file| names.text(file).to_owned()).unwrap_or_default();
        let (name, pid, tid, begin) = (told.name, told.pid, told.event.tid, told.begin);
        let place = self.slowest.partition_point(|slow| slow.nanos >= nanos);
        self.slowest.insert(place, Slow { nanos, begin, name, file, pid, tid });
        self.slowest.truncate(SLOWEST);
    }

    /// The files, that which took most time first.
    pub(crate) fn files(&mut self) -> Vec<(NameId, &mut Row)> {
        let mut files: Vec<_> = self.files.iter_mut().map(|(file, row)| (*file, row)).collect();
        files.sort_by_key(|(file, row)| (core::cmp::Reverse(row.total_ns), *file));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::Stats;
    use crate::format::Call;
    use crate::samples::{Sample, io};
    use crate::story::tests::story;

    fn stats(samples: &[Sample]) -> (Stats, crate::story::Story) {
        let mut story = story(&[(7, samples)]);
        let mut stats = Stats::default();
        story.each(&io(), |told, names| stats.add(told, names));
        (stats, story)
    }

    #[test]
    fn calls_and_files_are_counted() {
        let read = |at, nanos, result| Sample::at(at).fd(3).took(nanos).result(result);
        let open = Sample::at(1).call(Call::Open).fd(-1).result(3).text("/a").took(500);
        let mut samples = vec![open, read(9_000, 7, -5)];
        samples.extend((0..100).map(|n| read(1_000 + n, n, 10)));
        let (mut stats, story) = stats(&samples);
        let row = stats.calls.get_mut("read").expect("counted");
        assert_eq!((row.count, row.errors, row.bytes, row.total_ns), (101, 1, 1_000, 4_957));
        assert_eq!(row.durations.percentiles([50, 99]), [49, 98]);
        let files = stats.files();
        assert_eq!(files.len(), 1);
        assert_eq!((story.names.text(files[0].0), files[0].1.count), ("/a", 102));
        let slowest: Vec<_> = stats.slowest.iter().map(|slow| slow.nanos).collect();
        assert_eq!(slowest, [500, 99, 98, 97, 96, 95, 94, 93, 92, 91]);
        assert_eq!(stats.slowest[0].file, "/a");
    }

    #[test]
    fn an_exec_that_fails_is_one_call() {
        let exec = |at, result| Sample::at(at).call(Call::Exec).fd(-1).result(result).text("/x");
        let (stats, _) = stats(&[exec(1, 0), exec(2, -2), exec(3, 0)]);
        let row = &stats.calls["exec"];
        assert_eq!((row.count, row.errors), (2, 1));
    }
}
