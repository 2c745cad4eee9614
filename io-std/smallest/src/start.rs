//! What a program has from its C library otherwise: the first instruction, the last system call, and the functions that
//! the compiler calls for blocks of memory.
#![allow(unsafe_code, reason = "takes the place of the C library")]
//! # Safety
//! * The kernel enters at `_start` with the stack pointer at the number of arguments; above it there are the arguments,
//!   strings that stay.
//! * Functions for blocks have the meaning that C gives them, and so its rules for their arguments.

use core::arch::{asm, naked_asm};
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;

/// The entry point.
///
/// # Safety
/// * It is for the kernel to enter.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {begin}",
        "ud2",
        begin = sym begin
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "b {begin}", begin = sym begin);
}

/// # Safety
/// * `stack` is what the kernel has left there.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the number of arguments.
    let count = unsafe { *stack };
    // The name of the program comes first.
    let argument = stack.wrapping_add(2).cast::<*const c_char>();
    let path = (count > 1).then(|| {
        // SAFETY: there is one.
        let argument = unsafe { *argument };
        // SAFETY: a string that stays.
        unsafe { CStr::from_ptr(argument) }
    });
    exit(crate::main(path))
}

/// `exit_group(2)`.
pub(crate) fn exit(code: i32) -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it has no preconditions, and does not return.
    unsafe {
        asm!("syscall", in("eax") 231, in("edi") code, options(noreturn, nostack))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("w8") 94, in("w0") code, options(noreturn, nostack))
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}

/// Forward, byte by byte. Volatile, or the compiler would see what the loop is and call the function it stands in.
unsafe fn copy(to: *mut u8, from: *const u8, places: impl Iterator<Item = usize>) {
    for at in places {
        // SAFETY: readable, promised by who calls our caller.
        let byte = unsafe { from.wrapping_add(at).read_volatile() };
        // SAFETY: as above, writable.
        unsafe { to.wrapping_add(at).write_volatile(byte) };
    }
}

/// `memcpy`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: our caller's promise.
    unsafe { copy(to, from, 0..len) };
    to
}

/// `memmove`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: our caller's promise; no byte is written before it is read.
        unsafe { copy(to, from, 0..len) };
    } else {
        // SAFETY: as above.
        unsafe { copy(to, from, (0..len).rev()) };
    }
    to
}

/// `memset`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    let [byte, ..] = byte.to_le_bytes();
    for at in 0..len {
        // SAFETY: our caller's promise.
        unsafe { to.wrapping_add(at).write_volatile(byte) };
    }
    to
}

/// `memcmp`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    for at in 0..len {
        // SAFETY: our caller's promise.
        let byte = unsafe { one.wrapping_add(at).read_volatile() };
        // SAFETY: as above.
        let against = unsafe { other.wrapping_add(at).read_volatile() };
        if byte != against {
            return i32::from(byte) - i32::from(against);
        }
    }
    0
}

/// `bcmp`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    // SAFETY: our caller's promise.
    unsafe { memcmp(one, other, len) }
}

/// `strlen`.
///
/// # Safety
/// * As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut len = 0;
    // SAFETY: our caller's promise: up to the NUL.
    while unsafe { text.wrapping_add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}

/// `getauxval`, of which the compiler's own library asks what the processor can do: nothing that it would have to know.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: usize) -> usize {
    0
}
