//! Operations that do no I/O.

/// Does nothing and completes with 0. The ring runs `IORING_OP_NOP`; others finish it at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nop;
