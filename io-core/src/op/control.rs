//! Operations that do no I/O.

use crate::fd::Fd;

/// Asks operations of the same backend to end early, as a cancel of each would: they complete all the
/// same, with their own result if that wins, else with `ECANCELED`. The result is how many were asked: not
/// done yet, not asked before, not a close, and not this one.
///
/// It concerns what was submitted before it, on any thread that synchronizes with this submit.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// Which ones.
    pub scope: Scope,
}

/// Which operations of a backend are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All.
    All,
    /// Those that use this descriptor number.
    Fd(Fd),
}

/// Does nothing and completes with 0. The ring runs `IORING_OP_NOP`; others finish it at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nop;
