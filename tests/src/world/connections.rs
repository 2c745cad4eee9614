//! Operations on sockets.
#![allow(unsafe_code, reason = "writes to the memory that an accept names")]
//! # Safety
//! As in the parent module.

use super::memory::Pieces;
use super::table::{Object, Open};
use super::{Done, Stop, World};
use io_core::op::{Accept, OpenFlags};
use io_core::{Errno, Fd};

impl World {
    pub(super) fn make_socket(&mut self, op: &io_core::op::Socket) -> Done {
        let id = self.sockets.add(op)?;
        let nonblocking = op.flags.bits() & OpenFlags::NONBLOCK.bits() != 0;
        self.add(Open { nonblocking, ..Open::new(Object::Socket(id), true, true) })
    }

    pub(super) fn connect_socket(&mut self, fd: Fd, id: u32, address: &[u8]) -> Done {
        let nonblocking = self.table.get(fd)?.nonblocking;
        match self.sockets.connect(id, address) {
            // The one wait of a local socket that the kernel offers no event for.
            Err(Stop::Wait) if nonblocking && self.sockets.is_unix(id) => {
                self.sockets.give_up(id);
                Err(Errno::AGAIN.into())
            }
            done => done,
        }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    pub(super) unsafe fn accept_next(&mut self, op: &Accept) -> Done {
        const FLAGS: u32 = OpenFlags::NONBLOCK.union(OpenFlags::CLOEXEC).bits();
        self.table.get(op.fd)?;
        if op.flags.bits() & !FLAGS != 0 {
            return Err(Errno::INVAL.into());
        }
        // The kernel makes sure of a number first.
        if self.table.is_full() {
            return Err(Errno::MFILE.into());
        }
        let id = self.socket(op.fd)?;
        let (accepted, peer) = self.sockets.accept(id)?;
        if !op.addr.is_null() && !op.addr_len.is_null() {
            // SAFETY: valid for a length, promised by the caller.
            let mut room = unsafe { Pieces::one(op.addr_len.cast(), size_of::<u32>()) };
            let mut len = [0; size_of::<u32>()];
            room.take(&mut len);
            let room = usize::try_from(u32::from_ne_bytes(len)).unwrap_or(0);
            let bytes = peer.as_bytes();
            // SAFETY: valid for that much room, promised by the caller.
            unsafe { Pieces::one(op.addr, room) }.give(&bytes[..bytes.len().min(room)]);
            let len = u32::try_from(bytes.len()).unwrap_or(0).to_ne_bytes();
            // SAFETY: valid for a length, promised by the caller.
            unsafe { Pieces::one(op.addr_len.cast(), len.len()) }.give(&len);
        }
        let nonblocking = op.flags.contains(io_core::op::AcceptFlags::NONBLOCK);
        self.add(Open { nonblocking, ..Open::new(Object::Socket(accepted), true, true) })
    }
}
