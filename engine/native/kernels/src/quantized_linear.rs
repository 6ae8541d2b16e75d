//! Products with int8 weights: y = x·Wᵀ.
//!
//! Weights are quantized symmetrically in groups along the input, activations at run time per row and group.
//! A group's products add up exactly in 32-bit integers, and groups are combined in ascending order in float,
//! so every variant gives the same bits and no row sees another.
//!
//! Packed layout, for all variants: panels of [`PANEL`] output channels; in a panel, groups; in a group,
//! steps of [`QUAD`] inputs; in a step, the channels, four inputs each: `codes[panel][group][step][channel][4]`
//! and `scales[panel][group][channel]`. Channels beyond `n` are zero.
//! The four inputs lie in the order 0, 2, 1, 3, so that shifts alone widen them to the neighbours 0, 1 and 2, 3.

use std::ops::Range;

use crate::parallel::Shared;
use crate::simd::Variant;

/// Output channels stored side by side.
pub const PANEL: usize = 16;
/// Inputs that one 32-bit lane holds.
pub const QUAD: usize = 4;
/// Where each of four inputs lies.
const PLACE_IN_QUAD: [usize; QUAD] = [0, 2, 1, 3];
/// Rows computed together, so that a weight is loaded once for all of them.
const ROWS: usize = 4;

/// Weights as [`pack`] makes them.
pub struct PackedWeights {
    pub codes: Vec<i8>,
    pub scales: Vec<f32>,
}

/// Packed weights borrowed from wherever they lie (a memory-mapped file, in the product).
#[derive(Clone, Copy)]
pub struct QuantizedLinear<'a> {
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    /// Of sixteen output channels each.
    pub panels: usize,
    pub k: usize,
    pub group: usize,
}

/// Number of panels that hold `n` output channels.
pub const fn panels(n: usize) -> usize {
    n.div_ceil(PANEL)
}

/// Quantizes and packs weights `[n, k]`, row-major.
///
/// # Panics
/// When `weights` is not `n * k` long, or `group` is not a multiple of [`QUAD`] that divides `k`.
pub fn pack(weights: &[f32], n: usize, k: usize, group: usize) -> PackedWeights {
    assert_eq!(weights.len(), n * k);
    assert!(group > 0 && group.is_multiple_of(QUAD) && k.is_multiple_of(group));
    let groups = k / group;
    let mut codes = vec![0i8; panels(n) * PANEL * k];
    let mut scales = vec![0f32; panels(n) * PANEL * groups];
    for channel in 0..n {
        let (panel, lane) = (channel / PANEL, channel % PANEL);
        for g in 0..groups {
            let source = &weights[channel * k + g * group..][..group];
            let largest = source.iter().fold(0f32, |m, w| m.max(w.abs()));
            let scale = largest / 127.0;
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            scales[(panel * groups + g) * PANEL + lane] = scale;
            let target = &mut codes[(panel * groups + g) * group * PANEL..][..group * PANEL];
            for (i, w) in source.iter().enumerate() {
                target[(i / QUAD * PANEL + lane) * QUAD + PLACE_IN_QUAD[i % QUAD]] =
                    (w * inverse).round_ties_even() as i8;
            }
        }
    }
    PackedWeights { codes, scales }
}

/// Rows of activations in eight bits with one scale per row and group. Codes are kept in 16 bits, as a
/// multiply-add of 16-bit lanes takes them.
pub struct QuantizedRows {
    codes: Vec<i16>,
    scales: Vec<f32>,
}

impl QuantizedRows {
    pub const fn new() -> Self {
        Self { codes: Vec::new(), scales: Vec::new() }
    }

    /// Makes room for `rows` rows of `k` values in groups of `group`, to be written in any order, also from
    /// several threads. Only ever grown: what lies beyond is not read.
    pub(crate) fn writer(&mut self, rows: usize, k: usize, group: usize) -> RowWriter {
        let groups = k / group;
        self.codes.resize(self.codes.len().max(rows * k), 0);
        self.scales.resize(self.scales.len().max(rows * groups), 0.0);
        RowWriter { codes: Shared::new(&mut self.codes), scales: Shared::new(&mut self.scales), k, group }
    }
}

