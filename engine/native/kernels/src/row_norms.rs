//! Lengths of the rows of a changed weight matrix, which DoRA divides its magnitudes by (Liu et al., 2024, section 4.3).

use crate::adapted_linear::Weights;
use crate::quantized_linear::PANEL;
use crate::simd::{Variant, vectorise};

/// scale · B·A with A `[rank][inputs]` and B `[outputs][rank]`.
#[derive(Clone, Copy)]
pub struct LowRank<'a> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub rank: usize,
    pub scale: f32,
}

/// The length of each of `outputs` rows of W + Σ changes, where W begins at panel `first_panel` of `weights`. The same bits with
/// every variant.
///
/// # Panics
/// When the shapes do not fit.
pub fn row_norms(
    weights: Weights<'_>,
    first_panel: usize,
    outputs: usize,
    changes: &[LowRank<'_>],
    variant: Variant,
) -> Vec<f32> {
    let norm = |output: usize| {
        let channel = first_panel * PANEL + output;
        let mut row = match weights {
            Weights::Int8(weights) => weights.row(channel),
            Weights::Float(weights) => weights.row(channel),
        };
        for LowRank { a, b, rank, scale } in changes {
            let inputs = a.len() / rank;
            for (a, b) in a.chunks_exact(inputs).zip(&b[output * rank..][..*rank]) {
                add_multiple(&mut row[..inputs], a, scale * b, variant);
            }
        }
        square_sum(&row).sqrt() as f32
    };
    (0..outputs).map(norm).collect()
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
fn square_sum(row: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    for values in row.chunks(8) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{self, Linear};
    use crate::quantized_linear::{QuantizedLinear, pack, panels};

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
        for (weights, tolerance) in [(Weights::Float(floats), 1e-6), (Weights::Int8(int8), 2e-3)] {
            let expected = row_norms(weights, 1, outputs, &[change], Variant::Portable);
            for (output, norm) in expected.iter().enumerate() {
                assert!((f64::from(*norm) / exact(output) - 1.0).abs() < tolerance, "{norm}");
            }
            for variant in Variant::available() {
                assert_eq!(row_norms(weights, 1, outputs, &[change], variant), expected);
            }
        }
    }
}
