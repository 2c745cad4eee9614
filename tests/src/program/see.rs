//! What a program sees after each step: what is done, what was told, and what the book learns of it.

use super::book::{Effect, Entry, Leads, Life};
use super::judge;
use super::run::Run;
use io_core::{Fd, Phase};

impl Run {
    /// Looks at everything that is done since.
    pub(super) fn settle(&self) {
        self.finish_all();
        self.counted();
    }

    pub(super) fn finish_all(&self) {
        let done: Vec<usize> = {
            let book = self.book.borrow();
            let is_done = |entry: &Entry| match (&entry.held, entry.lost) {
                (Some(held), _) => entry.life == Life::Flying && held.phase() == Phase::Done,
                (None, Some(lost)) => entry.is_flying() && super::held::phase(lost) == Phase::Done,
                (None, None) => false,
            };
            (0..book.entries.len()).filter(|&at| is_done(&book.entries[at])).collect()
        };
        for at in done {
            self.finish(at);
        }
    }

    /// Looks whether this one is done since.
    pub(super) fn notice(&self, at: usize) {
        let done = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            let phase = entry.held.as_ref().map(|held| held.phase());
            entry.life == Life::Flying && phase == Some(Phase::Done)
        };
        if done {
            self.finish(at);
        }
    }

    /// The number in flight is the book's.
    pub(super) fn counted(&self) {
        let book = self.book.borrow();
        let flying = book.entries.iter().filter(|entry| entry.is_flying()).count();
        drop(book);
        let in_flight = self.host.backend().in_flight();
        if in_flight != flying {
            self.violated(&format!("{in_flight} in flight, but {flying} are not done"));
        }
    }

    /// Notes that an operation is done, once.
    pub(super) fn finish(&self, at: usize) {
        let now = self.now();
        {
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            if entry.life == Life::Flying {
                entry.life = Life::Done;
            }
            entry.end = now;
        }
        self.look(at);
        let heard = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            let calls = entry.bell.calls();
            (calls > 0 && !entry.waited).then(|| entry.bell.told())
        };
        if let Some(told) = heard {
            self.tell(at, told);
            self.take_typed(at, told);
        }
        let book = self.book.borrow();
        let heard = judge::heard(&book.entries[at]);
        drop(book);
        // Inside of user code, it may be just about to hear.
        if let (Err(why), 0) = (heard, self.depth.get()) {
            self.violated(&format!("{at}: {why}"));
        }
        self.release(at);
    }

    /// A typed operation keeps the descriptor that its callback was told of, until it is taken.
    pub(super) fn take_typed(&self, at: usize, told: i64) {
        let (kind, raw) = {
            let book = self.book.borrow();
            (book.entries[at].kind, book.entries[at].raw)
        };
        if raw || !kind.yields_fd() {
            return;
        }
        match self.act(at, |held| held.take()) {
            Some(Ok(Some(result))) if result != told => {
                self.violated(&format!("{at}: {result} taken, {told} told"));
            }
            Some(Ok(None)) => self.violated(&format!("{at}: nothing to take after its callback")),
            _ => {}
        }
    }

    /// Looks at the memory of an operation that is over, and marks it as nobody's.
    pub(super) fn look(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let entry = &mut book.entries[at];
        let Some(area) = entry.area.clone().filter(|_| entry.got.is_none()) else { return };
        let why = match &entry.effect {
            Effect::Write { data, .. } if area.bytes() != *data => Some("wrote to what it sends"),
            Effect::Write { .. } | Effect::FileWrite { .. } => {
                entry.got = Some(Vec::new());
                None
            }
            _ => match area.filled() {
                Some(filled) => {
                    entry.got = Some(area.bytes()[..filled].to_vec());
                    None
                }
                None => Some("wrote behind what it read"),
            },
        };
        drop(book);
        area.retire();
        if let Some(why) = why {
            self.violated(&format!("{at}: {why}"));
        }
    }

    /// Takes the result of an operation, and holds it against what is legal.
    pub(super) fn tell(&self, at: usize, result: i64) {
        self.note(|| format!("  {at} gave {result}"));
        let first = {
            let book = self.book.borrow();
            let entry = &book.entries[at];
            if entry.told.is_some_and(|told| told != result) {
                drop(book);
                self.violated(&format!("{at}: {result} after another result"));
            }
            entry.told.is_none()
        };
        if !first {
            return;
        }
        {
            let now = self.now();
            let mut book = self.book.borrow_mut();
            let entry = &mut book.entries[at];
            entry.told = Some(result);
            entry.life = if entry.life == Life::Forgotten { Life::Forgotten } else { Life::Done };
            entry.end = entry.end.min(now);
        }
        self.look(at);
        let law = self.law();
        let judged = {
            let book = self.book.borrow();
            judge::result(&book, &book.entries[at], result, &law)
        };
        if let Err(why) = judged {
            let what = format!("{:?}", self.book.borrow().entries[at]);
            self.violated(&format!("{at}: {what}: {why}"));
        }
        self.learn(at, result);
        self.release(at);
    }

    /// What the book knows by the result.
    pub(super) fn learn(&self, at: usize, result: i64) {
        let mut book = self.book.borrow_mut();
        let book = &mut *book;
        let entry = &book.entries[at];
        let count = usize::try_from(result);
        match &entry.effect {
            Effect::FileWrite { file, change, .. } => {
                let change = &mut book.files[*file].changes[*change];
                change.known = Some(count.unwrap_or(0));
                change.end = entry.end;
            }
            Effect::Cut { file, change } => {
                let change = &mut book.files[*file].changes[*change];
                change.known = Some(usize::from(result == 0));
                change.end = entry.end;
            }
            // One that is typed and forgotten keeps it for ever.
            Effect::MakesFd(_) if !entry.raw && entry.lost.is_some() => {}
            Effect::MakesFd(leads) if result >= 0 => {
                let leads = leads.clone();
                let number = i32::try_from(result).unwrap_or(-1);
                book.add_end(Fd::new(number), leads);
            }
            Effect::Connects(end) if result == 0 => {
                book.ends[*end].leads = Leads::Loose { socket: true };
            }
            _ => {}
        }
    }

    /// Lets another operation have the file's position, once this one has let go of it.
    pub(super) fn release(&self, at: usize) {
        let mut book = self.book.borrow_mut();
        let entry = &book.entries[at];
        if entry.is_flying() || entry.life == Life::Fresh {
            return;
        }
        let (never, end) = (entry.begin == u32::MAX, entry.end);
        if let Effect::FileWrite { file, change, .. } | Effect::Cut { file, change } = entry.effect
        {
            let change = &mut book.files[file].changes[change];
            if never {
                change.known = Some(0);
            }
            change.end = change.end.min(end);
        }
        for file in &mut book.files {
            file.mover.take_if(|mover| *mover == at);
        }
    }
}
