//! [`Host`]: the simulated machine that a program runs on.
#![allow(unsafe_code, reason = "operations are for ever, and their backend is not")]
//! # Safety
//! The simulator is leaked, so that forgotten operations may hold it for ever, and taken back at the end, when
//! every operation that is left is forgotten: nobody touches those again but to look at their state word.

use super::held::Handle;
use crate::choices::Choices;
use crate::sim::{Plan, Sim, errnos};
use crate::world::{FileKind, Shared, World};
use core::cell::Cell;
use core::time::Duration;
use io_core::{Address, Errno, Fd, OpKind};

/// A simulator that lives until [`end`](Host::end), and the world behind it, which stays.
pub(super) struct Host {
    sim: *mut Sim,
    backend: Cell<Option<Handle>>,
    world: Shared,
}

/// What may come out of the blue.
pub(super) fn injected(kind: OpKind, on: Option<FileKind>) -> &'static [Errno] {
    errnos(kind, on)
}

impl Host {
    pub(super) fn new(choices: &Choices, plan: Plan) -> Host {
        // Not `Box::leak`'s reference: what is taken back is the pointer that the box gave.
        let leaked = Box::into_raw(Box::new(Sim::new(choices, plan)));
        // SAFETY: leaked until `end`, after which no backend is given out.
        let sim: &'static Sim = unsafe { &*leaked };
        let (backend, world) = (sim.any_backend(), sim.world().clone());
        Host { sim: leaked, backend: Cell::new(Some(backend)), world }
    }

    /// The backend.
    ///
    /// # Panics
    /// After [`end`](Self::end).
    pub(super) fn backend(&self) -> Handle {
        self.backend.get().expect("a backend that is not dropped")
    }

    /// What the simulator has done, a line each; nothing after its end.
    pub(super) fn log(&self) -> String {
        // SAFETY: there is a backend, so the simulator is not dropped.
        self.backend.get().map_or(String::new(), |_| unsafe { &*self.sim }.log())
    }

    /// Drops the simulator, and with it the backend, whatever flies.
    pub(super) fn end(&self) {
        if self.backend.take().is_some() {
            // SAFETY: leaked by `new`, and taken back once. Operations that are not forgotten are gone.
            drop(unsafe { Box::from_raw(self.sim) });
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.world.with(|world| world.now_ns())
    }

    pub(super) fn advance(&self, by_ns: u64) {
        let by = Duration::from_nanos(by_ns);
        // SAFETY: there is a backend, or this panics: the simulator is not dropped.
        let sim = self.backend.get().map(|_| unsafe { &*self.sim });
        sim.expect("a simulator that is not dropped").advance(by);
    }

    pub(super) fn position(&self, fd: Fd) -> usize {
        usize::try_from(self.world.with(|world| world.position(fd))).unwrap_or(usize::MAX)
    }

    /// Writes by hand; how much was taken.
    pub(super) fn put(&self, fd: Fd, bytes: &[u8]) -> usize {
        self.world.with(|world| world.put(fd, bytes)).unwrap_or(0)
    }

    /// Reads by hand what is there.
    pub(super) fn get(&self, fd: Fd, max: usize) -> Vec<u8> {
        let get = |world: &mut World| world.get(fd, max.min(world.len(fd)));
        self.world.with(get).unwrap_or_default()
    }

    pub(super) fn content(&self, fd: Fd) -> Vec<u8> {
        self.world.with(|world| world.content(fd))
    }

    pub(super) fn close(&self, fd: Fd) -> Result<(), Errno> {
        self.world.with(|world| world.close(fd))
    }

    pub(super) fn open_count(&self) -> usize {
        self.world.with(|world| world.open_count())
    }

    pub(super) fn file(&self, content: &[u8]) -> Fd {
        self.world.with(|world| world.file(content))
    }

    pub(super) fn pipe(&self) -> (Fd, Fd) {
        self.world.with(World::pipe)
    }

    pub(super) fn pair(&self) -> (Fd, Fd) {
        self.world.with(World::pair)
    }

    pub(super) fn listener(&self) -> (Fd, Address) {
        self.world.with(World::listener)
    }

    pub(super) fn connect(&self, address: &Address) -> Fd {
        self.world.with(|world| world.connect(address))
    }
}
