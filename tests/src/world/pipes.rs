//! Pipes, page by page as the kernel keeps them: how much fits depends on how it was written.

use super::memory::Pieces;
use super::{Done, Stop};
use io_core::Errno;
use io_core::op::PollEvents;
use std::collections::{BTreeMap, VecDeque};

/// How much is written whole or not at all, and the size of a page.
pub(super) const PIPE_BUF: usize = 4096;
/// How many pages a pipe has.
const PAGES: usize = 16;

/// A page with bytes in it.
#[derive(Debug)]
struct Page {
    bytes: VecDeque<u8>,
    /// Where the next byte would go: what was read from the front leaves no room behind.
    end: usize,
    /// Whether a small write may be put behind these bytes: not behind those of a file.
    merges: bool,
}

#[derive(Debug, Default)]
struct Pipe {
    pages: VecDeque<Page>,
    readers: u32,
    writers: u32,
}

/// Every pipe.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    pipes: BTreeMap<u32, Pipe>,
    next: u32,
}

impl Pipes {
    /// A pipe with both ends open.
    pub(super) fn add(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        self.pipes.insert(id, Pipe { pages: VecDeque::new(), readers: 1, writers: 1 });
        id
    }

    pub(super) fn close_reader(&mut self, id: u32) {
        self.close(id, |pipe| pipe.readers -= 1);
    }

    pub(super) fn close_writer(&mut self, id: u32) {
        self.close(id, |pipe| pipe.writers -= 1);
    }

    fn close(&mut self, id: u32, end: impl FnOnce(&mut Pipe)) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        end(pipe);
        if pipe.readers == 0 && pipe.writers == 0 {
            self.pipes.remove(&id);
        }
    }

    fn get(&mut self, id: u32) -> Result<&mut Pipe, Errno> {
        self.pipes.get_mut(&id).ok_or(Errno::BADF)
    }

    /// How many bytes are in it.
    pub(super) fn len(&self, id: u32) -> usize {
        let pages = self.pipes.get(&id).map(|pipe| &pipe.pages);
        pages.into_iter().flatten().map(|page| page.bytes.len()).sum()
    }

    pub(super) fn read(&mut self, id: u32, into: &mut Pieces<'_>) -> Done {
        let pipe = self.get(id)?;
        let mut done = 0;
        while into.left() > 0 {
            let Some(page) = pipe.pages.front_mut() else { break };
            let wanted = page.bytes.len().min(into.left());
            let copied = into.give(&page.bytes.make_contiguous()[..wanted]);
            if copied < wanted {
                // What was copied of this page is not taken: the kernel goes on with it next time.
                return if done > 0 { counted(done) } else { Err(Errno::FAULT.into()) };
            }
            page.bytes.drain(..copied);
            done += copied;
            if page.bytes.is_empty() {
                pipe.pages.pop_front();
            }
        }
        match done {
            0 if into.left() > 0 && pipe.writers > 0 => Err(Stop::Wait),
            _ => counted(done),
        }
    }

    pub(super) fn write(&mut self, id: u32, from: &mut Pieces<'_>) -> Done {
        let pipe = self.get(id)?;
        if from.left() == 0 {
            return Ok(0);
        }
        if pipe.readers == 0 {
            return Err(Errno::PIPE.into());
        }
        let mut done = pipe.merge(from)?;
        while from.left() > 0 && pipe.pages.len() < PAGES {
            let wanted = from.left().min(PIPE_BUF);
            let mut bytes = vec![0; wanted];
            if from.take(&mut bytes) < wanted {
                return if done > 0 { counted(done) } else { Err(Errno::FAULT.into()) };
            }
            pipe.pages.push_back(Page { bytes: bytes.into(), end: wanted, merges: true });
            done += wanted;
        }
        if done == 0 { Err(Stop::Wait) } else { counted(done) }
    }

    /// Whether a sendfile has a reader to send to, and how many pages of a file still fit.
    pub(super) fn room(&self, id: u32) -> Result<usize, Errno> {
        let pipe = self.pipes.get(&id).ok_or(Errno::BADF)?;
        if pipe.readers == 0 { Err(Errno::PIPE) } else { Ok(PAGES - pipe.pages.len()) }
    }

    /// Puts a page of a file in, where there is room.
    pub(super) fn push(&mut self, id: u32, bytes: Vec<u8>) {
        if let Ok(pipe) = self.get(id) {
            let end = bytes.len();
            pipe.pages.push_back(Page { bytes: bytes.into(), end, merges: false });
        }
    }

    /// What `poll(2)` says of the reading end.
    pub(super) fn reader_events(&self, id: u32) -> PollEvents {
        let Some(pipe) = self.pipes.get(&id) else { return PollEvents::empty() };
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN | PollEvents::RDNORM, !pipe.pages.is_empty());
        events.set(PollEvents::HUP, pipe.writers == 0);
        events
    }

    /// What `poll(2)` says of the writing end.
    pub(super) fn writer_events(&self, id: u32) -> PollEvents {
        let Some(pipe) = self.pipes.get(&id) else { return PollEvents::empty() };
        let mut events = PollEvents::empty();
        events.set(PollEvents::OUT | PollEvents::WRNORM, pipe.pages.len() < PAGES);
        events.set(PollEvents::ERR, pipe.readers == 0);
        events
    }
}

impl Pipe {
    /// Puts the odd bytes of a write behind those of the last page, if they all fit there.
    fn merge(&mut self, from: &mut Pieces<'_>) -> Result<usize, Errno> {
        let odd = from.left() % PIPE_BUF;
        let Some(page) = self.pages.back_mut().filter(|page| page.merges) else { return Ok(0) };
        if odd == 0 || page.end + odd > PIPE_BUF {
            return Ok(0);
        }
        let mut bytes = vec![0; odd];
        if from.take(&mut bytes) < odd {
            return Err(Errno::FAULT);
        }
        page.bytes.extend(bytes);
        page.end += odd;
        Ok(odd)
    }
}

fn counted(done: usize) -> Done {
    super::word(done)
}
