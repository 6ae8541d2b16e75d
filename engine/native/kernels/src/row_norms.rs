//! Lengths of the rows of a changed weight matrix, which DoRA divides its magnitudes by (Liu et al., 2024, section 4.3).

use std::ops::Range;

use crate::adapted_linear::Weights;
use crate::prefetch::FetchQueue;
use crate::quantized_linear::{PANEL, QuantizedRows, panels};
use crate::simd::{Variant, vectorise};

/// scale · B·A with A `[rank][inputs]` and B `[outputs][rank]`.
#[derive(Clone, Copy)]
pub struct LowRank<'a> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub rank: usize,
    pub scale: f32,
}

/// The square of the length of each of `outputs` rows of W, which begins at panel `first_panel` of `weights`. The same bits
/// everywhere.
///
/// # Panics
/// When there are no such panels.
pub fn square_norms(weights: Weights<'_>, first_panel: usize, outputs: usize) -> Vec<f64> {
    let panel_squares = |panel: usize| match weights {
        Weights::Int8(weights) => weights.square_norms(panel),
        Weights::Float(weights) => weights.square_norms(panel),
    };
    (0..panels(outputs)).flat_map(|panel| panel_squares(first_panel + panel)).take(outputs).collect()
}

/// The length of each row of W + Σ changes, where W is as for [`square_norms`] and `squares` are those. By
/// |w + Σ c·a|² = |w|² + 2 Σ c·(a·w) + Σ Σ c·c'·(a·a'), so that W is only multiplied with the ranks, by its own kernel. The same
/// bits with every variant.
///
/// # Panics
/// When the shapes do not fit.
pub fn row_norms(
    weights: Weights<'_>,
    first_panel: usize,
    squares: &[f64],
    changes: &[LowRank<'_>],
    variant: Variant,
) -> Vec<f32> {
    let rank: usize = changes.iter().map(|change| change.rank).sum();
    let rows: Vec<&[f32]> =
        changes.iter().flat_map(|change| change.a.chunks_exact(change.a.len() / change.rank)).collect();
    let gram: Vec<f32> = rows.iter().flat_map(|a| rows.iter().map(|b| dot(a, b) as f32)).collect();
    let all = panels(squares.len());
    let stride = PANEL * AT_ONCE;
    let mut products = vec![0f32; rank * stride];
    let mut norms = Vec::with_capacity(squares.len());
    let (mut factors, mut combined) = (vec![0f32; rank], vec![0f32; rank]);
    let input = Input::new(weights, &rows, variant);
    for first in (0..all).step_by(AT_ONCE) {
        let panels = first_panel + first..first_panel + all.min(first + AT_ONCE);
        if rank > 0 {
            input.multiply(weights, panels.clone(), rank, &mut products, stride, variant);
        }
        let from = first * PANEL;
        for (lane, square) in squares[from..].iter().take(panels.len() * PANEL).enumerate() {
            let mut next = factors.iter_mut();
            for LowRank { b, rank, scale, .. } in changes {
                for b in &b[(from + lane) * rank..][..*rank] {
                    *next.next().expect("as many as there are ranks") = scale * b;
                }
            }
            combined.fill(0.0);
            for (row, factor) in gram.chunks_exact(rank.max(1)).zip(&factors) {
                add_multiple(&mut combined, row, *factor, variant);
            }
            let mixed: f64 = factors
                .iter()
                .enumerate()
                .map(|(j, factor)| f64::from(*factor) * f64::from(products[j * stride + lane]))
                .sum();
            let sum = square + 2.0 * mixed + dot(&factors, &combined);
            // Rounding can leave a little less than nothing.
            norms.push(sum.max(0.0).sqrt() as f32);
        }
    }
    norms
}

/// Panels that are multiplied at once.
const AT_ONCE: usize = 16;

/// The ranks' rows, as the base weights' kernel takes them.
enum Input {
    Codes(QuantizedRows),
    Floats(Vec<f32>),
}

impl Input {
    fn new(weights: Weights<'_>, rows: &[&[f32]], variant: Variant) -> Self {
        match weights {
            Weights::Int8(weights) => {
                let mut codes = QuantizedRows::default();
                let writer = codes.writer(rows.len(), weights.k, weights.group, variant);
                for (index, row) in rows.iter().enumerate() {
                    // SAFETY: nobody else has the rows, and they are not moved meanwhile.
                    unsafe { writer.write(index, row) };
                }
                Self::Codes(codes)
            }
            Weights::Float(_) => Self::Floats(rows.concat()),
        }
    }

    fn multiply(
        &self,
        weights: Weights<'_>,
        panels: Range<usize>,
        rows: usize,
        out: &mut [f32],
        stride: usize,
        variant: Variant,
    ) {
        match (weights, self) {
            (Weights::Int8(weights), Self::Codes(codes)) => {
                weights.block(panels, 0..rows, codes, out, stride, &FetchQueue::default(), variant);
            }
            (Weights::Float(weights), Self::Floats(x)) => weights.block(panels, x, out, stride, variant),
            _ => unreachable!("made for the same weights"),
        }
    }
}

fn add_multiple(row: &mut [f32], other: &[f32], factor: f32, variant: Variant) {
    vectorise!(variant, add_multiple_body(row: &mut [f32], other: &[f32], factor: f32))
}

#[inline(always)]
fn add_multiple_body(row: &mut [f32], other: &[f32], factor: f32) {
    for (value, other) in row.iter_mut().zip(other) {
        *value += other * factor;
    }
}

/// In eight sums, so that it can be done eight at a time; the order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{self, Linear};
    use crate::quantized_linear::{QuantizedLinear, pack};

    #[test]
    fn rows_have_the_lengths_of_the_sum_on_every_variant() {
        let (inputs, outputs, rank) = (40, 21, 3);
        let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0;
        let numbers =
            |count: usize, seed: usize| -> Vec<f32> { (0..count).map(|i| number(i + seed)).collect() };
        let (w, a, b) =
            (numbers(inputs * outputs, 1), numbers(rank * inputs, 5000), numbers(outputs * rank, 9000));
        let change = LowRank { a: &a, b: &b, rank, scale: 0.5 };
        let exact = |output: usize| -> f64 {
            let value = |input: usize| {
                let sum: f64 = (0..rank)
                    .map(|j| f64::from(b[output * rank + j]) * f64::from(a[j * inputs + input]))
                    .sum();
                f64::from(w[output * inputs + input]) + 0.5 * sum
            };
            (0..inputs).map(|input| value(input).powi(2)).sum::<f64>().sqrt()
        };
        // Another matrix lies before it.
        let before = numbers(16 * inputs, 77);
        let floats = [linear::pack(&before, 16, inputs), linear::pack(&w, outputs, inputs)].concat();
        let floats = Linear { weights: &floats, panels: 1 + panels(outputs), k: inputs };
        let packed = [pack(&before, 16, inputs, 32), pack(&w, outputs, inputs, 32)];
        let codes = [&packed[0].codes[..], &packed[1].codes].concat();
        let scales = [&packed[0].scales[..], &packed[1].scales].concat();
        let int8 =
            QuantizedLinear { codes: &codes, scales: &scales, panels: 1 + panels(outputs), k: 64, group: 32 };
        for (weights, tolerance) in [(Weights::Float(floats), 1e-6), (Weights::Int8(int8), 5e-3)] {
            let squares = square_norms(weights, 1, outputs);
            let expected = row_norms(weights, 1, &squares, &[change], Variant::Portable);
            for (output, norm) in expected.iter().enumerate() {
                assert!((f64::from(*norm) / exact(output) - 1.0).abs() < tolerance, "{norm}");
            }
            for variant in Variant::available() {
                assert_eq!(row_norms(weights, 1, &squares, &[change], variant), expected);
                let alone = row_norms(weights, 1, &squares, &[], variant);
                assert!(alone.iter().zip(&squares).all(|(norm, square)| *norm == square.sqrt() as f32));
            }
        }
    }
}
