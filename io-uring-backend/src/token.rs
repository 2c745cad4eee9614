//! The 64-bit word that travels with an SQE and comes back in its CQE: a node's address and a tag.
//!
//! Nodes are aligned to 8 bytes, so the low three bits are free. The ring's own entries carry a tag and
//! no address: what comes back for a cancel never looks like the end of the cancelled operation.
#![allow(unsafe_code, reason = "makes a node's address from a word the kernel gave back")]
//! # Safety
//! A token with an address is given to the kernel only for a node that is in flight, and comes back
//! once, so the address in it is that of a live node.

use core::ptr;
use io_core::NodePtr;

const TAG: u64 = 0b111;
const OP: u64 = 0;
const READY: u64 = 1;
const WAKE: u64 = 2;
const CANCEL: u64 = 3;
const FILED: u64 = 4;

static_assertions::const_assert!(align_of::<io_core::SubmitContext>() >= 8);

/// What an SQE was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// The operation of this node, whose entry has no descriptor.
    Op(NodePtr),
    /// The operation of this node, whose entry has a descriptor.
    Filed(NodePtr),
    /// The wait for this node's descriptor to be ready.
    Ready(NodePtr),
    /// The read that ends a park.
    Wake,
    /// A cancel of something else.
    Cancel,
}

impl Token {
    /// The word for the kernel.
    #[inline]
    pub(crate) fn encode(self) -> u64 {
        match self {
            Token::Op(node) => address(node) | OP,
            Token::Filed(node) => address(node) | FILED,
            Token::Ready(node) => address(node) | READY,
            Token::Wake => WAKE,
            Token::Cancel => CANCEL,
        }
    }

    /// The node of an [`Op`](Self::Op) that came back.
    ///
    /// # Safety
    /// * As [`decode`](Self::decode).
    #[inline]
    pub(crate) unsafe fn plain(word: u64) -> Option<NodePtr> {
        // SAFETY: promised by the caller.
        (word & TAG == OP).then(|| unsafe { node_of(word) })
    }

    /// The node of a [`Filed`](Self::Filed) that came back.
    ///
    /// # Safety
    /// * As [`decode`](Self::decode).
    #[inline]
    pub(crate) unsafe fn filed(word: u64) -> Option<NodePtr> {
        // SAFETY: promised by the caller.
        (word & TAG == FILED).then(|| unsafe { node_of(word) })
    }

    /// The meaning of a word that came back.
    ///
    /// # Safety
    /// * `word` is from [`encode`](Self::encode) and came back in a CQE.
    #[inline]
    pub(crate) unsafe fn decode(word: u64) -> Token {
        match word & TAG {
            // SAFETY: promised by the caller.
            OP => Token::Op(unsafe { node_of(word) }),
            // SAFETY: as above.
            READY => Token::Ready(unsafe { node_of(word) }),
            // SAFETY: as above.
            FILED => Token::Filed(unsafe { node_of(word) }),
            WAKE => Token::Wake,
            _ => Token::Cancel,
        }
    }
}

/// The node in a word.
///
/// # Safety
/// * The word is of a token with a node, and came back in a CQE.
#[inline]
unsafe fn node_of(word: u64) -> NodePtr {
    // `usize` is 64 bits wide wherever the ring's crate builds.
    #[expect(clippy::cast_possible_truncation, reason = "made from an address")]
    let node = ptr::with_exposed_provenance_mut((word & !TAG) as usize);
    // SAFETY: the address was exposed by `encode`, promised by the caller.
    unsafe { NodePtr::from_ptr(node) }
}

#[inline]
fn address(node: NodePtr) -> u64 {
    node.as_ptr().expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use super::Token;
    use io_core::{NodePtr, SubmitContext};

    #[test]
    fn tokens_survive_the_round_trip() {
        let mut word = 0_u64;
        let address: *mut SubmitContext = (&raw mut word).cast();
        // SAFETY: never followed.
        let node = unsafe { NodePtr::from_ptr(address) };
        let of_node = [Token::Op(node), Token::Filed(node), Token::Ready(node)];
        for token in of_node.into_iter().chain([Token::Wake, Token::Cancel]) {
            // SAFETY: just encoded.
            assert_eq!(unsafe { Token::decode(token.encode()) }, token);
        }
    }
}
