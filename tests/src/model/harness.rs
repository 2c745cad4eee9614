//! The real code, held against the model: [`run`].
//!
//! A tiny backend keeps the node of one real [`IoAwaitable`](io_core::IoAwaitable), and a *script* says what
//! happens to both: it is asked between calls, inside user code (the backend's functions, a waker's clone,
//! wake and drop, a callback), and, where the feature `steps` is on, before each access of an atomic or a
//! cell inside the library. So every window is hit on purpose, on one thread, and again from the same
//! script. After each event the real state word, the counted clones, drops and wakes, results and answers
//! are what the model says, or the run ends with a mismatch.

mod apply;
mod backend;
mod inner;
mod storage;
mod waker;

pub use inner::{Log, Place};

use super::event::Event;
use super::state::{Start, State};
use inner::{Here, Inner};
use std::rc::Rc;
use storage::Storage;

/// What came of a life.
#[must_use = "a mismatch is in it"]
#[derive(Debug)]
pub struct Report {
    /// Each step of the model: the state before, and the event.
    pub steps: Vec<(State, Event)>,
    /// Where the code and the model parted, if they did.
    pub mismatch: Option<String>,
}

/// Lives a whole life of one operation: `script` says what happens, and when it says `None` with nothing
/// under way, the life is brought to its end (completed, delivered, dropped).
///
/// `log` takes down, in words, what happens, and is good also if the library panics.
pub fn run(
    start: Start,
    log: Option<Log>,
    script: impl FnMut(&State, Place) -> Option<Event> + 'static,
) -> Report {
    let inner = Rc::new(Inner::new(start, Box::new(script), log));
    inner.say(|| format!("a life: {start:?}"));
    let storage = Storage::new(start, Here::new(Rc::clone(&inner)));
    inner.storage.set(Some(storage));
    let session = Session::begin(&inner);
    if !apply::prints_its_address(storage) {
        inner.fail(format_args!("it prints another address than its own"));
    }
    inner.compare();
    inner.offer(Place::Top);
    while !inner.failed()
        && let Some(event) = inner.next_to_the_end()
    {
        inner.say(|| "at the end:".to_owned());
        inner.must(event);
    }
    if !inner.failed() {
        if let Some(storage) = inner.storage.take() {
            // Forgotten: the storage goes without a word.
            inner.muted(|| apply::free(storage));
        }
        inner.compare_end();
    }
    // After a mismatch nobody knows whose the storage is: it stays.
    drop(session);
    Report { steps: inner.steps.take(), mismatch: inner.mismatch.take() }
}

/// The harness is this thread's, and called before each access.
struct Session {
    before: Option<Rc<Inner>>,
    #[cfg(feature = "steps")]
    hook: Option<io_core::sync::steps::Hook>,
}

impl Session {
    #[cfg(feature = "steps")]
    fn begin(inner: &Rc<Inner>) -> Session {
        let before = inner::activate(Some(Rc::clone(inner)));
        let hooked = Rc::clone(inner);
        let hook = io_core::sync::steps::set_hook(Some(Rc::new(move |site| {
            hooked.access_window(site);
        })));
        Session { before, hook }
    }

    #[cfg(not(feature = "steps"))]
    fn begin(inner: &Rc<Inner>) -> Session {
        Session { before: inner::activate(Some(Rc::clone(inner))) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        #[cfg(feature = "steps")]
        io_core::sync::steps::set_hook(self.hook.take());
        inner::activate(self.before.take());
    }
}
