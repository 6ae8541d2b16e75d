//! A full fine-tune as a compressed delta (after DeltaZip, Yao et al., 2023): tuned − base ≈ B·A + a sparse matrix of few
//! bits.
//!
//! What a fine-tune changes most lies in few directions, which a product of low rank takes; what is left is spread over
//! all weights, and of those the larger half is kept in a few levels. Each part is fitted to what the other leaves, in
//! turns. Everything is seeded and in a fixed order: the same matrices give the same bytes on any number of threads.

mod eigen;
mod low_rank;
mod matrix;
mod two_in_four;

use half::f16;

use crate::parallel::{Parallel, Shared};
use crate::simd::Variant;
use crate::sparse::code::GROUP;
use low_rank::{LowRank, Subspace};
use matrix::Matrix;

/// Rows of a matrix in a piece of work.
const BLOCK: usize = 16;

/// How a delta is taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the low-rank part; may be 0.
    pub rank: usize,
    /// How often each part is fitted to what the other leaves.
    pub rounds: usize,
}

/// A delta in two parts.
pub struct Extracted {
    /// `[rank][inputs]`
    pub a: Vec<f16>,
    /// `[outputs][rank]`
    pub b: Vec<f16>,
    /// `[outputs][inputs / 4]`, as in [`crate::sparse::code`].
    pub codes: Vec<u8>,
    /// A factor for each output.
    pub scales: Vec<f32>,
    /// The sum of the squares of the delta.
    pub norm: f64,
    /// The sum of the squares of what both parts leave.
    pub error: f64,
}

/// Takes a delta `[outputs][inputs]` apart.
///
/// # Errors
/// When the inputs are no multiple of four, the rank is larger than a side, or a number is too large for half floats.
///
/// # Panics
/// When `delta` is not `outputs * inputs` long, or there are no rounds.
pub fn extract(
    delta: Vec<f32>,
    outputs: usize,
    inputs: usize,
    options: Options,
    parallel: &dyn Parallel,
    variant: Variant,
) -> Result<Extracted, String> {
    assert!(options.rounds > 0);
    if !inputs.is_multiple_of(GROUP) {
        return Err(format!("{inputs} inputs are no multiple of {GROUP}"));
    }
    if options.rank > outputs.min(inputs) {
        return Err(format!("rank {} is larger than a side of {outputs} by {inputs}", options.rank));
    }
    let delta = Matrix::new(delta, outputs, inputs);
    let mut parts = Parts {
        low_rank: LowRank::empty(),
        codes: vec![0; outputs * inputs / GROUP],
        scales: vec![0.0; outputs],
        errors: vec![0.0; outputs],
    };
    if options.rank == 0 {
        parts.fit_sparse(&delta, None, parallel);
    } else {
        let mut left = delta.clone();
        let mut subspace = Subspace::random(options.rank, &delta);
        for _ in 0..options.rounds {
            parts.low_rank = subspace.best(&left, options.rank, parallel, variant)?;
            parts.fit_sparse(&delta, Some(&mut left), parallel);
        }
    }
    Ok(Extracted {
        norm: delta.values().iter().map(|value| f64::from(*value).powi(2)).sum(),
        error: parts.errors.iter().sum(),
        a: parts.low_rank.a,
        b: parts.low_rank.b,
        codes: parts.codes,
        scales: parts.scales,
    })
}

struct Parts {
    low_rank: LowRank,
    codes: Vec<u8>,
    scales: Vec<f32>,
    /// For each output the sum of the squares of what is left.
    errors: Vec<f64>,
}

impl Parts {
    /// Fits the sparse part to what the low-rank part leaves of the delta, output by output, and writes what it leaves of
    /// the delta itself.
    fn fit_sparse(&mut self, delta: &Matrix, left: Option<&mut Matrix>, parallel: &dyn Parallel) {
        let (outputs, inputs) = (delta.rows(), delta.columns());
        let (a, b) = (widen(&self.low_rank.a), widen(&self.low_rank.b));
        let rank = a.len() / inputs;
        let (codes, scales) = (Shared::new(&mut self.codes), Shared::new(&mut self.scales));
        let errors = Shared::new(&mut self.errors);
        let left = left.map(|left| Shared::new(left.values_mut()));
        parallel.for_each(outputs.div_ceil(BLOCK), &|block| {
            let mut target = vec![0f32; inputs];
            for output in block * BLOCK..outputs.min((block + 1) * BLOCK) {
                // SAFETY: each output has places of its own, and is in one block only.
                let (codes, scale, error) = unsafe {
                    (
                        codes.range(output * inputs / GROUP, inputs / GROUP),
                        scales.range(output, 1),
                        errors.range(output, 1),
                    )
                };
                target.copy_from_slice(delta.row(output));
                for (a, b) in a.chunks_exact(inputs).zip(&b[output * rank..][..rank]) {
                    for (target, a) in target.iter_mut().zip(a) {
                        *target -= a * b;
                    }
                }
                let fitted = two_in_four::fit(&target, scale[0], codes);
                (scale[0], error[0]) = (fitted.scale, fitted.error);
                if let Some(left) = &left {
                    // SAFETY: as above.
                    let left = unsafe { left.range(output * inputs, inputs) };
                    left.copy_from_slice(delta.row(output));
                    two_in_four::subtract(codes, fitted.scale, left);
                }
            }
        });
    }
}

