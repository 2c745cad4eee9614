//! The processor's counter of time, which the kernel's own clock is made of. The launcher compiles the same file.
#![allow(unsafe_code, reason = "reads a register")]
//! # Safety
//! Reading the counter has no effect and is allowed where the kernel's clock reads it as well.

/// Its ticks; how long one is, two readings beside those of another clock say.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as the top of the file says.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks;
        // SAFETY: as the top of the file says.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks
    }
}
