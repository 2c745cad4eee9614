//! The exec family. Those that take their arguments one by one are put together here; C's way to read them is not
//! Rust's, so a few instructions lay the registers out in memory first.
#![allow(unsafe_code, reason = "defines functions of the C library, some in assembly")]
//! # Safety
//! Arguments are handed on as they came. A list of arguments ends with a null pointer, as C wants it.

use super::process::{Strings, begin_exec, end_exec};
use crate::hook::Outcome;
use crate::real::Real;
use core::arch::naked_asm;
use core::ffi::{c_char, c_int};
use core::ptr;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

static EXECVE: Real = Real::new("execve\0");
static EXECV: Real = Real::new("execv\0");
static EXECVP: Real = Real::new("execvp\0");
static EXECVPE: Real = Real::new("execvpe\0");
static FEXECVE: Real = Real::new("fexecve\0");
static EXECVEAT: Real = Real::new("execveat\0");

/// Looks up the real functions of this file.
pub(super) fn resolve() {
    for real in [&EXECVE, &EXECV, &EXECVP, &EXECVPE, &FEXECVE, &EXECVEAT] {
        real.resolve();
    }
}

unsafe extern "C" {
    static environ: Strings;
}

fn own_environment() -> Strings {
    // SAFETY: a word of the C library's.
    unsafe { environ }
}

type With = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;
type Without = unsafe extern "C" fn(*const c_char, Strings) -> c_int;

/// # Safety
/// * As the function that is hooked.
unsafe fn exec_with(real: &Real, name: *const c_char, list: Strings, variables: Strings) -> c_int {
    // SAFETY: our caller's promise.
    let begin = unsafe { begin_exec(name, -1, variables) };
    // SAFETY: that is its type.
    let Some(real) = (unsafe { real.get::<With>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(name, list, variables) };
    // SAFETY: as above.
    unsafe { end_exec(begin, name, -1, result) }
}

/// # Safety
/// * As the function that is hooked.
unsafe fn exec_without(real: &Real, name: *const c_char, list: Strings) -> c_int {
    // SAFETY: our caller's promise.
    let begin = unsafe { begin_exec(name, -1, own_environment()) };
    // SAFETY: that is its type.
    let Some(real) = (unsafe { real.get::<Without>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(name, list) };
    // SAFETY: as above.
    unsafe { end_exec(begin, name, -1, result) }
}

/// `execve`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn execve(name: *const c_char, list: Strings, variables: Strings) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { exec_with(&EXECVE, name, list, variables) }
}

/// `execvpe`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn execvpe(name: *const c_char, list: Strings, variables: Strings) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { exec_with(&EXECVPE, name, list, variables) }
}

/// `execv`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn execv(name: *const c_char, list: Strings) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { exec_without(&EXECV, name, list) }
}

/// `execvp`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn execvp(name: *const c_char, list: Strings) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { exec_without(&EXECVP, name, list) }
}

/// `fexecve`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn fexecve(fd: c_int, list: Strings, variables: Strings) -> c_int {
    type Function = unsafe extern "C" fn(c_int, Strings, Strings) -> c_int;
    // SAFETY: our caller's promise; there is no name.
    let begin = unsafe { begin_exec(ptr::null(), fd, variables) };
    // SAFETY: that is its type.
    let Some(real) = (unsafe { FEXECVE.get::<Function>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(fd, list, variables) };
    // SAFETY: as above.
    unsafe { end_exec(begin, ptr::null(), fd, result) }
}

/// `execveat`.
///
/// # Safety
/// * As the function of that name.
#[unsafe(no_mangle)]
unsafe extern "C" fn execveat(
    dir: c_int,
    name: *const c_char,
    list: Strings,
    variables: Strings,
    flags: c_int,
) -> c_int {
    type Function = unsafe extern "C" fn(c_int, *const c_char, Strings, Strings, c_int) -> c_int;
    // SAFETY: our caller's promise.
    let begin = unsafe { begin_exec(name, dir, variables) };
    // SAFETY: that is its type.
    let Some(real) = (unsafe { EXECVEAT.get::<Function>() }) else { return Outcome::refused(38) };
    // SAFETY: our caller's promise.
    let result = unsafe { real(dir, name, list, variables, flags) };
    // SAFETY: as above.
    unsafe { end_exec(begin, name, dir, result) }
}

