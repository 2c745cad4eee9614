//! What can happen to an operation: [`Event`].

use core::fmt;

/// One of two wakers that a caller polls with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Who {
    /// The first.
    A,
    /// The second.
    B,
}

impl Who {
    /// Both.
    pub const ALL: [Who; 2] = [Who::A, Who::B];
}

/// What the owner of the awaitable does with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Polls the future, with this waker.
    Poll(Who),
    /// Submits, with nobody to hear of it.
    Submit,
    /// Submits, with a callback that takes the result over.
    SubmitCallback,
    /// Asks for the early end.
    Cancel,
    /// Blocks until it is done; submits before, if need be.
    Wait,
    /// Asks for the result.
    Result,
    /// Puts another operation into the same storage.
    Reset,
    /// Drops the awaitable.
    Drop,
    /// Forgets the awaitable (`mem::forget`): its storage stays, and nobody touches it.
    Forget,
}

/// What the backend does with the node. Numbers are results as [`io_core::Node::complete`] takes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// Queued → in flight.
    Begin,
    /// Queued → in flight, inside submit.
    BeginUnshared,
    /// In flight → queued.
    Requeue,
    /// Stores a result without completing.
    Store(i64),
    /// Asks for the early end, on behalf of a cancel that means many.
    AskCancel,
    /// A thread that waits for the operation says so.
    AddWaiter,
    /// Arms the timer.
    Arm,
    /// Disarms the timer.
    Disarm,
    /// The deadline passes: the timer leaves the heap, and the node is told.
    Expire,
    /// Looks inside submit whether the deadline is over already, and it is.
    Overdue,
    /// Gives it home from an offload backend, with this result stored.
    GoHome(i64),
    /// Completes it inside submit.
    Inline(i64),
    /// Completes it.
    Complete(i64),
    /// Completes it with the result stored before.
    CompleteStored,
    /// Completes it if there is nobody to tell.
    CompleteQuiet(i64),
    /// Completes it with the result stored before, without an exchange, on the only thread there is.
    CompleteUnshared,
    /// Runs the waker or callback of what was completed before.
    Deliver,
}

/// What happens next.
///
/// A call or act is not over when it has begun: it stops at each place where something else can come
/// between, and [`Event::Resume`] takes it to the next. See [`At`](super::At) for the places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The caller begins a call.
    Call(Call),
    /// The backend begins an act.
    Act(Act),
    /// The innermost call or act goes on, to its next window or to its end.
    Resume,
    /// The process forks, and what follows happens in the child: its backend is not made new yet.
    Fork,
    /// The backend is made new in the child.
    Reinit,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Call(call) => write!(f, "caller: {call:?}"),
            Event::Act(act) => write!(f, "backend: {act:?}"),
            Event::Resume => f.write_str("resume"),
            Event::Fork => f.write_str("fork: in the child"),
            Event::Reinit => f.write_str("the child makes its backend new"),
        }
    }
}
