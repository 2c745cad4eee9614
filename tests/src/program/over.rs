//! The end of a program: everything is brought to its end in one of several ways, and what is left is looked
//! at.

use super::Summary;
use super::area::Area;
use super::book::{Entry, Leads, Life};
use super::judge;
use super::run::Run;
use super::stream::Verdict;
use core::time::Duration;
use io_core::{Deadline, Errno, Phase};
use std::sync::Arc;

/// How often the backend is polled until all must be done.
const PATIENCE: u32 = 20_000;

impl Run {
    /// Brings everything to its end; panics if anything is not as it must be.
    pub(super) fn wind_up(&self) -> Summary {
        self.calm();
        match if self.limits.few { 1 } else { self.choices.below(4) } {
            0 => self.let_finish(),
            1 => self.cancel_all(),
            2 => self.stop_for_good(),
            _ => {}
        }
        self.drop_all();
        // What is forgotten may fly on into the backend's drop.
        if self.limits.few || !self.choices.chance(3) {
            self.stop_for_good();
            self.settle();
            self.counters();
        }
        self.note(|| "drop the backend".to_owned());
        self.ask_all();
        self.host.end();
        self.forgotten_are_done();
        let undecided = self.contents();
        let summary = Summary { undecided, ..self.summary() };
        let leaked = self.close_all();
        self.wakers_are_back();
        self.memory_is_left_alone();
        let open = self.host.open_count();
        if open > leaked {
            self.violated(&format!("{open} descriptors left, {leaked} are forgotten operations'"));
        }
        summary
    }

    /// No more surprises inside wakers and callbacks.
    fn calm(&self) {
        self.book.borrow_mut().entries.iter_mut().for_each(|entry| entry.reaction = None);
    }

    /// Polls for a while, reads what is done, and then cancels the rest.
    fn let_finish(&self) {
        for _ in 0..16 {
            if let Err(errno) = self.host.backend().poll(Some(Duration::from_millis(1))) {
                self.violated(&format!("poll says {errno:?}"));
            }
            self.settle();
        }
        while self.read_one() {}
        self.cancel_all();
    }

    fn cancel_all(&self) {
        self.note(|| "cancel all that fly".to_owned());
        let flying = self.book.borrow().which(|entry| entry.life == Life::Flying);
        for at in flying {
            self.cancel_this(at);
        }
        for _ in 0..PATIENCE {
            let flies = |entry: &Entry| entry.is_flying() && entry.lost.is_none();
            if !self.book.borrow().entries.iter().any(flies) {
                return;
            }
            if let Err(errno) = self.host.backend().poll(Some(Duration::from_millis(1))) {
                self.violated(&format!("poll says {errno:?}"));
            }
            self.settle();
        }
        self.violated("cancelled, and not done after thousands of polls");
    }

    fn stop_for_good(&self) {
        self.note(|| "stop for good".to_owned());
        self.ask_all();
        if let Err(error) = self.host.backend().stop(Deadline::NEVER) {
            self.violated(&format!("stop says {error:?}"));
        }
        for _ in 0..PATIENCE {
            if self.host.backend().in_flight() == 0 {
                break;
            }
            if let Err(errno) = self.host.backend().poll(Some(Duration::ZERO)) {
                self.violated(&format!("poll says {errno:?}"));
            }
        }
        self.settle();
        let left = self.host.backend().in_flight();
        if left > 0 {
            self.violated(&format!("{left} in flight after a stop and thousands of polls"));
        }
    }

    /// What flies is asked to end early, and what comes is refused.
    fn ask_all(&self) {
        let mut book = self.book.borrow_mut();
        book.stopped = true;
        book.entries.iter_mut().for_each(|entry| entry.asked |= entry.is_flying());
    }

    fn drop_all(&self) {
        loop {
            let there = self.book.borrow().which(|_| true);
            if there.is_empty() {
                break;
            }
            let among = if self.limits.few { 1 } else { there.len().min(3) };
            let at = there[self.choices.index(among)];
            self.note(|| format!("drop {at}"));
            self.drop_this(at);
        }
        self.settle();
    }

    fn counters(&self) {
        let counters = self.host.backend().counters();
        let submitted = self.book.borrow().submitted;
        if (counters.submitted, counters.delivered) != (submitted, submitted) {
            self.violated(&format!(
                "{submitted} were submitted, but the backend says {} and {} delivered",
                counters.submitted, counters.delivered
            ));
        }
    }

