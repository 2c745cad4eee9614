//! Everything that was recorded, after a first walk through it: what the descriptors were called, the threads,
//! and the time it took. A second walk then has each event with its file.

use crate::calls;
use crate::clock::Moment;
use crate::format::{BORROWED, Call, Event, Layer};
use crate::life::Life;
use crate::names::{Descriptors, NameId, Names, path};
use io_std::Io;
use std::collections::BTreeMap;

/// A thread, as one lane of the picture.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    /// What it calls itself; else empty.
    pub(crate) name: String,
    /// Its first and last moment, in nanoseconds of the monotonic clock.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// A process and a thread in it.
pub(crate) type ThreadId = (u32, u32);

/// All that was recorded.
pub(crate) struct Story {
    pub(crate) lives: Vec<Life>,
    descriptors: Vec<Descriptors>,
    pub(crate) names: Names,
    pub(crate) threads: BTreeMap<ThreadId, Thread>,
    /// The first and the last moment.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// Calls that were found, and how many events each life had.
    pub(crate) calls: u64,
    pub(crate) found: Vec<u64>,
    /// Programs that were started and have no life of their own: process, and when.
    started: Vec<(u32, u64)>,
    /// What could not be read.
    pub(crate) errors: Vec<String>,
}

/// Whose an event is: a child of vfork is a process of its own, with its parent's memory.
fn pid_of(life: &Life, event: &Event) -> u32 {
    if event.flags & BORROWED == 0 { life.header.pid } else { event.tid }
}

/// A call, as the second walk gives it.
pub(crate) struct Told<'a> {
    pub(crate) pid: u32,
    pub(crate) call: Call,
    pub(crate) layer: Layer,
    pub(crate) name: &'static str,
    pub(crate) event: &'a Event,
    pub(crate) text: &'a [u8],
    /// What it was about.
    pub(crate) file: Option<NameId>,
    /// From the story's beginning, in nanoseconds.
    pub(crate) begin: u64,
}

impl Story {
    /// The first walk. All lives were lived between these two moments.
    pub(crate) fn read(io: &Io, mut lives: Vec<Life>, first: Moment, last: Moment) -> Story {
        lives.iter_mut().for_each(|life| life.set_clock(first, last));
        lives.sort_by_key(|life| (life.header.began, life.header.pid));
        let mut story = Story {
            descriptors: Vec::new(),
            names: Names::default(),
            threads: BTreeMap::new(),
            begin: u64::MAX,
            end: 0,
            calls: 0,
            found: Vec::new(),
            started: Vec::new(),
            errors: Vec::new(),
            lives: Vec::new(),
        };
        for life in lives {
            story.take(io, life);
        }
        story.begin = story.begin.min(story.end);
        story
    }

    fn take(&mut self, io: &Io, life: Life) {
        let (mut found, mut descriptors) = (0, Descriptors::default());
        if life.header.began > 0 {
            self.begin = self.begin.min(life.header.began);
            self.end = self.end.max(life.header.began).max(life.header.ended);
        }
        let read = life.each(io, |event, text| {
            let Some((call, layer, _)) = calls::of(event) else { return };
            found += 1;
            descriptors.note(&mut self.names, call, event, text);
            let ended = event.begin.saturating_add(event.took);
            self.begin = self.begin.min(event.begin);
            self.end = self.end.max(ended);
            self.calls += u64::from(layer != Layer::Note);
            let new = || Thread { first: event.begin, ..Thread::default() };
            let pid = pid_of(&life, event);
            let thread = self.threads.entry((pid, event.tid)).or_insert_with(new);
            thread.first = thread.first.min(event.begin);
            thread.last = thread.last.max(ended);
            match call {
                Call::Thread if !text.is_empty() => thread.name = path(text),
                Call::Exec if event.result == 0 => self.started.push((pid, event.begin)),
                // It came back: nothing was started.
                Call::Exec => self.started.retain(|(by, _)| *by != pid),
                Call::Spawn | Call::Spawnp if event.result == 0 => {
                    self.started
                        .extend(u32::try_from(event.argument).map(|pid| (pid, event.begin)));
                }
                _ => {}
            }
        });
        if let Err(error) = read {
            self.errors.push(format!("the events of process {}: {error}", life.header.pid));
        }
        descriptors.settle();
        self.descriptors.push(descriptors);
        self.found.push(found);
        self.lives.push(life);
    }

    /// The second walk: each call, life after life.
    pub(crate) fn each(&mut self, io: &Io, mut visit: impl FnMut(&Told<'_>, &Names)) {
        for (life, descriptors) in self.lives.iter().zip(&self.descriptors) {
            // An error would be the first walk's, which has told it.
            let _ = life.each(io, |event, text| {
                let Some((call, layer, name)) = calls::of(event) else { return };
                if layer == Layer::Note {
                    return;
                }
                let file = descriptors.subject(&mut self.names, call, event, text);
                let begin = event.begin.saturating_sub(self.begin);
                let pid = pid_of(life, event);
                visit(&Told { pid, call, layer, name, event, text, file, begin }, &self.names);
            });
        }
    }

    /// How long it all took, in nanoseconds.
    pub(crate) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }

