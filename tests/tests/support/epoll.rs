//! Epoll's variants: with a pool that has workers, with one that has none, without, and for one thread.

use super::pool::{FAULTS, WORKERS};
use core::pin::{Pin, pin};
use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour};
use io_conformance::rig::Rig;
use io_conformance::tally;
use io_core::{Errno, IoBackend, NoOffload, NoopLock, OffloadHandle};
use io_epoll_backend::{EpollBackend, SpinLock};
use io_pool_backend::PoolBackend;
use std::sync::OnceLock;

/// What epoll hands on to.
pub(crate) type Offloaded = &'static PoolBackend;

/// An epoll backend with this offload.
pub(crate) struct Epoll<O: OffloadHandle> {
    pub(crate) name: &'static str,
    caps: Caps,
    build: fn() -> Result<EpollBackend<SpinLock, O>, Errno>,
    /// Makes the offload new in a forked child.
    renew: fn() -> Result<(), Errno>,
}

impl<O: OffloadHandle> Clone for Epoll<O> {
    fn clone(&self) -> Self {
        Epoll { ..*self }
    }
}

/// What is done is heard of by who polls.
const ALONE: Caps = Caps {
    blocking: Blocking::HoldsPoll,
    runs_by_itself: false,
    one_owner: false,
    opens_fifo_at_once: false,
    in_order: true,
    kernel: true,
    faults: FAULTS,
};

/// Without an offload.
pub(crate) fn alone() -> Epoll<NoOffload> {
    Epoll { name: "epoll_alone", caps: ALONE, build: EpollBackend::new, renew: || Ok(()) }
}

/// With a pool of four workers, and with one that nobody has lent any.
pub(crate) fn offloaded() -> [Epoll<Offloaded>; 2] {
    let with_workers = || EpollBackend::with_offload(super::pool::shared(WORKERS));
    let without = || EpollBackend::with_offload(idle_pool());
    let caps = Caps { blocking: Blocking::HoldsWorker, ..ALONE };
    [
        Epoll {
            name: "epoll_pool",
            caps,
            build: with_workers,
            renew: || renew(super::pool::shared(WORKERS)),
        },
        Epoll {
            name: "epoll_idle_pool",
            caps: ALONE,
            build: without,
            renew: || renew(idle_pool()),
        },
    ]
}

/// The pool is shared: another test's backend may have made it new in this child. It has no workers here.
fn renew(pool: Offloaded) -> Result<(), Errno> {
    pool.reinit().or_else(|errno| if errno == Errno::ALREADY { Ok(()) } else { Err(errno) })
}

fn idle_pool() -> Offloaded {
    static POOL: OnceLock<PoolBackend> = OnceLock::new();
    POOL.get_or_init(|| PoolBackend::new().expect("a pool"))
}

impl<O: OffloadHandle + Sync + 'static> Fixture for Epoll<O> {
    type Backend = EpollBackend<SpinLock, O>;

    fn name(&self) -> &str {
        self.name
    }

    fn caps(&self) -> Caps {
        self.caps
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        Some((self.renew)().and_then(|()| backend.reinit()))
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let backend = pin!((self.build)().expect("a backend"));
        if flavour == Flavour::Started {
            backend.start().expect("start");
        }
        let result = test(&Rig::new(backend.as_ref()));
        tally::add(self.name, &backend.counters());
        result
    }
}

/// Epoll for one thread, without locks.
#[derive(Clone, Debug)]
pub(crate) struct LocalEpoll;

impl Fixture for LocalEpoll {
    type Backend = EpollBackend<NoopLock>;

    fn name(&self) -> &str {
        "local_epoll"
    }

    fn caps(&self) -> Caps {
        Caps { one_owner: true, ..ALONE }
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        Some(backend.reinit())
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let backend = pin!(EpollBackend::<NoopLock>::new().expect("a backend"));
        if flavour == Flavour::Started {
            backend.start().expect("start");
        }
        let result = test(&Rig::new(backend.as_ref()));
        tally::add(self.name(), &backend.counters());
        result
    }
}
