//! Which backend: the choice ([`Backend`]), how to ask for one ([`Builder`]), what came of it
//! ([`Report`]) and why there is none ([`BuildError`]).
//!
//! `Auto` tries the backends from the fastest to the plainest and remembers why it passed one over. A
//! forced choice that cannot work here is an error, never a silent substitute. The environment variable
//! `IO_BACKEND` forces the choice where the program left it to `Auto`.

mod report;

pub use report::{BuildError, Refusal, Report, UnknownBackend};

use crate::driver::{Engine, Runtime};
use crate::io::Io;
use core::fmt;
use core::str::FromStr;
use io_core::OpSet;
use io_uring_backend::MAX_ENTRIES;
use std::env;
use std::ffi::OsStr;

/// The environment variable that forces a choice.
const VARIABLE: &str = "IO_BACKEND";

/// A choice of backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Backend {
    /// The first of the others that works here.
    #[default]
    Auto,
    /// The kernel's io_uring.
    Uring,
    /// Readiness by epoll, and a pool of threads for what has none.
    Epoll,
    /// A pool of threads that make plain system calls.
    Pool,
}

impl Backend {
    /// What `Auto` tries, in this order.
    const PREFERENCE: [Backend; 3] = [Backend::Uring, Backend::Epoll, Backend::Pool];

    /// Every choice.
    const ALL: [Backend; 4] = [Backend::Auto, Backend::Uring, Backend::Epoll, Backend::Pool];

    /// The names, for messages.
    const WORDS: &str = "auto, uring, epoll or pool";

