//! The passes over a whole row of logits. Each works on blocks of [`BLOCK`] logits and keeps one number per block,
//! by which later steps skip most of the row. Loops are plain arrays that the compiler turns into vector
//! instructions; lanes are combined in one fixed order, so all variants give the same bits.

use super::NumericalError;
use crate::math::exp_lanes;
#[cfg(target_arch = "x86_64")]
use crate::simd::Variant;

/// Logits per block.
pub const BLOCK: usize = 128;
const LANES: usize = 16;

/// What the passes leave behind, one entry per block or per logit.
#[derive(Default)]
pub struct Reduced {
    /// Largest logit of each block.
    pub block_max: Vec<f32>,
    /// exp((logit − max) · scale) of each logit.
    pub weights: Vec<f32>,
    /// Sum of the weights of each block.
    pub block_sum: Vec<f64>,
}

/// Compiles a loop once per instruction set and calls the best one. Which one never shows in the result.
macro_rules! vectorised {
    ($(#[$doc:meta])* $name:ident, $body:ident($($arg:ident: $ty:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        fn $name($($arg: $ty),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if Variant::detect().is_ok_and(|variant| variant != Variant::Portable) {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $result)? {
                    $body($($arg),*)
                }
                // SAFETY: every other variant is detected only on a processor that has AVX2.
                return unsafe { avx2($($arg),*) };
            }
            $body($($arg),*)
        }
    };
}

vectorised!(
    /// Fills `block_max`; false when a logit is NaN or +∞.
    block_maxima, block_maxima_lanes(logits: &[f32], block_max: &mut [f32]) -> bool
);
vectorised!(
    /// Fills `weights` and `block_sum`.
    block_weights, block_weights_lanes(logits: &[f32], max: f32, scale: f32, weights: &mut [f32], block_sum: &mut [f64])
);

#[inline(always)]
fn block_maxima_lanes(logits: &[f32], block_max: &mut [f32]) -> bool {
    let mut bad = [0u32; LANES];
    for (block, out) in logits.chunks(BLOCK).zip(block_max) {
        let mut max = [f32::NEG_INFINITY; LANES];
        let (lanes, rest) = block.as_chunks::<LANES>();
        for values in lanes {
            for i in 0..LANES {
                max[i] = if values[i] > max[i] { values[i] } else { max[i] };
                bad[i] |= u32::from(is_bad(values[i]));
            }
        }
        for (i, &value) in rest.iter().enumerate() {
            max[i] = if value > max[i] { value } else { max[i] };
            bad[i] |= u32::from(is_bad(value));
        }
        *out = max.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    }
    bad == [0; LANES]
}

/// NaN or +∞; −∞ is a token with probability 0.
#[inline(always)]
fn is_bad(logit: f32) -> bool {
    logit.is_nan() | (logit == f32::INFINITY)
}

#[inline(always)]
fn block_weights_lanes(logits: &[f32], max: f32, scale: f32, weights: &mut [f32], block_sum: &mut [f64]) {
    for ((block, out), sum) in logits.chunks(BLOCK).zip(weights.chunks_mut(BLOCK)).zip(block_sum) {
        let mut sums = [0f32; LANES];
        let (lanes, rest) = block.as_chunks::<LANES>();
        let (out_lanes, out_rest) = out.as_chunks_mut::<LANES>();
        for (values, out) in lanes.iter().zip(out_lanes) {
            let mut w: [f32; LANES] = std::array::from_fn(|i| (values[i] - max) * scale);
            exp_lanes(&mut w);
            for i in 0..LANES {
                sums[i] += w[i];
            }
            *out = w;
        }
        if !rest.is_empty() {
            // A logit of −∞ has weight 0: padding changes nothing.
            let mut w = [f32::NEG_INFINITY; LANES];
            for (w, value) in w.iter_mut().zip(rest) {
                *w = (value - max) * scale;
            }
            exp_lanes(&mut w);
            for i in 0..LANES {
                sums[i] += w[i];
            }
            out_rest.copy_from_slice(&w[..rest.len()]);
        }
        *sum = sums.into_iter().map(f64::from).sum();
    }
}

impl Reduced {
    /// Finds each block's maximum and returns the largest.
    ///
    /// # Errors
    /// When a logit is NaN or +∞, or all are −∞.
    pub fn maximum(&mut self, logits: &[f32]) -> Result<f32, NumericalError> {
        self.block_max.resize(logits.len().div_ceil(BLOCK), 0.0);
        if !block_maxima(logits, &mut self.block_max) {
            let token = logits.iter().position(|&logit| is_bad(logit)).expect("the scan found one") as u32;
            return Err(NumericalError::NotFinite { token });
        }
        let max = self.block_max.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if max == f32::NEG_INFINITY { Err(NumericalError::NothingToSample) } else { Ok(max) }
    }

