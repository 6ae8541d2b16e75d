//! Linear layers with float weights: y = x·Wᵀ + bias, each output a sum over ascending inputs.
//!
//! For tests and small models (`--weights f32`). Packed layout: panels of [`PANEL`] output channels,
//! `weights[panel][input][channel]`; channels beyond `n` are zero.

use crate::parallel::{Parallel, Shared};
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
    pub bias: Option<&'a [f32]>,
    pub n: usize,
    pub k: usize,
}

impl Linear<'_> {
    /// Computes `out[rows, n] = x[rows, k] · Wᵀ + bias`.
    ///
    /// # Panics
    /// When a slice's length does not fit the shapes.
    pub fn forward(&self, x: &[f32], out: &mut [f32], variant: Variant, parallel: &dyn Parallel) {
        let Self { weights, bias, n, k } = *self;
        let rows = x.len() / k;
        assert_eq!(x.len(), rows * k);
        assert_eq!(out.len(), rows * n);
        assert_eq!(weights.len(), panels(n) * PANEL * k);
        assert!(bias.is_none_or(|b| b.len() == n));
        let out = Shared::new(out);
        parallel.for_each(panels(n), &|panel| {
            let weights = &weights[panel * PANEL * k..][..PANEL * k];
            let channels = PANEL.min(n - panel * PANEL);
            let bias = bias.map(|b| &b[panel * PANEL..][..channels]);
            let mut first = 0;
            while first < rows {
                let count = ROWS.min(rows - first);
                let mut sums = [[0f32; PANEL]; ROWS];
                tile(weights, &x[first * k..][..count * k], k, &mut sums, variant);
                for (r, sums) in sums.iter().take(count).enumerate() {
                    // SAFETY: this panel's columns of this row are written by this item only.
                    let target = unsafe { out.range((first + r) * n + panel * PANEL, channels) };
                    for (i, (t, s)) in target.iter_mut().zip(sums).enumerate() {
                        *t = bias.map_or(*s, |b| s + b[i]);
                    }
                }
                first += count;
            }
        });
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
    use crate::parallel::{Serial, Threads};

    #[test]
    fn equals_the_naive_product_on_every_variant_and_split() {
        let (rows, n, k) = (7, 37, 50);
        let weights: Vec<f32> = (0..n * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
        let x: Vec<f32> = (0..rows * k).map(|i| ((i * 53 % 97) as f32 - 48.0) / 16.0).collect();
        let bias: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let packed = pack(&weights, n, k);
        let layer = Linear { weights: &packed, bias: Some(&bias), n, k };
        for variant in Variant::available() {
            for parallel in [&Serial as &dyn Parallel, &Threads(3)] {
                let mut out = vec![0f32; rows * n];
                layer.forward(&x, &mut out, variant, parallel);
                for (i, value) in out.iter().enumerate() {
                    let (row, channel) = (i / n, i % n);
                    let exact = (0..k).fold(0f32, |s, j| s + weights[channel * k + j] * x[row * k + j])
                        + bias[channel];
                    assert_eq!(value.to_bits(), exact.to_bits());
                }
            }
        }
    }
}
