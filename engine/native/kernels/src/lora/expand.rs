//! The second half: multiples of some rank rows' B added to a block of output.

use super::prefetch::{LINE, line};
use super::rows::Weight;
use crate::simd::{Lanes, Variant, dispatch};

/// Rank rows added at once: an output value is loaded and stored once for all of them.
pub(super) const RANKS: usize = 4;
/// Output rows taken at once; each weight that is widened serves all of them.
const ROWS: usize = 2;

/// `R` rank rows' columns, the ones that follow them (fetched meanwhile), and each one's factor for each row.
#[derive(Clone, Copy)]
pub(super) struct Expand<'a, W, const R: usize> {
    pub(super) b: [&'a [W]; R],
    pub(super) next: [*const u8; R],
    /// `[rank][row]`.
    pub(super) factors: &'a [f32],
    pub(super) stride: usize,
}

/// Weights with compiled kernels.
pub(super) trait ExpandWeight: Weight {
    /// `out[row * stride + i] += factors[rank][row] · b[rank][i]`, ranks ascending.
    ///
    /// # Panics
    /// When lengths do not fit.
    fn four(block: Expand<'_, Self, RANKS>, out: &mut [f32], variant: Variant);
    /// The same for one rank row.
    fn one(block: Expand<'_, Self, 1>, out: &mut [f32], variant: Variant);
}

macro_rules! kernels {
    ($weight:ty) => {
        impl ExpandWeight for $weight {
            kernels!($weight, four, RANKS);
            kernels!($weight, one, 1);
        }
    };
    ($weight:ty, $name:ident, $ranks:expr) => {
        fn $name(block: Expand<'_, $weight, { $ranks }>, out: &mut [f32], variant: Variant) {
            #[inline(always)]
            unsafe fn body<L: Lanes>(block: Expand<'_, $weight, { $ranks }>, out: &mut [f32]) {
                // SAFETY: passed on.
                unsafe { tiles::<L, $weight, { $ranks }>(block, out) }
            }
            block.check(out);
            // SAFETY: the variant was detected on this processor; lengths are checked.
            unsafe { dispatch!(variant, body(block: Expand<'_, $weight, { $ranks }>, out: &mut [f32])) }
        }
    };
}
kernels!(u16);
kernels!(i8);

impl<W, const R: usize> Expand<'_, W, R> {
    fn rows(&self) -> usize {
        self.factors.len() / R
    }

    fn check(&self, out: &[f32]) {
        let columns = self.b[0].len();
        assert!(self.b.iter().all(|b| b.len() == columns) && columns <= self.stride);
        assert!(self.factors.len().is_multiple_of(R));
        assert!(out.len() + self.stride >= self.rows() * self.stride + columns);
    }
}

/// # Safety
/// The block must be checked.
#[inline(always)]
unsafe fn tiles<L: Lanes, W: Weight, const R: usize>(block: Expand<'_, W, R>, out: &mut [f32]) {
    let rows = block.rows();
    let pairs = rows / ROWS * ROWS;
    for row in (0..pairs).step_by(ROWS) {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, ROWS>(block, row, out) };
    }
    for row in pairs..rows {
        // SAFETY: passed on.
        unsafe { tile::<L, W, R, 1>(block, row, out) };
    }
}

/// `R` ranks added to `T` rows.
///
/// # Safety
/// As [`tiles`]; `row + T` rows must be there.
#[inline(always)]
unsafe fn tile<L: Lanes, W: Weight, const R: usize, const T: usize>(
    block: Expand<'_, W, R>,
    row: usize,
    out: &mut [f32],
) {
    let (columns, rows) = (block.b[0].len(), block.rows());
    let mut factors = [[0f32; T]; R];
    let mut lanes = [[L::splat(0.0); T]; R];
    for rank in 0..R {
        for t in 0..T {
            factors[rank][t] = block.factors[rank * rows + row + t];
            lanes[rank][t] = L::splat(factors[rank][t]);
        }
    }
    let out = &mut out[row * block.stride..];
    let (step, whole) = (LINE / size_of::<W>(), columns / 8 * 8);
    for start in (0..whole).step_by(step) {
        if row == 0 {
            for next in block.next {
                line(next.wrapping_add(start * size_of::<W>()));
            }
        }
        for i in (start..whole.min(start + step)).step_by(8) {
            // SAFETY: i + 8 <= whole <= columns <= stride, and T rows begin at `out`, the last at least `columns` long.
            unsafe { eight::<L, W, R, T>(block.b, &lanes, i, out.as_mut_ptr().add(i), block.stride) };
        }
    }
    for i in whole..columns {
        for t in 0..T {
            for (b, factors) in block.b.iter().zip(&factors) {
                out[t * block.stride + i] += b[i].value() * factors[t];
            }
        }
    }
}

/// Adds to eight columns of `T` rows.
///
/// # Safety
/// `b` must have eight values from `i`, and `T` rows, `stride` apart, be writable for eight floats at `out`.
#[inline(always)]
unsafe fn eight<L: Lanes, W: Weight, const R: usize, const T: usize>(
    b: [&[W]; R],
    factors: &[[L; T]; R],
    i: usize,
    out: *mut f32,
    stride: usize,
) {
    let mut weights = [L::splat(0.0); R];
    for (weight, b) in weights.iter_mut().zip(b) {
        // SAFETY: promised by the caller.
        *weight = unsafe { W::load(b.as_ptr().add(i)) };
    }
    for t in 0..T {
        // SAFETY: promised by the caller.
        let target = unsafe { out.add(t * stride) };
        // SAFETY: as above.
        let mut sum = unsafe { L::load(target) };
        for (weight, factors) in weights.iter().zip(factors) {
            sum = sum.add(weight.mul(factors[t]));
        }
        // SAFETY: as above.
        unsafe { sum.store(target) };
    }
}
