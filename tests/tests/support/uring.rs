//! The ring's variants: shared and local, large and small, old and without some or all of its opcodes.

use super::pool::{FAULTS, WORKERS};
use core::pin::{Pin, pin};
use io_conformance::fixture::{Blocking, Caps, Fixture, Flavour};
use io_conformance::rig::Rig;
use io_conformance::tally;
use io_core::{Errno, IoBackend, NoOffload, OffloadHandle, OpKind, OpSet};
use io_pool_backend::{PoolBackend, SpinLock, Worker};
use io_uring_backend::{BuildError, Config, Local, Mode, Shared, UringBackend};
use std::thread;

/// What the ring hands on to: a pool with four threads, for all tests.
pub(crate) type Offloaded = &'static PoolBackend<SpinLock>;

/// A ring of this configuration.
pub(crate) struct Uring<M: Mode, O: OffloadHandle> {
    pub(crate) name: &'static str,
    config: Config,
    caps: Caps,
    build: fn(&Config) -> Result<UringBackend<M, O>, BuildError>,
    /// Makes the offload new in a forked child.
    renew: fn() -> Result<(), Errno>,
}

impl<M: Mode, O: OffloadHandle> Clone for Uring<M, O> {
    fn clone(&self) -> Self {
        Uring { config: self.config.clone(), ..*self }
    }
}

/// Operations that kernels did not have from the start, or might lack.
pub(crate) const NEWER: [OpKind; 11] = [
    OpKind::Accept,
    OpKind::Bind,
    OpKind::Close,
    OpKind::Connect,
    OpKind::Fdatasync,
    OpKind::Nop,
    OpKind::Open,
    OpKind::Poll,
    OpKind::Recv,
    OpKind::Send,
    OpKind::Socket,
];

/// Everything but these.
fn without(kinds: &[OpKind]) -> OpSet {
    kinds.iter().fold(OpSet::all(), |set, &kind| set.difference(OpSet::of(kind)))
}

/// `fstat` is a system call here too.
const RING: Caps = Caps {
    blocking: Blocking::Cancelled,
    runs_by_itself: false,
    one_owner: true,
    opens_fifo_at_once: true,
    in_order: false,
    kernel: true,
    faults: &[OpKind::Fstat],
};
const MASKED: Caps = Caps {
    blocking: Blocking::HoldsPoll,
    opens_fifo_at_once: false,
    in_order: false,
    kernel: true,
    faults: FAULTS,
    ..RING
};
const OFFLOADED: Caps = Caps { blocking: Blocking::HoldsWorker, ..MASKED };

pub(crate) type Plain<M> = Uring<M, NoOffload>;

fn plain<M: Mode>(name: &'static str, config: Config, caps: Caps) -> Plain<M> {
    Uring { name, config, caps, build: UringBackend::<M>::new, renew: || Ok(()) }
}

fn offloading(name: &'static str, config: Config, caps: Caps) -> Uring<Shared, Offloaded> {
    let build = |config: &Config| {
        UringBackend::<Shared, Offloaded>::with_offload(config, super::pool::shared(WORKERS))
    };
    Uring { name, config, caps, build, renew: renew_pool }
}

/// Rings that threads may share, without offload.
pub(crate) fn shared() -> [Plain<Shared>; 5] {
    [
        plain("uring_shared", Config::new(), RING),
        plain("uring_8_entries", Config::new().entries(8), RING),
        plain("uring_1_entry_old_setup", Config::new().entries(1).setup_from(3).no_ext_arg(), RING),
        plain("uring_newer_masked", Config::new().mask(without(&NEWER)), MASKED),
        plain("uring_all_masked", Config::new().mask(OpSet::empty()), MASKED),
    ]
}

/// A ring whose kernel stops taking a batch at an entry that it refuses, and gives it no help with waiting.
pub(crate) fn old() -> Plain<Shared> {
    plain("uring_8_entries_old_setup", Config::new().entries(8).setup_from(3), RING)
}

/// A ring with room for two completions.
pub(crate) fn narrow() -> [Plain<Shared>; 2] {
    let narrow = || Config::new().entries(1).completions(2);
    [
        plain("uring_2_completions", narrow(), RING),
        plain("uring_2_completions_old_setup", narrow().setup_from(3).no_ext_arg(), RING),
    ]
}

/// A ring whose kernel lacks these opcodes.
pub(crate) fn lacking(kinds: OpSet) -> Plain<Shared> {
    plain("uring_lacking", Config::new().lacking(kinds), MASKED)
}

/// Rings that hand on to a pool.
pub(crate) fn offloaded() -> [Uring<Shared, Offloaded>; 2] {
    [
        offloading("uring_offload", Config::new(), RING),
        offloading("uring_all_masked_offload", Config::new().mask(OpSet::empty()), OFFLOADED),
    ]
}

/// Rings for one thread.
pub(crate) fn local() -> [Plain<Local>; 2] {
    [
        plain("uring_local", Config::new(), RING),
        plain("uring_local_8_entries", Config::new().entries(8), RING),
    ]
}

/// A child that makes a ring new lends its pool other threads: those of before are the parent's.
fn renew_pool() -> Result<(), Errno> {
    let pool = super::pool::shared(WORKERS);
    match pool.reinit() {
        Ok(()) => {}
        Err(Errno::ALREADY) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    pool.start()?;
    for _ in 0..WORKERS {
        let worker = Worker::new(pool);
        thread::spawn(move || worker.run());
    }
    Ok(())
}

impl<M: Mode + 'static, O: OffloadHandle + 'static> Fixture for Uring<M, O> {
    type Backend = UringBackend<M, O>;

    fn name(&self) -> &str {
        self.name
    }

    fn caps(&self) -> Caps {
        self.caps
    }

    fn available(&self) -> Result<(), String> {
        (self.build)(&self.config).map(drop).map_err(|error| error.to_string())
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        Some((self.renew)().and_then(|()| backend.reinit()))
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        let backend = pin!((self.build)(&self.config).expect("a ring"));
        if flavour == Flavour::Started {
            backend.start().expect("start");
        }
        let result = test(&Rig::new(backend.as_ref()));
        tally::add(self.name, &backend.counters());
        result
    }
}
