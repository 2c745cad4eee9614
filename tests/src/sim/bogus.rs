//! Completions that no backend may make, on request, and the table that notices them.
#![allow(unsafe_code, reason = "completes a node twice, on purpose")]
//! # Safety
//! The second completion of a node is made before anybody could free its storage, on the one thread that
//! there is; the state word refuses it, which is what is shown.

use super::kernel::Kernel;
use super::log::What;
use super::plan::Bogus;
use io_core::{NodePtr, Phase};

impl Kernel {
    /// The submission that a completion is of.
    ///
    /// # Panics
    /// If it is of none: that is what the table is for.
    pub(super) fn reap(&mut self, token: u32) -> u64 {
        if let Some(seq) = self.find(token) {
            return seq;
        }
        self.note(What::Bogus { token });
        // What unwinds now comes here again.
        self.plan.bogus = None;
        let known = self.echoes.iter().find(|(echo, _)| *echo == token).map(|(_, node)| *node);
        let user = known.and_then(|node| {
            self.flights.iter().find(|(_, flight)| flight.node == node).map(|(seq, _)| *seq)
        });
        match (known, user) {
            (None, _) => panic!("bogus completion: token {token:#x} was never given"),
            (Some(_), None) => {
                panic!("bogus completion: what token {token:#x} stands for is done already")
            }
            (Some(_), Some(seq)) => panic!(
                "bogus completion: what token {token:#x} stands for is done, its storage is #{seq}'s now"
            ),
        }
    }

    /// Adds completions that are not due to those that are, if the plan asks for it.
    pub(super) fn falsify(&mut self, here: &mut Vec<u32>) {
        let echo = match self.plan.bogus {
            None | Some(Bogus::Twice) => return,
            Some(Bogus::Never) => Some(u32::MAX / 2),
            Some(Bogus::Again) => self.echoes.last().map(|(token, _)| *token),
            Some(Bogus::Reused) => {
                let is_used =
                    |node: NodePtr| self.flights.values().any(|flight| flight.node == node);
                self.echoes.iter().find(|(_, node)| is_used(*node)).map(|(token, _)| *token)
            }
        };
        if let Some(token) = echo
            && self.choices.chance(2)
        {
            here.push(token);
        }
    }

    /// Completes a node that was completed just now.
    ///
    /// # Panics
    /// Always: in a debug build the core's own assertion does.
    pub(super) fn complete_twice(&mut self, node: NodePtr) {
        // SAFETY: the storage is still there: its owner has not run since the completion. The right was
        // spent, which breaks I5, and is refused.
        let again = unsafe { node.into_node() };
        let delivery = again.complete(0);
        // SAFETY: as above.
        let phase = unsafe { node.phase() };
        debug_assert_eq!(phase, Phase::Done, "I5: a second completion changes nothing");
        panic!("I5: the state word has refused a second completion: {delivery:?}");
    }
}