    /// Computes exp((logit − max) · scale) of every logit and returns their sum, at least 1.
    pub fn sum_of_weights(&mut self, logits: &[f32], max: f32, scale: f32) -> f64 {
        self.weights.resize(logits.len(), 0.0);
        self.block_sum.resize(logits.len().div_ceil(BLOCK), 0.0);
        block_weights(logits, max, scale, &mut self.weights, &mut self.block_sum);
        self.block_sum.iter().sum()
    }

    /// The lowest token whose logit is `max`. Needs [`Reduced::maximum`] of the same logits.
    pub fn first_at(&self, logits: &[f32], max: f32) -> u32 {
        let block = self.block_max.iter().position(|&m| m == max).expect("max is the maximum of a block");
        let start = block * BLOCK;
        let within =
            logits[start..].iter().position(|&logit| logit == max).expect("the block holds its maximum");
        (start + within) as u32
    }

    /// A logit that at least `count` logits reach, close to the `count`-th largest: the `count`-th largest block
    /// maximum, as that many blocks hold one such logit each. Needs [`Reduced::maximum`] of the same logits.
    pub fn reached_by(&self, count: usize) -> f32 {
        if count == 0 || count > self.block_max.len() {
            return f32::NEG_INFINITY;
        }
        let mut maxima = self.block_max.clone();
        *maxima.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1
    }

    /// Calls `visit` with every token whose logit is at least `bound` and above −∞, in order of their ids.
    /// Needs [`Reduced::maximum`] of the same logits.
    pub fn visit_from(&self, logits: &[f32], bound: f32, mut visit: impl FnMut(u32, f32)) {
        for (index, (block, &max)) in logits.chunks(BLOCK).zip(&self.block_max).enumerate() {
            if max < bound {
                continue;
            }
            for (offset, &logit) in block.iter().enumerate() {
                if logit >= bound && logit > f32::NEG_INFINITY {
                    visit((index * BLOCK + offset) as u32, logit);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 % 10_007) as f32 - 5000.0) * 1e-3).collect()
    }

    #[test]
    fn agrees_with_plain_loops_at_every_length() {
        for len in (1..600).chain([49_152]) {
            let logits = row(len);
            let mut reduced = Reduced::default();
            let max = reduced.maximum(&logits).unwrap();
            assert_eq!(max, logits.iter().copied().fold(f32::MIN, f32::max));
            assert_eq!(
                reduced.first_at(&logits, max) as usize,
                logits.iter().position(|&l| l == max).unwrap()
            );
            let sum = reduced.sum_of_weights(&logits, max, 0.5);
            let exact: f64 = logits.iter().map(|&l| (f64::from(l - max) * 0.5).exp()).sum();
            assert!((sum - exact).abs() <= 1e-6 * exact, "{len}: {sum} {exact}");
        }
    }

    #[test]
    fn the_portable_loops_give_the_same_bits() {
        let logits = row(1000);
        let mut reduced = Reduced::default();
        let max = reduced.maximum(&logits).unwrap();
        reduced.sum_of_weights(&logits, max, 1.3);
        let (mut block_max, mut weights, mut sums) = (vec![0.0; 8], vec![0.0; 1000], vec![0.0; 8]);
        assert!(block_maxima_lanes(&logits, &mut block_max));
        block_weights_lanes(&logits, max, 1.3, &mut weights, &mut sums);
        assert_eq!((block_max, weights, sums), (reduced.block_max, reduced.weights, reduced.block_sum));
    }

    #[test]
    fn bad_logits_are_found_wherever_they_are() {
        for len in [1, 15, 16, 17, 128, 129, 300] {
            for at in 0..len {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
                    let mut logits = row(len);
                    logits[at] = bad;
                    let error = Reduced::default().maximum(&logits).unwrap_err();
                    assert_eq!(error, NumericalError::NotFinite { token: at as u32 });
                }
            }
            let nothing = Reduced::default().maximum(&vec![f32::NEG_INFINITY; len]);
            assert_eq!(nothing, Err(NumericalError::NothingToSample));
        }
    }

    #[test]
    fn enough_logits_reach_the_bound() {
        let logits = row(1000);
        let mut reduced = Reduced::default();
        reduced.maximum(&logits).unwrap();
        for count in 1..=20 {
            let mut reaching = 0;
            reduced.visit_from(&logits, reduced.reached_by(count), |_, _| reaching += 1);
            assert!(reaching >= count);
        }
    }
}
