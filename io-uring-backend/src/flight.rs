//! The operations on the ring, so that those of one descriptor are found without looking at all of them.
//!
//! A close ends what waits on its descriptor, and a server with ten thousand idle connections closes one at a
//! time. So entries with a descriptor are filed by its number, in one of [`BUCKETS`] lists, which the node's
//! scratch word remembers. Entries without one, such as nops, are in a list of their own and pay nothing for
//! it: the token that comes back says which of the two it is ([`Token::Op`](crate::token::Token::Op),
//! [`Token::Filed`](crate::token::Token::Filed)).

use crate::list::List;
use crate::seat::place;
use core::cell::Cell;
use io_core::{Fd, Node, NodePtr, Op};

/// How many lists there are for descriptors: a power of two.
const BUCKETS: usize = 128;

/// What uses two descriptors; looked at for either.
const BOTH: usize = BUCKETS;

static_assertions::const_assert!(BOTH <= (place::BUCKET >> place::BUCKET_SHIFT) as usize);

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Flight {
    others: List,
    filed: [List; BUCKETS + 1],
    filed_len: Cell<usize>,
}

fn bucket_of(fd: i32) -> usize {
    // Any number has a bucket, also one that is not open.
    fd.cast_unsigned() as usize % BUCKETS
}

impl Flight {
    pub(crate) const fn new() -> Flight {
        Flight {
            others: List::new(),
            filed: [const { List::new() }; BUCKETS + 1],
            filed_len: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.others.len() + self.filed_len.get()
    }

    /// A node whose entry has no descriptor.
    #[inline]
    pub(crate) fn push(&self, node: Node) {
        self.others.push(node);
    }

    /// A node whose entry has this descriptor, and which has no other. Its scratch word becomes `word`, and
    /// where it is.
    #[inline]
    pub(crate) fn file(&self, node: Node, fd: i32, word: u32) {
        self.put(node, bucket_of(fd), word);
    }

    /// A node that waits for this descriptor; see [`file`](Self::file).
    pub(crate) fn file_wait(&self, node: Node, fd: i32, word: u32) {
        let both = matches!(node.op(), Op::Sendfile(_));
        self.put(node, if both { BOTH } else { bucket_of(fd) }, word);
    }

    #[inline(always)]
    fn put(&self, node: Node, at: usize, word: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
        node.set_scratch(word | place::FILED | (at as u32) << place::BUCKET_SHIFT);
        self.filed[at].push(node);
        self.filed_len.set(self.filed_len.get() + 1);
    }

    /// Takes a node out.
    ///
    /// # Safety
    /// * It was [pushed](Self::push), and is still here.
    #[inline]
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn remove(&self, node: NodePtr) -> Node {
        // SAFETY: promised by the caller.
        unsafe { self.others.remove(node) }
    }

    /// Takes a node out.
    ///
    /// # Safety
    /// * It was [filed](Self::file), and is still here.
    #[inline]
    #[allow(unsafe_code, reason = "unlinks a node by address")]
    pub(crate) unsafe fn remove_filed(&self, node: NodePtr) -> Node {
        // SAFETY: it is here, promised by the caller, so nobody else writes the word.
        let word = unsafe { node.scratch() };
        let at = (word & place::BUCKET) >> place::BUCKET_SHIFT;
        self.filed_len.set(self.filed_len.get() - 1);
        // SAFETY: the word says which list it is in.
        unsafe { self.filed[at as usize].remove(node) }
    }

    /// Every list.
    fn lists(&self) -> impl Iterator<Item = &List> {
        core::iter::once(&self.others).chain(&self.filed)
    }

    /// Shows each node until `act` says `false`.
    ///
    /// # Safety
    /// * `act` does not touch these lists.
    #[allow(unsafe_code, reason = "lets others look")]
    pub(crate) unsafe fn for_each(&self, mut act: impl FnMut(&Node) -> bool) {
        let mut go_on = true;
        for list in self.lists() {
            if !go_on {
                return;
            }
            // SAFETY: promised by the caller.
            unsafe {
                list.for_each(|node| {
                    go_on = act(node);
                    go_on
                });
            }
        }
    }

    /// Shows each node whose entry may have this descriptor.
    ///
    /// # Safety
    /// * `act` does not touch these lists.
    #[allow(unsafe_code, reason = "lets others look")]
    pub(crate) unsafe fn for_each_on(&self, fd: Fd, mut act: impl FnMut(&Node)) {
        for at in [bucket_of(fd.raw()), BOTH] {
            // SAFETY: promised by the caller.
            unsafe {
                self.filed[at].for_each(|node| {
                    act(node);
                    true
                });
            }
        }
    }

    /// Takes those out that `wanted` accepts, one by one.
    pub(crate) fn take_all(&self, wanted: impl Fn(&Node) -> bool, mut taken: impl FnMut(Node)) {
        for (list, filed) in self.lists().zip(core::iter::once(false).chain([true; BUCKETS + 1])) {
            for _ in 0..list.len() {
                let Some(node) = list.pop() else { break };
                if wanted(&node) {
                    self.filed_len.set(self.filed_len.get() - usize::from(filed));
                    taken(node);
                } else {
                    list.push(node);
                }
            }
        }
    }
}
