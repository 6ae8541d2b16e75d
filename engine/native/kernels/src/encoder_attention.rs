//! Attention of an encoder: every token of a text looks at every token of it, and at no other text's.
//!
//! A work item is one head of one text. Sums run over channels, and over a text's tokens, in ascending order, so that a text's
//! bits are its own; rows and keys are taken several at a time only to keep the processor busy.

use crate::math::exp_not_positive;
use crate::parallel::{Parallel, Shared};
use crate::simd::{Lanes, Variant, dispatch};

/// Queries that are multiplied together.
const ROWS: usize = 4;
/// Keys, or channels of values, that are.
const LANES: usize = 16;

#[derive(Clone, Copy)]
pub struct EncoderAttention {
    pub heads: usize,
    pub head_dim: usize,
    /// Of the products of queries and keys.
    pub scale: f32,
}

impl EncoderAttention {
    /// Computes `out[rows, heads · head_dim]` from `qkv[rows, 3 · heads · head_dim]`: all heads' queries, keys and values. The rows
    /// are those of texts, one after the other.
    ///
    /// # Panics
    /// When shapes do not fit.
    pub fn forward(
        &self,
        qkv: &[f32],
        lengths: &[usize],
        out: &mut [f32],
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        let width = self.heads * self.head_dim;
        let rows: usize = lengths.iter().sum();
        assert_eq!((qkv.len(), out.len()), (rows * 3 * width, rows * width));
        let starts: Vec<usize> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end - length)
            })
            .collect();
        let out = Shared::new(out);
        parallel.for_each(lengths.len() * self.heads, &|item| {
            let (text, head) = (item / self.heads, item % self.heads);
            let (start, length) = (starts[text], lengths[text]);
            let column = head * self.head_dim;
            let part = |which: usize| {
                let rows = qkv[start * 3 * width..].chunks_exact(3 * width).take(length);
                rows.map(move |row| &row[which * width + column..][..self.head_dim])
            };
            let mut head = Head::new(length, self.head_dim, part(0), part(1), part(2));
            head.mix(self.scale, variant);
            for (row, mixed) in head.mixed.chunks_exact(head.channels).take(length).enumerate() {
                // SAFETY: these columns of a text's rows belong to this item.
                let target = unsafe { out.range((start + row) * width + column, self.head_dim) };
                target.copy_from_slice(&mixed[..self.head_dim]);
            }
        });
    }
}

/// One head of one text, laid out for [`mix`]; what is beyond the text is 0.
struct Head {
    tokens: usize,
    /// `[row][head_dim]`, rows filled up to [`ROWS`].
    queries: Vec<f32>,
    /// `[block of LANES keys][head_dim][key]`
    keys: Vec<f32>,
    /// `[token][channels]`
    values: Vec<f32>,
    /// `[row][channels]`
    mixed: Vec<f32>,
    head_dim: usize,
    /// `head_dim` filled up to [`LANES`].
    channels: usize,
}

impl Head {
    fn new<'a>(
        tokens: usize,
        head_dim: usize,
        q: impl Iterator<Item = &'a [f32]>,
        k: impl Iterator<Item = &'a [f32]>,
        v: impl Iterator<Item = &'a [f32]>,
    ) -> Self {
        let (rows, blocks) = (tokens.next_multiple_of(ROWS), tokens.div_ceil(LANES));
        let channels = head_dim.next_multiple_of(LANES);
        let mut queries = vec![0f32; rows * head_dim];
        let mut keys = vec![0f32; blocks * LANES * head_dim];
        let mut values = vec![0f32; tokens * channels];
        for (row, q) in queries.chunks_exact_mut(head_dim).zip(q) {
            row.copy_from_slice(q);
        }
        for (token, k) in k.enumerate() {
            let block = &mut keys[token / LANES * LANES * head_dim..][..LANES * head_dim];
            for (lanes, value) in block.chunks_exact_mut(LANES).zip(k) {
                lanes[token % LANES] = *value;
            }
        }
        for (row, v) in values.chunks_exact_mut(channels).zip(v) {
            row[..head_dim].copy_from_slice(v);
        }
        Self { tokens, queries, keys, values, mixed: vec![0f32; rows * channels], head_dim, channels }
    }

    fn mix(&mut self, scale: f32, variant: Variant) {
        let head = self;
        // SAFETY: the variant was detected on this processor.
        unsafe { dispatch!(variant, mix(head: &mut Head, scale: f32)) }
    }
}

/// # Safety
/// None; `dispatch!` takes unsafe functions only.
#[inline(always)]
unsafe fn mix<L: Lanes>(head: &mut Head, scale: f32) {
    let Head { tokens, queries, keys, values, mixed, head_dim, channels } = head;
    let (tokens, head_dim, channels) = (*tokens, *head_dim, *channels);
    let padded = tokens.next_multiple_of(LANES);
    let mut shares = vec![0f32; ROWS * padded];
    for (q, mixed) in queries.chunks_exact(ROWS * head_dim).zip(mixed.chunks_exact_mut(ROWS * channels)) {
        for (block, keys) in keys.chunks_exact(LANES * head_dim).enumerate() {
            let products = &mut shares[block * LANES..];
            multiply::<L>(q, head_dim, keys, LANES, products, padded);
        }
        let mut totals = [0f32; ROWS];
        for (shares, total) in shares.chunks_exact_mut(padded).zip(&mut totals) {
            *total = soften(shares, tokens, scale);
        }
        for first in (0..channels).step_by(LANES) {
            multiply::<L>(&shares, padded, &values[first..], channels, &mut mixed[first..], channels);
        }
        for (row, total) in mixed.chunks_exact_mut(channels).zip(totals) {
            row.iter_mut().for_each(|value| *value /= total);
        }
    }
}

