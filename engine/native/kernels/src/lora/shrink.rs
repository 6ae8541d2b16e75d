//! The first half: dot products of some ranks' A with some input rows.

use super::slab::Weight;
use crate::prefetch::{LINE, prefetch};
use crate::simd::{Lanes, Variant, dispatch};

/// Ranks taken at once; each input value that is loaded serves all of them.
const RANKS: usize = 4;
/// Input rows taken at once; each weight that is widened serves all of them.
const ROWS: usize = 2;

/// Weights with compiled kernels.
pub(crate) trait ShrinkWeight: Weight {
    /// `dots[rank * x.len() + row] = a[rank] · x[row]`, where `a` is `[rank][k]`. While some ranks are computed, the next
    /// are fetched, after the last ones those at `next`, which need not be readable.
    ///
    /// # Panics
    /// When lengths differ.
    fn shrink(a: &[Self], next: *const Self, x: &[&[f32]], dots: &mut [f32], variant: Variant);
}

macro_rules! kernels {
    ($weight:ty) => {
        impl ShrinkWeight for $weight {
            fn shrink(
                a: &[$weight],
                next: *const $weight,
                x: &[&[f32]],
                dots: &mut [f32],
                variant: Variant,
            ) {
                #[inline(always)]
                unsafe fn body<L: Lanes>(a: &[$weight], next: *const $weight, x: &[&[f32]], dots: &mut [f32]) {
                    // SAFETY: passed on.
                    unsafe { all::<L, $weight>(a, next, x, dots) }
                }
                check(a, x, dots);
                // SAFETY: the variant was detected on this processor; lengths are checked.
                unsafe { dispatch!(variant, body(a: &[$weight], next: *const $weight, x: &[&[f32]], dots: &mut [f32])) }
            }
        }
    };
}
kernels!(u16);
kernels!(i8);

fn check<W>(a: &[W], x: &[&[f32]], dots: &[f32]) {
    let Some(first) = x.first() else {
        return assert!(dots.is_empty());
    };
    assert!(x.iter().all(|x| x.len() == first.len()) && dots.len().is_multiple_of(x.len()));
    assert_eq!(a.len(), dots.len() / x.len() * first.len());
}

/// # Safety
/// The lengths must be checked.
#[inline(always)]
unsafe fn all<L: Lanes, W: Weight>(a: &[W], next: *const W, x: &[&[f32]], dots: &mut [f32]) {
    let rows = x.len();
    if rows == 0 {
        return;
    }
    let (k, ranks) = (x[0].len(), dots.len() / rows);
    let fours = ranks / RANKS * RANKS;
    for rank in (0..fours).step_by(RANKS) {
        let dots = &mut dots[rank * rows..][..RANKS * rows];
        let following = rank + RANKS;
        let next = if following < ranks { a.as_ptr().wrapping_add(following * k) } else { next };
        // SAFETY: passed on.
        unsafe { tiles::<L, W, RANKS>(&a[rank * k..][..RANKS * k], next, x, dots) };
    }
    for rank in fours..ranks {
        // SAFETY: passed on.
        unsafe { tiles::<L, W, 1>(&a[rank * k..][..k], next, x, &mut dots[rank * rows..][..rows]) };
    }
}

/// # Safety
/// `a` must have `R` ranks and `dots` place for them and all rows.
#[inline(always)]
unsafe fn tiles<L: Lanes, W: Weight, const R: usize>(
    a: &[W],
    next: *const W,
    x: &[&[f32]],
    dots: &mut [f32],
) {
    let rows = x.len();
    let pairs = rows / ROWS * ROWS;
    for row in (0..pairs).step_by(ROWS) {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, ROWS>(a, next, x, row, dots) };
    }
    for row in pairs..rows {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, 1>(a, next, x, row, dots) };
    }
}

/// `R` ranks by `T` rows. Each product is one sum of eight lanes over ascending inputs, the lanes added at the end,
/// then the inputs beyond the last whole eight.
///
/// # Safety
/// As [`tiles`]; `row + T` rows must be there.
#[inline(always)]
unsafe fn tile<L: Lanes, W: Weight, const R: usize, const T: usize>(
    a: &[W],
    next: *const W,
    x: &[&[f32]],
    row: usize,
    dots: &mut [f32],
) {
    let (rows, k) = (x.len(), x[row].len());
    let x: [&[f32]; T] = std::array::from_fn(|t| x[row + t]);
    let mut sums = [[L::splat(0.0); T]; R];
    let whole = k / 8 * 8;
    let line = LINE / size_of::<W>();
    for start in (0..whole).step_by(line) {
        if row == 0 {
            for rank in 0..R {
                prefetch(next.wrapping_add(rank * k + start).cast());
            }
        }
        for i in (start..whole.min(start + line)).step_by(8) {
            // SAFETY: i + 8 <= k, and `a` has R ranks of k values.
            unsafe { eight::<L, W, R, T>(a, k, x, i, &mut sums) };
        }
    }
    for (rank, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            let rest = x[t][whole..].iter().zip(&a[rank * k..][whole..k]);
            let dot = rest.fold(sum.sum(), |sum, (x, a)| sum + x * a.value());
            dots[rank * rows + row + t] = dot;
        }
    }
}

/// Adds the products of eight inputs.
///
/// # Safety
/// `a` must have `R` ranks of `k` values, and all rows eight values from `i`.
#[inline(always)]
unsafe fn eight<L: Lanes, W: Weight, const R: usize, const T: usize>(
    a: &[W],
    k: usize,
    x: [&[f32]; T],
    i: usize,
    sums: &mut [[L; T]; R],
) {
    let mut weights = [L::splat(0.0); R];
    for (rank, weight) in weights.iter_mut().enumerate() {
        // SAFETY: promised by the caller.
        *weight = unsafe { W::load(a.as_ptr().add(rank * k + i)) };
    }
    for (t, x) in x.iter().enumerate() {
        // SAFETY: promised by the caller.
        let x = unsafe { L::load(x.as_ptr().add(i)) };
        for (sums, weight) in sums.iter_mut().zip(weights) {
            sums[t] = sums[t].add(weight.mul(x));
        }
    }
}
