//! What came of a choice: the backend that was taken and why ([`Report`]), and those that were not
//! ([`Refusal`], [`BuildError`]).

use super::{Backend, VARIABLE};
use core::{fmt, slice};
use io_core::{Errno, OpKind, OpSet};
use io_uring_backend::MAX_ENTRIES;

/// A name that is no [`Backend`]'s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownBackend(pub(super) String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no backend is called {:?}: choose {}", self.0, Backend::WORDS)
    }
}

impl core::error::Error for UnknownBackend {}

/// Why a backend was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which one.
    pub backend: Backend,
    /// What the kernel said, where it was the kernel.
    pub errno: Option<Errno>,
    /// The step that failed and its cause, in words: a missing system call, a sysctl, a seccomp
    /// filter, the limit on locked memory, …
    pub why: String,
}

impl From<Errno> for Refusal {
    /// Of nobody in particular.
    fn from(errno: Errno) -> Refusal {
        Refusal { backend: Backend::Auto, errno: Some(errno), why: errno.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.why)
    }
}

/// Why there is no backend.
///
/// `Debug` prints the same text as `Display`: it is what a `main` that returns the error shows.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// [`Backend::Auto`], and none works here: each one with its reason, in the order they were tried.
    Refused(Vec<Refusal>),
    /// The one that was asked for does not work here.
    Forced(Refusal),
    /// The ring was asked for, and [`Builder::probe_uring`](crate::Builder::probe_uring) forbids to try it.
    Forbidden(Refusal),
    /// [`Builder::ring_entries`](crate::Builder::ring_entries) was given this number, which no ring has.
    RingEntries(u32),
    /// The environment variable `IO_BACKEND` has a value that names none.
    Environment(UnknownBackend),
}

impl BuildError {
    /// The backends that could not be had, each with its reason.
    #[must_use]
    pub fn refused(&self) -> &[Refusal] {
        match self {
            BuildError::Refused(refused) => refused,
            BuildError::Forced(refusal) | BuildError::Forbidden(refusal) => {
                slice::from_ref(refusal)
            }
            BuildError::RingEntries(_) | BuildError::Environment(_) => &[],
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Refused(refused) => {
                f.write_str("no I/O backend works here")?;
                refused.iter().try_for_each(|refusal| write!(f, "; {refusal}"))
            }
            BuildError::Forced(refusal) => {
                write!(f, "the backend asked for does not work here: {refusal}")
            }
            BuildError::Forbidden(refusal) => f.write_str(&refusal.why),
            BuildError::RingEntries(entries) => {
                write!(f, "`ring_entries({entries})`: a ring has 1 to {MAX_ENTRIES}")
            }
            BuildError::Environment(unknown) => {
                write!(f, "the environment variable {VARIABLE}: {unknown}")
            }
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            BuildError::Environment(unknown) => Some(unknown),
            BuildError::Refused(_)
            | BuildError::Forced(_)
            | BuildError::Forbidden(_)
            | BuildError::RingEntries(_) => None,
        }
    }
}

/// Which backend was chosen, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// The choice that was made; never `Auto`.
    pub backend: Backend,
    /// The backend's own name, as [`IoBackend::name`](io_core::IoBackend::name) gives it.
    pub name: &'static str,
    /// Why this one, in words; also what it does not have here.
    pub why: String,
    /// What was tried before and did not work.
    pub refused: Vec<Refusal>,
    /// The operations whose opcode this kernel's ring does not have: they go to the workers, or are
    /// performed by the ring's owner. Empty where there is no ring.
    pub missing: OpSet,
}

impl Report {
    pub(super) fn new(
        backend: Backend,
        name: &'static str,
        choice: &str,
        refused: Vec<Refusal>,
        missing: OpSet,
    ) -> Report {
        Report { backend, name, why: why(choice, &refused, missing), refused, missing }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.why)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("backend", &self.backend)
            .field("name", &self.name)
            .field("why", &self.why)
            .field("refused", &self.refused)
            .field("missing", &names(self.missing))
            .finish()
    }
}

/// The names of these operations.
fn names(ops: OpSet) -> Vec<&'static str> {
    OpKind::ALL.into_iter().filter(|kind| ops.has(*kind)).map(OpKind::name).collect()
}

fn why(choice: &str, refused: &[Refusal], missing: OpSet) -> String {
    let mut why = if refused.is_empty() {
        choice.to_owned()
    } else {
        let reasons: Vec<String> = refused.iter().map(Refusal::to_string).collect();
        format!("not available here: {}", reasons.join("; "))
    };
    let names = names(missing);
    if !names.is_empty() {
        why += "; opcode missing in this kernel: ";
        why += &names.join(", ");
    }
    why
}

#[cfg(test)]
mod tests {
    use super::{Backend, BuildError, Refusal, Report, why};
    use io_core::{OpKind, OpSet};

    #[test]
    fn the_reason_names_what_was_passed_over_and_what_is_missing() {
        assert_eq!(why("asked for", &[], OpSet::empty()), "asked for");
        let refusal =
            Refusal { backend: Backend::Uring, errno: None, why: "setup: sysctl".to_owned() };
        let none = OpSet::empty();
        assert_eq!(why("", &[refusal], none), "not available here: uring: setup: sysctl");
        let missing = OpSet::of(OpKind::Open) | OpSet::of(OpKind::Close);
        let text = why("asked for", &[], missing);
        assert_eq!(text, "asked for; opcode missing in this kernel: close, open");
        let report = Report::new(Backend::Uring, "io_uring", "asked for", Vec::new(), missing);
        assert!(format!("{report:?}").contains(r#"missing: ["close", "open"]"#), "{report:?}");
    }

    #[test]
    fn what_a_main_prints_of_an_error_is_its_text() {
        let refusal =
            Refusal { backend: Backend::Uring, errno: None, why: "setup: sysctl".to_owned() };
        for error in [
            BuildError::Refused(vec![refusal.clone()]),
            BuildError::Forced(refusal.clone()),
            BuildError::RingEntries(0),
        ] {
            assert_eq!(format!("{error:?}"), error.to_string());
        }
        let text = BuildError::Forced(refusal).to_string();
        assert_eq!(text, "the backend asked for does not work here: uring: setup: sysctl");
    }
}
