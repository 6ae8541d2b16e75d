//! Tiles by `vpmaddwd`: weights are unpacked to 16 bits, activations are kept so. (`vpmaddubsw` would saturate.)

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::tile::{Tile, by_rows};
use super::super::{CHUNK, FEW_ROWS, PANEL, QUAD};
use super::{scale_and_add, starts};

/// Registers of a step's unpacked weights: the even inputs of all channels, then the odd ones.
const UNPACKED: usize = 4;

/// A chunk of a panel, unpacked.
type Unpacked = [MaybeUninit<__m256i>; CHUNK / QUAD * UNPACKED];

/// # Safety
/// The processor must have AVX2, and the tile so many rows, their codes in 16 bits, and one panel; of more rows than
/// `FEW_ROWS`, at most a chunk.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn run(tile: &Tile, rows: usize, _one: usize) {
    // SAFETY: passed on.
    unsafe {
        if rows <= FEW_ROWS {
            by_rows!(tile, rows, [1, 2, 3, 4], |R, tile| unpacking::<R>(&tile));
        } else {
            let mut weights: Unpacked = [MaybeUninit::uninit(); _];
            unpack(tile, &mut weights);
            by_rows!(tile, rows, [1, 2, 3, 4], |R, tile| unpacked::<R>(&tile, &weights));
        }
    }
}

/// Unpacks a step's weights.
///
/// # Safety
/// `codes` must be readable for a step.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn step(codes: *const u8) -> [__m256i; UNPACKED] {
    let even = _mm256_set1_epi16(0x00ff);
    // SAFETY: a step is two registers.
    let [low, high] = unsafe { [_mm256_loadu_si256(codes.cast()), _mm256_loadu_si256(codes.add(32).cast())] };
    [
        _mm256_and_si256(low, even),
        _mm256_and_si256(high, even),
        _mm256_srli_epi16(low, 8),
        _mm256_srli_epi16(high, 8),
    ]
}

/// # Safety
/// The tile must hold one panel and at most a chunk.
#[target_feature(enable = "avx2")]
unsafe fn unpack(tile: &Tile, weights: &mut Unpacked) {
    let steps = tile.groups * tile.group / QUAD;
    let (weights, _) = weights.as_chunks_mut::<UNPACKED>();
    for (i, weights) in weights[..steps].iter_mut().enumerate() {
        // SAFETY: the tile holds this step.
        *weights = unsafe { step(tile.codes.add(i * PANEL * QUAD)) }.map(MaybeUninit::new);
    }
}

/// # Safety
/// The tile must hold `R` rows and one panel.
#[target_feature(enable = "avx2")]
unsafe fn unpacking<const R: usize>(tile: &Tile) {
    for g in 0..tile.groups {
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let mut dots = starts::<R>(tile, g);
            let codes = tile.codes.add(g * tile.group * PANEL);
            let x = tile.x.add(2 * g * tile.group);
            for i in (0..tile.group).step_by(QUAD) {
                let [low_even, high_even, low_odd, high_odd] = step(codes.add(i * PANEL));
                add_products(&mut dots, [low_even, high_even], x.add(2 * i), tile.row_bytes);
                add_products(&mut dots, [low_odd, high_odd], x.add(2 * i + 4), tile.row_bytes);
            }
            scale_and_add(tile, g, &dots);
        }
    }
}

/// # Safety
/// The tile must hold `R` rows and one panel, whose groups must have been unpacked to `weights`.
#[target_feature(enable = "avx2")]
unsafe fn unpacked<const R: usize>(tile: &Tile, weights: &Unpacked) {
    for g in 0..tile.groups {
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let mut dots = starts::<R>(tile, g);
            let mut weights = weights.as_ptr().add(g * tile.group / QUAD * UNPACKED).cast::<__m256i>();
            let x = tile.x.add(2 * g * tile.group);
            for i in (0..tile.group).step_by(QUAD) {
                add_products(&mut dots, [*weights, *weights.add(1)], x.add(2 * i), tile.row_bytes);
                add_products(&mut dots, [*weights.add(2), *weights.add(3)], x.add(2 * i + 4), tile.row_bytes);
                weights = weights.add(UNPACKED);
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
        for (dot, weights) in dots.iter_mut().zip(weights) {
            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(weights, pair));
        }
    }
}
