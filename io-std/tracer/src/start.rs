//! Where the program's loader calls us: before main and after it; and what happens at a panic, which cannot be.
#![allow(unsafe_code, reason = "places pointers where the loader looks for them")]
//! # Safety
//! The sections hold pointers to functions that the loader calls once, on one thread.

use crate::life::Life;
use crate::{hooks, writer};

#[used]
// SAFETY: what the loader expects there.
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

#[used]
// SAFETY: what the loader expects there.
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn begin() {
    hooks::resolve();
    // A hook may have been first.
    let _: Option<Life> = Life::get();
}

extern "C" fn end() {
    if let Some(life) = Life::own() {
        life.end();
        writer::finish(life);
    }
}

#[cfg(not(feature = "uring"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::libc::end()
}

// What unwinding would look for; nothing unwinds here, but parts of the core library refer to it. Hidden: a program
// that is written in Rust has its own.
#[cfg(not(feature = "uring"))]
core::arch::global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\",%progbits",
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality, %function",
    "rust_eh_personality:",
    ".long 0",
    ".size rust_eh_personality, 4",
    ".popsection",
);
