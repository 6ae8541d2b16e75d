//! Tiles by `vpmaddwd`: weights are unpacked to 16 bits, activations are kept so. (`vpmaddubsw` would saturate.)
//!
//! Unpacking a step costs four instructions beside the 32 that four rows take. Keeping unpacked weights in a buffer,
//! more rows at a time or unrolling did not pay on Zen 3: `vpmaddwd` and `vpaddd` share their ports.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::tile::{Tile, by_rows};
use super::super::{PANEL, QUAD};
use super::{scale_and_add, starts};
use crate::prefetch::prefetch;

/// # Safety
/// The processor must have AVX2, and the tile so many rows, their codes in 16 bits, and one panel.
pub(in super::super) unsafe fn run(tile: &Tile<'_>, rows: usize, _one: usize) {
    // SAFETY: passed on.
    unsafe {
        // With four rows, eight sums, four registers of weights, the mask, a broadcast and a product are in registers.
        by_rows!(tile, rows, [1, 2, 3, 4], |R, tile| kernel::<R>(&tile));
    }
}

/// # Safety
/// The tile must hold `R` rows and one panel.
#[target_feature(enable = "avx2")]
unsafe fn kernel<const R: usize>(tile: &Tile<'_>) {
    let even = _mm256_set1_epi16(0x00ff);
    for g in 0..tile.groups {
        tile.fetch_beside(g);
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let mut dots = starts::<R>(tile, g);
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(2 * g * tile.group);
            for i in (0..tile.group).step_by(QUAD) {
                prefetch(codes.wrapping_add(i * PANEL + tile.ahead));
                let weights = codes.add(i * PANEL).cast::<__m256i>();
                let [low, high] = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
                let evens = [_mm256_and_si256(low, even), _mm256_and_si256(high, even)];
                add_products(&mut dots, evens, x.add(2 * i), tile.row_bytes);
                let odds = [_mm256_srli_epi16(low, 8), _mm256_srli_epi16(high, 8)];
                add_products(&mut dots, odds, x.add(2 * i + 4), tile.row_bytes);
            }
            scale_and_add(tile, g, &dots);
        }
    }
}

/// Adds the products of two inputs of all channels with the pair of codes at `x` and in the rows after.
///
/// # Safety
/// A pair must be readable in each of the `R` rows.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn add_products<const R: usize>(
    dots: &mut [[__m256i; 2]; R],
    weights: [__m256i; 2],
    x: *const u8,
    row_bytes: usize,
) {
    for (r, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the caller promises the pair.
        let pair = unsafe { x.add(r * row_bytes).cast::<i32>().read_unaligned() };
        let pair = _mm256_set1_epi32(pair);
        // SAFETY: this function's features include AVX2. Written out because the order matters: both products before
        // both sums is a fifteenth faster on Zen 3 than the order that compilers choose.
        unsafe {
            asm!(
                "vpmaddwd {product}, {low}, {pair}",
                "vpmaddwd {pair}, {high}, {pair}",
                "vpaddd {low_dot}, {low_dot}, {product}",
                "vpaddd {high_dot}, {high_dot}, {pair}",
                low = in(ymm_reg) weights[0],
                high = in(ymm_reg) weights[1],
                pair = inout(ymm_reg) pair => _,
                product = out(ymm_reg) _,
                low_dot = inout(ymm_reg) dots[0],
                high_dot = inout(ymm_reg) dots[1],
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
}
