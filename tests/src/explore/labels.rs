//! Places that must be reached in some run: a test whose runs all go by the interesting case proves nothing.

use core::cell::{Cell, RefCell};
use core::fmt::Write;
use std::collections::BTreeMap;

thread_local! {
    static LABELS: RefCell<BTreeMap<String, Label>> = const { RefCell::new(BTreeMap::new()) };
    static RUN: Cell<u64> = const { Cell::new(0) };
}

/// In how many runs it was reached, and in which one last.
#[derive(Clone, Copy, Default)]
struct Label {
    runs: u64,
    last: u64,
    required: bool,
}

/// Says that this place was reached.
pub fn reached(label: &str) {
    with(label, |label| {
        let run = RUN.get();
        if label.runs == 0 || label.last != run {
            *label = Label { runs: label.runs + 1, last: run, ..*label };
        }
    });
}

/// What must be [`reached`] in one run at least of those that are made: said in each of them. Where one run is asked
/// for, it need not.
pub fn must_reach(label: &str) {
    with(label, |label| label.required = true);
}

fn with(label: &str, act: impl FnOnce(&mut Label)) {
    LABELS.with_borrow_mut(|labels| match labels.get_mut(label) {
        Some(label) => act(label),
        None => act(labels.entry(label.to_owned()).or_default()),
    });
}

/// Another run begins.
pub(super) fn next_run() {
    RUN.set(RUN.get() + 1);
}

/// The labels of many runs; those of an exploration around it come back at the end.
pub(super) struct Many(BTreeMap<String, Label>);

impl Many {
    pub(super) fn begin() -> Many {
        Many(LABELS.take())
    }

    /// How often each was reached, a line each.
    ///
    /// # Panics
    /// If one was not that must be.
    pub(super) fn end(self, runs: u64) -> String {
        let mut text = String::new();
        let mut never = Vec::new();
        for (label, Label { runs: reached, required, .. }) in LABELS.take() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "reached in {reached} of {runs} runs: {label}");
            if required && reached == 0 {
                never.push(label);
            }
        }
        drop(self);
        assert!(never.is_empty(), "never reached in {runs} runs: {}\n{text}", never.join(", "));
        text
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        LABELS.set(core::mem::take(&mut self.0));
    }
}
