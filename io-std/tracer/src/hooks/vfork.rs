//! What makes a child that borrows its parent's memory. Nothing is wrapped: these hooks note that there may be such a child
//! from now on, and jump. As long as there was none, nobody has to ask whether he is one.
#![allow(unsafe_code, reason = "defines functions of the C library, in assembly")]
//! # Safety
//! Each is a store and a jump: stack and registers that carry arguments are those of the call.

use super::process::fork;
use crate::real::Real;
use core::arch::naked_asm;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

static VFORK: Real = Real::new("vfork\0");
static CLONE: Real = Real::new("clone\0");
static BORROWERS: AtomicBool = AtomicBool::new(false);
static CLONES: AtomicBool = AtomicBool::new(false);

/// Looks up the real functions of this file.
pub(super) fn resolve() {
    VFORK.resolve();
    CLONE.resolve();
}

/// Whether the caller may be in such a child.
#[inline]
pub(crate) fn is_possible() -> bool {
    BORROWERS.load(Ordering::Relaxed) || has_cloned()
}

/// Whether there may be a child that was not made by `fork`.
pub(crate) fn has_cloned() -> bool {
    CLONES.load(Ordering::Relaxed)
}

/// A child may be made by a bare system call.
pub(super) fn note() {
    CLONES.store(true, Ordering::Relaxed);
}

/// A function `$name` that sets `$flag` and jumps to `$real`, or to `$else` where there is none.
macro_rules! jump {
    ($name:ident, $flag:ident, $real:ident, $else:ident) => {
        #[doc = concat!("`", stringify!($name), "`.")]
        ///
        /// # Safety
        /// * As the function of that name.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() -> c_int {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "mov byte ptr [rip + {flag}], 1",
                "mov rax, qword ptr [rip + {real}]",
                "test rax, rax",
                "jz 2f",
                "jmp rax",
                "2:",
                "jmp {other}",
                flag = sym $flag,
                real = sym $real,
                other = sym $else,
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "mov w16, 1",
                "adrp x17, {flag}",
                "strb w16, [x17, :lo12:{flag}]",
                "adrp x17, {real}",
                "ldr x16, [x17, :lo12:{real}]",
                "cbz x16, 2f",
                "br x16",
                "2:",
                "b {other}",
                flag = sym $flag,
                real = sym $real,
                other = sym $else,
            );
        }
    };
}

jump!(vfork, BORROWERS, VFORK, fork);
jump!(clone, CLONES, CLONE, no_clone);

/// There is no `clone` to jump to.
extern "C" fn no_clone() -> c_int {
    crate::hook::Outcome::refused(38)
}
