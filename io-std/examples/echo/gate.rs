//! The two-way passage between the server's thread and the client's: one command, one answer. It
//! allocates nothing, because it is used inside measurements.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// At most one command and one answer.
pub(crate) struct Gate<C, A> {
    state: Mutex<(Option<C>, Option<A>)>,
    changed: Condvar,
}

impl<C, A> Gate<C, A> {
    pub(crate) const fn new() -> Gate<C, A> {
        Gate { state: Mutex::new((None, None)), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, (Option<C>, Option<A>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a command to the other side.
    pub(crate) fn command(&self, command: C) {
        self.state().0 = Some(command);
        self.changed.notify_all();
    }

    /// Waits for the next command.
    pub(crate) fn next(&self) -> C {
        let mut state = self.state();
        loop {
            match state.0.take() {
                Some(command) => return command,
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Answers.
    pub(crate) fn answer(&self, answer: A) {
        self.state().1 = Some(answer);
        self.changed.notify_all();
    }

    /// Waits for the answer.
    pub(crate) fn wait(&self) -> A {
        let mut state = self.state();
        loop {
            match state.1.take() {
                Some(answer) => return answer,
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}
