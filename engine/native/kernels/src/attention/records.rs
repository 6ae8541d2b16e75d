//! What a query head knows of some tokens: the sum of their values, weighted relative to the largest score, that
//! score, and the sum of the weights. One record is `values [head_dim, rounded up to 16], maximum, sum`.

use crate::math::exp;
use crate::wide::Wide;

/// Dimensions that lie in a record: whole vectors of sixteen.
pub(super) const fn padded(head_dim: usize) -> usize {
    head_dim.next_multiple_of(16)
}

/// Floats of one record.
pub(super) const fn record_floats(head_dim: usize) -> usize {
    padded(head_dim) + 2
}

/// Merges what is known of later tokens, `part`, into `total`.
///
/// # Panics
/// When the records differ in length.
#[inline(always)]
pub(super) fn merge<W: Wide>(total: &mut [f32], part: &[f32]) {
    assert_eq!(total.len(), part.len());
    let width = total.len() - 2;
    let largest = if part[width] > total[width] { part[width] } else { total[width] };
    let (keep, take) = (exp(total[width] - largest), exp(part[width] - largest));
    total[width] = largest;
    total[width + 1] = total[width + 1] * keep + part[width + 1] * take;
    for i in (0..width).step_by(16) {
        // SAFETY: a record's values are whole vectors of sixteen.
        unsafe {
            let (kept, taken) = (W::load(total.as_ptr().add(i)), W::load(part.as_ptr().add(i)));
            let sum = kept.mul(W::splat(keep)).add(taken.mul(W::splat(take)));
            sum.store(total.as_mut_ptr().add(i));
        }
    }
}

/// The weighted mean of the values in `record`.
#[inline(always)]
pub(super) fn finish(record: &[f32], out: &mut [f32]) {
    let inverse = 1.0 / record[record.len() - 1];
    for (out, value) in out.iter_mut().zip(record) {
        *out = value * inverse;
    }
}
