//! The activation of an encoder's feed-forward block: x·Φ(x) (Hendrycks & Gimpel, 2016).

use crate::math::exp_not_positive;
use crate::simd::{Variant, vectorise};

/// `out = gelu(x)`, within 3e-7·|x| of the definition.
pub(crate) fn gelu_row(x: &[f32], out: &mut [f32], variant: Variant) {
    vectorise!(variant, row(x: &[f32], out: &mut [f32]))
}

#[inline(always)]
fn row(x: &[f32], out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = gelu(*x);
    }
}

/// Φ below 0 by Abramowitz and Stegun's 7.1.26, and above by its symmetry.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const P: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + P * x.abs());
    let mut series = 1.061_405_4;
    series = series * t - 1.453_152;
    series = series * t + 1.421_413_7;
    series = series * t - 0.284_496_74;
    series = series * t + 0.254_829_6;
    let below = 0.5 * (series * t) * exp_not_positive(-0.5 * (x * x));
    x * if x > 0.0 { 1.0 - below } else { below }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Φ by its Taylor series, which converges everywhere.
    fn exact(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for k in 1..200 {
            term *= x * x / f64::from(2 * k + 1);
            sum += term;
        }
        x * (0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt())
    }

    #[test]
    fn equals_the_definition_with_equal_bits_on_every_variant() {
        let x: Vec<f32> = (-601..=601).map(|i| i as f32 * 0.01).collect();
        let mut expected = vec![0f32; x.len()];
        gelu_row(&x, &mut expected, Variant::Portable);
        for (x, value) in x.iter().zip(&expected) {
            let error = (f64::from(*value) - exact(f64::from(*x))).abs();
            assert!(error <= 3e-7 * f64::from(x.abs()), "gelu({x}) = {value}, off by {error}");
        }
        for variant in Variant::available() {
            let mut out = vec![0f32; x.len()];
            gelu_row(&x, &mut out, variant);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn large_values_stay_or_vanish_and_nan_stays() {
        let mut out = [0f32; 5];
        gelu_row(&[1e30, -1e30, 40.0, -40.0, f32::NAN], &mut out, Variant::Portable);
        assert_eq!(out[..4], [1e30, -0.0, 40.0, -0.0]);
        assert!(out[4].is_nan());
    }
}
