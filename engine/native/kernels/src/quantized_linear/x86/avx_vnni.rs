//! Tiles by `vpdpbusd` on 256 bits: a step of a panel is two registers of weights, four activations of a row are
//! broadcast from memory.

use std::arch::x86_64::*;

use super::super::tile::{Tile, by_rows};
use super::super::{PANEL, QUAD};
use super::{scale_and_add, starts};
use crate::prefetch::prefetch;

/// # Safety
/// The processor must have AVX-VNNI, and the tile so many rows and one panel.
pub(in super::super) unsafe fn run(tile: &Tile<'_>, rows: usize, _one: usize) {
    // SAFETY: passed on.
    unsafe {
        // With six rows, twelve sums, two registers of weights and a broadcast are in registers.
        by_rows!(tile, rows, [1, 2, 3, 4, 5, 6], |R, tile| kernel::<R>(&tile));
    }
}

/// # Safety
/// The tile must hold `R` rows and one panel.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn kernel<const R: usize>(tile: &Tile<'_>) {
    for g in 0..tile.groups {
        tile.fetch_beside(g);
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let mut dots = starts::<R>(tile, g);
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(g * tile.group);
            for step in (0..tile.group).step_by(QUAD) {
                prefetch(codes.wrapping_add(step * PANEL + tile.ahead));
                let weights = codes.add(step * PANEL).cast::<__m256i>();
                let weights = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
                for (r, dots) in dots.iter_mut().enumerate() {
                    let quad = x.add(r * tile.row_bytes + step).cast::<i32>().read_unaligned();
                    let quad = _mm256_set1_epi32(quad);
                    for (dot, weights) in dots.iter_mut().zip(weights) {
                        *dot = _mm256_dpbusd_avx_epi32(*dot, weights, quad);
                    }
                }
            }
            scale_and_add(tile, g, &dots);
        }
    }
}
