//! Asking for memory before it is needed.

/// Bytes that come at once.
pub(super) const LINE: usize = 64;

/// Asks for the cache lines of some bytes, which need not be readable.
#[inline(always)]
pub(super) fn prefetch(start: *const u8, bytes: usize) {
    for at in (0..bytes).step_by(LINE) {
        line(start.wrapping_add(at));
    }
}

/// Asks for the cache line of one byte.
#[inline(always)]
pub(super) fn line(address: *const u8) {
    // SAFETY: SSE is part of x86-64, and a prefetch never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    // SAFETY: a prefetch never faults and changes nothing.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
