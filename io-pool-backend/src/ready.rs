//! Readiness: registering what waits, and moving what an event concerns to work.

use crate::backend::PoolBackend;
use crate::line::Waits;
use crate::note::Stage;
use crate::run::Turn;
use io_core::queue::Fifo;
use io_core::readiness::{Event, Events, Readiness, Waiting};
use io_core::{Errno, Fd, Node, RawLock};

impl<L: RawLock> PoolBackend<L> {
    /// What is to be done outside the lock when a node was let wait on this descriptor. How many were
    /// delivered.
    pub(crate) fn after_wait(&self, waits: Waits, fd: Option<Fd>, turn: Turn<'_>) -> usize {
        match (waits, fd) {
            (Waits::Refused(node), _) => return self.refuse(node, turn),
            (Waits::Bare, Some(fd)) => self.register(fd),
            (Waits::Source(Some(generation)), Some(fd)) => self.register_source(fd, generation),
            (Waits::Source(None) | Waits::Tries, _) => {}
            (Waits::Bare | Waits::Source(Some(_)), None) => {
                debug_assert!(false, "what waits has a descriptor");
            }
        }
        0
    }

    /// Registers a bare number for everything that waits on it, again until nothing was added meanwhile, and
    /// until what must stand does.
    fn register(&self, fd: Fd) {
        let mut spoilt = false;
        loop {
            let (wanted, since) = self.queues(|queues| (queues.wanted(fd), queues.waiting.stamp()));
            if wanted.all().is_empty() || wanted.new.is_empty() && !spoilt {
                return;
            }
            self.count.syscall();
            let fresh = match self.park.register(fd, wanted.all(), wanted.trigger()) {
                Ok(fresh) => fresh,
                Err(errno) => return self.no_readiness(fd, errno),
            };
            let (now, lost) = self.queues(|queues| {
                queues.waiting.registered(fd, wanted, since, fresh);
                // It became a source meanwhile, whose registration this may have undone.
                let lost = queues.sources.find(fd).map(|state| state.generation());
                (queues.wanted(fd), lost)
            });
            if let Some(generation) = lost {
                self.register_source(fd, generation);
            }
            if now.is_met_by(wanted) {
                return;
            }
            spoilt = now.is_spoilt_by(wanted);
        }
    }

    /// A file or directory (`EPERM`), a closed descriptor: there is nothing to wait for, so a worker acts, and its
    /// system call says what is wrong. Not blocking where the descriptor was closed: its number may be another
    /// file's by now, which has something to wait for. Where there is no room to wait, it would hold the worker
    /// for as long as that takes, so that is its error.
    fn no_readiness(&self, fd: Fd, why: Errno) {
        if let Some(why) = self.no_waiting(why) {
            return self.fail_all(self.queues(|queues| queues.withdraw_unarmed(fd)), why);
        }
        let stage = if why == Errno::BADF { Stage::Fresh } else { Stage::Block };
        self.queues(|queues| {
            while let Some(node) = queues.waiting.take_unarmed(fd) {
                queues.push_work(node, stage);
                queues.passed += 1;
            }
        });
    }

    /// Registers a source for good. What is ready at this moment is an event, so nothing is lost.
    fn register_source(&self, fd: Fd, generation: u32) {
        self.count.syscall();
        let Err(why) = self.park.register_edges(fd, generation) else { return };
        if let Some(why) = self.no_waiting(why) {
            let ended = self.queues(|queues| queues.withdraw_refused(fd, generation));
            return self.fail_all(ended, why);
        }
        self.queues(|queues| {
            while let Some(node) =
                queues.sources.find_generation(fd, generation).and_then(|state| state.refuse())
            {
                queues.in_lines -= 1;
                queues.push_work(node, Stage::Block);
                queues.passed += 1;
            }
        });
    }

    /// The error if it is not about the descriptor: there is no room to wait, or no epoll instance any more.
    fn no_waiting(&self, why: Errno) -> Option<Errno> {
        self.park.lost().or_else(|| is_no_room(why).then_some(why))
    }

    /// Somebody has closed the epoll instance: ends what waits for descriptors. Whether there was any.
    #[cold]
    pub(crate) fn end_lost(&self, why: Errno) -> bool {
        let waits = |node: &Node| node.op().interest().is_some();
        let ended = self.queues(|queues| queues.withdraw_all(waits));
        let any = !ended.is_empty();
        self.fail_all(ended, why);
        any
    }

    fn fail_all(&self, mut ended: Fifo, why: Errno) {
        while let Some(node) = ended.pop() {
            self.fail(node, why, Turn::Reap);
        }
    }

    /// Moves what the events concern to the work list.
    pub(crate) fn ready_again(&self, events: &Events) {
        if !L::SHARED {
            // Nobody waits for the lock: once for all.
            self.queues(|queues| {
                for event in events.into_iter().filter(|event| event.generation != 0) {
                    queues.source_ready(event.fd, event.generation, event.readiness);
                }
            });
        }
        for &Event { fd, generation, readiness } in events {
            match generation {
                0 => self.number_ready(fd, readiness),
                _ if !L::SHARED => {}
                _ => self.queues(|queues| queues.source_ready(fd, generation, readiness)),
            }
        }
    }

    fn number_ready(&self, fd: Fd, readiness: Readiness) {
        let more = self.queues(|queues| {
            while let Some(node) = queues.waiting.take(fd, readiness) {
                let stood = Waiting::stood(&node);
                queues.push_work(node, if stood { Stage::Edge } else { Stage::Ready });
                queues.passed += 1;
            }
            queues.note_missed(fd, readiness);
            !queues.wanted(fd).new.is_empty()
        });
        if more {
            self.register(fd);
        }
    }
}

/// Whether this error of `epoll_ctl(2)` is about the table and not about the descriptor.
fn is_no_room(why: Errno) -> bool {
    matches!(why, Errno::NOMEM | Errno::NOSPC)
}
