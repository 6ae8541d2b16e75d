//! Root-mean-square normalization (Zhang & Sennrich, 2019), one row at a time.

use crate::parallel::{Parallel, Shared};
use crate::simd::{Lanes, Variant, dispatch};

/// `out[r] = x[r] / sqrt(mean(x[r]²) + epsilon) · weight` for rows of `weight.len()` values.
///
/// # Panics
/// When `x` and `out` differ in length or are not whole rows.
pub fn rms_norm(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    out: &mut [f32],
    variant: Variant,
    parallel: &dyn Parallel,
) {
    let width = weight.len();
    assert_eq!(x.len(), out.len());
    assert!(x.len().is_multiple_of(width));
    let rows = x.len() / width;
    let per_item = (32 * 1024 / width).max(1);
    let out = Shared::new(out);
    parallel.for_each(rows.div_ceil(per_item), &|item| {
        for row in item * per_item..rows.min((item + 1) * per_item) {
            // SAFETY: each row belongs to exactly one item.
            let target = unsafe { out.range(row * width, width) };
            target.copy_from_slice(&x[row * width..][..width]);
            rms_norm_row(target, weight, epsilon, variant);
        }
    });
}

/// Normalizes one row in place. A row whose squares overflow becomes NaN.
///
/// # Panics
/// When the lengths differ.
pub fn rms_norm_row(row: &mut [f32], weight: &[f32], epsilon: f32, variant: Variant) {
    assert_eq!(row.len(), weight.len());
    // SAFETY: the variant was detected on this processor; the lengths are equal.
    unsafe { dispatch!(variant, row_body(row: &mut [f32], weight: &[f32], epsilon: f32)) }
}

/// # Safety
/// `row` and `weight` must have the same length.
#[inline(always)]
unsafe fn row_body<L: Lanes>(row: &mut [f32], weight: &[f32], epsilon: f32) {
    let whole = row.len() / 8 * 8;
    let mut squares = L::splat(0.0);
    for i in (0..whole).step_by(8) {
        // SAFETY: i + 8 <= whole <= length.
        let v = unsafe { L::load(row.as_ptr().add(i)) };
        squares = squares.add(v.mul(v));
    }
    let sum = row[whole..].iter().fold(squares.sum(), |s, v| s + v * v);
    // Where the squares overflow, NaN (so that the row's request fails) rather than a plausible zero.
    let poison = sum * 0.0;
    let factor = 1.0 / (sum / row.len() as f32 + epsilon).sqrt() + poison;
    for (value, weight) in row.iter_mut().zip(weight) {
        *value = *value * factor * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Serial;

    #[test]
    fn has_unit_mean_square_and_equal_bits_on_every_variant() {
        let x: Vec<f32> = (0..3 * 53).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let mut expected = vec![0f32; x.len()];
        rms_norm(&x, &[1.0; 53], 1e-6, &mut expected, Variant::Portable, &Serial);
        for row in expected.chunks(53) {
            let mean = row.iter().map(|v| v * v).sum::<f32>() / 53.0;
            assert!((mean - 1.0).abs() < 1e-4);
        }
        for variant in Variant::available() {
            let mut out = vec![0f32; x.len()];
            rms_norm(&x, &[1.0; 53], 1e-6, &mut out, variant, &Serial);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_row_whose_squares_overflow_is_nan() {
        for large in [1e20, f32::MAX, f32::INFINITY, f32::NAN] {
            for variant in Variant::available() {
                let mut row = [1.0, 2.0, -3.0, large, 5.0, 6.0, 7.0, 8.0, 9.0];
                rms_norm_row(&mut row, &[1.0; 9], 1e-6, variant);
                assert!(row.iter().all(|value| value.is_nan()), "{large}");
            }
        }
    }
}