fn widen(halves: &[f16]) -> Vec<f32> {
    halves.iter().map(|half| half.to_f32()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{Serial, Threads};
    use crate::sampling::random_bits;
    use crate::sparse::code::{self, LEVELS, PAIRS};

    fn uniform(seed: u64, index: usize) -> f64 {
        (random_bits(seed, index as u64) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn gaussian(seed: u64, index: usize) -> f32 {
        let [a, b] = [uniform(seed, 2 * index), uniform(seed, 2 * index + 1)];
        ((-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
    }

    fn rebuild(parts: &Extracted, outputs: usize, inputs: usize) -> Vec<f32> {
        let rank = parts.a.len() / inputs;
        let mut sum = vec![0f32; outputs * inputs];
        for (output, row) in sum.chunks_exact_mut(inputs).enumerate() {
            for j in 0..rank {
                let b = parts.b[output * rank + j].to_f32();
                row.iter_mut().zip(&parts.a[j * inputs..]).for_each(|(value, a)| *value += b * a.to_f32());
            }
            let codes = &parts.codes[output * inputs / GROUP..][..inputs / GROUP];
            let levels = codes.iter().flat_map(|code| code::decode(*code).expect("a code"));
            row.iter_mut()
                .zip(levels)
                .for_each(|(value, level)| *value += f32::from(level) * parts.scales[output]);
        }
        sum
    }

    fn squares(values: impl Iterator<Item = f32>) -> f64 {
        values.map(|value| f64::from(value).powi(2)).sum()
    }

    const THREADS: Threads = Threads(2);

    #[test]
    fn a_sum_of_both_parts_comes_back() {
        let (outputs, inputs, rank) = (80, 96, 3);
        let mut delta = vec![0f32; outputs * inputs];
        for j in 0..rank {
            for (index, value) in delta.iter_mut().enumerate() {
                *value += 2.0 * gaussian(j as u64, index / inputs) * gaussian(100 + j as u64, index % inputs);
            }
        }
        for (group, values) in delta.chunks_exact_mut(GROUP).enumerate() {
            let scale = 0.001 + 0.002 * uniform(7, group * GROUP / inputs) as f32;
            let bits = random_bits(8, group as u64) as usize;
            for (position, place) in PAIRS[bits % 6].into_iter().enumerate() {
                values[place] += scale * f32::from(LEVELS[(bits >> (8 + 8 * position)) % 6]);
            }
        }
        let options = Options { rank, rounds: 12 };
        let parts = extract(delta.clone(), outputs, inputs, options, &THREADS, Variant::Portable).unwrap();
        // What half floats lose of the low-rank part is more than the rest.
        assert!(parts.error < 1e-5 * parts.norm, "{} of {}", parts.error, parts.norm);
        let rebuilt = rebuild(&parts, outputs, inputs);
        let left = squares(rebuilt.iter().zip(&delta).map(|(a, b)| a - b));
        assert!((left / parts.error - 1.0).abs() < 1e-2, "{left} {}", parts.error);
        let without =
            extract(delta, outputs, inputs, Options { rank: 0, rounds: 1 }, &THREADS, Variant::Portable);
        assert!(without.unwrap().error > 1e3 * parts.error);
    }

    #[test]
    fn noise_leaves_what_the_levels_promise() {
        let (outputs, inputs) = (64, 1024);
        let delta: Vec<f32> = (0..outputs * inputs).map(|i| 0.01 * gaussian(3, i)).collect();
        let parts =
            extract(delta, outputs, inputs, Options { rank: 0, rounds: 1 }, &Serial, Variant::Portable)
                .unwrap();
        let error = (parts.error / parts.norm).sqrt();
        // 0.402 of Gaussian values; four zeros where two would be worse gain a little.
        assert!((0.39..0.405).contains(&error), "{error}");
        assert!(parts.a.is_empty() && parts.b.is_empty());
    }

    #[test]
    fn a_larger_rank_and_more_rounds_leave_less() {
        let (outputs, inputs) = (48, 64);
        let delta: Vec<f32> = (0..outputs * inputs)
            .map(|i| gaussian(5, i) + 3.0 * gaussian(6, i / inputs) * gaussian(7, i % inputs))
            .collect();
        let error = |rank, rounds| {
            let options = Options { rank, rounds };
            extract(delta.clone(), outputs, inputs, options, &Serial, Variant::Portable).unwrap().error
        };
        let errors = [error(0, 1), error(1, 1), error(4, 1), error(16, 1), error(16, 4)];
        assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    }

    #[test]
    fn the_same_bytes_on_any_threads_and_variant() {
        let (outputs, inputs) = (70, 44);
        let delta: Vec<f32> = (0..outputs * inputs).map(|i| gaussian(9, i)).collect();
        let run = |parallel: &dyn Parallel, variant| {
            let options = Options { rank: 5, rounds: 3 };
            let parts = extract(delta.clone(), outputs, inputs, options, parallel, variant).unwrap();
            (parts.a, parts.b, parts.codes, parts.scales, parts.error)
        };
        let expected = run(&Serial, Variant::Portable);
        for variant in Variant::available() {
            for threads in [1, 3] {
                assert_eq!(run(&Threads(threads), variant), expected);
            }
        }
    }

    #[test]
    fn nothing_changed_is_nothing() {
        let options = Options { rank: 2, rounds: 2 };
        let parts = extract(vec![0.0; 20 * 8], 20, 8, options, &Serial, Variant::Portable).unwrap();
        assert_eq!((parts.norm, parts.error), (0.0, 0.0));
        assert!(rebuild(&parts, 20, 8).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let run = |delta: Vec<f32>, inputs, rank| {
            let outputs = delta.len() / inputs;
            extract(delta, outputs, inputs, Options { rank, rounds: 1 }, &Serial, Variant::Portable).err()
        };
        assert_eq!(run(vec![0.0; 12], 6, 0).unwrap(), "6 inputs are no multiple of 4");
        assert_eq!(run(vec![0.0; 16], 8, 3).unwrap(), "rank 3 is larger than a side of 2 by 8");
        assert!(run(vec![1e12; 64], 8, 1).unwrap().contains("half floats"));
    }
}
