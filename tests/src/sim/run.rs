//! Running futures on the simulated backend: one, or several in the adversary's order.

use super::Sim;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use io_core::IoBackend;
use std::sync::Arc;
use std::task::Wake;

/// A part of a program, which [`Sim::join`] runs beside others.
pub type Part<'p> = Pin<Box<dyn Future<Output = ()> + 'p>>;

/// Whether a part is to be polled.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Flag {
    fn new() -> Arc<Flag> {
        Arc::new(Flag(AtomicBool::new(true)))
    }

    fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

impl Sim {
    /// Runs a future to its end.
    ///
    /// # Panics
    /// If it would wait for ever.
    pub fn block_on<T: Future>(&self, future: T) -> T::Output {
        let mut future = pin!(future);
        let flag = Flag::new();
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        loop {
            let forks = self.backend.forks();
            if flag.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            if forks != self.backend.forks() {
                flag.set();
            } else if !flag.is_set() {
                self.poll();
            }
        }
    }

    /// Runs several parts of a program to their ends, side by side. Which of those that were woken is polled next is
    /// the adversary's choice; now and then it polls one that was not.
    ///
    /// # Panics
    /// If one would wait for ever.
    pub fn join(&self, parts: Vec<Part<'_>>) {
        let left = self.join_until(parts, || false);
        debug_assert!(left.is_empty(), "it goes on until none is left");
    }

    /// [`join`](Self::join) until this is so, or all are at their ends: for parts that would go on for ever, as a
    /// server does. Those that are left are given back, to go on or to be dropped.
    ///
    /// # Panics
    /// If one would wait for ever.
    pub fn join_until<'p>(
        &self,
        parts: Vec<Part<'p>>,
        mut is_so: impl FnMut() -> bool,
    ) -> Vec<Part<'p>> {
        let with_flag = |part| (part, Flag::new());
        let mut parts: Vec<(Part<'p>, Arc<Flag>)> = parts.into_iter().map(with_flag).collect();
        while !parts.is_empty() && !is_so() {
            let Some(at) = self.next_of(&parts) else { continue };
            let (part, flag) = &mut parts[at];
            flag.take();
            let waker = Waker::from(Arc::clone(flag));
            let forks = self.backend.forks();
            if part.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(parts.remove(at));
            }
            if forks != self.backend.forks() {
                parts.iter().for_each(|(_, flag)| flag.set());
            }
        }
        parts.into_iter().map(|(part, _)| part).collect()
    }

    /// Polls the backend until this is so: for operations in callback form, and what a hook does.
    ///
    /// # Panics
    /// If nothing can happen any more before it is.
    pub fn run_until(&self, mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            assert!(self.backend.generation() != 0, "the backend is the parent's");
            self.backend.step();
        }
    }

    /// Which part is polled next. If none was woken, the backend is.
    fn next_of(&self, parts: &[(Part<'_>, Arc<Flag>)]) -> Option<usize> {
        let woken = |(at, (_, flag)): (usize, &(Part<'_>, Arc<Flag>))| flag.is_set().then_some(at);
        let woken: Vec<usize> = parts.iter().enumerate().filter_map(woken).collect();
        match woken.len() {
            0 => {
                let forks = self.backend.forks();
                self.poll();
                if forks != self.backend.forks() {
                    // In a callback.
                    parts.iter().for_each(|(_, flag)| flag.set());
                    return None;
                }
                let spurious = self.plan().spurious && self.choices().chance(16);
                spurious.then(|| self.choices().index(parts.len()))
            }
            count if self.plan().reorder => Some(woken[self.choices().index(count)]),
            _ => Some(woken[0]),
        }
    }

    /// One poll of the backend, that waits.
    ///
    /// # Panics
    /// If it fails, which is for good: the simulated kernel does not fail to wait.
    fn poll(&self) {
        if let Err(errno) = self.backend().poll(None) {
            panic!("nobody is woken, and the backend's poll fails: {errno}");
        }
    }
}
