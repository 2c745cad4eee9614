//! The names that a test gives to its descriptors, for logs.

use super::Sim;
use super::kernel::Kernel;
use io_core::{Fd, IoFd};
use std::collections::BTreeMap;
use std::rc::Rc;

/// By number: which use of it is meant, and its name.
pub(super) type Names = BTreeMap<i32, (u64, Rc<str>)>;

impl Kernel {
    /// The name of a descriptor, as long as the number stands for the file that was named.
    pub(super) fn name_of(&self, fd: Fd) -> Option<Rc<str>> {
        let (stamp, name) = self.names.get(&fd.raw())?;
        let is_same = self.world.with(|world| world.stamp(fd)) == Some(*stamp);
        is_same.then(|| Rc::clone(name))
    }

    /// A descriptor by its number and, if it has one, its name.
    pub(super) fn describe(&self, fd: Fd) -> String {
        match self.name_of(fd) {
            Some(name) => format!("{name} ({})", fd.raw()),
            None => fd.raw().to_string(),
        }
    }
}

impl Sim {
    /// Names a descriptor: logs and reports say `server (1004)` from here on, until its number is closed.
    pub fn name(&self, fd: &impl IoFd, name: impl Into<String>) {
        let fd = fd.fd();
        let name: String = name.into();
        self.backend.with(|kernel| {
            if let Some(stamp) = kernel.world.with(|world| world.stamp(fd)) {
                kernel.names.insert(fd.raw(), (stamp, name.into()));
            }
        });
    }
}
