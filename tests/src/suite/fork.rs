//! Stub.
use super::Case;
use crate::fixture::Fixture;
/// The cases of this module.
#[must_use]
pub fn cases<F: Fixture>() -> Vec<Case<F>> {
    vec![]
}
/// The cases of this module that need threads.
#[must_use]
pub fn shared_cases<F: Fixture<Backend: Sync>>() -> Vec<Case<F>> {
    vec![]
}
