//! The lives that processes leave in the session's folders: all at the end, and while the command runs those
//! that are over, so that ten thousand short processes do not fill the memory with their mappings.

use crate::life::Life;
use crate::session::Session;
use io_std::Io;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// As many mappings may lie about.
const MANY: usize = 64;

/// What was taken so far.
pub(crate) struct Collector {
    io: Io,
    dir: PathBuf,
    spool: PathBuf,
    lives: Vec<Life>,
    /// How many files of events were given a name of ours.
    taken: u64,
    /// What went wrong.
    pub(crate) errors: Vec<String>,
}

/// A mapping's file: process, and number of the life in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Name {
    pid: i32,
    number: u64,
}

impl Name {
    fn of(path: &Path) -> Option<Name> {
        let (pid, number) = path.file_name()?.to_str()?.strip_suffix(".live")?.split_once('-')?;
        Some(Name { pid: pid.parse().ok()?, number: number.parse().ok()? })
    }

    fn stem(self) -> String {
        format!("{}-{}", self.pid, self.number)
    }
}

impl Collector {
    pub(crate) fn new(io: Io, session: &Session) -> Collector {
        let (dir, spool) = (session.dir().to_owned(), session.spool().to_owned());
        Collector { io, dir, spool, lives: Vec::new(), taken: 0, errors: Vec::new() }
    }

    /// Takes what is over, if there is much.
    pub(crate) fn turn(&mut self) {
        let names = self.names();
        if names.len() < MANY {
            return;
        }
        let mut latest: HashMap<i32, u64> = HashMap::new();
        for name in &names {
            let number = latest.entry(name.pid).or_default();
            *number = name.number.max(*number);
        }
        for name in names {
            // Another program runs there now, or nobody does.
            let over = latest.get(&name.pid) != Some(&name.number) || !exists(name.pid);
            if over {
                self.take(name, true);
            }
        }
    }

    /// Takes everything. The files are the session's to remove.
    pub(crate) fn finish(mut self) -> (Vec<Life>, Vec<String>) {
        for name in self.names() {
            self.take(name, false);
        }
        (self.lives, self.errors)
    }

    fn names(&mut self) -> Vec<Name> {
        let listed = fs::read_dir(&self.dir).and_then(|entries| {
            entries.map(|entry| Ok(Name::of(&entry?.path()))).collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(names) => names.into_iter().flatten().collect(),
            Err(error) => {
                self.errors.push(format!("{}: {error}", self.dir.display()));
                Vec::new()
            }
        }
    }

    /// Takes one. With `only_over`, one that did not say that it is over stays: the process may be in a
    /// namespace where its number means something else.
    fn take(&mut self, name: Name, only_over: bool) {
        let mapping = self.dir.join(format!("{}.live", name.stem()));
        let events = self.spool.join(format!("{}.events", name.stem()));
        let loaded = Life::load(&self.io, &mapping, events.clone());
        let mut life = match loaded {
            Ok(Some(life)) => life,
            // Killed before it had begun.
            Ok(None) => return,
            Err(error) => {
                self.errors.push(format!("{}: {error}", mapping.display()));
                return;
            }
        };
        if only_over {
            if life.header.ended == 0 {
                return;
            }
            if let Err(error) = self.put_away(&mut life, &mapping, &events) {
                self.errors.push(format!("{}: {error}", mapping.display()));
                return;
            }
        }
        self.lives.push(life);
    }

    /// Gives the events a name that no process uses, and the mapping's memory back: in this order, so that a
    /// process which gets the same number does not find the old file.
    fn put_away(&mut self, life: &mut Life, mapping: &Path, events: &Path) -> io::Result<()> {
        let away = self.spool.join(format!("taken-{}", self.taken));
        match fs::rename(events, &away) {
            Ok(()) => self.taken += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        life.move_to(away);
        fs::remove_file(mapping)
    }
}

/// Whether there is a process with this number.
fn exists(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::{Collector, MANY, Name};
    use crate::format::Header;
    use crate::samples::{Sample, block, events_file, io, mapping};
    use crate::session::Session;
    use core::mem::offset_of;
    use std::fs;
    use std::path::Path;

    #[test]
    fn only_mappings_are_looked_at() {
        let name = |name: &str| Name::of(Path::new(name));
        assert_eq!(name("/x/12-3.live"), Some(Name { pid: 12, number: 3 }));
        for other in ["12-3.events", "12.live", "a-1.live", "1-b.live", "-.live", "io_tracer.so"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    /// A life of process `pid`, which says whether it has ended.
    fn leave(session: &Session, pid: u32, number: u32, at: u64, ended: u64) {
        let mut live = mapping(pid, 1, &[]);
        live[offset_of!(Header, ended)..][..8].copy_from_slice(&ended.to_ne_bytes());
        fs::write(session.dir().join(format!("{pid}-{number}.live")), live).expect("written");
        let events = session.spool().join(format!("{pid}-{number}.events"));
        events_file(&events, &[(0, block(0, &[Sample::at(at)]))]);
    }

    #[test]
    fn what_is_over_is_taken_while_there_is_much() {
        let session = Session::new(None).expect("made");
        let mut collector = Collector::new(io(), &session);
        // Numbers that no process has: the kernel's own limit is 2^22.
        let dead = 1 << 23;
        let ours = std::process::id();
        (0..).take(MANY).for_each(|n| leave(&session, dead + n, 0, u64::from(n), 1));
        leave(&session, dead + 1000, 0, 1000, 0);
        leave(&session, ours, 0, 2000, 1);
        leave(&session, ours, 1, 3000, 1);
        collector.turn();
        assert_eq!(collector.errors, [""; 0]);
        // The one that was killed, and the one that runs.
        assert_eq!(fs::read_dir(session.dir()).expect("listed").count(), 2);
        // The number is used again.
        leave(&session, dead, 0, 4000, 1);
        let (lives, errors) = collector.finish();
        assert_eq!(errors, [""; 0]);
        let mut found = Vec::new();
        for life in &lives {
            life.each(&io(), |event, _| found.push(event.begin)).expect("read");
        }
        found.sort_unstable();
        let expected: Vec<u64> = (0..MANY as u64).chain([1000, 2000, 3000, 4000]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn little_is_left_alone() {
        let session = Session::new(None).expect("made");
        let mut collector = Collector::new(io(), &session);
        leave(&session, 1 << 23, 0, 1, 1);
        collector.turn();
        assert_eq!(fs::read_dir(session.dir()).expect("listed").count(), 1);
        assert_eq!(collector.finish().0.len(), 1);
    }
}
