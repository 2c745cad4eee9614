//! Which backend: the choice ([`Backend`]), how to ask for one ([`Builder`]), what came of it
//! ([`Report`]) and why there is none ([`BuildError`]).
//!
//! `Auto` tries the backends from the fastest to the plainest and remembers why it passed one over. A
//! forced choice that cannot work here is an error, never a silent substitute.

use crate::driver::{Engine, Runtime};
use crate::io::Io;
use core::fmt;
use core::str::FromStr;
use io_core::{Errno, OpSet};

/// A choice of backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Backend {
    /// The first of the others that works here.
    #[default]
    Auto,
    /// The kernel's io_uring.
    Uring,
    /// A pool of threads that make plain system calls.
    Pool,
}

impl Backend {
    /// What `Auto` tries, in this order.
    const PREFERENCE: [Backend; 2] = [Backend::Uring, Backend::Pool];

    /// The lower-case name, which [`FromStr`] reads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Uring => "uring",
            Backend::Pool => "pool",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Backend, UnknownBackend> {
        match name {
            "auto" => Ok(Backend::Auto),
            "uring" => Ok(Backend::Uring),
            "pool" => Ok(Backend::Pool),
            _ => Err(UnknownBackend(name.to_owned())),
        }
    }
}

/// A name that is no [`Backend`]'s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no backend is called {:?}: choose auto, uring or pool", self.0)
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.why)
    }
}

/// No backend could be built; each one that was tried, with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildError {
    /// In the order they were tried; never empty.
    pub refused: Vec<Refusal>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no I/O backend works here")?;
        self.refused.iter().try_for_each(|refusal| write!(f, "; {refusal}"))
    }
}

impl core::error::Error for BuildError {}

/// Which backend was chosen, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The choice that was made; never `Auto`.
    pub backend: Backend,
    /// The backend's own name, as [`IoBackend::name`](io_core::IoBackend::name) gives it.
    pub name: &'static str,
    /// Why this one, in words.
    pub why: String,
    /// What was tried before and did not work.
    pub refused: Vec<Refusal>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.why)
    }
}

/// How to build an [`Io`]. The defaults work with every executor and from every thread.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    pub(crate) backend: Backend,
    pub(crate) workers: Option<usize>,
    pub(crate) driver: bool,
    pub(crate) ring_entries: u32,
    pub(crate) ring_ops: OpSet,
}

impl Builder {
    pub(crate) const fn new() -> Builder {
        Builder {
            backend: Backend::Auto,
            workers: None,
            driver: true,
            ring_entries: 256,
            ring_ops: OpSet::all(),
        }
    }

    /// Which backend; [`Backend::Auto`] if not said.
    pub const fn backend(mut self, backend: Backend) -> Builder {
        self.backend = backend;
        self
    }

    /// How many worker threads.
    ///
    /// The pool: 4 if not said. Zero means that threads in [`Io::block_on`](crate::Io::block_on) and
    /// the `*_sync` forms do the work, and foreign executors must not be used.
    ///
    /// The ring: 2 if not said, for operations it has no opcode for. Zero means that the ring's owner
    /// performs those.
    pub const fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// Whether a thread of ours owns and drives the ring; it does if not said, and then every
    /// executor and every thread can await operations.
    ///
    /// Without it the first thread in [`Io::block_on`](crate::Io::block_on) owns the ring for life.
    /// This saves a thread switch per wait, but: operations of other threads make progress only while
    /// the owner blocks there; so does the drop of an operation in flight on another thread, which waits
    /// for ever if the owner is meanwhile joining that thread. And the owner must call [`Io::stop`](crate::Io::stop) before it exits,
    /// if operations are in flight. The pool takes no notice of this.
    pub const fn driver(mut self, driver: bool) -> Builder {
        self.driver = driver;
        self
    }

    /// How many submissions the ring holds, 1 to 32768; 256 if not said. More than that may be in
    /// flight: what does not fit waits in line. The pool takes no notice of this.
    pub const fn ring_entries(mut self, entries: u32) -> Builder {
        self.ring_entries = entries;
        self
    }

    /// Which operations may use the ring; all if not said. The others go to the workers or, without
    /// any, are performed by the ring's owner. The pool takes no notice of this.
    pub const fn ring_ops(mut self, ops: OpSet) -> Builder {
        self.ring_ops = ops;
        self
    }

    /// Builds the backend and starts its threads.
    ///
    /// # Errors
    /// The reasons of each backend that was tried.
    pub fn build(self) -> Result<Io, BuildError> {
        let forced = [self.backend];
        let (candidates, choice) = match self.backend {
            Backend::Auto => (&Backend::PREFERENCE[..], "first choice of auto"),
            Backend::Uring | Backend::Pool => (&forced[..], "asked for"),
        };
        let mut refused = Vec::new();
        for &backend in candidates {
            match Engine::build(backend, &self).and_then(|engine| Runtime::start(engine, &self)) {
                Ok(runtime) => {
                    let why = why(choice, &refused);
                    let name = runtime.engine().backend().name();
                    let report = Report { backend, name, why, refused };
                    return Ok(Io::from_parts(runtime, report));
                }
                Err(refusal) => refused.push(refusal),
            }
        }
        Err(BuildError { refused })
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

fn why(choice: &str, refused: &[Refusal]) -> String {
    if refused.is_empty() {
        return choice.to_owned();
    }
    let reasons: Vec<String> = refused.iter().map(Refusal::to_string).collect();
    format!("not available here: {}", reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{Backend, Refusal, why};

    #[test]
    fn names_and_choices_agree() {
        for backend in [Backend::Auto, Backend::Uring, Backend::Pool] {
            assert_eq!(backend.name().parse(), Ok(backend));
        }
        let error = "epol".parse::<Backend>().expect_err("no such backend");
        assert!(error.to_string().contains("\"epol\""));
    }

    #[test]
    fn the_reason_names_what_was_passed_over() {
        assert_eq!(why("asked for", &[]), "asked for");
        let refusal =
            Refusal { backend: Backend::Uring, errno: None, why: "setup: sysctl".to_owned() };
        assert_eq!(why("", &[refusal]), "not available here: uring: setup: sysctl");
    }
}
