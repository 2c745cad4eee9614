//! What a wait for readiness brings.

use crate::fd::Fd;
use crate::op::Interest;

/// The most events that one `epoll_wait(2)` brings.
pub(super) const EVENTS: usize = 64;

bitflags::bitflags! {
    /// Readiness, wanted or reported; numbered as in `epoll_ctl(2)`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Readiness: u32 {
        /// Data, a connection, or the end of the stream (`EPOLLIN`).
        const READABLE = 0x1;
        /// Urgent data (`EPOLLPRI`).
        const PRIORITY = 0x2;
        /// Room to write (`EPOLLOUT`).
        const WRITABLE = 0x4;
        /// An error is to be fetched; reported always (`EPOLLERR`).
        const ERROR = 0x8;
        /// Both directions are closed; reported always (`EPOLLHUP`).
        const HANG_UP = 0x10;
        /// The peer sends no more (`EPOLLRDHUP`).
        const READ_HANG_UP = 0x2000;
        /// Any other bit.
        const _ = !0;
    }
}

impl Readiness {
    /// What an operation with this interest asks for.
    #[must_use]
    pub const fn wanted(interest: Interest) -> Readiness {
        match interest {
            Interest::Readable => Readiness::READABLE.union(Readiness::READ_HANG_UP),
            Interest::Writable => Readiness::WRITABLE,
            // `poll(2)` and `epoll_ctl(2)` number these alike. Errors and hang-ups are reported always: with
            // them even who asks for nothing asks for something.
            Interest::Events(events) => Readiness::from_bits_retain(events.bits() as u32)
                .union(Readiness::ERROR)
                .union(Readiness::HANG_UP),
        }
    }

    /// Whether this event on its descriptor concerns an operation with that interest. Errors and
    /// hang-ups concern all.
    #[must_use]
    pub const fn concerns(self, interest: Interest) -> bool {
        let always = Readiness::ERROR.union(Readiness::HANG_UP);
        self.intersects(Readiness::wanted(interest).union(always))
    }
}

/// How long a registration lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// For one event.
    Once,
    /// Until the next registration: what is ready in its moment is an event, and then each change.
    Edges,
}

/// One descriptor that became ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The number it was registered under.
    pub fd: Fd,
    /// The generation it was registered with: 0 for a bare number.
    pub generation: u32,
    /// For what.
    pub readiness: Readiness,
}

/// The events of one wait.
#[derive(Debug)]
pub struct Events {
    events: [Event; EVENTS],
    len: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// None.
    #[must_use]
    pub const fn new() -> Events {
        let none = Event { fd: Fd::new(0), generation: 0, readiness: Readiness::empty() };
        Events { events: [none; EVENTS], len: 0 }
    }

    #[cfg(feature = "syscall")]
    pub(super) fn push(&mut self, event: Event) {
        debug_assert!(self.len < EVENTS, "one wait brings no more");
        if let Some(place) = self.events.get_mut(self.len) {
            *place = event;
            self.len += 1;
        }
    }

    /// Them.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        self.events.get(..self.len).unwrap_or(&[])
    }
}

impl<'e> IntoIterator for &'e Events {
    type Item = &'e Event;
    type IntoIter = core::slice::Iter<'e, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;
    use crate::op::Interest;

    #[test]
    #[cfg(feature = "syscall")]
    fn bits_are_the_kernels() {
        use rustix::event::epoll::EventFlags;
        let pairs = [
            (Readiness::READABLE, EventFlags::IN),
            (Readiness::PRIORITY, EventFlags::PRI),
            (Readiness::WRITABLE, EventFlags::OUT),
            (Readiness::ERROR, EventFlags::ERR),
            (Readiness::HANG_UP, EventFlags::HUP),
            (Readiness::READ_HANG_UP, EventFlags::RDHUP),
        ];
        for (ours, kernel) in pairs {
            assert_eq!(ours.bits(), kernel.bits());
        }
    }

    #[test]
    fn hang_ups_and_errors_concern_both_directions() {
        for interest in [Interest::Readable, Interest::Writable] {
            assert!(Readiness::ERROR.concerns(interest) && Readiness::HANG_UP.concerns(interest));
        }
        assert!(!Readiness::READABLE.concerns(Interest::Writable));
        assert!(Readiness::READ_HANG_UP.concerns(Interest::Readable));
    }
}
