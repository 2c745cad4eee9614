//! [`Shared`]: a world that backend, test and descriptors have together, and which one is this thread's.
#![allow(unsafe_code, reason = "a function that closes a descriptor is unsafe to call")]
//! # Safety
//! Nothing here touches memory by address; numbers of a world are no descriptors of the process.

use super::World;
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use io_core::Fd;
use std::sync::{Arc, Mutex, PoisonError};

thread_local! {
    static ENTERED: RefCell<Vec<Shared>> = const { RefCell::new(Vec::new()) };
}

/// A counted world; clones are the same one.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Shares a world.
    #[must_use]
    pub fn new(world: World) -> Shared {
        Shared(Arc::new(Mutex::new(world)))
    }

    /// Runs `act` on the world. It is locked meanwhile: `act` must not come here again.
    pub fn with<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        // A panic in a test leaves the world as it is, which is for others to judge.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes it the world of this thread, until the value is dropped.
    #[must_use = "it is this thread's only as long as the value exists"]
    pub fn enter(&self) -> Entered {
        ENTERED.with_borrow_mut(|worlds| worlds.push(self.clone()));
        Entered(self.clone(), PhantomData)
    }

    /// The world that this thread entered last, `None` outside of any.
    #[must_use]
    pub fn current() -> Option<Shared> {
        // None also at the very end of a thread.
        ENTERED.try_with(|worlds| worlds.borrow().last().cloned()).ok().flatten()
    }

    /// Whether both are the same world.
    #[must_use]
    pub fn is(&self, other: &Shared) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").finish_non_exhaustive()
    }
}

/// This thread is in a world; it stays on it.
#[derive(Debug)]
pub struct Entered(Shared, PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.with_borrow_mut(|worlds| {
            if let Some(at) = worlds.iter().rposition(|world| world.is(&self.0)) {
                worlds.remove(at);
            }
        });
    }
}

/// Closes a descriptor of this thread's world: what [`IoBackend::closer`](io_core::IoBackend::closer)
/// returns where that is a simulation. Outside of any, and for a number that is not open, nothing happens.
///
/// # Safety
/// * Nobody else uses the descriptor any more.
pub unsafe fn close_fd(fd: Fd) {
    if let Some(world) = Shared::current() {
        // There is nobody to tell of a number that is not open.
        let _ = world.with(|world| world.close(fd));
    }
}
