//! Tiles by `usmmla`, which multiplies two channels with two rows, eight inputs at once.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::tile::Tile;
use super::super::{PANEL, QUAD};
use super::{QUARTERS, dotprod, scale_and_add};

/// Inputs taken from a row at once.
const INPUTS: usize = 4 * QUAD;
/// Registers of two rows' sums: two channels of both rows each.
const SUMS: usize = 2 * QUARTERS;

/// # Safety
/// The processor must have 8-bit matrix products and dot products, and the tile so many rows and one panel.
pub(in super::super) unsafe fn run(tile: &Tile<'_>, rows: usize, _one: usize) {
    let even = rows / 2 * 2;
    // SAFETY: passed on.
    unsafe {
        for row in (0..even).step_by(4) {
            let tile = tile.at_row(row);
            if even - row >= 4 { kernel::<2>(&tile) } else { kernel::<1>(&tile) }
        }
        if even < rows {
            dotprod::kernel::<1>(&tile.at_row(even));
        }
    }
}

/// # Safety
/// The tile must hold `P` pairs of rows and one panel.
#[target_feature(enable = "neon,i8mm")]
unsafe fn kernel<const P: usize>(tile: &Tile<'_>) {
    for g in 0..tile.groups {
        tile.fetch_beside(g);
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let mut dots = [[vdupq_n_s32(0); SUMS]; P];
            for (p, dots) in dots.iter_mut().enumerate() {
                let starts = tile.x_starts.add(2 * p * tile.row_groups + g);
                let both = vzip1q_s32(vdupq_n_s32(*starts), vdupq_n_s32(*starts.add(tile.row_groups)));
                *dots = [both; SUMS];
            }
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(g * tile.group).cast::<i8>();
            for i in (0..tile.group).step_by(INPUTS) {
                // The first eight inputs of both rows of each pair, then the last eight.
                let mut rows = [[vdupq_n_s8(0); P]; 2];
                for p in 0..P {
                    let row = x.add(2 * p * tile.row_bytes + i);
                    let first = vreinterpretq_s64_s8(vld1q_s8(row));
                    let second = vreinterpretq_s64_s8(vld1q_s8(row.add(tile.row_bytes)));
                    rows[0][p] = vreinterpretq_s8_s64(vzip1q_s64(first, second));
                    rows[1][p] = vreinterpretq_s8_s64(vzip2q_s64(first, second));
                }
                for (half, rows) in rows.iter().enumerate() {
                    add_eight(&mut dots, codes.add((i + half * 8) * PANEL), rows);
                }
            }
            for (p, dots) in dots.into_iter().enumerate() {
                let [mut first, mut second] = [[vdupq_n_s32(0); QUARTERS]; 2];
                for quarter in 0..QUARTERS {
                    first[quarter] = vuzp1q_s32(dots[2 * quarter], dots[2 * quarter + 1]);
                    second[quarter] = vuzp2q_s32(dots[2 * quarter], dots[2 * quarter + 1]);
                }
                scale_and_add(tile, g, 2 * p, first);
                scale_and_add(tile, g, 2 * p + 1, second);
            }
        }
    }
}

/// Adds the products of eight inputs' weights with those inputs of each pair of rows.
///
/// # Safety
/// `codes` must be readable for two steps.
#[target_feature(enable = "neon,i8mm")]
#[inline]
unsafe fn add_eight<const P: usize>(
    dots: &mut [[int32x4_t; SUMS]; P],
    codes: *const u8,
    rows: &[int8x16_t; P],
) {
    for quarter in 0..QUARTERS {
        // SAFETY: a step is four registers.
        let (first, second) = unsafe {
            let codes = codes.add(quarter * 16);
            (vld1q_u8(codes), vld1q_u8(codes.add(PANEL * QUAD)))
        };
        let (first, second) = (vreinterpretq_u32_u8(first), vreinterpretq_u32_u8(second));
        // Eight inputs of each channel side by side.
        for (half, weights) in [vzip1q_u32(first, second), vzip2q_u32(first, second)].into_iter().enumerate()
        {
            for (dots, rows) in dots.iter_mut().zip(rows) {
                // SAFETY: this function's features include matrix products.
                unsafe {
                    asm!(
                        "usmmla {dot:v}.4s, {weights:v}.16b, {rows:v}.16b",
                        dot = inout(vreg) dots[2 * quarter + half],
                        weights = in(vreg) weights,
                        rows = in(vreg) *rows,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
    }
}