/// [`LANES`] columns of the product of [`ROWS`] rows, `width` values apart, with rows `stride` apart, of which there are as many as
/// there is room for: into rows `out_stride` apart.
#[inline(always)]
fn multiply<L: Lanes>(
    rows: &[f32],
    width: usize,
    by: &[f32],
    stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let count = ((by.len() - LANES) / stride + 1).min(width);
    assert!(rows.len() >= ROWS * width && out.len() >= (ROWS - 1) * out_stride + LANES);
    let mut sums = [[L::splat(0.0); 2]; ROWS];
    for index in 0..count {
        // SAFETY: `by` holds LANES values from there on, by the choice of `count`.
        let by = unsafe {
            let by = by.as_ptr().add(index * stride);
            [L::load(by), L::load(by.add(8))]
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `index` is below `width`, and there are ROWS rows of it.
            let factor = L::splat(unsafe { *rows.get_unchecked(row * width + index) });
            *sums = [sums[0].add(factor.mul(by[0])), sums[1].add(factor.mul(by[1]))];
        }
    }
    for (row, [low, high]) in sums.into_iter().enumerate() {
        let out = &mut out[row * out_stride..][..LANES];
        // SAFETY: sixteen values.
        unsafe {
            low.store(out.as_mut_ptr());
            high.store(out.as_mut_ptr().add(8));
        }
    }
}

/// Products become e to the power of what they are below the largest; 0 beyond the text. Returns their sum.
#[inline(always)]
fn soften(products: &mut [f32], tokens: usize, scale: f32) -> f32 {
    products[tokens..].fill(f32::NEG_INFINITY);
    let mut most = [f32::NEG_INFINITY; LANES];
    for products in products.chunks_exact(LANES) {
        for (most, product) in most.iter_mut().zip(products) {
            *most = if *product > *most { *product } else { *most };
        }
    }
    let largest = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0f32; LANES];
    for products in products.chunks_exact_mut(LANES) {
        for (product, sum) in products.iter_mut().zip(&mut sums) {
            *product = exp_not_positive((*product - largest) * scale);
            *sum += *product;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{Serial, Threads};

    const SHAPE: EncoderAttention = EncoderAttention { heads: 3, head_dim: 26, scale: 0.2 };

    fn inputs(rows: usize, seed: f32) -> Vec<f32> {
        (0..rows * 3 * 78).map(|i| ((i as f32 + seed) * 0.37).sin() * 2.0).collect()
    }

    fn attended(qkv: &[f32], lengths: &[usize], variant: Variant, parallel: &dyn Parallel) -> Vec<f32> {
        let mut out = vec![0f32; qkv.len() / 3];
        SHAPE.forward(qkv, lengths, &mut out, variant, parallel);
        out
    }

    #[test]
    fn equals_the_definition() {
        let EncoderAttention { heads, head_dim, scale } = SHAPE;
        let width = heads * head_dim;
        for tokens in [1, 3, 16, 37] {
            let qkv = inputs(tokens, 0.0);
            let out = attended(&qkv, &[tokens], Variant::Portable, &Serial);
            let at = |row: usize, which: usize, channel: usize| {
                f64::from(qkv[row * 3 * width + which * width + channel])
            };
            for (i, value) in out.iter().enumerate() {
                let (row, channel) = (i / width, i % width);
                let head = channel / head_dim * head_dim..(channel / head_dim + 1) * head_dim;
                let share = |token: usize| {
                    let product: f64 = head.clone().map(|c| at(row, 0, c) * at(token, 1, c)).sum();
                    (product * f64::from(scale)).exp()
                };
                let total: f64 = (0..tokens).map(share).sum();
                let exact: f64 =
                    (0..tokens).map(|token| share(token) * at(token, 2, channel)).sum::<f64>() / total;
                assert!((f64::from(*value) - exact).abs() < 1e-5, "{tokens} tokens, {i}: {value} {exact}");
            }
        }
    }

    #[test]
    fn a_text_has_its_own_bits_on_every_variant_and_any_threads() {
        let lengths = [5, 1, 40, 16, 17];
        let texts: Vec<Vec<f32>> =
            lengths.iter().enumerate().map(|(text, tokens)| inputs(*tokens, text as f32 * 11.0)).collect();
        let alone: Vec<f32> = texts
            .iter()
            .zip(lengths)
            .flat_map(|(qkv, tokens)| attended(qkv, &[tokens], Variant::Portable, &Serial))
            .collect();
        for variant in Variant::available() {
            assert_eq!(attended(&texts.concat(), &lengths, variant, &Serial), alone, "{}", variant.name());
            assert_eq!(attended(&texts.concat(), &lengths, variant, &Threads(3)), alone);
        }
    }

    #[test]
    fn what_is_not_finite_stays_in_its_text() {
        let mut qkv = inputs(6, 0.0);
        qkv[0] = f32::NAN;
        let out = attended(&qkv, &[2, 4], Variant::Portable, &Serial);
        assert!(out[0].is_nan());
        assert_eq!(out[2 * 78..], attended(&qkv[2 * 3 * 78..], &[4], Variant::Portable, &Serial));
    }
}