    /// The lower-case name. [`FromStr`] reads it in lower and upper case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Uring => "uring",
            Backend::Epoll => "epoll",
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
        let named =
            Backend::ALL.into_iter().find(|choice| choice.name().eq_ignore_ascii_case(name));
        named.ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

/// What the environment asks for: the value of `IO_BACKEND`, where an empty one says nothing.
fn from_environment(value: Option<&OsStr>) -> Result<Backend, BuildError> {
    match value {
        Some(value) if !value.is_empty() => {
            value.to_string_lossy().parse().map_err(BuildError::Environment)
        }
        _ => Ok(Backend::Auto),
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
    pub(crate) ring_lacks: OpSet,
    pub(crate) probe_uring: bool,
}

impl Builder {
    pub(crate) const fn new() -> Builder {
        Builder {
            backend: Backend::Auto,
            workers: None,
            driver: true,
            ring_entries: 256,
            ring_ops: OpSet::all(),
            ring_lacks: OpSet::empty(),
            probe_uring: true,
        }
    }

    /// Which backend; [`Backend::Auto`] if not said.
    ///
    /// Where it is `Auto`, the environment variable `IO_BACKEND` chooses, if it is set and not empty:
    /// one of the [names](Backend::name), in lower or upper case. What it names is then as forced as if
    /// it stood here. A choice that stands here is not changed by it.
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
    ///
    /// Epoll: 2 if not said, for operations that may block and have no readiness to wait for. Zero means
    /// that whoever polls it performs those.
    pub const fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// Whether a thread of ours drives epoll, or the ring, which it then owns; it does if not said, and
    /// then every executor and every thread can await operations.
    ///
    /// Without it this saves a thread switch per wait, but operations make progress only while a thread is in
    /// [`Io::block_on`](crate::Io::block_on). Epoll is driven by each such thread in turn. The ring is owned by
    /// the first one for life: so the drop of an operation in flight on another thread waits for the
    /// owner, for ever if the owner is meanwhile joining that thread; and the owner must call
    /// [`Io::stop`](crate::Io::stop) before it exits, if operations are in flight. The pool takes no notice
    /// of this.
    pub const fn driver(mut self, driver: bool) -> Builder {
        self.driver = driver;
        self
    }

    /// How many submissions the ring holds, 1 to 32768; 256 if not said. More than that may be in
    /// flight: what does not fit waits in line. Another number is an error where the ring is to be tried,
    /// also by [`Backend::Auto`]. Epoll and the pool take no notice of this.
    pub const fn ring_entries(mut self, entries: u32) -> Builder {
        self.ring_entries = entries;
        self
    }

    /// Which operations may use the ring; all if not said. The others go to the workers or, without
    /// any, are performed by the ring's owner. Epoll and the pool take no notice of this.
    pub const fn ring_ops(mut self, ops: OpSet) -> Builder {
        self.ring_ops = ops;
        self
    }

    /// Whether io_uring may be tried at all; it may if not said.
    ///
    /// With `false` no system call of io_uring is made, for places where a seccomp policy kills the
    /// process that makes one: `Auto` passes the ring over, and a forced [`Backend::Uring`] is an error.
    pub const fn probe_uring(mut self, probe: bool) -> Builder {
        self.probe_uring = probe;
        self
    }

    /// As if the kernel's ring did not have the opcodes of these operations. For tests.
    #[doc(hidden)]
    pub const fn ring_lacks(mut self, ops: OpSet) -> Builder {
        self.ring_lacks = ops;
        self
    }

    /// What to build, and whose choice that is.
    fn choice(&self) -> Result<(Backend, &'static str), BuildError> {
        match self.backend {
            Backend::Auto => match from_environment(env::var_os(VARIABLE).as_deref())? {
                Backend::Auto => Ok((Backend::Auto, "first choice of auto")),
                forced => Ok((forced, "asked for by IO_BACKEND")),
            },
            forced => Ok((forced, "asked for")),
        }
    }

    /// Builds the backend and starts its threads.
    ///
    /// # Errors
    /// The reasons of each backend that was tried; or what is wrong with the builder's settings or with
    /// `IO_BACKEND`.
    pub fn build(self) -> Result<Io, BuildError> {
        let (chosen, choice) = self.choice()?;
        self.check(chosen)?;
        let forced = [chosen];
        let candidates = match chosen {
            Backend::Auto => &Backend::PREFERENCE[..],
            Backend::Uring | Backend::Epoll | Backend::Pool => &forced[..],
        };
        let mut refused = Vec::new();
        for &backend in candidates {
            match Engine::build(backend, &self).and_then(|engine| Runtime::start(engine, &self)) {
                Ok(runtime) => {
                    let (name, missing) =
                        (runtime.engine().backend().name(), runtime.engine().missing());
                    let report = Report::new(backend, name, choice, refused, missing);
                    return Ok(Io::from_parts(runtime, report));
                }
                Err(refusal) => refused.push(refusal),
            }
        }
        Err(match (chosen, refused.pop()) {
            (Backend::Uring | Backend::Epoll | Backend::Pool, Some(refusal)) => {
                BuildError::Forced(refusal)
            }
            (_, last) => {
                refused.extend(last);
                BuildError::Refused(refused)
            }
        })
    }

    /// Whether the settings fit each other: what cannot work anywhere is no reason to take another backend.
    fn check(&self, chosen: Backend) -> Result<(), BuildError> {
        let tries_ring = matches!(chosen, Backend::Auto | Backend::Uring) && self.probe_uring;
        if tries_ring && !(1..=MAX_ENTRIES).contains(&self.ring_entries) {
            return Err(BuildError::RingEntries(self.ring_entries));
        }
        if chosen == Backend::Uring && !self.probe_uring {
            let who = match self.backend {
                Backend::Auto => "IO_BACKEND asks for uring",
                _ => "the program asks for uring",
            };
            let why = format!("{who}, which `probe_uring(false)` forbids");
            let refusal = Refusal { backend: Backend::Uring, errno: None, why };
            return Err(BuildError::Forbidden(refusal));
        }
        Ok(())
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, BuildError, Builder, MAX_ENTRIES, from_environment};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_and_choices_agree() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse(), Ok(backend));
            assert_eq!(backend.name().to_uppercase().parse(), Ok(backend));
            assert!(Backend::WORDS.contains(backend.name()));
        }
        let error = "epol".parse::<Backend>().expect_err("no such backend");
        assert!(error.to_string().contains("\"epol\""));
    }

    #[test]
    fn a_ring_that_cannot_be_anywhere_is_no_reason_to_take_another_backend() {
        for entries in [0, MAX_ENTRIES + 1, 100_000] {
            for backend in [Backend::Auto, Backend::Uring] {
                let error = Builder::new().ring_entries(entries).check(backend);
                assert_eq!(error, Err(BuildError::RingEntries(entries)));
            }
            for backend in [Backend::Epoll, Backend::Pool] {
                assert_eq!(Builder::new().ring_entries(entries).check(backend), Ok(()));
            }
            let builder = Builder::new().ring_entries(entries).probe_uring(false);
            assert_eq!(builder.check(Backend::Auto), Ok(()));
            // And it is asked, before any system call: `IO_BACKEND` may force another choice.
            let built = Builder::new().backend(Backend::Uring).ring_entries(entries).build();
            let error = built.expect_err("no such ring");
            assert!(error.to_string().contains(&entries.to_string()), "{error}");
            assert_eq!(error, BuildError::RingEntries(entries));
        }
        assert_eq!(Builder::new().ring_entries(MAX_ENTRIES).check(Backend::Auto), Ok(()));
    }

    #[test]
    fn the_environment_chooses_or_says_nothing() {
        assert_eq!(from_environment(None), Ok(Backend::Auto));
        assert_eq!(from_environment(Some(OsStr::new(""))), Ok(Backend::Auto));
        assert_eq!(from_environment(Some(OsStr::new("Pool"))), Ok(Backend::Pool));
        for nonsense in [&b"kqueue"[..], b" pool", b"po\xffol"] {
            let error = from_environment(Some(OsStr::from_bytes(nonsense))).expect_err("nonsense");
            let text = error.to_string();
            assert!(text.contains("IO_BACKEND"), "{text}");
            assert!(text.contains(String::from_utf8_lossy(nonsense).as_ref()), "{text}");
            assert!(text.contains(Backend::WORDS), "{text}");
        }
    }
}
