//! What tests leak on purpose. Each address is kept in a list, so that LeakSanitizer reaches it, and what it reports is
//! a leak that nobody wanted.
//!
//! Tests of the other packages read this file as a module of their own.

use core::sync::atomic::{AtomicPtr, Ordering};

/// One that was leaked, and those before it. Nobody follows the list but LeakSanitizer, to which any number is a pointer.
struct Leaked {
    _address: usize,
    before: AtomicPtr<Leaked>,
}

static LAST: AtomicPtr<Leaked> = AtomicPtr::new(core::ptr::null_mut());

/// Lives for ever. Without a lock, which a forked child might find taken.
pub(crate) fn leaked<'a, T: ?Sized>(value: Box<T>) -> &'a mut T {
    let value = Box::leak(value);
    let address = (&raw const *value).cast::<()>().addr();
    let entry = Box::leak(Box::new(Leaked { _address: address, before: AtomicPtr::default() }));
    // Between these two the list is cut short; nobody looks then.
    let before = LAST.swap(entry, Ordering::Relaxed);
    entry.before.store(before, Ordering::Relaxed);
    value
}
