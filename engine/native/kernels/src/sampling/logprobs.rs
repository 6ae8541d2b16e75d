//! Log-probabilities under the raw logits.

use std::cmp::Ordering;

use super::reduce::Reduced;
use super::{NumericalError, Sampled, Scratch};
use crate::math::ln;

/// Log-probability of `target` and the `top_n` most probable tokens.
///
/// # Errors
/// When a logit is NaN or +∞, or all are −∞.
///
/// # Panics
/// When `target` is not below `logits.len()`.
pub fn score(
    logits: &[f32],
    target: u32,
    top_n: u32,
    scratch: &mut Scratch,
) -> Result<Sampled, NumericalError> {
    let max = scratch.reduced.maximum(logits)?;
    Ok(report(logits, max, target, top_n, &mut scratch.reduced))
}

/// As [`score`], for logits whose block maxima `reduced` holds already.
pub fn report(logits: &[f32], max: f32, token: u32, top_n: u32, reduced: &mut Reduced) -> Sampled {
    let log_sum = ln(reduced.sum_of_weights(logits, max, 1.0)) as f32;
    let logprob = |logit: f32| (logit - max) - log_sum;
    let mut top = most_probable(logits, top_n as usize, reduced);
    for entry in &mut top {
        entry.1 = logprob(entry.1);
    }
    Sampled { token, logprob: logprob(logits[token as usize]), top }
}

/// The `count` tokens with the highest logits, best first, of equals the lowest id first.
fn most_probable(logits: &[f32], count: usize, reduced: &Reduced) -> Vec<(u32, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut best = Vec::with_capacity(2 * count);
    reduced.visit_from(logits, reduced.reached_by(count), |token, logit| best.push((token, logit)));
    if best.len() > count {
        best.select_nth_unstable_by(count - 1, by_rank);
        best.truncate(count);
    }
    best.sort_unstable_by(by_rank);
    best
}

fn by_rank(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.partial_cmp(&a.1).expect("no NaN among scored logits").then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_log_softmax_in_double_precision() {
        let logits: Vec<f32> = (0..5000).map(|i| ((i * 7919 % 10_007) as f32 - 5000.0) * 2e-3).collect();
        let log_sum = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
        let scored = score(&logits, 77, 5, &mut Scratch::default()).unwrap();
        assert!((f64::from(scored.logprob) - (f64::from(logits[77]) - log_sum)).abs() < 1e-5);
        let mut order: Vec<u32> = (0..5000).collect();
        order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        assert_eq!(scored.top.iter().map(|t| t.0).collect::<Vec<_>>(), order[..5]);
        for (token, logprob) in scored.top {
            assert!((f64::from(logprob) - (f64::from(logits[token as usize]) - log_sum)).abs() < 1e-5);
        }
    }

    #[test]
    fn more_alternatives_than_tokens_gives_all_tokens() {
        let scored = score(&[0.0, 0.0, f32::NEG_INFINITY], 0, 10, &mut Scratch::default()).unwrap();
        assert_eq!(scored.top.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn poisoned_logits_are_an_error() {
        let error = score(&[0.0, f32::NAN], 0, 0, &mut Scratch::default()).unwrap_err();
        assert_eq!(error, NumericalError::NotFinite { token: 1 });
    }
}
