//! The functions that the hooks stand in front of: what would be called if the tracer were not there.
#![allow(unsafe_code, reason = "makes functions of addresses")]
//! # Safety
//! A name goes with the C declaration of its function: it is written once, in the hook's own declaration.

use crate::local::local;
use core::ffi::{CStr, c_char, c_void};
use core::mem::transmute_copy;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `RTLD_NEXT`: the next object that has the name.
const NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);
/// In [`Local::own`](crate::local::Local::own), added: a name is being looked up on this thread.
pub(crate) const RESOLVING: u32 = 1 << 16;
/// So many lookups inside of each other end it: one that fails may allocate, and the program's allocator may call a hook,
/// whose function is looked up in turn.
const DEEPEST: u32 = 4 * RESOLVING;

/// The real function of one hook. Its address comes first: some hooks are a few instructions that jump there.
#[repr(C)]
pub(crate) struct Real {
    address: AtomicPtr<c_void>,
    name: &'static CStr,
}

impl Real {
    /// `name` ends with a NUL.
    pub(crate) const fn new(name: &'static str) -> Real {
        let name = match CStr::from_bytes_with_nul(name.as_bytes()) {
            Ok(name) => name,
            Err(_) => c"",
        };
        Real { address: AtomicPtr::new(ptr::null_mut()), name }
    }

    /// The function. `None` if there is none, or if looking for it asks for it again.
    ///
    /// # Safety
    /// * `F` is a function pointer, of the type of the function of that name.
    #[inline]
    pub(crate) unsafe fn get<F: Copy>(&self) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<*const c_void>()) };
        let address = self.address.load(Ordering::Relaxed);
        let address = if address.is_null() { self.resolve() } else { address };
        if address.is_null() {
            return None;
        }
        // SAFETY: a pointer to a function of that type, promised by the caller.
        Some(unsafe { transmute_copy(&address) })
    }

    /// Looks it up, for the first time or again.
    #[cold]
    pub(crate) fn resolve(&self) -> *mut c_void {
        let own = &local().own;
        let before = own.load(Ordering::Relaxed);
        if before >= DEEPEST {
            return ptr::null_mut();
        }
        own.store(before + RESOLVING, Ordering::Relaxed);
        // SAFETY: a name with its NUL. It takes a lock that a thread may take again.
        let address = unsafe { dlsym(NEXT, self.name.as_ptr()) };
        own.store(before, Ordering::Relaxed);
        self.address.store(address, Ordering::Relaxed);
        address
    }
}
