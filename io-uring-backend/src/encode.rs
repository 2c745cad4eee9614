//! An operation as a submission entry. One function per operation, in the file of its family.
//!
//! What is added to the plain system call is added here: the file position, the flags every backend
//! sets, and the bound on a length, which is 64 bits wide in the descriptor and 32 in the entry.

mod control;
mod fs;
mod net;
mod rw;

use crate::ring::Sqe;
use io_core::Op;
use io_core::op::{MAX_RW_COUNT, PollEvents};

/// The entry that runs `op`. Operations without an opcode are never asked for; a nop stands in.
#[inline(always)]
pub(crate) fn encode(op: &Op) -> Sqe {
    match op {
        Op::Accept(op) => net::accept(op),
        Op::Bind(op) => net::bind(op),
        Op::Close(op) => fs::close(op),
        Op::Connect(op) => net::connect(op),
        Op::Fdatasync(op) => fs::fdatasync(op),
        Op::Fsync(op) => fs::fsync(op),
        Op::Nop(op) => control::nop(*op),
        Op::Open(op) => fs::open(op),
        Op::Poll(op) => Sqe::poll(op.fd.raw(), op.events.bits()),
        Op::Pread(op) => rw::pread(op),
        Op::Preadv(op) => rw::preadv(op),
        Op::Pwrite(op) => rw::pwrite(op),
        Op::Pwritev(op) => rw::pwritev(op),
        Op::Read(op) => rw::read(op),
        Op::Readv(op) => rw::readv(op),
        Op::Recv(op) => net::recv(op),
        Op::Send(op) => net::send(op),
        Op::Socket(op) => net::socket(op),
        Op::Write(op) => rw::write(op),
        Op::Writev(op) => rw::writev(op),
        Op::Cancel(_)
        | Op::Fstat(_)
        | Op::Ftruncate(_)
        | Op::Listen(_)
        | Op::Lseek(_)
        | Op::Sendfile(_)
        | Op::Shutdown(_)
        | Op::Timeout(_) => {
            debug_assert!(false, "a ring plan without an opcode");
            Sqe::nop()
        }
    }
}

/// The entry that waits until `op`'s descriptor is ready for it. Operations without a readiness never
/// ask; a nop stands in.
pub(crate) fn readiness(op: &Op) -> Sqe {
    match op.interest() {
        Some((fd, interest)) => Sqe::poll(fd.raw(), with_wakes(interest.events()).bits()),
        None => {
            debug_assert!(false, "a wait for readiness without a descriptor");
            Sqe::nop()
        }
    }
}

/// The ring does not look at `POLLPRI` when it asks whether a wake-up is meant for a poll, so who waits for urgent data
/// alone would sleep on. Sockets wake for `POLLRDBAND` with it, and are never ready for that.
fn with_wakes(events: PollEvents) -> PollEvents {
    let others = PollEvents::IN.union(PollEvents::RDNORM);
    if events.contains(PollEvents::PRI) && !events.intersects(others) {
        return events.union(PollEvents::RDBAND);
    }
    events
}

/// A length for the entry: what is longer than one transfer is a short transfer, never cut to 32 bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 0x7fff_f000")]
fn transfer(len: usize) -> u32 {
    len.min(MAX_RW_COUNT) as u32
}
