//! Cases of the suite that are faults, with a count of what they leave behind.

use io_conformance::fault::flat;
use io_conformance::fixture::Fixture;
use io_conformance::suite::{close, fork, threads};
use io_conformance::watchdog::rounds;

/// A descriptor is closed behind the backend's back.
pub(crate) fn closed_under<F: Fixture>(fx: &F) {
    flat(rounds(3), "a descriptor closed", || close::closed_behind_our_back(fx));
}

/// Another file takes its number.
pub(crate) fn replaced_under<F: Fixture>(fx: &F) {
    flat(rounds(3), "a descriptor replaced", || close::replaced_behind_our_back(fx));
}

/// Forks at any time.
pub(crate) fn fork_storm<F: Fixture<Backend: Sync>>(fx: &F) {
    flat(rounds(1), "a storm of forks", || fork::a_storm_of_forks_loses_nothing(fx));
}

/// The thread that submitted is gone.
pub(crate) fn thread_exit<F: Fixture<Backend: Sync>>(fx: &F) {
    flat(rounds(3), "a thread that exits", || threads::a_submitter_may_exit_at_once(fx));
}
