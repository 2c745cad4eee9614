//! A join of a fixed number of futures with a waker for each, so that a completion polls one slot and
//! not all of them.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

const BITS: usize = u64::BITS as usize;

/// Which slots want to be polled.
struct Ready {
    words: Vec<AtomicU64>,
    /// Whether the parent was woken since it last looked.
    told: AtomicBool,
    parent: Mutex<Waker>,
}

struct SlotWaker {
    ready: Arc<Ready>,
    slot: usize,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (word, bit) = (self.slot / BITS, 1 << (self.slot % BITS));
        // Ordering: the bit first, then the word to the parent, who looks in the other order.
        self.ready.words[word].fetch_or(bit, Ordering::SeqCst);
        if !self.ready.told.swap(true, Ordering::SeqCst) {
            let parent = self.ready.parent.lock().unwrap_or_else(PoisonError::into_inner).clone();
            parent.wake();
        }
    }
}

struct Slot<F> {
    future: Pin<Box<F>>,
    waker: Waker,
    done: bool,
}

/// The join: done when all futures are.
pub(crate) struct Slots<F> {
    slots: Vec<Slot<F>>,
    ready: Arc<Ready>,
    left: usize,
}

impl<F: Future<Output = ()>> Slots<F> {
    /// All the futures there will be.
    pub(crate) fn new(futures: impl IntoIterator<Item = F>) -> Slots<F> {
        let futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
        let left = futures.len();
        let word = |index: usize| match left - index * BITS {
            BITS.. => u64::MAX,
            bits => (1 << bits) - 1,
        };
        let ready = Arc::new(Ready {
            words: (0..left.div_ceil(BITS)).map(|index| AtomicU64::new(word(index))).collect(),
            told: AtomicBool::new(true),
            parent: Mutex::new(Waker::noop().clone()),
        });
        let with_waker = |(slot, future)| {
            let waker = Waker::from(Arc::new(SlotWaker { ready: ready.clone(), slot }));
            Slot { future, waker, done: false }
        };
        let slots = futures.into_iter().enumerate().map(with_waker).collect();
        Slots { slots, ready, left }
    }

    fn poll_slot(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.done {
            return;
        }
        if slot.future.as_mut().poll(&mut Context::from_waker(&slot.waker)).is_ready() {
            slot.done = true;
            self.left -= 1;
        }
    }
}

impl<F: Future<Output = ()>> Future for Slots<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.ready.clone();
        ready.parent.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
        // Ordering: see `SlotWaker`.
        ready.told.store(false, Ordering::SeqCst);
        for (index, word) in ready.words.iter().enumerate() {
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                self.poll_slot(index * BITS + bit);
            }
        }
        if self.left == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
