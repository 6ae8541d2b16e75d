//! min-p, top-k and top-p without sorting the vocabulary.
//!
//! Probabilities are compared as integers, [`Candidate::mass`], whose sums are exact in any order. Tokens are ranked
//! by logit, of equals the lowest id first, so a cut never depends on how it was found.

use std::cmp::Ordering;

use super::reduce::{BLOCK, Reduced};
use super::{SamplerParams, Scratch};
use crate::math::exp;

/// Mass of the most probable token. Tokens less than 2⁻⁴⁰ times as probable have none.
const ONE: f64 = (1u64 << 40) as f64;

/// A token that may still be drawn.
#[derive(Clone, Copy)]
pub struct Candidate {
    token: u32,
    logit: f32,
    mass: u64,
}

impl Candidate {
    fn new(token: u32, logit: f32, weight: f32) -> Self {
        Self { token, logit, mass: (f64::from(weight) * ONE) as u64 }
    }

    /// `Less` for the better one. Logits are finite here.
    fn rank(&self, other: &Self) -> Ordering {
        other
            .logit
            .partial_cmp(&self.logit)
            .expect("no NaN among candidates")
            .then(self.token.cmp(&other.token))
    }
}

/// Draws from the tokens that the request's min-p, top-k and top-p leave. `scratch.reduced` holds the block maxima
/// of `logits`, whose largest is `max`; `scale` is 1 ÷ temperature.
pub fn draw_truncated(
    params: &SamplerParams,
    logits: &[f32],
    max: f32,
    scale: f32,
    random: u64,
    scratch: &mut Scratch,
) -> u32 {
    let Scratch { reduced, kept, ranked, .. } = scratch;
    kept.clear();
    let top_k = if (params.top_k as usize) < logits.len() { params.top_k as usize } else { 0 };
    let total = if top_k > 0 {
        reduced.visit_from(logits, reduced.reached_by(top_k), |token, logit| {
            let weight = exp((logit - max) * scale);
            if weight >= params.min_p {
                kept.push(Candidate::new(token, logit, weight));
            }
        });
        keep_best(top_k, kept, ranked);
        mass(kept)
    } else {
        collect_by_weight(params, logits, max, scale, reduced, kept)
    };
    if params.top_p < 1.0 {
        keep_nucleus((f64::from(params.top_p) * total as f64).ceil() as u64, kept, ranked);
    }
    draw(kept, random)
}

/// Collects what min-p and top-p can leave, in order of ids, and returns the mass that top-p is a share of.
fn collect_by_weight(
    params: &SamplerParams,
    logits: &[f32],
    max: f32,
    scale: f32,
    reduced: &mut Reduced,
    kept: &mut Vec<Candidate>,
) -> u64 {
    let sum = reduced.sum_of_weights(logits, max, scale);
    // All tokens below this weight together weigh less than (1 − p) · sum, so none of them is in the nucleus. Halved
    // to be far from rounding.
    let negligible = 0.5 * (1.0 - f64::from(params.top_p)) * sum / logits.len() as f64;
    let bound = if params.min_p > 0.0 { params.min_p } else { negligible as f32 };
    for (index, (weights, &block_sum)) in reduced.weights.chunks(BLOCK).zip(&reduced.block_sum).enumerate() {
        if (block_sum as f32) < bound {
            continue;
        }
        for (offset, &weight) in weights.iter().enumerate() {
            if weight >= bound && weight > 0.0 {
                let token = index * BLOCK + offset;
                kept.push(Candidate::new(token as u32, logits[token], weight));
            }
        }
    }
    if params.min_p > 0.0 { mass(kept) } else { (sum * ONE) as u64 }
}

fn mass(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.mass).sum()
}

/// Keeps the `count` best, in order of ids.
fn keep_best(count: usize, kept: &mut Vec<Candidate>, ranked: &mut Vec<Candidate>) {
    if kept.len() <= count {
        return;
    }
    ranked.clone_from(kept);
    let last = *ranked.select_nth_unstable_by(count - 1, Candidate::rank).1;
    kept.retain(|candidate| candidate.rank(&last) != Ordering::Greater);
}

/// Keeps the fewest best whose mass reaches `target`, at least one, in order of ids. A quickselect by mass.
fn keep_nucleus(target: u64, kept: &mut Vec<Candidate>, ranked: &mut Vec<Candidate>) {
    ranked.clone_from(kept);
    let mut rest = &mut ranked[..];
    let mut missing = target;
    while rest.len() > 1 {
        let middle = (rest.len() - 1) / 2;
        rest.select_nth_unstable_by(middle, Candidate::rank);
        let (better, worse) = rest.split_at_mut(middle + 1);
        let better_mass = mass(better);
        if better_mass >= missing {
            rest = better;
        } else {
            missing -= better_mass;
            rest = worse;
        }
    }
    if let [last] = rest {
        let last = *last;
        kept.retain(|candidate| candidate.rank(&last) != Ordering::Greater);
    }
}

/// Draws one candidate by its mass. The best one has mass, so there is always one to draw.
fn draw(kept: &[Candidate], random: u64) -> u32 {
    // The high half of the product is uniform below the total mass.
    let mut left = ((u128::from(random) * u128::from(mass(kept))) >> 64) as u64;
    for candidate in kept {
        if left < candidate.mass {
            return candidate.token;
        }
        left -= candidate.mass;
    }
    unreachable!("the number drawn is below the mass of all candidates")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(masses: &[u64]) -> Vec<Candidate> {
        masses
            .iter()
            .enumerate()
            .map(|(i, &mass)| Candidate { token: i as u32, logit: mass as f32, mass })
            .collect()
    }

    fn tokens(kept: &[Candidate]) -> Vec<u32> {
        kept.iter().map(|candidate| candidate.token).collect()
    }

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_the_mass() {
        let masses: Vec<u64> = (0..97).map(|i| 1 + i * 31 % 13).collect();
        for target in 0..=masses.iter().sum::<u64>() {
            let mut sorted = candidates(&masses);
            sorted.sort_by(Candidate::rank);
            let mut reached = 0;
            let mut expected: Vec<u32> = Vec::new();
            for candidate in sorted {
                if reached >= target && !expected.is_empty() {
                    break;
                }
                reached += candidate.mass;
                expected.push(candidate.token);
            }
            expected.sort_unstable();
            let mut kept = candidates(&masses);
            keep_nucleus(target, &mut kept, &mut Vec::new());
            assert_eq!(tokens(&kept), expected, "target {target}");
        }
    }

    #[test]
    fn of_equals_the_lowest_ids_are_kept() {
        let mut kept = candidates(&[5, 7, 5, 5, 7]);
        keep_best(3, &mut kept, &mut Vec::new());
        assert_eq!(tokens(&kept), [0, 1, 4]);
    }

    #[test]
    fn the_extremes_of_the_random_number_draw_the_first_and_the_last() {
        let kept = candidates(&[3, 1, 4]);
        assert_eq!(draw(&kept, 0), 0);
        assert_eq!(draw(&kept, u64::MAX), 2);
    }
}
