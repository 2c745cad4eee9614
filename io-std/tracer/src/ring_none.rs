//! There is no ring in this object; `ring.rs` stands in this file's place with the feature `uring`.

use crate::route::Backend;
use io_core::Errno;

type Reinit<'r> = &'r mut dyn FnMut() -> Result<(), Errno>;

/// Refuses.
pub(crate) fn build(
    _: usize,
    _: impl FnOnce(Reinit<'_>) -> Result<(), Errno>,
) -> Result<Backend, Errno> {
    Err(Errno::NOSYS)
}
