//! Where the descriptors of backends are, for a program that must not see them among its own.
#![allow(unsafe_code, reason = "owns descriptors by their numbers")]
//! # Safety
//! A number is one that its caller owns.

use crate::fd::Fd;
use core::sync::atomic::{AtomicI32, Ordering};
use rustix::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};

/// The lowest number; 0 means wherever the kernel puts them.
static LOWEST: AtomicI32 = AtomicI32::new(0);

/// From here on, descriptors that backends of this process make for themselves have this number or a higher one
/// (`fcntl(2)` with `F_DUPFD_CLOEXEC`), as long as there is one below the program's limit: so a library inside
/// somebody else's program takes none that it counts on, as numbers in the order they are free. 0, as at first: they
/// stay where the kernel puts them. It costs two system calls per descriptor.
///
/// Of the backends' descriptors, a ring's own stays where it is made.
pub fn keep_fds_from(lowest: u16) {
    LOWEST.store(i32::from(lowest), Ordering::Relaxed);
}

/// The descriptor where [`keep_fds_from`] wants it; itself if there is no room.
pub(crate) fn lifted(fd: OwnedFd) -> OwnedFd {
    match LOWEST.load(Ordering::Relaxed) {
        0 => fd,
        lowest => rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), lowest).unwrap_or(fd),
    }
}

/// For a backend that has just made this descriptor: it, or its duplicate where [`keep_fds_from`] wants it, and then
/// it is closed. Close-on-exec.
///
/// # Safety
/// * The caller owns it, and owns what is returned instead.
#[must_use]
pub unsafe fn lift_fd(fd: Fd) -> Fd {
    // SAFETY: promised by the caller.
    let owned = unsafe { OwnedFd::from_raw_fd(fd.raw()) };
    Fd::new(lifted(owned).into_raw_fd())
}

#[cfg(all(test, not(miri), not(io_loom)))]
mod tests {
    use super::{keep_fds_from, lift_fd};
    use crate::fd::Fd;
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fd::{FromRawFd, IntoRawFd, OwnedFd};
    use rustix::io::{FdFlags, fcntl_getfd};

    /// The number is the process's; a test beside this one is not disturbed by a higher descriptor.
    #[test]
    fn a_descriptor_is_moved_up_and_stays_close_on_exec() {
        let make = || {
            let fd = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd").into_raw_fd();
            // SAFETY: just made, and taken back below.
            (fd, unsafe { lift_fd(Fd::new(fd)) }.raw())
        };
        let (old, kept) = make();
        assert_eq!(old, kept);
        keep_fds_from(700);
        let (old, lifted) = make();
        keep_fds_from(0);
        // SAFETY: both are owned here.
        let [kept, lifted_fd] = [kept, lifted].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        assert!(old < 700 && lifted >= 700, "{old} {lifted}");
        assert_eq!(fcntl_getfd(&lifted_fd), Ok(FdFlags::CLOEXEC));
        drop((kept, lifted_fd));
    }
}
