//! What runs where: decided once, from what the kernel says it has and what the configuration allows.

use crate::checks;
use crate::position;
use crate::ring::{self, Ring};
use crate::{BuildError, Config};
use io_core::{Op, OpKind, OpSet, Route, Way};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::read;

/// How an operation is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    /// By the kernel's ring.
    Ring,
    /// Inside submit: it never blocks.
    Inline,
    /// By the offload backend.
    Offload,
    /// Inside poll, because there is nobody else; a wait for readiness is the ring's.
    Turn,
    /// By the ring's owner itself, without the kernel.
    Own,
}

/// The plan of every operation.
#[derive(Debug)]
pub(crate) struct Plans {
    ring: OpSet,
    straight: OpSet,
    supported: OpSet,
    offload: bool,
}

impl Plans {
    /// Asks the ring which opcodes it has (`IORING_REGISTER_PROBE`).
    pub(crate) fn new(ring: &Ring, config: &Config, offload: bool) -> Result<Plans, BuildError> {
        let supported = ring.supported()? & config.lacking.complement();
        let ring = supported & config.mask;
        let special = checks::NEEDED
            .union(position::KINDS)
            .union(OpSet::of(OpKind::Poll) | OpSet::of(OpKind::Close));
        let straight = ring & special.complement();
        Ok(Plans { ring, straight, supported, offload })
    }

    /// The operations that are worth running on a ring and whose opcode this kernel does not have.
    pub(crate) fn missing(&self) -> OpSet {
        ring::with_opcode() & self.supported.complement()
    }

    /// Whether it runs on the ring, needs no check before, and no turn.
    #[inline]
    pub(crate) fn goes_straight(&self, kind: OpKind) -> bool {
        self.straight.has(kind)
    }

    #[inline]
    pub(crate) fn of(&self, kind: OpKind) -> Plan {
        if self.ring.has(kind) {
            Plan::Ring
        } else if matches!(kind, OpKind::Cancel | OpKind::Timeout) {
            Plan::Own
        } else if kind.never_blocks() {
            Plan::Inline
        } else if self.offload {
            Plan::Offload
        } else {
            Plan::Turn
        }
    }

    /// The plan and its reason in the words of the contract.
    pub(crate) fn route(&self, op: &Op) -> Route {
        let kind = op.kind();
        let way = match self.of(kind) {
            Plan::Ring => Way::Ring,
            Plan::Inline => Way::Inline,
            Plan::Offload => Way::Offload,
            Plan::Turn => turn_way(op),
            Plan::Own => own_way(kind),
        };
        Route { way, why: self.why(kind) }
    }

    fn why(&self, kind: OpKind) -> &'static str {
        if self.ring.has(kind) && position::KINDS.has(kind) {
            return "the kernel has the opcode (regular files: one at a time)";
        }
        if self.ring.has(kind) && kind == OpKind::Poll {
            return "waits in the ring; what is ready then, poll(2) says";
        }
        if self.ring.has(kind) {
            return "the kernel has the opcode";
        }
        if self.supported.has(kind) {
            return "opcode masked by configuration";
        }
        if ring::with_opcode().has(kind) {
            return "opcode missing in this kernel";
        }
        match kind {
            OpKind::Cancel => "the owner looks through its lists",
            OpKind::Fstat => "the plain call is faster than the opcode",
            OpKind::Ftruncate => "the opcode costs twice the plain call",
            OpKind::Listen => "the plain call is as fast as the opcode, and does not block",
            OpKind::Shutdown => "the opcode goes to a kernel worker; the plain call does not block",
            OpKind::Timeout => "a deadline bounds the wait for completions",
            OpKind::Sendfile if !self.offload => {
                "the ring has no opcode for it: waits in the ring, then is performed inside poll"
            }
            _ => "the ring has no opcode for it",
        }
    }
}

/// The way of an operation run inside poll.
pub(crate) fn turn_way(op: &Op) -> Way {
    if op.interest().is_some() { Way::Readiness } else { Way::Inline }
}

/// The way of an operation run by the owner.
pub(crate) fn own_way(kind: OpKind) -> Way {
    if kind == OpKind::Timeout { Way::Readiness } else { Way::Inline }
}

/// Whether `/proc/sys/kernel/io_uring_disabled` is 1 or 2. Not there before 6.6.
pub(crate) fn forbidden_by_sysctl() -> bool {
    let path = c"/proc/sys/kernel/io_uring_disabled";
    let Ok(file) = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    let mut digit = [0_u8; 1];
    matches!(read(&file, &mut digit), Ok(1)) && digit[0] != b'0'
}