    /// What is in the streams and files is what was written; how many streams there was no time to judge.
    fn contents(&self) -> u64 {
        let mut undecided = 0;
        let (streams, files) = {
            let book = self.book.borrow();
            (book.streams.len(), book.files.len())
        };
        for stream in 0..streams {
            let reader = {
                let book = self.book.borrow();
                let reads = |leads: &Leads| matches!(leads, Leads::Stream { reads: Some(from), .. } if *from == stream);
                book.open(reads).first().map(|&end| book.ends[end].fd)
            };
            let left = reader.map(|fd| self.host.get(fd, 1 << 20));
            let judged = judge::stream(&self.book.borrow(), stream, left);
            match judged {
                Verdict::Explained => {}
                Verdict::Unexplained(why) => self.violated(&format!("stream {stream}: {why}")),
                Verdict::Undecided => undecided += 1,
            }
        }
        for file in 0..files {
            let fd = {
                let book = self.book.borrow();
                book.ends[book.files[file].end].fd
            };
            let content = self.host.content(fd);
            let judged = judge::file(&self.book.borrow(), file, &content);
            if let Err(why) = judged {
                self.violated(&format!("file {file}: {why}"));
            }
        }
        undecided
    }

    /// Closes what is the program's; how many descriptors forgotten operations may have.
    fn close_all(&self) -> usize {
        let open = self.book.borrow().open(|_| true);
        for end in open {
            let fd = self.book.borrow().ends[end].fd;
            if let Err(errno) = self.host.close(fd) {
                self.violated(&format!("{fd:?} is open, but its close says {errno:?}"));
            }
        }
        let book = self.book.borrow();
        let may_keep = |entry: &&Entry| {
            let told = entry.told.is_some() && entry.raw;
            entry.lost.is_some() && entry.kind.yields_fd() && !told
        };
        book.entries.iter().filter(may_keep).count()
    }

    fn forgotten_are_done(&self) {
        let book = self.book.borrow();
        let flies = |(at, entry): (usize, &Entry)| {
            let lost = entry.lost?;
            (super::held::phase(lost) != Phase::Done).then_some(at)
        };
        let flying = book.entries.iter().enumerate().find_map(flies);
        drop(book);
        if let Some(at) = flying {
            self.violated(&format!("{at} flies after its backend's drop"));
        }
        self.finish_all();
    }

    /// Each bell is held by its entry alone, unless a forgotten operation may have it.
    fn wakers_are_back(&self) {
        let book = self.book.borrow();
        let kept = |(at, entry): (usize, &Entry)| {
            let bells = entry.others.iter().chain([&entry.bell]);
            let left: usize = bells.map(|bell| Arc::strong_count(bell) - 1).sum();
            (entry.lost.is_none() && left > 0).then_some((at, left))
        };
        let kept = book.entries.iter().enumerate().find_map(kept);
        drop(book);
        if let Some((at, left)) = kept {
            self.violated(&format!("{left} wakers of {at} are left"));
        }
    }

    fn memory_is_left_alone(&self) {
        let book = self.book.borrow();
        let touched = |entry: &Entry| {
            let over = entry.got.is_some() && !entry.area.as_ref().is_none_or(Area::is_retired);
            over.then(|| entry.what.clone())
        };
        let touched = book.entries.iter().find_map(touched);
        drop(book);
        if let Some(what) = touched {
            self.violated(&format!("{what}: its memory was written to when it was done"));
        }
    }

    fn summary(&self) -> Summary {
        let book = self.book.borrow();
        let mut summary = Summary { programs: 1, submitted: book.submitted, ..Summary::default() };
        for entry in book.entries.iter().filter(|entry| entry.begin != u32::MAX) {
            let (count, place) = match entry.told {
                None => (&mut summary.unheard, 4),
                Some(0..) => (&mut summary.succeeded, 0),
                Some(told) if told == Errno::CANCELED.to_result() => (&mut summary.canceled, 2),
                Some(told) if told == Errno::TIMEDOUT.to_result() => (&mut summary.timed_out, 3),
                Some(_) => (&mut summary.failed, 1),
            };
            *count += 1;
            summary.by_kind[entry.kind as usize][place] += 1;
        }
        summary
    }
}