/// Registers that hold arguments after the name.
#[cfg(target_arch = "x86_64")]
const REGISTERS: usize = 5;
#[cfg(target_arch = "aarch64")]
const REGISTERS: usize = 7;

/// A function `$name` that calls `$then(name, registers, stack)`.
macro_rules! listed {
    ($name:ident, $then:ident) => {
        #[doc = concat!("`", stringify!($name), "`.")]
        ///
        /// # Safety
        /// * As the function of that name.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() -> c_int {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "lea rdx, [rsp + 48]",
                "call {then}",
                "add rsp, 40",
                "ret",
                then = sym $then,
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "stp x29, x30, [sp, #-80]!",
                "stp x1, x2, [sp, #16]",
                "stp x3, x4, [sp, #32]",
                "stp x5, x6, [sp, #48]",
                "str x7, [sp, #64]",
                "add x1, sp, #16",
                "add x2, sp, #80",
                "bl {then}",
                "ldp x29, x30, [sp], #80",
                "ret",
                then = sym $then,
            );
        }
    };
}

listed!(execl, execl_laid_out);
listed!(execlp, execlp_laid_out);
listed!(execle, execle_laid_out);

/// The arguments behind a name, where they were laid out.
#[derive(Clone, Copy)]
struct Listed {
    registers: Strings,
    stack: Strings,
}

impl Listed {
    /// # Safety
    /// * No argument before this one is the end.
    unsafe fn get(self, at: usize) -> *const c_char {
        let (from, at) =
            if at < REGISTERS { (self.registers, at) } else { (self.stack, at - REGISTERS) };
        // SAFETY: promised by the caller.
        unsafe { *from.wrapping_add(at) }
    }

    /// Calls `exec` with all of them as one array, and the place after the end. It is on the stack if they are few.
    ///
    /// # Safety
    /// * There is an end.
    unsafe fn with(self, exec: impl FnOnce(Strings, usize) -> c_int) -> c_int {
        let mut count = 0;
        // SAFETY: up to the end, promised by the caller.
        while !unsafe { self.get(count) }.is_null() {
            count += 1;
        }
        let mut few = [ptr::null(); 256];
        if count < few.len() {
            for (at, place) in few.iter_mut().take(count).enumerate() {
                // SAFETY: before the end.
                *place = unsafe { self.get(at) };
            }
            return exec(few.as_ptr(), count + 1);
        }
        let size = (count + 1) * size_of::<*const c_char>();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let room = unsafe { mmap_anonymous(ptr::null_mut(), size, protection, MapFlags::PRIVATE) };
        let Ok(room) = room else { return Outcome::refused(12) };
        let many = room.cast::<*const c_char>();
        for at in 0..count {
            // SAFETY: before the end.
            let argument = unsafe { self.get(at) };
            // SAFETY: room for so many and one more, which is null already.
            unsafe { many.wrapping_add(at).write(argument) };
        }
        let result = exec(many, count + 1);
        // SAFETY: made here, and used by nobody any more. It cannot fail.
        let _: rustix::io::Result<()> = unsafe { munmap(room, size) };
        result
    }
}

unsafe extern "C" fn execl_laid_out(
    name: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: the promise of who called `execl`.
    let exec = |list, _| unsafe { execv(name, list) };
    // SAFETY: as above.
    unsafe { Listed { registers, stack }.with(exec) }
}

unsafe extern "C" fn execlp_laid_out(
    name: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: the promise of who called `execlp`.
    let exec = |list, _| unsafe { execvp(name, list) };
    // SAFETY: as above.
    unsafe { Listed { registers, stack }.with(exec) }
}

unsafe extern "C" fn execle_laid_out(
    name: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    let listed = Listed { registers, stack };
    let exec = |list, after| {
        // SAFETY: the promise of who called `execle`: the environment comes after the end.
        let variables: Strings = unsafe { listed.get(after) }.cast();
        // SAFETY: as above.
        unsafe { execve(name, list, variables) }
    };
    // SAFETY: as above.
    unsafe { listed.with(exec) }
}
