//! Tiles for x86-64.

pub(super) mod avx2;
pub(super) mod avx512_vnni;
pub(super) mod avx_vnni;

use std::arch::x86_64::*;

use super::PANEL;
use super::tile::Tile;

/// Where the sums of a group start.
///
/// # Safety
/// The tile must hold `R` rows.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn starts<const R: usize>(tile: &Tile<'_>, g: usize) -> [[__m256i; 2]; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for (r, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the tile holds this group of its rows.
        *dots = [_mm256_set1_epi32(unsafe { *tile.x_starts.add(r * tile.row_groups + g) }); 2];
    }
    dots
}

/// Adds group `g`'s integer sums of `R` rows and one panel, scaled, to the tile's output.
///
/// # Safety
/// The tile must hold `R` rows.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn scale_and_add<const R: usize>(tile: &Tile<'_>, g: usize, dots: &[[__m256i; 2]; R]) {
    // SAFETY: the tile holds this group of its rows and its panel.
    unsafe {
        let scales = tile.scales.add(g * PANEL);
        let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
        for (r, dots) in dots.iter().enumerate() {
            let x_scale = _mm256_set1_ps(*tile.x_scales.add(r * tile.row_groups + g));
            for (half, (dot, scales)) in dots.iter().zip(scales).enumerate() {
                let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(*dot), scales);
                let out = tile.out.add(r * tile.stride + half * 8);
                _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), _mm256_mul_ps(scaled, x_scale)));
            }
        }
    }
}
