//! The best product of low rank, by randomized subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4).

use half::f16;

use super::eigen::eigen;
use super::matrix::Matrix;
use crate::parallel::Parallel;
use crate::sampling::random_bits;
use crate::simd::Variant;

/// Vectors beyond the rank: they make the others converge sooner.
const BEYOND: usize = 8;
/// From random vectors; a subspace that was found before needs one.
const FIRST_ITERATIONS: usize = 4;
/// A vector that is shorter than this part of itself without those before it is nothing but rounding.
const DEPENDENT: f64 = 1e-5;
const SEED: u64 = 0x706f_6c79;

/// B·A, both in half floats, each with half of the singular values.
pub(super) struct LowRank {
    /// `[rank][inputs]`
    pub(super) a: Vec<f16>,
    /// `[outputs][rank]`
    pub(super) b: Vec<f16>,
}

impl LowRank {
    pub(super) fn empty() -> Self {
        Self { a: Vec::new(), b: Vec::new() }
    }
}

/// Directions among a matrix's inputs in which it is largest.
pub(super) struct Subspace {
    /// `[vector][input]`
    vectors: Vec<f32>,
    iterations: usize,
}

impl Subspace {
    pub(super) fn random(rank: usize, matrix: &Matrix) -> Self {
        let count = (rank + BEYOND).min(matrix.rows()).min(matrix.columns());
        let sign = |i: usize| if random_bits(SEED, i as u64) & 1 == 0 { 1.0 } else { -1.0 };
        Self { vectors: (0..count * matrix.columns()).map(sign).collect(), iterations: FIRST_ITERATIONS }
    }

    /// The product of that rank which is nearest to the matrix. The directions are kept: a matrix that is not much
    /// different has them too.
    pub(super) fn best(
        &mut self,
        matrix: &Matrix,
        rank: usize,
        parallel: &dyn Parallel,
        variant: Variant,
    ) -> Result<LowRank, String> {
        let (outputs, inputs) = (matrix.rows(), matrix.columns());
        let transposed = matrix.transposed();
        let mut left = Vec::new();
        for _ in 0..self.iterations {
            orthonormalize(&mut self.vectors, inputs);
            left = matrix.times(&self.vectors, parallel, variant);
            orthonormalize(&mut left, outputs);
            self.vectors = transposed.times(&left, parallel, variant);
        }
        self.iterations = 1;
        // The matrix is near to leftᵀ · vectors; the vectors' products with each other tell how that turns into singular
        // vectors.
        let count = self.vectors.len() / inputs;
        let rows: Vec<&[f32]> = self.vectors.chunks_exact(inputs).collect();
        let products = rows.iter().flat_map(|x| rows.iter().map(|y| dot(x, y))).collect();
        let turned = eigen(products, count);
        let turn = |vectors: &[f32], length: usize, into: usize| {
            let mut sum = vec![0f32; length];
            let weights = &turned.vectors[into * count..][..count];
            for (vector, weight) in vectors.chunks_exact(length).zip(weights) {
                let weight = *weight as f32;
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
            }
            sum
        };
        let mut a = vec![f16::ZERO; rank * inputs];
        let mut b = vec![f16::ZERO; outputs * rank];
        for j in 0..rank {
            let value = turned.values[j].max(0.0).sqrt();
            if value == 0.0 {
                break;
            }
            let root = value.sqrt() as f32;
            for (a, value) in a[j * inputs..].iter_mut().zip(turn(&self.vectors, inputs, j)) {
                *a = f16::from_f32(value / root);
            }
            for (b, value) in b[j..].iter_mut().step_by(rank).zip(turn(&left, outputs, j)) {
                *b = f16::from_f32(value * root);
            }
        }
        if !a.iter().chain(&b).all(|value| value.is_finite()) {
            return Err("the difference is too large for half floats".to_string());
        }
        Ok(LowRank { a, b })
    }
}

/// Makes vectors of that length orthogonal to each other, of length one or, where they depend on those before, zero.
fn orthonormalize(vectors: &mut [f32], length: usize) {
    for index in 0..vectors.len() / length {
        let (before, rest) = vectors.split_at_mut(index * length);
        let vector = &mut rest[..length];
        let whole = dot(vector, vector).sqrt();
        // Twice is enough (Giraud, Langou and Rozložník, 2005).
        for _ in 0..2 {
            for other in before.chunks_exact(length) {
                let part = dot(vector, other) as f32;
                vector.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
            }
        }
        let own = dot(vector, vector).sqrt();
        let factor = if own > DEPENDENT * whole { 1.0 / own } else { 0.0 };
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
}

/// In double precision, eight sums side by side.
fn dot(x: &[f32], y: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f64::from(*x) * f64::from(*y);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Serial;

    /// Singular values 8, 4, 2, 1, … on directions that are no axes.
    fn matrix(outputs: usize, inputs: usize) -> Matrix {
        let wave = |i: usize, j: usize, length: usize| {
            let angle = std::f64::consts::PI * (i as f64 + 0.5) * j as f64 / length as f64;
            angle.cos() * (2.0 / length as f64).sqrt()
        };
        let value = |o: usize, i: usize| {
            (1..9).map(|j| 16.0 / f64::from(1 << j) * wave(o, j, outputs) * wave(i, j, inputs)).sum::<f64>()
                as f32
        };
        let values = (0..outputs * inputs).map(|index| value(index / inputs, index % inputs));
        Matrix::new(values.collect(), outputs, inputs)
    }

    #[test]
    fn it_leaves_the_smaller_singular_values() {
        for (outputs, inputs) in [(40, 100), (100, 40), (33, 12)] {
            let matrix = matrix(outputs, inputs);
            for rank in [1, 3, 8] {
                let mut subspace = Subspace::random(rank, &matrix);
                let parts = subspace.best(&matrix, rank, &Serial, Variant::Portable).unwrap();
                let mut left = 0.0;
                for o in 0..outputs {
                    for i in 0..inputs {
                        let product =
                            |j: usize| parts.b[o * rank + j].to_f64() * parts.a[j * inputs + i].to_f64();
                        let sum: f64 = (0..rank).map(product).sum();
                        left += (f64::from(matrix.row(o)[i]) - sum).powi(2);
                    }
                }
                let exact: f64 = (rank + 1..9).map(|j| (16.0 / f64::from(1 << j)).powi(2)).sum();
                assert!(
                    (left - exact).abs() < 1e-3 * (1.0 + exact),
                    "{outputs} {inputs} {rank}: {left} {exact}"
                );
            }
        }
    }

    #[test]
    fn dependent_vectors_become_zero() {
        let mut vectors = vec![3.0, 0.0, 4.0, 6.0, 0.0, 8.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        orthonormalize(&mut vectors, 3);
        let expected = [0.6, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert!(vectors.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{vectors:?}");
    }
}