/// Writes rows of [`QuantizedRows`].
pub(crate) struct RowWriter {
    codes: Shared<i16>,
    scales: Shared<f32>,
    k: usize,
    group: usize,
}

impl RowWriter {
    /// Quantizes `x` `[k]` into row `row`. A row that holds NaN or infinity gets NaN scales, so that its results
    /// are NaN (and its request fails) rather than plausible; other rows are untouched.
    ///
    /// # Safety
    /// The [`QuantizedRows`] must be alive and unmoved, and no other thread may write or read this row.
    pub(crate) unsafe fn write(&self, row: usize, x: &[f32], variant: Variant) {
        assert_eq!(x.len(), self.k);
        let groups = self.k / self.group;
        // SAFETY: passed on.
        let (codes, scales) =
            unsafe { (self.codes.range(row * self.k, self.k), self.scales.range(row * groups, groups)) };
        quantize_row(x, codes, scales, self.group, variant);
    }
}

impl Default for QuantizedRows {
    fn default() -> Self {
        Self::new()
    }
}

fn quantize_row(x: &[f32], codes: &mut [i16], scales: &mut [f32], group: usize, variant: Variant) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(x: &[f32], codes: &mut [i16], scales: &mut [f32], group: usize) {
        quantize_row_body(x, codes, scales, group);
    }
    match variant {
        Variant::Portable => quantize_row_body(x, codes, scales, group),
        // SAFETY: the variant was detected on this processor.
        #[cfg(target_arch = "x86_64")]
        Variant::Avx2(_) => unsafe { avx2(x, codes, scales, group) },
    }
}

#[inline(always)]
fn quantize_row_body(x: &[f32], codes: &mut [i16], scales: &mut [f32], group: usize) {
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even, without a libm call.
    const ROUND: f32 = 12_582_912.0;
    for ((x, codes), scale) in x.chunks_exact(group).zip(codes.chunks_exact_mut(group)).zip(scales) {
        let mut largest = [0f32; 8];
        let mut poison = [0f32; 8];
        for eight in x.chunks_exact(8) {
            for lane in 0..8 {
                let magnitude = eight[lane].abs();
                largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
                // Zero for every finite value, NaN for NaN and infinity.
                poison[lane] += eight[lane] * 0.0;
            }
        }
        let largest_of_all = largest.iter().fold(0f32, |m, v| if *v > m { *v } else { m });
        let poison: f32 = poison.iter().sum();
        *scale = largest_of_all / 127.0 + poison;
        let inverse = if largest_of_all > 0.0 { 127.0 / largest_of_all } else { 0.0 };
        for (code, value) in codes.iter_mut().zip(x) {
            *code = ((value * inverse + ROUND) - ROUND) as i32 as i16;
        }
    }
}

impl QuantizedLinear<'_> {
    /// # Panics
    /// When the lengths do not fit the shapes.
    pub fn check(&self) {
        let Self { codes, scales, panels, k, group } = *self;
        assert!(group.is_multiple_of(8) && k.is_multiple_of(group));
        assert_eq!(codes.len(), panels * PANEL * k);
        assert_eq!(scales.len(), panels * PANEL * (k / group));
    }

    /// Multiplies some rows with some panels: `out[(row - rows.start) * stride + (panel - panels.start) * 16 + lane]`,
    /// the panels' padding included.
    ///
    /// # Panics
    /// When a range lies outside the weights, the rows or `out`.
    pub fn block(
        &self,
        panels: Range<usize>,
        rows: Range<usize>,
        x: &QuantizedRows,
        out: &mut [f32],
        stride: usize,
        variant: Variant,
    ) {
        let Self { k, group, .. } = *self;
        let groups = k / group;
        for panel in panels.clone() {
            let codes = &self.codes[panel * PANEL * k..][..PANEL * k];
            let scales = &self.scales[panel * PANEL * groups..][..PANEL * groups];
            for first in rows.clone().step_by(ROWS) {
                let count = ROWS.min(rows.end - first);
                let tile = Tile {
                    codes,
                    scales,
                    x: &x.codes[first * k..][..count * k],
                    x_scales: &x.scales[first * groups..][..count * groups],
                    k,
                    group,
                };
                let sums = tile.compute(count, variant);
                for (r, sums) in sums.iter().take(count).enumerate() {
                    let column = (panel - panels.start) * PANEL;
                    out[(first - rows.start + r) * stride + column..][..PANEL].copy_from_slice(sums);
                }
            }
        }
    }
}

