//! Stub.
use super::Case;
use crate::fixture::Fixture;
/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![]
}
