//! What the tracer keeps per thread, in thread-local storage that needs neither std nor an allocator.
//!
//! The object is loaded at the start of the program, so its storage is in the part that each thread has from its
//! first instruction to its last (initial-exec): also before main, in destructors of threads, and in signal
//! handlers.
#![allow(unsafe_code, reason = "finds the thread's own storage by an instruction")]
//! # Safety
//! The symbol below names zeroed, aligned room for one [`Local`] in every thread's storage.

use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicU32;

/// All of it; a signal handler may come between any two accesses, so all are atomic.
#[repr(C, align(16))]
pub(crate) struct Local {
    /// The life that `tid` was asked for in; 0 before.
    pub(crate) life: AtomicU32,
    /// This thread's number.
    pub(crate) tid: AtomicU32,
    /// Not 0 while this thread records an event: what records meanwhile is in a signal handler.
    pub(crate) inside: AtomicU32,
    /// Not 0 while the tracer itself is at work: its own calls are not the program's.
    pub(crate) own: AtomicU32,
}

const _: () = assert!(size_of::<Local>() == 16);

global_asm!(
    ".pushsection .tbss.io_tracer_local,\"awT\",%nobits",
    ".p2align 4",
    ".globl io_tracer_local",
    ".hidden io_tracer_local",
    ".type io_tracer_local, %object",
    ".size io_tracer_local, 16",
    "io_tracer_local:",
    ".zero 16",
    ".popsection",
);

/// The calling thread's.
#[inline]
pub(crate) fn local() -> &'static Local {
    let address: *const Local;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads the thread pointer and a word of the object's own table.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + io_tracer_local@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) address,
            options(nostack, readonly),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!(
            "adrp {0}, :gottprel:io_tracer_local",
            "ldr {0}, [{0}, :gottprel_lo12:io_tracer_local]",
            "mrs {1}, tpidr_el0",
            "add {0}, {0}, {1}",
            out(reg) address,
            out(reg) _,
            options(nostack, readonly),
        );
    }
    // SAFETY: zeroed room of that size and alignment, which nobody else has, as long as the thread runs; and the
    // borrow does not leave it.
    unsafe { &*address }
}
