//! Steps on shared words that are cheaper in a process with one thread. Nobody is at them then but its own signal
//! handlers, which come between two instructions and never in one; so the instruction needs no lock of the bus, which
//! costs more than all the rest of it.
//!
//! The C library says how many threads there are (`__libc_single_threaded`, since glibc 2.32), and changes what it says
//! before another one runs. A child of `vfork` counts as the thread that waits for it. What `clone` makes in the same memory
//! the library does not count, so after one nobody is alone any more; if it was made by a bare instruction nobody knows.
#![allow(unsafe_code, reason = "instructions without a lock, and a variable of the C library")]
//! # Safety
//! An instruction reads and writes the one word that is borrowed for it.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;
use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Where the C library says it; null before it was asked, and where it does not.
static SINGLE: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Asks for it.
pub(crate) fn resolve() {
    // SAFETY: a name with its NUL; null for the first object that has it, since a program may have a copy.
    let single = unsafe { dlsym(ptr::null_mut(), c"__libc_single_threaded".as_ptr()) };
    SINGLE.store(single.cast(), Ordering::Relaxed);
}

/// Whether there is no other thread.
#[inline]
pub(crate) fn is_alone() -> bool {
    let single = SINGLE.load(Ordering::Relaxed);
    if cfg!(not(target_arch = "x86_64")) || single.is_null() {
        return false;
    }
    // SAFETY: a byte of the C library's, there as long as the process.
    let single = unsafe { AtomicU8::from_ptr(single.cast()) };
    single.load(Ordering::Relaxed) != 0
}

/// Adds, for a count that says nothing of other memory.
#[inline]
pub(crate) fn count(word: &AtomicU64, alone: bool) {
    #[cfg(target_arch = "x86_64")]
    if alone {
        // SAFETY: as the top of the file says.
        unsafe { asm!("inc qword ptr [{}]", in(reg) word.as_ptr(), options(nostack)) };
        return;
    }
    let _ = alone;
    word.fetch_add(1, Ordering::Relaxed);
}

/// Adds, as `fetch_add` with acquire and release. What was there before.
#[inline]
pub(crate) fn add(word: &AtomicU32, more: u32, alone: bool) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if alone {
        let mut before = more;
        // SAFETY: as the top of the file says.
        unsafe {
            asm!("xadd dword ptr [{}], {:e}", in(reg) word.as_ptr(), inout(reg) before, options(nostack))
        };
        return before;
    }
    let _ = alone;
    word.fetch_add(more, Ordering::AcqRel)
}

/// Puts `next` in place of `now`, as `compare_exchange_weak` with acquire and release; else what was there.
#[inline]
pub(crate) fn exchange(word: &AtomicU64, now: u64, next: u64, alone: bool) -> Result<(), u64> {
    #[cfg(target_arch = "x86_64")]
    if alone {
        let found: u64;
        // SAFETY: as the top of the file says.
        unsafe {
            asm!(
                "cmpxchg qword ptr [{}], {}",
                in(reg) word.as_ptr(),
                in(reg) next,
                inout("rax") now => found,
                options(nostack),
            );
        }
        return if found == now { Ok(()) } else { Err(found) };
    }
    let _ = alone;
    let done = word.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed);
    done.map(|_| ())
}
