//! The pool's variants: four lent threads, none, and none with no lock.

use core::pin::{Pin, pin};
use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour};
use io_conformance::rig::Rig;
use io_conformance::tally;
use io_core::{Errno, IoBackend, NoopLock, OpKind};
use io_pool_backend::{PoolBackend, SpinLock, Worker};
use std::sync::OnceLock;
use std::thread;

/// A pool to which this many threads are lent while it is started.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
}

/// What the plain system calls of `rustix` look at before the kernel does.
pub(crate) const FAULTS: &[OpKind] = &[OpKind::Accept, OpKind::Fstat, OpKind::Open, OpKind::Readv];

/// How many threads the pool has that other backends hand on to.
pub(crate) const WORKERS: usize = 4;

/// A pool for all tests that hand on to one.
pub(crate) fn shared(workers: usize) -> &'static PoolBackend<SpinLock> {
    static POOL: OnceLock<PoolBackend<SpinLock>> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let pool = POOL.get_or_init(|| PoolBackend::new().expect("a pool"));
    STARTED.get_or_init(|| {
        pool.start().expect("start");
        for _ in 0..workers {
            let worker = Worker::new(pool);
            thread::spawn(move || worker.run());
        }
        while pool.workers() < workers {
            thread::yield_now();
        }
    });
    pool
}

/// Sends the lent threads home, also when the test panics.
struct Release<'b>(&'b PoolBackend<SpinLock>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release_workers();
    }
}

impl Fixture for Pool {
    type Backend = PoolBackend<SpinLock>;

    fn name(&self) -> &str {
        self.name
    }

    fn caps(&self) -> Caps {
        let blocking = if self.workers > 0 { Blocking::HoldsWorker } else { Blocking::HoldsPoll };
        Caps {
            blocking,
            runs_by_itself: self.workers > 0,
            one_owner: false,
            opens_fifo_at_once: false,
            in_order: false,
            kernel: true,
            faults: FAULTS,
        }
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        Some(backend.reinit())
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let backend = pin!(PoolBackend::<SpinLock>::new().expect("a pool"));
        let backend = backend.as_ref();
        thread::scope(|scope| {
            let release = Release(backend.get_ref());
            let mut threads = Vec::new();
            if flavour == Flavour::Started {
                backend.start().expect("start");
                for _ in 0..self.workers {
                    let worker = Worker::new(backend);
                    threads.push(scope.spawn(move || worker.run()));
                }
                // So that what the tests count is counted with all of them.
                while backend.workers() < self.workers {
                    thread::yield_now();
                }
            }
            let result = test(&Rig::new(backend));
            tally::add(self.name, &backend.counters());
            // Not the scope alone, which does not wait for what a thread frees at its end: the next test may
            // count that.
            drop(release);
            threads.into_iter().for_each(|thread| thread.join().expect("a worker"));
            result
        })
    }
}

/// A pool for one thread, without locks.
#[derive(Clone, Debug)]
pub(crate) struct LocalPool;

impl Fixture for LocalPool {
    type Backend = PoolBackend<NoopLock>;

    fn name(&self) -> &str {
        "local_pool"
    }

    fn caps(&self) -> Caps {
        Caps {
            blocking: Blocking::HoldsPoll,
            runs_by_itself: false,
            one_owner: true,
            opens_fifo_at_once: false,
            in_order: false,
            kernel: true,
            faults: FAULTS,
        }
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        Some(backend.reinit())
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let backend = pin!(PoolBackend::<NoopLock>::new().expect("a pool"));
        if flavour == Flavour::Started {
            backend.start().expect("start");
        }
        let result = test(&Rig::new(backend.as_ref()));
        tally::add(self.name(), &backend.counters());
        result
    }
}
