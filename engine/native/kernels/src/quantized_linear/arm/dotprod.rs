//! Tiles by `sdot`: a step of a panel is four registers of weights; four steps of a row are one register of
//! activations, of which `sdot` takes a quarter for all channels.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::tile::{Tile, by_rows};
use super::super::{OFFSET, PANEL, QUAD};
use super::{QUARTERS, scale_and_add};

/// Inputs in a register of a row.
const INPUTS: usize = 4 * QUAD;

/// # Safety
/// The processor must have dot products, and the tile so many rows and one panel.
pub(in super::super) unsafe fn run(tile: &Tile<'_>, rows: usize, _one: usize) {
    // SAFETY: passed on.
    unsafe {
        // With four rows, sixteen sums, four registers of weights and as many of activations are in registers.
        by_rows!(tile, rows, [1, 2, 3, 4], |R, tile| kernel::<R>(&tile));
    }
}

/// # Safety
/// The tile must hold `R` rows and one panel.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn kernel<const R: usize>(tile: &Tile<'_>) {
    let offset = vdupq_n_u8(OFFSET);
    for g in 0..tile.groups {
        tile.fetch_beside(g);
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            // Both factors are signed here, so nothing has to be taken off.
            let mut dots = [[vdupq_n_s32(0); QUARTERS]; R];
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(g * tile.group).cast::<i8>();
            for i in (0..tile.group).step_by(INPUTS) {
                let mut rows = [vdupq_n_s8(0); R];
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = vld1q_s8(x.add(r * tile.row_bytes + i));
                }
                add_step::<0, R>(&mut dots, codes.add(i * PANEL), offset, &rows);
                add_step::<1, R>(&mut dots, codes.add((i + QUAD) * PANEL), offset, &rows);
                add_step::<2, R>(&mut dots, codes.add((i + 2 * QUAD) * PANEL), offset, &rows);
                add_step::<3, R>(&mut dots, codes.add((i + 3 * QUAD) * PANEL), offset, &rows);
            }
            for (r, dots) in dots.into_iter().enumerate() {
                scale_and_add(tile, g, r, dots);
            }
        }
    }
}

/// Adds the products of a step's weights with quarter `Q` of each row.
///
/// # Safety
/// `codes` must be readable for a step.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn add_step<const Q: usize, const R: usize>(
    dots: &mut [[int32x4_t; QUARTERS]; R],
    codes: *const u8,
    offset: uint8x16_t,
    rows: &[int8x16_t; R],
) {
    for quarter in 0..QUARTERS {
        // SAFETY: a step is four registers.
        let weights = veorq_u8(unsafe { vld1q_u8(codes.add(quarter * 16)) }, offset);
        for (dots, row) in dots.iter_mut().zip(rows) {
            // SAFETY: this function's features include dot products.
            unsafe {
                asm!(
                    "sdot {dot:v}.4s, {weights:v}.16b, {row:v}.4b[{quarter}]",
                    dot = inout(vreg) dots[quarter],
                    weights = in(vreg) weights,
                    row = in(vreg) *row,
                    quarter = const Q,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
}
