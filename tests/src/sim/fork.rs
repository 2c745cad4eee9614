//! The run goes on as a forked child: the backend is the parent's until it is made new.
//!
//! The child is simulated, not the parent: what was in flight goes no further, as if the parent had ended with the
//! fork, and what other threads were to do ([`Sim::at`]) is not done, because they are not there.

use super::log::What;
use super::{Sim, SimBackend};
use io_core::{Errno, IoBackend};

impl SimBackend {
    /// From here on this is a forked child.
    pub(super) fn fork(&self) {
        self.with(|kernel| {
            kernel.note(What::Forked);
            kernel.lose_all();
        });
        self.become_child();
    }

    /// Makes the backend of a forked parent this process's own: nothing is in flight, and it is not started.
    /// Operations from before the fork stay abandoned.
    ///
    /// # Errors
    /// `EALREADY` if it is this process's.
    pub fn reinit(&self) -> Result<(), Errno> {
        if self.generation() != 0 {
            return Err(Errno::ALREADY);
        }
        self.with(|kernel| {
            kernel.renew();
            kernel.note(What::Renewed);
        });
        self.become_new();
        Ok(())
    }
}

impl Sim {
    /// From here on the run is that of a forked child, which has the parent's descriptors, memory and clock, and its
    /// backend, which is dead: what was in flight is done with `EOWNERDEAD`, and so is what is submitted, until
    /// [`reinit`](SimBackend::reinit). Wakers and callbacks of before are the parent's, and do not run.
    ///
    /// [`Sim::join`] and [`Sim::block_on`] poll everything once after it, as a program in a child must: that is how
    /// a future hears of its end.
    pub fn fork(&self) {
        self.backend.fork();
    }
}
