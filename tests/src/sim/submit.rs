//! How an operation enters, and what the books say at the end.
#![allow(unsafe_code, reason = "takes a right up again that a panic has dropped")]
//! # Safety
//! After a step has unwound, a node that is in no list is nobody's; its backend may complete it (I5).

use super::attempt::Tried;
use super::backend::way;
use super::flight::Stage;
use super::kernel::Kernel;
use crate::explore;
use core::panic::AssertUnwindSafe;
use io_core::{Deadline, Errno, Node, NodePtr, OpKind, Way};
use std::io::{Write as _, stderr};
use std::{panic, process};

/// The most that is copied inside submit, in bytes.
const INLINE: usize = 64 * 1024;

impl Kernel {
    /// The contract's `submit`.
    pub(super) fn submit(&mut self, node: Node) {
        let seq = self.enter(&node);
        let kind = node.op().kind();
        let way = way(kind);
        self.by_way[way as usize] += 1;
        self.by_kind[kind as usize] += u64::from(way == Way::Ring);
        let now = self.now_ns();
        if self.is_stopped() && !kind.never_cancelled() {
            return self.finish_early(seq, node, Errno::CANCELED.to_result());
        }
        if node.overdue(|| now) {
            if let Some(flight) = self.flights.get_mut(&seq) {
                flight.expired = true;
            }
            return self.finish_early(seq, node, Errno::CANCELED.to_result());
        }
        if self.is_stopped() || self.may_finish_inside(seq, &node) {
            return self.try_inside(seq, node);
        }
        self.enqueue(node);
    }

    /// Whether the adversary wants it tried inside submit, and it is short enough.
    fn may_finish_inside(&self, seq: u64, node: &Node) -> bool {
        let Some(flight) = self.flights.get(&seq) else { return false };
        self.plan.inline
            && flight.kind != OpKind::Timeout
            && !node.has_callback()
            && flight.left().is_none_or(|left| left <= INLINE)
            && !self.has_before(seq, flight)
            && self.choices.chance(3)
    }

    /// Tries it inside submit. It is in no list yet.
    fn try_inside(&mut self, seq: u64, node: Node) {
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.stage = Stage::Running;
            flight.due_ns = 0;
        }
        match self.attempt(seq) {
            Tried::Done(result) => self.finish_early(seq, node, result),
            tried => {
                node.begin_unshared();
                self.timers.arm(&node);
                self.list_flying(node);
                if tried == Tried::Blocked {
                    self.wait(seq);
                }
            }
        }
    }

    /// Done inside submit; in callback form it is to be delivered.
    fn finish_early(&mut self, seq: u64, node: Node, result: i64) {
        if !node.has_callback() {
            return self.finish_inline(seq, node, result);
        }
        node.set_result(result);
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.stage = Stage::Ready;
        }
        self.list_ready(node);
    }

    // --- the end ------------------------------------------------------------------------------

    /// What waits for what, readable.
    pub(super) fn waiting(&self) -> String {
        use core::fmt::Write;
        let mut text = String::new();
        for (seq, flight) in &self.flights {
            let fd = flight.op.fd();
            let fd = fd.map_or(String::new(), |fd| format!(" on {}", self.describe(fd)));
            let what = match (flight.stage, flight.op.interest()) {
                (Stage::Waiting, Some((_, interest))) => format!("waits to be {interest:?}"),
                (Stage::Waiting, None) => "waits for a cancel".to_owned(),
                (stage, _) => format!("{stage:?}"),
            };
            let deadline = if flight.deadline_ns == Deadline::NEVER.as_nanos() {
                ""
            } else {
                ", with a deadline"
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "  #{seq} {}{fd}: {what}{deadline}", flight.kind.name());
        }
        if text.is_empty() {
            text.push_str("  no operation is in flight\n");
        }
        text
    }

    /// Ends a node wherever it is, after the simulation itself has unwound: its storage is about to go.
    /// What is broken may panic again here.
    pub(super) fn force(&mut self, node: NodePtr) {
        let end = || {
            // SAFETY: it is in no list, so the step that unwound had the right in hand, and it is nobody's now.
            let node = self.take_from_any(node).unwrap_or_else(|| unsafe { node.into_node() });
            // Should this unwind, the heap keeps an entry that nobody looks at any more.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| self.timers.disarm(&node)));
            node.complete(Errno::CANCELED.to_result()).run();
        };
        if panic::catch_unwind(AssertUnwindSafe(end)).is_err() {
            // Not by way of the macros, whose output a test harness keeps to itself.
            let text = explore::first_message();
            let _ = write!(stderr(), "simulation: no way on after a panic, aborting\n{text}\n");
            process::abort();
        }
    }

    /// The books at the end of the backend.
    ///
    /// # Panics
    /// If they do not balance.
    pub(super) fn check_conservation(&self, owned: usize, failing: bool) {
        if failing {
            return;
        }
        assert_eq!(owned, 0, "a stop without deadline leaves nothing owned");
        assert_eq!(
            self.completed + self.lost,
            self.submitted,
            "each submission is completed once:\n{}",
            self.waiting()
        );
        assert!(self.flights.is_empty(), "nothing is in flight at the end:\n{}", self.waiting());
        assert!(self.timers.is_empty(), "I9: no timer is armed at the end");
    }
}
