//! Sources come and go.
#![allow(unsafe_code, reason = "keeps a pinned record in its table")]
//! # Safety
//! The table is behind the lock; a source leaves it before `detach` returns.

use crate::backend::PoolBackend;
use core::pin::Pin;
use io_core::readiness::{Source, Traits};
use io_core::syscall::{is_nonblocking, is_tcp, tells_of_all};
use io_core::{Deadline, RawLock};

impl<L: RawLock> PoolBackend<L> {
    /// The contract's `attach`. A blocking description stays a bare number: what has no form that does not
    /// wait can be acted on there only while it is ready, which edges do not tell; and so does what does not tell by events
    /// all that its operations wait for.
    ///
    /// # Safety
    /// * As [`IoBackend::attach`](io_core::IoBackend::attach).
    pub(crate) unsafe fn take_source(&self, source: Pin<&Source>) {
        let fd = source.fd();
        if self.lineage.is_forked() || !is_nonblocking(fd) || !tells_of_all(fd) {
            return;
        }
        let traits = Traits { nonblocking: true, drains: is_tcp(fd) };
        self.queues(|queues| {
            // SAFETY: promised by the caller.
            if unsafe { queues.sources.attach(source, traits) } {
                queues.line_up(source.fd());
            }
            self.count_sources(queues);
        });
    }

    /// The contract's `detach`.
    pub(crate) fn give_source_back(&self, source: Pin<&Source>) {
        if self.lineage.is_forked() {
            return;
        }
        let mut waits = false;
        loop {
            let seen = self.park.epoch();
            let (withdrawn, gone) = self.queues(|queues| {
                if !queues.sources.has(&source) {
                    return (io_core::queue::Fifo::new(), true);
                }
                let withdrawn = queues.withdraw_source(source.fd());
                let gone = !queues.is_running(source.fd());
                if gone {
                    queues.sources.detach(&source);
                    self.count_sources(queues);
                    queues.leaving -= usize::from(waits);
                } else {
                    // Who has it may let it wait again, and completes nothing.
                    queues.leaving += usize::from(!waits);
                }
                waits = true;
                (withdrawn, gone)
            });
            self.refuse_all(withdrawn);
            if gone {
                return;
            }
            self.help(seen, Deadline::NEVER);
        }
    }
}
