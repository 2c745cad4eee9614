//! Running futures on the simulated backend: one, or several in the adversary's order.

use super::Sim;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use io_core::IoBackend;
use std::sync::Arc;
use std::task::Wake;

/// A task that [`Sim::join`] runs.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Whether a task is to be polled.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Flag {
    fn new() -> Arc<Flag> {
        Arc::new(Flag(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
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
            if flag.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            if !flag.0.load(Ordering::SeqCst) {
                self.poll();
            }
        }
    }

    /// Runs several tasks to their ends, side by side. Which of those that were woken is polled next is the
    /// adversary's choice; now and then it polls one that was not.
    ///
    /// # Panics
    /// If one would wait for ever.
    pub fn join(&self, tasks: Vec<Task<'_>>) {
        let with_flag = |task| (task, Flag::new());
        let mut tasks: Vec<(Task<'_>, Arc<Flag>)> = tasks.into_iter().map(with_flag).collect();
        while !tasks.is_empty() {
            let woken = |(at, (_, flag)): (usize, &(Task<'_>, Arc<Flag>))| {
                flag.0.load(Ordering::SeqCst).then_some(at)
            };
            let woken: Vec<usize> = tasks.iter().enumerate().filter_map(woken).collect();
            let at = match woken.len() {
                0 => {
                    self.poll();
                    if !self.plan().spurious || !self.choices().chance(16) {
                        continue;
                    }
                    self.choices().index(tasks.len())
                }
                count if self.plan().reorder => woken[self.choices().index(count)],
                _ => woken[0],
            };
            let (task, flag) = &mut tasks[at];
            flag.take();
            let waker = Waker::from(Arc::clone(flag));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(tasks.remove(at));
            }
        }
    }

    /// One poll of the backend, that waits.
    fn poll(&self) {
        // The simulated kernel does not fail to wait.
        let _delivered = self.backend().poll(None);
    }
}
