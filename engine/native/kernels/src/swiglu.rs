//! The gated activation of a decoder's feed-forward block: silu(gate) · up (Shazeer, 2020).

use crate::math::exp;
use crate::parallel::{Parallel, Shared};
use crate::simd::{Variant, vectorise};

/// `out[r] = silu(gate_up[r][..width]) · gate_up[r][width..]` for rows of `2 * width` values.
///
/// # Panics
/// When the lengths are not whole rows of the same number.
pub fn swiglu(gate_up: &[f32], width: usize, out: &mut [f32], variant: Variant, parallel: &dyn Parallel) {
    assert!(out.len().is_multiple_of(width) && gate_up.len() == 2 * out.len());
    let rows = out.len() / width;
    let per_item = (8 * 1024 / width).max(1);
    let out = Shared::new(out);
    parallel.for_each(rows.div_ceil(per_item), &|item| {
        for row in item * per_item..rows.min((item + 1) * per_item) {
            let (gate, up) = gate_up[row * 2 * width..][..2 * width].split_at(width);
            // SAFETY: each row belongs to exactly one item.
            swiglu_row(gate, up, unsafe { out.range(row * width, width) }, variant);
        }
    });
}

/// One row of it: `out = silu(gate) · up`.
pub(crate) fn swiglu_row(gate: &[f32], up: &[f32], out: &mut [f32], variant: Variant) {
    vectorise!(variant, row(gate: &[f32], up: &[f32], out: &mut [f32]))
}

#[inline(always)]
fn row(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Serial;

    #[test]
    fn equals_the_definition_with_equal_bits_on_every_variant() {
        let gate_up: Vec<f32> = (0..2 * 2 * 19).map(|i| (i as f32 - 38.0) * 0.7).collect();
        let mut expected = vec![0f32; 2 * 19];
        swiglu(&gate_up, 19, &mut expected, Variant::Portable, &Serial);
        for (i, value) in expected.iter().enumerate() {
            let (gate, up) = (gate_up[i / 19 * 38 + i % 19], gate_up[i / 19 * 38 + 19 + i % 19]);
            let exact = f64::from(gate) / (1.0 + (-f64::from(gate)).exp()) * f64::from(up);
            assert!((f64::from(*value) - exact).abs() <= exact.abs() * 1e-6 + 1e-30, "{value} {exact}");
        }
        for variant in Variant::available() {
            let mut out = vec![0f32; expected.len()];
            swiglu(&gate_up, 19, &mut out, variant, &Serial);
            assert_eq!(out, expected);
        }
    }
}
