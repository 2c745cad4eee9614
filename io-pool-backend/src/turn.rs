//! Turns of the poll loop, and of threads that wait and deliver nothing.

use crate::backend::PoolBackend;
use crate::run::Turn;
use core::time::Duration;
use io_core::readiness::{Role, Teller};
use io_core::sync::{AtomicU32, Ordering};
use io_core::syscall::{deadline_in, now_ns};
use io_core::{Deadline, Errno, RawLock};

/// So many turns in a row may deliver without a look into epoll, so that a stream of operations that
/// finish inside submit does not starve those that wait.
const UNLOOKED: u32 = 4;

impl<L: RawLock> PoolBackend<L> {
    /// The contract's `poll`, in the pool's generation `born`. Without workers it does the work: with at most
    /// one `epoll_wait(2)` if there is something to deliver, and none if nothing waits there and nobody is to
    /// be waited for.
    pub(crate) fn turn(&self, born: u32, timeout: Option<Duration>) -> Result<usize, Errno> {
        let deadline = match timeout {
            None => Deadline::NEVER,
            Some(Duration::ZERO) => Deadline::NOW,
            Some(timeout) => deadline_in(timeout),
        };
        let news = self.news.load(Ordering::SeqCst);
        let teller = Teller::new(L::SHARED);
        let mut looked = false;
        loop {
            let seen = self.park.epoch();
            self.expire();
            let mut delivered = self.deliver_ready(&teller) + self.work_through(born, &teller);
            if !self.is_of(born) {
                return self.check_fork().map(|_| delivered);
            }
            if delivered == 0
                && let Some(errno) = self.park.lost()
            {
                if self.end_lost(errno) {
                    continue;
                }
                self.park.leave();
                return Err(errno);
            }
            let told = self.is_told(news);
            if delivered > 0 || told || deadline.is_over(now_ns) {
                if !looked && self.look(delivered > 0 || told) {
                    delivered += self.work_through(born, &teller);
                    if !self.is_of(born) {
                        return self.check_fork().map(|_| delivered);
                    }
                    self.is_told(news);
                }
                self.park.leave();
                return Ok(delivered);
            }
            looked = true;
            if !L::SHARED && self.has_more() {
                continue;
            }
            self.sleep(Role::Other, seen, deadline);
        }
    }

    /// Whether a wake or somebody else's delivery came since.
    fn is_told(&self, news: u32) -> bool {
        let take = |word: &AtomicU32| {
            if L::SHARED {
                word.swap(0, Ordering::SeqCst) != 0
            } else {
                // The wake handle may be anywhere, and sets it again at any time; it is cleared only here.
                word.load(Ordering::SeqCst) != 0 && word.swap(0, Ordering::SeqCst) != 0
            }
        };
        let (woken, announced) = (take(&self.woken), take(&self.announced));
        woken || announced || self.news.load(Ordering::SeqCst) != news
    }

    /// Looks into epoll without waiting, if something waits there and no worker watches it; not each time if
    /// the turn has delivered.
    fn look(&self, delivered: bool) -> bool {
        if self.has_workers() {
            return false;
        }
        // Ordering: Relaxed, and not one step: it is only about how often.
        let unlooked = self.unlooked.load(Ordering::Relaxed);
        if delivered && unlooked < UNLOOKED {
            self.unlooked.store(unlooked + 1, Ordering::Relaxed);
            return false;
        }
        self.unlooked.store(0, Ordering::Relaxed);
        if self.queues(|queues| queues.parked()) == 0 {
            return false;
        }
        self.count.syscall();
        let events = self.park.look();
        self.ready_again(&events);
        true
    }

    /// Whether this turn has left anything to do, of which a pool of one thread tells nobody.
    fn has_more(&self) -> bool {
        self.queues(|queues| !queues.work.is_empty() || !queues.ready.is_empty())
    }

    /// The work of a pool without workers, as much as there is now; what it adds is for the next turn.
    fn work_through(&self, born: u32, teller: &Teller) -> usize {
        if !self.is_of(born) || self.has_workers() {
            return 0;
        }
        let mut left = self.queues(|queues| queues.work.len());
        let mut delivered = 0;
        while left > 0
            && self.is_of(born)
            && let Some(done) = self.work(Turn::Deliver(teller))
        {
            left -= 1;
            delivered += done;
        }
        delivered
    }

    /// One turn of a thread that may not deliver: some work, or a sleep until there may be news.
    pub(crate) fn help(&self, seen: u32, deadline: Deadline) {
        self.expire();
        if self.work(Turn::Reap).is_none() {
            self.sleep(Role::Other, seen, deadline);
        }
    }
}