/// Up to [`ROWS`] rows against one panel.
struct Tile<'a> {
    codes: &'a [i8],
    scales: &'a [f32],
    x: &'a [i16],
    x_scales: &'a [f32],
    k: usize,
    group: usize,
}

impl Tile<'_> {
    fn compute(&self, rows: usize, variant: Variant) -> [[f32; PANEL]; ROWS] {
        match variant {
            Variant::Portable => self.portable(rows),
            // SAFETY: the variant was detected on this processor; `rows` is the number of rows in the tile.
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2(_) => unsafe {
                match rows {
                    1 => self.avx2::<1>(),
                    2 => self.avx2::<2>(),
                    3 => self.avx2::<3>(),
                    _ => self.avx2::<4>(),
                }
            },
        }
    }

    fn portable(&self, rows: usize) -> [[f32; PANEL]; ROWS] {
        let groups = self.k / self.group;
        let mut sums = [[0f32; PANEL]; ROWS];
        for g in 0..groups {
            let codes = &self.codes[g * self.group * PANEL..][..self.group * PANEL];
            let scales = &self.scales[g * PANEL..][..PANEL];
            for (row, sums) in sums.iter_mut().take(rows).enumerate() {
                let x = &self.x[row * self.k + g * self.group..][..self.group];
                let mut dot = [0i32; PANEL];
                for (quad, step) in x.chunks_exact(QUAD).zip(codes.chunks_exact(PANEL * QUAD)) {
                    for (dot, weights) in dot.iter_mut().zip(step.chunks_exact(QUAD)) {
                        *dot += (0..QUAD)
                            .map(|i| i32::from(quad[i]) * i32::from(weights[PLACE_IN_QUAD[i]]))
                            .sum::<i32>();
                    }
                }
                let x_scale = self.x_scales[row * groups + g];
                for lane in 0..PANEL {
                    sums[lane] += (dot[lane] as f32 * scales[lane]) * x_scale;
                }
            }
        }
        sums
    }

    /// # Safety
    /// The processor must have AVX2, and the tile must hold `R` rows.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2<const R: usize>(&self) -> [[f32; PANEL]; ROWS] {
        use std::arch::x86_64::*;
        let groups = self.k / self.group;
        assert!(self.x.len() >= R * self.k && self.x_scales.len() >= R * groups);
        assert!(self.codes.len() >= PANEL * self.k && self.scales.len() >= PANEL * groups);
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        for g in 0..groups {
            let mut dots = [[_mm256_setzero_si256(); 2]; R];
            // SAFETY: the assertions above bound every pointer below.
            unsafe {
                let mut weights = self.codes.as_ptr().add(g * self.group * PANEL);
                let x = self.x.as_ptr().add(g * self.group);
                for step in (0..self.group).step_by(QUAD) {
                    let low = _mm256_loadu_si256(weights.cast());
                    let high = _mm256_loadu_si256(weights.add(32).cast());
                    // The low bytes are inputs 0 and 1 of each four, the high ones 2 and 3.
                    let front = [low, high].map(|w| _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
                    let back = [low, high].map(|w| _mm256_srai_epi16(w, 8));
                    for (row, dots) in dots.iter_mut().enumerate() {
                        let pairs = x.add(row * self.k + step).cast::<i32>();
                        let x_front = _mm256_set1_epi32(pairs.read_unaligned());
                        let x_back = _mm256_set1_epi32(pairs.add(1).read_unaligned());
                        for (dot, (front, back)) in dots.iter_mut().zip(front.into_iter().zip(back)) {
                            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(front, x_front));
                            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(back, x_back));
                        }
                    }
                    weights = weights.add(PANEL * QUAD);
                }
                let scales = self.scales.as_ptr().add(g * PANEL);
                let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
                for (row, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
                    let x_scale = _mm256_set1_ps(self.x_scales[row * groups + g]);
                    for ((sum, dot), scale) in sums.iter_mut().zip(dots).zip(scales) {
                        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), scale);
                        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(scaled, x_scale));
                    }
                }
            }
        }
        let mut result = [[0f32; PANEL]; ROWS];
        for (row, sums) in result.iter_mut().zip(sums) {
            for (target, sum) in row.chunks_exact_mut(8).zip(sums) {
                // SAFETY: the chunk holds eight floats.
                unsafe { _mm256_storeu_ps(target.as_mut_ptr(), sum) };
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    /// The product `[rows, n]`.
    fn run(n: usize, k: usize, group: usize, x: &[f32], variant: Variant) -> Vec<f32> {
        multiply(&pack(&numbers(n * k, 7), n, k, group), n, k, group, x, variant)
    }

    fn multiply(
        weights: &PackedWeights,
        n: usize,
        k: usize,
        group: usize,
        x: &[f32],
        variant: Variant,
    ) -> Vec<f32> {
        let rows = x.len() / k;
        let layer =
            QuantizedLinear { codes: &weights.codes, scales: &weights.scales, panels: panels(n), k, group };
        layer.check();
        let mut quantized = QuantizedRows::new();
        let writer = quantized.writer(rows, k, group);
        for (row, x) in x.chunks_exact(k).enumerate() {
            // SAFETY: one thread, and the rows stay where they are.
            unsafe { writer.write(row, x, variant) };
        }
        let stride = panels(n) * PANEL;
        let mut out = vec![0f32; rows * stride];
        layer.block(0..panels(n), 0..rows, &quantized, &mut out, stride, variant);
        out.chunks_exact(stride).flat_map(|row| &row[..n]).copied().collect()
    }

    #[test]
    fn is_close_to_the_float_product() {
        let (rows, n, k) = (5, 37, 128);
        let x = numbers(rows * k, 1);
        let out = run(n, k, 64, &x, Variant::Portable);
        let weights = numbers(n * k, 7);
        for row in 0..rows {
            for channel in 0..n {
                let exact: f32 = (0..k).map(|i| x[row * k + i] * weights[channel * k + i]).sum();
                assert!((out[row * n + channel] - exact).abs() < 0.12, "{} {exact}", out[row * n + channel]);
            }
        }
    }

    #[test]
    fn every_variant_gives_a_row_the_same_bits_alone_and_beside_others() {
        for (rows, n, k, group) in [(1, 16, 64, 64), (4, 33, 96, 32), (7, 307, 576, 64), (33, 48, 1536, 64)] {
            let x = numbers(rows * k, 3);
            let expected = run(n, k, group, &x, Variant::Portable);
            for variant in Variant::available() {
                let out = run(n, k, group, &x, variant);
                assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{variant:?}");
                for row in 0..rows {
                    let alone = run(n, k, group, &x[row * k..][..k], variant);
                    assert!(alone.iter().zip(&expected[row * n..]).all(|(a, b)| a.to_bits() == b.to_bits()));
                }
            }
        }
    }

    #[test]
    fn a_poisoned_row_is_nan_and_its_neighbours_do_not_change() {
        let (rows, n, k) = (4, 20, 64);
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = numbers(rows * k, 5);
            let clean = run(n, k, 64, &x, Variant::Portable);
            x[k + 3] = poison;
            for variant in Variant::available() {
                let out = run(n, k, 64, &x, variant);
                for row in [0, 2, 3] {
                    assert_eq!(out[row * n..][..n], clean[row * n..][..n]);
                }
                assert!(out[n..2 * n].iter().all(|v| v.is_nan()));
            }
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate() {
        let (n, k) = (16, 64);
        let weights = pack(&vec![-1.0; n * k], n, k, 64);
        for variant in Variant::available() {
            for sign in [1.0, -1.0] {
                let out = multiply(&weights, n, k, 64, &vec![sign; k], variant);
                assert!(out.iter().all(|v| (v + sign * k as f32).abs() < 1e-3), "{variant:?} {out:?}");
            }
        }
    }
}