    /// How many programs were started that the tracer was not loaded into.
    pub(crate) fn untraced(&self) -> u64 {
        let counted = self.lives.iter().map(|life| life.header.untraced);
        let counted = counted.fold(0, u64::saturating_add);
        let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
        for life in &self.lives {
            let began = latest.entry(life.header.pid).or_default();
            *began = life.header.began.max(*began);
        }
        let unseen = |(pid, at): &&(u32, u64)| latest.get(pid).is_none_or(|began| began < at);
        // What a life counted itself is among those.
        counted.max(self.started.iter().filter(unseen).count() as u64)
    }

    /// How many threads there were: those that were found, or as many as a process counted.
    pub(crate) fn thread_count(&self) -> usize {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (pid, _) in self.threads.keys() {
            *counts.entry(*pid).or_default() += 1;
        }
        for life in &self.lives {
            let counted = usize::try_from(life.header.threads).unwrap_or(0);
            let count = counts.entry(life.header.pid).or_default();
            *count = counted.max(*count);
        }
        counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The processes, and what ran in each, one program after the other.
    pub(crate) fn processes(&self) -> BTreeMap<u32, String> {
        let mut processes: BTreeMap<u32, String> = BTreeMap::new();
        for life in &self.lives {
            let program = life.header.program.rsplit('/').next().unwrap_or_default();
            let programs = processes.entry(life.header.pid).or_default();
            if programs.is_empty() {
                program.clone_into(programs);
            } else if programs.rsplit(" → ").next() != Some(program) && programs.len() < 200 {
                *programs += " → ";
                *programs += program;
            }
        }
        for (pid, _) in self.threads.keys() {
            processes.entry(*pid).or_insert_with(|| "(vfork)".to_owned());
        }
        processes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Story;
    use crate::clock::Moment;
    use crate::format::{BORROWED, Call};
    use crate::life::Life;
    use crate::samples::{Sample, block, io, mapping};
    use std::fs;

    /// A story of lives with these events.
    pub(crate) fn story(lives: &[(u32, &[Sample])]) -> Story {
        let dir = tempfile::tempdir().expect("a directory");
        let load = |(pid, samples): &(u32, &[Sample])| {
            let path = dir.path().join(format!("{pid}-0.live"));
            let count = samples.len() as u64;
            fs::write(&path, mapping(*pid, count, &[(0, block(0, samples), 0)])).expect("written");
            Life::load(&io(), &path, dir.path().join("none")).expect("loaded").expect("a life")
        };
        let now = Moment::now();
        Story::read(&io(), lives.iter().map(load).collect(), now, now)
    }

    #[test]
    fn each_call_has_its_file_and_its_time() {
        let samples = [
            Sample::at(100).call(Call::Begin).fd(-1),
            Sample::at(100).call(Call::Descriptor).fd(0).text("/dev/pts/1"),
            Sample::at(110).call(Call::Open).fd(-1).result(3).text("/a").took(5),
            Sample::at(120).fd(3).took(30),
            Sample::at(130).fd(0).tid(8).took(50),
            Sample::at(131).call(Call::Thread).fd(-1).tid(8).text("reader"),
        ];
        let mut story = story(&[(7, &samples)]);
        assert_eq!((story.begin, story.end, story.calls), (100, 180, 3));
        assert_eq!(story.found, [6]);
        let mut told = Vec::new();
        story.each(&io(), |call, names| {
            let file = call.file.map(|id| names.text(id).to_owned());
            told.push((call.name, call.begin, file.unwrap_or_default()));
        });
        let expected = [("open", 10, "/a"), ("read", 20, "/a"), ("read", 30, "/dev/pts/1")];
        assert_eq!(told, expected.map(|(name, begin, file)| (name, begin, file.to_owned())));
        assert_eq!(story.threads[&(7, 8)].name, "reader");
        assert_eq!(story.threads.len(), 2);
        assert_eq!(story.processes()[&7], "sample");
    }

    #[test]
    fn what_was_started_and_left_nothing_is_untraced() {
        let exec = |at, result| Sample::at(at).call(Call::Exec).fd(-1).result(result).text("/x");
        let spawn = |pid| Sample::at(9).call(Call::Spawn).fd(-1).result(0).argument(pid);
        let untraced = |samples: &[Sample]| story(&[(7, samples)]).untraced();
        assert_eq!(untraced(&[exec(5, 0)]), 1);
        assert_eq!(untraced(&[exec(5, 0), exec(6, -2)]), 0, "it came back");
        assert_eq!(untraced(&[spawn(8)]), 1);
        let mut story = story(&[(7, &[spawn(8)]), (8, &[])]);
        assert_eq!(story.untraced(), 1, "another process, before, had this number");
        story.lives.iter_mut().for_each(|life| life.header.began = 10);
        assert_eq!(story.untraced(), 0);
    }

    #[test]
    fn a_child_of_vfork_is_a_process_of_its_own() {
        let borrowed = Sample::at(5).call(Call::Write).tid(9).flags(BORROWED);
        let mut story = story(&[(7, &[Sample::at(1), borrowed])]);
        assert_eq!(story.threads.keys().copied().collect::<Vec<_>>(), [(7, 7), (9, 9)]);
        assert_eq!(story.processes()[&9], "(vfork)");
        assert_eq!(story.thread_count(), 2);
        let mut pids = Vec::new();
        story.each(&io(), |told, _| pids.push(told.pid));
        assert_eq!(pids, [7, 9]);
    }

    #[test]
    fn without_any_life_there_is_nothing() {
        let mut story = story(&[]);
        story.each(&io(), |_, _| panic!("no call"));
        assert_eq!((story.begin, story.duration(), story.calls), (0, 0, 0));
    }
}
