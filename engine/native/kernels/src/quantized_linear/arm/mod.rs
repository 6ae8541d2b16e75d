//! Tiles for 64-bit Arm. The instructions are written as assembly because their intrinsics are not stable yet.

pub(super) mod dotprod;
pub(super) mod i8mm;

use std::arch::aarch64::*;

use super::PANEL;
use super::tile::Tile;

/// Registers of one row's sums, four channels each.
const QUARTERS: usize = PANEL / 4;

/// Adds group `g`'s integer sums of one row and panel, scaled, to the tile's output.
///
/// # Safety
/// The tile must hold that row.
#[inline(always)]
unsafe fn scale_and_add(tile: &Tile<'_>, g: usize, row: usize, dots: [int32x4_t; QUARTERS]) {
    // SAFETY: the tile holds this group of its rows and its panel; NEON is there.
    unsafe {
        let x_scale = vdupq_n_f32(*tile.x_scales.add(row * tile.row_groups + g));
        for (quarter, dot) in dots.into_iter().enumerate() {
            let scales = vld1q_f32(tile.scales.add(g * PANEL + quarter * 4));
            let scaled = vmulq_f32(vcvtq_f32_s32(dot), scales);
            let out = tile.out.add(row * tile.stride + quarter * 4);
            vst1q_f32(out, vaddq_f32(vld1q_f32(out), vmulq_f32(scaled, x_scale)));
        }
    }
}
