//! Readiness: registering what waits, and moving what an event concerns to work.

use crate::backend::EpollBackend;
use crate::line::Waits;
use crate::note::Stage;
use crate::run::Turn;
use io_core::queue::Fifo;
use io_core::readiness::{Event, Events};
use io_core::{Errno, Fd, Node, OffloadHandle, RawLock};

impl<L: RawLock, O: OffloadHandle> EpollBackend<L, O> {
    /// What is to be done outside the lock when a node was let wait. How many were delivered.
    pub(crate) fn after_wait(&self, waits: Waits, fd: Fd, turn: Turn<'_>) -> usize {
        match waits {
            Waits::Refused(node) => return self.refuse(node, turn),
            Waits::Bare => self.register(fd),
            Waits::Source(Some(generation)) => self.register_source(fd, generation),
            Waits::Source(None) | Waits::Tries => {}
        }
        0
    }

    /// Registers a bare number for everything that waits on it, again until nothing was added meanwhile, and
    /// until what must stand does.
    pub(crate) fn register(&self, fd: Fd) {
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

    /// A file or directory (`EPERM`), a closed descriptor: there is nothing to wait for, so the operation is
    /// performed, and its system call says what is wrong. Where the descriptor was closed, it is only tried: its
    /// number may be another file's by now, which has something to wait for. Where there is no room to wait, it
    /// would block whoever performed it, so that is its error.
    fn no_readiness(&self, fd: Fd, why: Errno) {
        if let Some(why) = self.no_waiting(why) {
            return self.fail_all(self.queues(|queues| queues.withdraw_unarmed(fd)), why);
        }
        if why == Errno::BADF {
            return self.queues(|queues| {
                while let Some(node) = queues.waiting.take_unarmed(fd) {
                    queues.push_work(node, Stage::Fresh);
                }
            });
        }
        let offload = self.helper().is_some();
        while let Some(node) = self.queues(|queues| {
            let node = queues.waiting.take_unarmed(fd)?;
            Some(queues.leave_epoll(node, offload))
        }) {
            node.into_iter().for_each(|node| self.accept(node));
        }
    }

    /// Registers a source for good. What is ready at this moment is an event, so nothing is lost.
    pub(crate) fn register_source(&self, fd: Fd, generation: u32) {
        self.count.syscall();
        let Err(why) = self.park.register_edges(fd, generation) else { return };
        if let Some(why) = self.no_waiting(why) {
            let ended = self.queues(|queues| queues.withdraw_refused(fd, generation));
            return self.fail_all(ended, why);
        }
        let offload = self.helper().is_some();
        while let Some(node) = self.queues(|queues| {
            let node = queues.sources.find_generation(fd, generation)?.refuse()?;
            queues.in_lines -= 1;
            Some(queues.leave_epoll(node, offload))
        }) {
            node.into_iter().for_each(|node| self.accept(node));
        }
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

    /// Moves what the events concern to work.
    pub(crate) fn ready_again(&self, events: &Events) {
        let mut bare = false;
        if !events.as_slice().is_empty() {
            self.queues(|queues| {
                for &Event { fd, generation, readiness } in events {
                    if generation == 0 {
                        bare = true;
                    } else {
                        queues.source_ready(fd, generation, readiness);
                    }
                }
            });
        }
        if !bare {
            return;
        }
        for &Event { fd, generation, readiness } in events {
            if generation == 0 && self.queues(|queues| queues.bare_ready(fd, readiness)) {
                self.register(fd);
            }
        }
    }
}

/// Whether this error of `epoll_ctl(2)` is about the table and not about the descriptor.
fn is_no_room(why: Errno) -> bool {
    matches!(why, Errno::NOMEM | Errno::NOSPC)
}
