//! What a seccomp filter will say to the tracer's own system calls, before it has a chance to: some answers end the
//! process. The program's filters are run here, as the kernel runs them.
#![allow(unsafe_code, reason = "reads the program's filter")]
//! # Safety
//! A filter is read after the kernel has taken it: so all of it is readable.

use crate::files::EVENTS;
use core::slice;

/// `struct sock_filter`: one instruction.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    constant: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
pub(crate) struct Program {
    len: u16,
    instructions: *const Instruction,
}

#[cfg(target_arch = "x86_64")]
mod calls {
    pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
    /// `fstat`, `rt_sigprocmask`, `pwrite64`, `getpid`, `sigaltstack`, `gettid`, `futex`, `epoll_wait`,
    /// `pwritev`, `prlimit64`, `pwritev2`.
    pub(super) const WRITING: &[u32] = &[5, 14, 18, 39, 131, 186, 202, 232, 296, 302, 328];
    /// `io_uring_enter`.
    pub(super) const RING: &[u32] = &[426];
}

#[cfg(target_arch = "aarch64")]
mod calls {
    pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;
    /// `epoll_pwait`, `pwrite64`, `pwritev`, `fstat`, `futex`, `sigaltstack`, `rt_sigprocmask`, `getpid`, `gettid`,
    /// `prlimit64`, `pwritev2`.
    pub(super) const WRITING: &[u32] = &[22, 68, 70, 80, 98, 132, 135, 172, 178, 261, 287];
    /// `io_uring_enter`.
    pub(super) const RING: &[u32] = &[426];
}

/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_LOG`.
const ALLOWS: [u32; 2] = [0x7fff_0000, 0x7ffc_0000];
const ACTION: u32 = 0xffff_0000;

/// Whether the filter lets the tracer write, and whether it lets it use a ring.
///
/// # Safety
/// * The kernel has just taken this program.
pub(crate) unsafe fn allows(program: *const Program) -> (bool, bool) {
    // SAFETY: promised by the caller.
    let program = unsafe { &*program };
    // SAFETY: as above.
    let code = unsafe { slice::from_raw_parts(program.instructions, usize::from(program.len)) };
    let all = |calls: &[u32]| {
        calls.iter().all(|call| run(code, *call).is_some_and(|verdict| ALLOWS.contains(&verdict)))
    };
    (all(calls::WRITING), all(calls::RING))
}

/// A word of `struct seccomp_data`, for a call whose first argument is our file.
fn data(call: u32, at: u32) -> u32 {
    match at {
        0 => call,
        4 => calls::ARCHITECTURE,
        16 => EVENTS.fd().cast_unsigned(),
        _ => 0,
    }
}

/// The action for a call. `None` for what no filter that the kernel takes can do.
fn run(code: &[Instruction], call: u32) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; 16]);
    let mut at = 0;
    loop {
        let Instruction { code: what, if_true, if_false, constant: k } = *code.get(at)?;
        at += 1;
        let operand = if what & 0x08 != 0 { x } else { k };
        let place = usize::try_from(k).ok()?;
        match what {
            0x20 => a = data(call, k),
            0x00 => a = k,
            0x01 => x = k,
            0x80 => a = 64,
            0x81 => x = 64,
            0x60 => a = *memory.get(place)?,
            0x61 => x = *memory.get(place)?,
            0x02 => *memory.get_mut(place)? = a,
            0x03 => *memory.get_mut(place)? = x,
            0x07 => x = a,
            0x87 => a = x,
            0x06 => return Some(k & ACTION),
            0x16 => return Some(a & ACTION),
            0x05 => at = at.checked_add(place)?,
            _ if what & 0x07 == 0x05 => {
                let holds = match what & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return None,
                };
                at += usize::from(if holds { if_true } else { if_false });
            }
            _ if what & 0x07 == 0x04 => a = compute(what, a, operand)?,
            _ => return None,
        }
    }
}

fn compute(what: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match what & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.checked_shl(operand)?,
        0x70 => a.checked_shr(operand)?,
        0x80 => a.wrapping_neg(),
        0xa0 => a ^ operand,
        _ => return None,
    })
}
