//! Products by `sdot`, written as assembly because its intrinsic is not stable yet.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::query::{OFFSET, Query, STEP};
use super::fetch_ahead;

/// Codes in a register.
const REGISTER: usize = 16;

/// # Safety
/// The processor must have 8-bit dot products; the rest as [`super::dots`].
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn dotprod(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    let offset = vdupq_n_u8(OFFSET);
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, query.codes.len());
        let row = rows[index];
        let mut sums = [vdupq_n_s32(0); STEP / REGISTER];
        for (step, codes) in query.codes.chunks_exact(STEP).enumerate() {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises as many bytes as there are codes; this function's features include dot
                // products.
                unsafe {
                    let row = veorq_u8(vld1q_u8(row.add(step * STEP + quarter * REGISTER)), offset);
                    let codes = vld1q_s8(codes.as_ptr().add(quarter * REGISTER));
                    asm!(
                        "sdot {sum:v}.4s, {row:v}.16b, {codes:v}.16b",
                        sum = inout(vreg) *sum,
                        row = in(vreg) row,
                        codes = in(vreg) codes,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
        let [a, b, c, d] = sums;
        *product = vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)));
    }
}
