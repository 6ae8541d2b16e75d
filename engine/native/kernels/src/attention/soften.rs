//! The softmax of one part's scores.

use crate::math::exp_not_positive;
use crate::wide::Wide;

/// Turns the first `valid` scores of one query head into weights relative to their maximum; the rest become zero.
/// Returns maximum and sum. `scores` are whole vectors of sixteen.
#[inline(always)]
pub(super) fn soften<W: Wide>(scores: &mut [f32], valid: usize) -> (f32, f32) {
    // Slots beyond may hold another owner's leftovers, even NaN.
    scores[valid..].fill(f32::NEG_INFINITY);
    let (vectors, _) = scores.as_chunks_mut::<16>();
    let mut largest = W::splat(f32::NEG_INFINITY);
    for vector in vectors.iter() {
        // SAFETY: sixteen floats.
        largest = unsafe { W::load(vector.as_ptr()) }.max(largest);
    }
    let largest = largest_lane(largest);
    let mut sums = W::splat(0.0);
    for vector in vectors {
        for score in vector.iter_mut() {
            *score = exp_not_positive(*score - largest);
        }
        // SAFETY: sixteen floats.
        sums = sums.add(unsafe { W::load(vector.as_ptr()) });
    }
    (largest, sums.sum())
}

#[inline(always)]
fn largest_lane<W: Wide>(vector: W) -> f32 {
    let mut lanes = [0f32; 16];
    // SAFETY: sixteen floats.
    unsafe { vector.store(lanes.as_mut_ptr()) };
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            let other = lanes[lane + width];
            lanes[lane] = if other > lanes[lane] { other } else { lanes[lane] };
        }
    }
    lanes[0]
}
