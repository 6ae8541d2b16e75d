//! Asking for memory before it is needed.

use std::cell::Cell;

/// Bytes that come at once.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line of one byte, which need not be readable, in the first-level cache.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
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

/// As [`prefetch`], in the second-level cache.
#[inline(always)]
fn prefetch_second(address: *const u8) {
    // SAFETY: as in `prefetch`.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    // SAFETY: as in `prefetch`.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Memory that is needed after the computation at hand, asked for little by little while that runs: a processor has
/// few requests under way, and the caller waits for a place among them.
#[derive(Default)]
pub struct FetchQueue {
    /// Addresses and numbers of lines.
    runs: Vec<(*const u8, usize)>,
    lines: usize,
    /// Run and line in it that come next.
    next: Cell<(usize, usize)>,
    /// Lines that one [`FetchQueue::advance`] asks for.
    share: Cell<usize>,
}

impl FetchQueue {
    /// Adds the lines of some bytes, which need not be readable.
    pub(crate) fn push(&mut self, start: *const u8, bytes: usize) {
        let lines = (start.addr() % LINE + bytes).div_ceil(LINE);
        self.runs.push((start, lines));
        self.lines += lines;
    }

    /// Shares the lines out evenly among so many calls of [`FetchQueue::advance`], each of which stays in
    /// one run.
    pub(crate) fn spread(&self, calls: usize) {
        self.share.set(self.lines.div_ceil(calls.saturating_sub(self.runs.len()).max(1)));
    }

    /// Asks for the next few lines.
    #[inline(always)]
    pub(crate) fn advance(&self) {
        let (run, first) = self.next.get();
        let Some((start, lines)) = self.runs.get(run) else { return };
        let end = first + self.share.get();
        for line in first..end.min(*lines) {
            prefetch_second(start.wrapping_add(line * LINE));
        }
        self.next.set(if end < *lines { (run, end) } else { (run + 1, 0) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_announced_are_enough_for_every_line() {
        let bytes = [0u8; 4096];
        for runs in [&[][..], &[1], &[64, 65, 1000], &[3500; 16]] {
            for calls in [1, 7, 16, 40, 1000] {
                let mut queue = FetchQueue::default();
                runs.iter().for_each(|length| queue.push(bytes.as_ptr(), *length));
                queue.spread(calls);
                // A run's last portion may be short, so one call more for each run.
                (0..calls.max(runs.len()) + runs.len()).for_each(|_| queue.advance());
                assert_eq!(queue.next.get(), (runs.len(), 0), "{runs:?} in {calls} calls");
            }
        }
    }
}
