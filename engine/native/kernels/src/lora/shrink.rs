//! The first half: dot products of some rank rows with some input rows.

use super::prefetch::{LINE, line};
use super::rows::Weight;
use crate::simd::{Lanes, Variant, dispatch};

/// Rank rows taken at once; each input value that is loaded serves all of them.
pub(super) const RANKS: usize = 4;
/// Input rows taken at once; each weight that is widened serves all of them.
const ROWS: usize = 2;

/// `R` rank rows, the ones that follow them (fetched meanwhile), and the input rows.
#[derive(Clone, Copy)]
pub(super) struct Shrink<'a, W, const R: usize> {
    pub(super) a: [&'a [W]; R],
    pub(super) next: [*const u8; R],
    pub(super) x: &'a [&'a [f32]],
}

/// Weights with compiled kernels.
pub(super) trait ShrinkWeight: Weight {
    /// `dots[rank * x.len() + row] = a[rank] · x[row]`.
    ///
    /// # Panics
    /// When lengths differ.
    fn four(block: Shrink<'_, Self, RANKS>, dots: &mut [f32], variant: Variant);
    /// The same for one rank row.
    fn one(block: Shrink<'_, Self, 1>, dots: &mut [f32], variant: Variant);
}

macro_rules! kernels {
    ($weight:ty) => {
        impl ShrinkWeight for $weight {
            kernels!($weight, four, RANKS);
            kernels!($weight, one, 1);
        }
    };
    ($weight:ty, $name:ident, $ranks:expr) => {
        fn $name(block: Shrink<'_, $weight, { $ranks }>, dots: &mut [f32], variant: Variant) {
            #[inline(always)]
            unsafe fn body<L: Lanes>(block: Shrink<'_, $weight, { $ranks }>, dots: &mut [f32]) {
                // SAFETY: passed on.
                unsafe { tiles::<L, $weight, { $ranks }>(block, dots) }
            }
            block.check(dots);
            // SAFETY: the variant was detected on this processor; lengths are checked.
            unsafe { dispatch!(variant, body(block: Shrink<'_, $weight, { $ranks }>, dots: &mut [f32])) }
        }
    };
}
kernels!(u16);
kernels!(i8);

impl<W, const R: usize> Shrink<'_, W, R> {
    fn check(&self, dots: &[f32]) {
        let k = self.a[0].len();
        assert!(self.a.iter().all(|a| a.len() == k) && self.x.iter().all(|x| x.len() == k));
        assert_eq!(dots.len(), R * self.x.len());
    }
}

/// # Safety
/// The block must be checked.
#[inline(always)]
unsafe fn tiles<L: Lanes, W: Weight, const R: usize>(block: Shrink<'_, W, R>, dots: &mut [f32]) {
    let rows = block.x.len();
    let pairs = rows / ROWS * ROWS;
    for row in (0..pairs).step_by(ROWS) {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, ROWS>(block, row, dots) };
    }
    for row in pairs..rows {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, 1>(block, row, dots) };
    }
}

/// `R` ranks by `T` rows. Each product is one sum of eight lanes over ascending inputs, the lanes added at the end,
/// then the inputs beyond the last whole eight.
///
/// # Safety
/// As [`tiles`]; `row + T` rows must be there.
#[inline(always)]
unsafe fn tile<L: Lanes, W: Weight, const R: usize, const T: usize>(
    block: Shrink<'_, W, R>,
    row: usize,
    dots: &mut [f32],
) {
    let k = block.a[0].len();
    let x: [&[f32]; T] = std::array::from_fn(|t| block.x[row + t]);
    let mut sums = [[L::splat(0.0); T]; R];
    let (step, whole) = (LINE / size_of::<W>(), k / 8 * 8);
    for start in (0..whole).step_by(step) {
        if row == 0 {
            for next in block.next {
                line(next.wrapping_add(start * size_of::<W>()));
            }
        }
        for i in (start..whole.min(start + step)).step_by(8) {
            // SAFETY: i + 8 <= whole <= k.
            unsafe { eight::<L, W, R, T>(block.a, x, i, &mut sums) };
        }
    }
    for (rank, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            let rest = x[t][whole..].iter().zip(&block.a[rank][whole..]);
            let dot = rest.fold(sum.sum(), |sum, (x, a)| sum + x * a.value());
            dots[rank * block.x.len() + row + t] = dot;
        }
    }
}

/// Adds the products of eight inputs.
///
/// # Safety
/// All must have eight values from `i`.
#[inline(always)]
unsafe fn eight<L: Lanes, W: Weight, const R: usize, const T: usize>(
    a: [&[W]; R],
    x: [&[f32]; T],
    i: usize,
    sums: &mut [[L; T]; R],
) {
    let mut weights = [L::splat(0.0); R];
    for (weight, a) in weights.iter_mut().zip(a) {
        // SAFETY: promised by the caller.
        *weight = unsafe { W::load(a.as_ptr().add(i)) };
    }
    for (t, x) in x.iter().enumerate() {
        // SAFETY: promised by the caller.
        let x = unsafe { L::load(x.as_ptr().add(i)) };
        for (sums, weight) in sums.iter_mut().zip(weights) {
            sums[t] = sums[t].add(weight.mul(x));
        }
    }
}
