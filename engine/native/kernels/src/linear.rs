//! Linear layers with float weights: y = x·Wᵀ, each output a sum over ascending inputs.
//!
//! For tests and small models (`--weights f32`). Packed layout: panels of [`PANEL`] output channels,
//! `weights[panel][input][channel]`; channels beyond `n` are zero.

use std::ops::Range;

use crate::quantized_linear::{PANEL, panels};
use crate::simd::{Lanes, Variant, dispatch};

const ROWS: usize = 4;

/// Packs weights `[n, k]`, row-major.
///
/// # Panics
/// When `weights` is not `n * k` long.
pub fn pack(weights: &[f32], n: usize, k: usize) -> Vec<f32> {
    assert_eq!(weights.len(), n * k);
    let mut packed = vec![0f32; panels(n) * PANEL * k];
    for (channel, row) in weights.chunks_exact(k).enumerate() {
        let panel = &mut packed[channel / PANEL * PANEL * k..][..PANEL * k];
        for (i, w) in row.iter().enumerate() {
            panel[i * PANEL + channel % PANEL] = *w;
        }
    }
    packed
}

/// Packed weights borrowed from wherever they lie.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    pub weights: &'a [f32],
    /// Of sixteen output channels each.
    pub panels: usize,
    pub k: usize,
}

impl Linear<'_> {
    /// # Panics
    /// When the lengths do not fit the shapes.
    pub fn check(&self) {
        assert_eq!(self.weights.len(), self.panels * PANEL * self.k);
    }

    /// The square of the length of each of a panel's rows.
    pub fn square_norms(&self, panel: usize) -> [f64; PANEL] {
        let mut sums = [0f64; PANEL];
        for weights in self.weights[panel * PANEL * self.k..][..PANEL * self.k].chunks_exact(PANEL) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += f64::from(*weight) * f64::from(*weight);
            }
        }
        sums
    }

    /// Multiplies rows `x` `[rows, k]` with some panels: `out[row * stride + (panel - panels.start) * 16 + lane]`,
    /// the panels' padding included.
    ///
    /// # Panics
    /// When a range lies outside the weights or `out`.
    pub fn block(&self, panels: Range<usize>, x: &[f32], out: &mut [f32], stride: usize, variant: Variant) {
        let k = self.k;
        for panel in panels.clone() {
            let weights = &self.weights[panel * PANEL * k..][..PANEL * k];
            for (tile_index, x) in x.chunks(ROWS * k).enumerate() {
                let mut sums = [[0f32; PANEL]; ROWS];
                tile(weights, x, k, &mut sums, variant);
                for (r, sums) in sums.iter().take(x.len() / k).enumerate() {
                    let column = (panel - panels.start) * PANEL;
                    out[(tile_index * ROWS + r) * stride + column..][..PANEL].copy_from_slice(sums);
                }
            }
        }
    }
}

fn tile(weights: &[f32], x: &[f32], k: usize, sums: &mut [[f32; PANEL]; ROWS], variant: Variant) {
    assert_eq!(weights.len(), k * PANEL);
    assert!(x.len() <= ROWS * k);
    // SAFETY: the variant was detected on this processor; lengths are asserted above.
    unsafe {
        dispatch!(variant, tile_body(weights: &[f32], x: &[f32], k: usize, sums: &mut [[f32; PANEL]; ROWS]))
    }
}

/// # Safety
/// `weights` must hold `k * PANEL` values.
#[inline(always)]
unsafe fn tile_body<L: Lanes>(weights: &[f32], x: &[f32], k: usize, sums: &mut [[f32; PANEL]; ROWS]) {
    for (x, sums) in x.chunks_exact(k).zip(sums) {
        let (mut low, mut high) = (L::splat(0.0), L::splat(0.0));
        for (i, value) in x.iter().enumerate() {
            let value = L::splat(*value);
            // SAFETY: i < k, so sixteen weights follow.
            unsafe {
                low = low.add(L::load(weights.as_ptr().add(i * PANEL)).mul(value));
                high = high.add(L::load(weights.as_ptr().add(i * PANEL + 8)).mul(value));
            }
        }
        // SAFETY: sums holds sixteen floats.
        unsafe {
            low.store(sums.as_mut_ptr());
            high.store(sums.as_mut_ptr().add(8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_naive_product_on_every_variant() {
        let (rows, n, k) = (7, 37, 50);
        let weights: Vec<f32> = (0..n * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
        let x: Vec<f32> = (0..rows * k).map(|i| ((i * 53 % 97) as f32 - 48.0) / 16.0).collect();
        let packed = pack(&weights, n, k);
        let layer = Linear { weights: &packed, panels: panels(n), k };
        layer.check();
        let stride = panels(n) * PANEL;
        for variant in Variant::available() {
            let mut out = vec![0f32; rows * stride];
            layer.block(0..panels(n), &x, &mut out, stride, variant);
            for (row, out) in out.chunks_exact(stride).enumerate() {
                for channel in 0..n {
                    let exact = (0..k).fold(0f32, |s, j| s + weights[channel * k + j] * x[row * k + j]);
                    assert_eq!(out[channel].to_bits(), exact.to_bits());
                }
            }
        }
    }
}
