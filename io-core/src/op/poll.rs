//! Waiting for readiness itself.

use crate::fd::Fd;

bitflags::bitflags! {
    /// Events of `poll(2)`, as the kernel numbers them. Unknown bits pass through.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct PollEvents: u16 {
        /// There is something to read, or the end (`POLLIN`).
        const IN = 0x1;
        /// Something exceptional, such as out-of-band data (`POLLPRI`).
        const PRI = 0x2;
        /// There is room to write (`POLLOUT`).
        const OUT = 0x4;
        /// An error is pending, or nobody reads any more; reported unasked (`POLLERR`).
        const ERR = 0x8;
        /// The peer has hung up; reported unasked (`POLLHUP`).
        const HUP = 0x10;
        /// Normal data to read (`POLLRDNORM`).
        const RDNORM = 0x40;
        /// Priority data to read (`POLLRDBAND`).
        const RDBAND = 0x80;
        /// Room for normal data (`POLLWRNORM`).
        const WRNORM = 0x100;
        /// Room for priority data (`POLLWRBAND`).
        const WRBAND = 0x200;
        /// The peer of a stream will send no more (`POLLRDHUP`).
        const RDHUP = 0x2000;
        /// Any other bit.
        const _ = !0;
    }
}

/// `poll(2)` of one descriptor: waits until one of `events` holds, an error or a hang-up; the result is
/// what `poll(2)` then says (`revents`), once.
///
/// A closed number is `EBADF`. A file that is always ready, as regular files and directories are, is so
/// at once; asked for nothing that it can ever be, it gives `EPERM`, as from `epoll_ctl(2)`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the arguments of the system call")]
pub struct Poll {
    pub fd: Fd,
    pub events: PollEvents,
}
