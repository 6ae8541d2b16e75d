//! Tiles by `vpdpbusd` on 512 bits: a step of a panel is one register of weights, four activations of a row are
//! broadcast from memory.

use std::arch::x86_64::*;

use super::super::tile::{Tile, by_rows};
use super::super::{PANEL, QUAD};
use crate::prefetch::prefetch;

/// With eight rows, sixteen sums, two steps of weights and a broadcast are in registers.
pub(in super::super) const PANELS: usize = 2;

/// # Safety
/// The processor must have AVX-512 VNNI, and the tile so many rows and panels.
pub(in super::super) unsafe fn run(tile: &Tile<'_>, rows: usize, panels: usize) {
    // SAFETY: passed on.
    unsafe {
        if panels == PANELS {
            by_rows!(tile, rows, [1, 2, 3, 4, 5, 6, 7, 8], |R, tile| kernel::<R, 2>(&tile));
        } else {
            by_rows!(tile, rows, [1, 2, 3, 4, 5, 6, 7, 8], |R, tile| kernel::<R, 1>(&tile));
        }
    }
}

/// # Safety
/// The tile must hold `R` rows and `P` panels.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn kernel<const R: usize, const P: usize>(tile: &Tile<'_>) {
    for g in 0..tile.groups {
        tile.fetch_beside(g);
        // SAFETY: the tile holds these groups of its rows and panels.
        unsafe {
            let mut dots = [[_mm512_setzero_si512(); P]; R];
            for (r, dots) in dots.iter_mut().enumerate() {
                *dots = [_mm512_set1_epi32(*tile.x_starts.add(r * tile.row_groups + g)); P];
            }
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(g * tile.group);
            for step in (0..tile.group).step_by(QUAD) {
                let mut weights = [_mm512_setzero_si512(); P];
                for (p, weights) in weights.iter_mut().enumerate() {
                    let codes = codes.add(p * tile.panel_codes + step * PANEL);
                    prefetch(codes.wrapping_add(tile.ahead));
                    *weights = _mm512_loadu_si512(codes.cast());
                }
                for (r, dots) in dots.iter_mut().enumerate() {
                    let quad = x.add(r * tile.row_bytes + step).cast::<i32>().read_unaligned();
                    let quad = _mm512_set1_epi32(quad);
                    for (dot, weights) in dots.iter_mut().zip(weights) {
                        *dot = _mm512_dpbusd_epi32(*dot, weights, quad);
                    }
                }
            }
            let mut scales = [_mm512_setzero_ps(); P];
            for (p, scales) in scales.iter_mut().enumerate() {
                *scales = _mm512_loadu_ps(tile.scales.add(p * tile.panel_scales + g * PANEL));
            }
            for (r, dots) in dots.into_iter().enumerate() {
                let x_scale = _mm512_set1_ps(*tile.x_scales.add(r * tile.row_groups + g));
                for (p, (dot, scales)) in dots.into_iter().zip(scales).enumerate() {
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scales);
                    let out = tile.out.add(r * tile.stride + p * PANEL);
                    _mm512_storeu_ps(
                        out,
                        _mm512_add_ps(_mm512_loadu_ps(out), _mm512_mul_ps(scaled, x_scale)),
                    );
                }
            }
        }
    }
}
