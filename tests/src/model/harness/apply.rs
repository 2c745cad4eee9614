//! What each event is in the real code.
#![allow(unsafe_code, reason = "does with nodes and storage what callers and backends do")]
//! # Safety
//! The model says what is legal: a call while no other is under way and the storage is held, an act while
//! the node is in the slot. Everything happens on one thread: [`Inner`] is not `Sync`.

use super::inner::{Inner, called};
use super::storage::{DEADLINE_NS, Storage};
use super::waker::waker;
use crate::model::event::{Act, Call, Event};
use crate::model::state::Word;
use crate::model::step::Answer;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll};
use io_core::{Delivery, IoAwaitable, Node, Timers};

type Awaitable = IoAwaitable<super::inner::Here>;

impl Inner {
    /// What is neither a call nor an act of the library.
    pub(super) fn outside(&self, event: Event) {
        match event {
            Event::Fork => {
                // The lists are the parent's.
                if let Some(node) = self.node.take() {
                    let _: io_core::NodePtr = node.into_ptr();
                }
                mem::forget(self.delivery.take());
                self.timers.replace(Timers::new());
                self.generation.set(0);
            }
            Event::Reinit => {
                self.generations.set(self.generations.get() + 1);
                self.generation.set(self.generations.get());
            }
            // A forgotten awaitable is one that nobody touches.
            Event::Call(_) | Event::Act(_) | Event::Resume => {}
        }
    }

    /// The real word. `None` without storage.
    pub(super) fn word(&self) -> Option<Word> {
        let storage = self.storage.get()?;
        // SAFETY: I1, it is taken out of the cell when it is freed.
        Some(self.muted(|| unsafe { storage.word() }))
    }

    /// One call of the awaitable's owner.
    pub(super) fn calls(&self, call: Call) -> Option<Answer> {
        let storage = self.storage.get()?;
        if call == Call::Drop {
            // SAFETY: I1, held and borrowed by nobody, says the model; the last use.
            unsafe { storage.free() };
            self.storage.set(None);
            return Some(Answer::Nothing);
        }
        // SAFETY: not freed, and no other call is under way, says the model.
        let awaitable = self.muted(|| unsafe { storage.pin() });
        Some(self.calls_on(awaitable, call))
    }

    fn calls_on(&self, mut awaitable: Pin<&mut Awaitable>, call: Call) -> Answer {
        match call {
            Call::Poll(who) => match awaitable.poll(&mut Context::from_waker(&waker(who))) {
                Poll::Pending => Answer::Pending,
                Poll::Ready(result) => Answer::Ready(result),
            },
            Call::Submit => accepted(awaitable.submit()),
            Call::SubmitCallback => {
                accepted(awaitable.submit_with_callback(called, ptr::null_mut()))
            }
            Call::Cancel => {
                awaitable.cancel();
                Answer::Nothing
            }
            Call::Wait => Answer::Waited(awaitable.wait()),
            Call::Result => Answer::Value(awaitable.result()),
            Call::Reset => {
                // SAFETY: the operation has no pointers and no descriptor.
                accepted(unsafe { awaitable.as_mut().reset(super::storage::op(self.start)) })
            }
            Call::Drop | Call::Forget => Answer::Nothing,
        }
    }

    /// One act of the backend.
    pub(super) fn acts(&self, act: Act) -> Option<Answer> {
        match act {
            Act::Deliver => {
                let delivery = self.delivery.take();
                delivery?.run();
                Some(Answer::Nothing)
            }
            Act::AddWaiter => {
                // SAFETY: a call of its owner is inside wait, so the storage is valid.
                Some(Answer::First(unsafe { self.address.get()?.add_waiter() }))
            }
            Act::Expire => {
                let expired = self.timers.borrow_mut().expire(DEADLINE_NS);
                if expired != self.address.get() || expired.is_none() {
                    self.fail(format_args!("I9: the timer is not in the heap: {expired:?}"));
                }
                Some(Answer::Nothing)
            }
            _ => {
                let node = self.node.take()?;
                self.acts_on(node, act)
            }
        }
    }

    fn acts_on(&self, node: Node, act: Act) -> Option<Answer> {
        match act {
            Act::Begin => node.begin(),
            Act::BeginUnshared => node.begin_unshared(),
            Act::Requeue => node.requeue(),
            Act::Store(result) => node.set_result(result),
            Act::Disarm => self.timers.borrow_mut().disarm(&node),
            Act::AskCancel => {
                let first = node.ask_cancel();
                return self.keeps(node, Answer::First(first));
            }
            Act::Arm => {
                if !self.timers.borrow_mut().arm(&node) {
                    self.fail(format_args!("I9: the only timer is not the earliest"));
                }
            }
            Act::Overdue => {
                if node.overdue(|| DEADLINE_NS - 1) || !node.overdue(|| DEADLINE_NS) {
                    self.fail(format_args!("the deadline is not the clock's"));
                }
            }
            Act::GoHome(result) => {
                node.go_home(result);
                return Some(Answer::Nothing);
            }
            Act::Inline(result) => {
                node.complete_inline(result);
                return Some(Answer::Nothing);
            }
            Act::Complete(result) => return Some(self.completed(node.complete(result))),
            Act::CompleteStored => return Some(self.completed(node.complete_stored())),
            Act::CompleteUnshared => {
                // SAFETY: the backend is not `Sync`, and no call is between two accesses, says the model.
                return Some(self.completed(unsafe { node.complete_unshared() }));
            }
            Act::CompleteQuiet(result) => match node.complete_quiet(result) {
                Ok(waiter) => return Some(Answer::Completed(waiter)),
                Err(node) => return self.keeps(node, Answer::Kept),
            },
            // Not done with the node in hand.
            Act::AddWaiter | Act::Expire | Act::Deliver => {}
        }
        self.keeps(node, Answer::Nothing)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the answer of an act")]
    fn keeps(&self, node: Node, answer: Answer) -> Option<Answer> {
        *self.node.borrow_mut() = Some(node);
        Some(answer)
    }

    fn completed(&self, delivery: Delivery) -> Answer {
        let waiter = delivery.waiter();
        let text = format!("{delivery:?}");
        if text.contains("nobody") {
            delivery.run();
        } else {
            *self.delivery.borrow_mut() = Some(delivery);
        }
        Answer::Completed(waiter)
    }
}

fn accepted(result: Result<(), io_core::Errno>) -> Answer {
    match result {
        Ok(()) => Answer::Nothing,
        Err(errno) => Answer::Refused(errno),
    }
}

/// Whether a new awaitable prints its address.
pub(super) fn prints_its_address(storage: Storage) -> bool {
    // SAFETY: it was made just now.
    unsafe { storage.prints_its_address() }
}

/// Frees what nobody dropped, at the very end.
pub(super) fn free(storage: Storage) {
    // SAFETY: the life is over: no call is under way, and the backend's own wait ends what is in flight.
    unsafe { storage.free() };
}
