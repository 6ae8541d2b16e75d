//! Fits codes and a scale to one output's weights.

use crate::sparse::code::{DECODED, GROUP, LARGEST_LEVEL_DEVIATIONS, LEVELS, PAIRS, ZERO, encode};

/// Codes and scale are chosen for each other in turns; most outputs stand still after a few.
const MOST_TURNS: usize = 8;
/// Levels above zero, ascending.
const MAGNITUDES: [f32; 3] = [LEVELS[3] as f32, LEVELS[4] as f32, LEVELS[5] as f32];

pub(super) struct Fitted {
    pub(super) scale: f32,
    /// The sum of the squares of what is left.
    pub(super) error: f64,
}

/// Finds the codes and the scale that leave least of the weights, from a scale that was good before, or 0.
pub(super) fn fit(weights: &[f32], before: f32, codes: &mut [u8]) -> Fitted {
    let norm: f64 = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
    let deviation = (norm / weights.len() as f64).sqrt();
    let usual = (deviation * LARGEST_LEVEL_DEVIATIONS) as f32 / MAGNITUDES[2];
    let mut scale = if before > 0.0 { before } else { usual };
    // Too small to divide by, or nothing at all.
    if !(1.0 / scale).is_finite() {
        codes.fill(ZERO);
        return Fitted { scale: 0.0, error: norm };
    }
    let mut error = norm;
    for _ in 0..MOST_TURNS {
        choose(weights, scale, codes);
        let [product, square] = products(weights, codes);
        if square == 0.0 {
            return Fitted { scale: 0.0, error: norm };
        }
        // The best scale for these codes; what it leaves follows from the same two sums.
        let best = (product / square) as f32;
        let left = norm - product * product / square;
        let settled = best == scale || left >= error * (1.0 - 1e-6);
        (scale, error) = (best, left);
        if settled {
            break;
        }
    }
    Fitted { scale, error: error.max(0.0) }
}

/// Takes what the codes stand for away.
pub(super) fn subtract(codes: &[u8], scale: f32, weights: &mut [f32]) {
    for (code, weights) in codes.iter().zip(weights.chunks_exact_mut(GROUP)) {
        for (level, weight) in DECODED[*code as usize].iter().zip(weights) {
            *weight -= f32::from(*level) * scale;
        }
    }
}

/// The best codes for a scale: what a weight gains grows with its magnitude, so the two largest of four are kept, unless
/// four zeros leave less.
fn choose(weights: &[f32], scale: f32, codes: &mut [u8]) {
    let inverse = 1.0 / scale;
    for (weights, code) in weights.chunks_exact(GROUP).zip(codes) {
        let values: [f32; GROUP] = std::array::from_fn(|i| weights[i] * inverse);
        let pair = largest(values.map(f32::abs));
        let [(first, gain), (second, other)] = PAIRS[pair].map(|place| nearest(values[place]));
        *code = if gain + other > 0.0 { encode(pair, first, second) } else { ZERO };
    }
}

/// The number of the pair of the two largest.
#[inline(always)]
fn largest(values: [f32; GROUP]) -> usize {
    let [a, b, c, d] = values;
    // The larger half of each half, then the second: the other one's, or its neighbour.
    let (left, right) = (usize::from(b > a), usize::from(d > c));
    let (high_left, low_left) = if b > a { (b, a) } else { (a, b) };
    let (high_right, low_right) = if d > c { (d, c) } else { (c, d) };
    if low_left >= high_right {
        0
    } else if low_right > high_left {
        5
    } else {
        1 + 2 * left + right
    }
}

/// The number of the nearest level of a value's own sign, and how much smaller the square of what is left is than the
/// value's own.
#[inline(always)]
fn nearest(value: f32) -> (usize, f32) {
    const BOUNDS: [f32; 2] = [(MAGNITUDES[0] + MAGNITUDES[1]) / 2.0, (MAGNITUDES[1] + MAGNITUDES[2]) / 2.0];
    let magnitude = value.abs();
    let step = usize::from(magnitude > BOUNDS[0]) + usize::from(magnitude > BOUNDS[1]);
    let level = MAGNITUDES[step];
    (if value < 0.0 { 2 - step } else { 3 + step }, level * (2.0 * magnitude - level))
}

/// Σ weight · level and Σ level².
fn products(weights: &[f32], codes: &[u8]) -> [f64; 2] {
    let (mut product, mut square) = (0f64, 0f64);
    for (weights, code) in weights.chunks_exact(GROUP).zip(codes) {
        let levels = DECODED[*code as usize].map(f32::from);
        let pairs = || weights.iter().zip(levels);
        product += f64::from(pairs().map(|(weight, level)| weight * level).sum::<f32>());
        square += f64::from(pairs().map(|(_, level)| level * level).sum::<f32>());
    }
    [product, square]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_are_found() {
        for order in 0..256usize {
            let values: [f32; GROUP] = std::array::from_fn(|i| (order >> (2 * i) & 3) as f32);
            let [a, b] = PAIRS[largest(values)];
            let mut sorted = values;
            sorted.sort_by(f32::total_cmp);
            let mut chosen = [values[a], values[b]];
            chosen.sort_by(f32::total_cmp);
            assert_eq!(chosen, sorted[2..], "{values:?}");
        }
    }

    #[test]
    fn for_a_scale_no_other_code_leaves_less() {
        let left = |values: &[f32], code: u8| -> f32 {
            values.iter().zip(DECODED[code as usize]).map(|(v, l)| (v - f32::from(l)).powi(2)).sum()
        };
        for seed in 0..500usize {
            let spread = [5.0, 20.0, 60.0, 150.0][seed % 4];
            let values: Vec<f32> = (0..GROUP)
                .map(|i| ((seed * 7919 + i * 104_729) % 997) as f32 / 498.0 * spread - spread)
                .collect();
            let mut code = [0];
            choose(&values, 1.0, &mut code);
            let best = (0..=ZERO).map(|code| left(&values, code)).fold(f32::INFINITY, f32::min);
            assert!(left(&values, code[0]) <= best * 1.0001, "{values:?}");
        }
    }

    #[test]
    fn weights_that_codes_can_say_come_back() {
        let codes: Vec<u8> = (0..64u32).map(|i| (i * 47 % 216) as u8).collect();
        let mut weights = vec![0f32; codes.len() * GROUP];
        subtract(&codes, -0.003, &mut weights);
        let mut fitted = vec![0; codes.len()];
        let Fitted { scale, error } = fit(&weights, 0.0, &mut fitted);
        assert_eq!(fitted, codes);
        assert!((scale - 0.003).abs() < 1e-8 && error < 1e-10);
    }

    #[test]
    fn tiny_and_no_weights_are_zero() {
        for value in [0.0, 1e-40, f32::from_bits(1)] {
            let mut codes = [0; 2];
            let Fitted { scale, error } = fit(&[value; 8], 0.0, &mut codes);
            assert_eq!((scale, codes), (0.0, [ZERO; 2]));
            assert!(error < 1e-70);
        }
    }
}
