//! The second half: multiples of some ranks' B added to a block of output.

use super::slab::Weight;
use crate::quantized_linear::PANEL;
use crate::simd::{Lanes, Variant, dispatch};

/// Eights of columns in a panel.
const EIGHTS: usize = PANEL / 8;

/// Weights with compiled kernels.
pub(super) trait ExpandWeight: Weight {
    /// `out[row * stride + panel * 16 + lane] += b[panel][rank][lane] · factors[rank * rows + row]` for every rank in
    /// ascending order, where `factors` is `[rank][row]`.
    ///
    /// # Panics
    /// When lengths differ.
    fn expand(b: &[Self], factors: &[f32], rows: usize, out: &mut [f32], stride: usize, variant: Variant);
}

macro_rules! kernels {
    ($weight:ty) => {
        impl ExpandWeight for $weight {
            fn expand(
                b: &[$weight],
                factors: &[f32],
                rows: usize,
                out: &mut [f32],
                stride: usize,
                variant: Variant,
            ) {
                #[inline(always)]
                unsafe fn body<L: Lanes>(
                    b: &[$weight],
                    factors: &[f32],
                    rows: usize,
                    out: &mut [f32],
                    stride: usize,
                ) {
                    // SAFETY: passed on.
                    unsafe { all::<L, $weight>(b, factors, rows, out, stride) }
                }
                check(b, factors, rows, out, stride);
                // SAFETY: the variant was detected on this processor; lengths are checked.
                unsafe {
                    dispatch!(variant, body(
                        b: &[$weight],
                        factors: &[f32],
                        rows: usize,
                        out: &mut [f32],
                        stride: usize,
                    ))
                }
            }
        }
    };
}
kernels!(u16);
kernels!(i8);

fn check<W>(b: &[W], factors: &[f32], rows: usize, out: &[f32], stride: usize) {
    assert!(rows > 0 && !factors.is_empty() && factors.len().is_multiple_of(rows));
    let panel = factors.len() / rows * PANEL;
    assert!(b.len().is_multiple_of(panel));
    let columns = b.len() / panel * PANEL;
    assert!(columns <= stride && out.len() >= (rows - 1) * stride + columns);
}

/// # Safety
/// The lengths must be checked.
#[inline(always)]
unsafe fn all<L: Lanes, W: Weight>(b: &[W], factors: &[f32], rows: usize, out: &mut [f32], stride: usize) {
    let ranks = factors.len() / rows;
    for (panel, b) in b.chunks_exact(ranks * PANEL).enumerate() {
        let mut row = 0;
        // SAFETY: `rows` rows begin at multiples of `stride` and have this panel's columns.
        unsafe {
            let out = out.as_mut_ptr().add(panel * PANEL);
            while row + 4 <= rows {
                tile::<L, W, 4>(b, &factors[row..], rows, out.add(row * stride), stride);
                row += 4;
            }
            while row + 2 <= rows {
                tile::<L, W, 2>(b, &factors[row..], rows, out.add(row * stride), stride);
                row += 2;
            }
            if row < rows {
                tile::<L, W, 1>(b, &factors[row..], rows, out.add(row * stride), stride);
            }
        }
    }
}

/// A panel of `T` rows. Each number is one sum in ascending ranks, beginning with what is in the output.
///
/// # Safety
/// `factors` must hold a number each `rows` for every rank of the panel `b`, and the `T` rows of `out` sixteen each.
#[inline(always)]
unsafe fn tile<L: Lanes, W: Weight, const T: usize>(
    b: &[W],
    factors: &[f32],
    rows: usize,
    out: *mut f32,
    stride: usize,
) {
    let mut sums = [[L::splat(0.0); EIGHTS]; T];
    // SAFETY: promised by the caller.
    unsafe {
        for (t, sums) in sums.iter_mut().enumerate() {
            for (eight, sum) in sums.iter_mut().enumerate() {
                *sum = L::load(out.add(t * stride + eight * 8));
            }
        }
        for rank in 0..b.len() / PANEL {
            let mut weights = [L::splat(0.0); EIGHTS];
            for (eight, weight) in weights.iter_mut().enumerate() {
                *weight = W::load(b.as_ptr().add(rank * PANEL + eight * 8));
            }
            for (t, sums) in sums.iter_mut().enumerate() {
                let factor = L::splat(*factors.get_unchecked(rank * rows + t));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = sum.add(weight.mul(factor));
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            for (eight, sum) in sums.iter().enumerate() {
                sum.store(out.add(t * stride + eight * 8));
            }
        }
    }
}
