//! A small executor for one thread: as many futures of one type as there are connections, each polled
//! right where it is woken, with wakers that allocate nothing and count no references.
//!
//! A backend wakes with nothing held, so the future may run there: what was received is sent while it is
//! still in the processor's caches. A queue of woken futures would first receive everywhere, and then send
//! everywhere.
#![allow(unsafe_code, reason = "pins futures in an array and makes wakers out of raw pointers")]
//! # Safety
//! * The tasks are [`Stable`]; their wakers, which the futures hold by way of their operations, are used
//!   on this thread only ([`Executor::new`]'s caller gives them to no backend that leaves it), and not
//!   while the executor is dropped: a drop of an operation runs no sinks.
//! * A future is reached only by [`Task::poll`], which does not enter itself.

use crate::stable::Stable;
use core::cell::{Cell, UnsafeCell};
use core::future::Future;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::{Context, RawWaker, RawWakerVTable, Waker};

/// The futures.
pub(crate) struct Executor<F> {
    tasks: Stable<Task<F>>,
    /// One thread.
    _local: PhantomData<*mut F>,
}

/// A future, and what its waker points to.
struct Task<F> {
    running: Cell<bool>,
    woken: Cell<bool>,
    future: UnsafeCell<F>,
}

impl<F: Future<Output = ()>> Task<F> {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |task| RawWaker::new(task, &Self::VTABLE),
        Self::wake,
        Self::wake,
        |_task| {},
    );

    fn wake(task: *const ()) {
        // SAFETY: the task outlives its wakers; see the top of the file.
        unsafe { &*task.cast::<Self>() }.poll();
    }

    /// Polls the future until nobody has woken it meanwhile.
    fn poll(&self) {
        self.woken.set(true);
        if self.running.get() {
            // It is being polled further up on this stack, and will be once more.
            return;
        }
        self.running.set(true);
        let task = core::ptr::from_ref(self).cast();
        // SAFETY: the vtable's functions accept a task's address; there is nothing to drop.
        let waker =
            ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(task, &Self::VTABLE)) });
        while self.woken.replace(false) {
            // SAFETY: nobody else is here: `running` was off.
            let future = unsafe { &mut *self.future.get() };
            // SAFETY: it stays at this address until it is dropped.
            let future = unsafe { Pin::new_unchecked(future) };
            // An echo has no end but an error, after which the server is dropped.
            let _ = future.poll(&mut Context::from_waker(&waker));
        }
        self.running.set(false);
    }
}

impl<F: Future<Output = ()>> Executor<F> {
    /// An executor of these futures, none of which has begun.
    ///
    /// # Safety
    /// * The futures give their wakers to nothing that uses them on another thread.
    pub(crate) unsafe fn new(futures: Vec<F>) -> Executor<F> {
        let count = futures.len();
        let mut futures = futures.into_iter();
        let tasks = Stable::new(count, |_, _| match futures.next() {
            Some(future) => Task {
                running: Cell::new(false),
                woken: Cell::new(false),
                future: UnsafeCell::new(future),
            },
            None => unreachable!("as many as were counted"),
        });
        Executor { tasks, _local: PhantomData }
    }

    /// Polls each once. From then on their wakers do.
    pub(crate) fn begin(&self) {
        for index in 0..self.tasks.len() {
            // SAFETY: an index of the array; only ever shared.
            unsafe { &*self.tasks.at(index) }.poll();
        }
    }
}
