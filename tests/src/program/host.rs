//! [`Host`]: the simulated machine that a program runs on.
#![allow(unsafe_code, reason = "takes a leaked simulator back")]
use super::held::Handle;
use crate::choices::Choices;
use crate::world::Shared;
use io_core::{Address, Errno, Fd, OpKind};

pub(super) struct Host { world: Shared }

impl Host {
    pub(super) fn new(_choices: Choices, _adversary: bool, _errors: bool) -> Host { todo!() }
    pub(super) fn backend(&self) -> Handle { todo!() }
    pub(super) fn now_ns(&self) -> u64 { self.world.with(|world| world.now_ns()) }
    pub(super) fn advance(&self, by_ns: u64) { self.world.with(|world| world.advance_to(world.now_ns() + by_ns)); }
    pub(super) fn position(&self, fd: Fd) -> usize {
        usize::try_from(self.world.with(|world| world.position(fd))).unwrap_or(usize::MAX)
    }
    pub(super) fn put(&self, fd: Fd, bytes: &[u8]) -> usize { self.world.with(|world| world.put(fd, bytes)).unwrap_or(0) }
    pub(super) fn get(&self, fd: Fd, max: usize) -> Vec<u8> { self.world.with(|world| world.get(fd, max)).unwrap_or_default() }
    pub(super) fn content(&self, fd: Fd) -> Vec<u8> { self.world.with(|world| world.content(fd)) }
    pub(super) fn close(&self, fd: Fd) -> Result<(), Errno> { self.world.with(|world| world.close(fd)) }
    pub(super) fn open_count(&self) -> usize { self.world.with(|world| world.open_count()) }
    pub(super) fn file(&self, content: &[u8]) -> Fd { self.world.with(|world| world.file(content)) }
    pub(super) fn pipe(&self) -> (Fd, Fd) { self.world.with(|world| world.pipe()) }
    pub(super) fn pair(&self) -> (Fd, Fd) { self.world.with(|world| world.pair()) }
    pub(super) fn listener(&self) -> (Fd, Address) { self.world.with(|world| world.listener()) }
    pub(super) fn connect(&self, address: &Address) -> Fd { self.world.with(|world| world.connect(address)) }
    pub(super) fn end(&self) { todo!() }
}

pub(super) fn injected(_kind: OpKind) -> &'static [Errno] { &[] }
