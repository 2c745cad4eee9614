//! What is in flight, for finding out what a program hangs on.
#![allow(unsafe_code, reason = "looks at nodes in lists")]
//! # Safety
//! What looks at the nodes copies from them; it leaves the lists alone.

use crate::inbox::Mode;
use crate::seat::{Seat, place};
use io_core::{InFlight, IoBackend, Node, OffloadHandle, Way};

impl<M: Mode, O: OffloadHandle> Seat<'_, M, O> {
    /// The contract's `dump`. What is at the offload backend is counted, and described by that one's dump.
    pub(crate) fn dump(&self, out: &mut [InFlight]) -> usize {
        let mut count = 0;
        let mut describe = |node: &Node| {
            if let Some(place) = out.get_mut(count) {
                *place = InFlight::of(node, self.way_of(node));
            }
            count += 1;
            true
        };
        // SAFETY: as the top of the file says.
        unsafe { self.in_flight.for_each(&mut describe) };
        let lists = [
            &self.overflow,
            &self.held,
            &self.closing,
            &self.turn,
            &self.asleep,
            &self.taken,
            &self.ready,
        ];
        for list in lists {
            // SAFETY: as above.
            unsafe { list.for_each(&mut describe) };
        }
        count + self.backend.mode.outside()
    }

    fn way_of(&self, node: &Node) -> Way {
        let word = node.scratch();
        if word & place::MASK == place::RING && word & place::WAITS != 0 {
            return Way::Readiness;
        }
        self.backend.route(node.op()).way
    }
}
