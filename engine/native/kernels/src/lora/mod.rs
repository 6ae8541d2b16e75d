//! Low-rank adapters for any mix of adapters, ranks and rows: y += scale · B·(A·x).
//!
//! An adapter lies in pages of the pool as rank rows: row j of A directly before column j of B, no row crossing a
//! page (S-LoRA's unified paging, Sheng et al., 2023, section 5). Both halves of the product take several rank rows
//! and several input rows at once, so that each number is fetched and widened once for many uses; which rows those
//! are does not change a row's bits. While one block of rank rows is computed, the next is fetched: rank rows are
//! read once a step, in runs too short for the processor to foresee.

mod expand;
mod prefetch;
mod rows;
mod shrink;

use std::ops::Range;

use crate::pool::PagePool;
use crate::simd::Variant;
use expand::{Expand, ExpandWeight};
use prefetch::prefetch;
use rows::Weight;
pub use rows::{ROW_ALIGNMENT, RowFormat};
use shrink::{Shrink, ShrinkWeight};

/// Where a rank row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAddress {
    pub page: u32,
    /// In bytes from the start of the page, a multiple of [`ROW_ALIGNMENT`].
    pub offset: u32,
}

/// One projection of one layer that an adapter changes.
#[derive(Clone, Debug)]
pub struct Pair {
    pub scale: f32,
    pub inputs: usize,
    pub outputs: usize,
    pub format: RowFormat,
    /// One address for each rank.
    pub rows: Vec<RowAddress>,
}

/// An adapter whose weights are in the pool.
#[derive(Default, Debug)]
pub struct ResidentAdapter {
    /// Indexed `[layer * modules + module]`; `None` where the adapter changes nothing.
    pairs: Vec<Option<Pair>>,
    modules: usize,
}

impl ResidentAdapter {
    pub fn new(layers: usize, modules: usize) -> Self {
        Self { pairs: vec![None; layers * modules], modules }
    }

    /// # Panics
    /// When there is no such layer or module.
    pub fn set(&mut self, layer: usize, module: usize, pair: Pair) {
        assert!(module < self.modules);
        self.pairs[layer * self.modules + module] = Some(pair);
    }

    pub fn get(&self, layer: usize, module: usize) -> Option<&Pair> {
        self.pairs.get(layer * self.modules + module)?.as_ref()
    }
}

/// A rank row that will be needed next.
#[derive(Clone, Copy)]
pub struct Ahead<'a> {
    pub pair: &'a Pair,
    pub rank: usize,
}

impl Pair {
    pub fn rank(&self) -> usize {
        self.rows.len()
    }

    /// The first half, for some ranks: `factors[(j - ranks.start) * x.len() + row] = scale · a_j·x[row]`, which
    /// includes the scales of the rank row, B's too. Meanwhile it fetches what is `ahead`, if anything.
    ///
    /// # Panics
    /// When a row of `x` is not `inputs` long, `factors` has not a value for each rank and row, or a rank row does not
    /// lie inside the pool at a multiple of [`ROW_ALIGNMENT`].
    pub fn shrink(
        &self,
        ranks: Range<usize>,
        x: &[&[f32]],
        factors: &mut [f32],
        ahead: Option<Ahead<'_>>,
        pool: &PagePool,
        variant: Variant,
    ) {
        assert_eq!(factors.len(), ranks.len() * x.len());
        match self.format {
            RowFormat::F16 => self.shrink_as::<u16>(ranks, x, factors, ahead, pool, variant),
            RowFormat::Int8 => self.shrink_as::<i8>(ranks, x, factors, ahead, pool, variant),
        }
    }

    fn shrink_as<W: ShrinkWeight>(
        &self,
        ranks: Range<usize>,
        x: &[&[f32]],
        factors: &mut [f32],
        ahead: Option<Ahead<'_>>,
        pool: &PagePool,
        variant: Variant,
    ) {
        let next =
            |j: usize| if j < ranks.end { self.row(j, pool) } else { fetched(ahead, j - ranks.end, pool) };
        let (fours, rest) = factors.split_at_mut(ranks.len() / shrink::RANKS * shrink::RANKS * x.len());
        let mut first = ranks.start;
        for dots in fours.chunks_exact_mut(shrink::RANKS * x.len()) {
            let block = Shrink {
                a: std::array::from_fn(|r| self.numbers::<W>(first + r, pool).0),
                next: std::array::from_fn(|r| next(first + shrink::RANKS + r)),
                x,
            };
            W::four(block, dots, variant);
            first += shrink::RANKS;
        }
        for dots in rest.chunks_exact_mut(x.len()) {
            let block = Shrink { a: [self.numbers::<W>(first, pool).0], next: [next(first + 1)], x };
            W::one(block, dots, variant);
            first += 1;
        }
        for (j, factors) in ranks.clone().zip(factors.chunks_exact_mut(x.len())) {
            // SAFETY: `row` has checked the row.
            let scale = self.scale * unsafe { W::scale(self.row(j, pool)) };
            factors.iter_mut().for_each(|factor| *factor *= scale);
        }
    }

    /// The second half, for some columns: `out[row * stride + i] += Σ_j factors[j * rows + row] · b_j[columns.start + i]`,
    /// added in ascending order of j, where `factors` are those of [`Pair::shrink`]. Meanwhile it fetches the same
    /// columns of the pair that comes next, if any.
    ///
    /// # Panics
    /// When the lengths do not fit, or a rank row does not lie inside the pool at a multiple of [`ROW_ALIGNMENT`].
    pub fn expand(
        &self,
        columns: Range<usize>,
        factors: &[f32],
        out: &mut [f32],
        stride: usize,
        ahead: Option<Ahead<'_>>,
        pool: &PagePool,
        variant: Variant,
    ) {
        match self.format {
            RowFormat::F16 => self.expand_as::<u16>(columns, factors, out, stride, ahead, pool, variant),
            RowFormat::Int8 => self.expand_as::<i8>(columns, factors, out, stride, ahead, pool, variant),
        }
    }

    fn expand_as<W: ExpandWeight>(
        &self,
        columns: Range<usize>,
        factors: &[f32],
        out: &mut [f32],
        stride: usize,
        ahead: Option<Ahead<'_>>,
        pool: &PagePool,
        variant: Variant,
    ) {
        assert!(factors.len().is_multiple_of(self.rank()));
        let rows = factors.len() / self.rank();
        let start = W::offset() + (self.inputs + columns.start) * size_of::<W>();
        let next = |j: usize| {
            let row = if j < self.rank() { self.row(j, pool) } else { fetched(ahead, j - self.rank(), pool) };
            row.wrapping_add(start)
        };
        let b = |j: usize| &self.numbers::<W>(j, pool).1[columns.clone()];
        let (fours, rest) = factors.split_at(self.rank() / expand::RANKS * expand::RANKS * rows);
        let mut first = 0;
        for factors in fours.chunks_exact(expand::RANKS * rows) {
            let block = Expand {
                b: std::array::from_fn(|r| b(first + r)),
                next: std::array::from_fn(|r| next(first + expand::RANKS + r)),
                factors,
                stride,
            };
            W::four(block, out, variant);
            first += expand::RANKS;
        }
        for factors in rest.chunks_exact(rows) {
            let block = Expand { b: [b(first)], next: [next(first + 1)], factors, stride };
            W::one(block, out, variant);
            first += 1;
        }
    }

    /// Fetches what [`Pair::shrink`] will begin with.
    pub fn fetch_inputs(&self, first: usize, pool: &PagePool) {
        let bytes = self.format.row_bytes(self.inputs, 0);
        for j in first..self.rank().min(first + shrink::RANKS) {
            prefetch(self.row(j, pool), bytes);
        }
    }

    /// Fetches what [`Pair::expand`] will begin with.
    pub fn fetch_outputs(&self, columns: Range<usize>, pool: &PagePool) {
        let start = self.format.row_bytes(self.inputs + columns.start, 0);
        let end = self.format.row_bytes(self.inputs + columns.end, 0);
        for j in 0..self.rank().min(expand::RANKS) {
            prefetch(self.row(j, pool).wrapping_add(start), end - start);
        }
    }

    /// Address of a rank row.
    ///
    /// # Panics
    /// When it does not lie inside the pool at a multiple of [`ROW_ALIGNMENT`].
    #[inline(always)]
    fn row(&self, j: usize, pool: &PagePool) -> *const u8 {
        let offset = self.rows[j].offset as usize;
        assert!(offset + self.format.row_bytes(self.inputs, self.outputs) <= pool.page_bytes());
        assert!(offset.is_multiple_of(ROW_ALIGNMENT), "a rank row at byte {offset}");
        // SAFETY: inside the page.
        unsafe { pool.page(self.rows[j].page).add(offset) }
    }

    /// The numbers of row j of A and of column j of B, `W` being this pair's format.
    #[inline(always)]
    fn numbers<'a, W: Weight>(&self, j: usize, pool: &'a PagePool) -> (&'a [W], &'a [W]) {
        debug_assert_eq!(W::FORMAT, self.format);
        // SAFETY: `row` has checked that such a row is in bounds and aligned; the pages belong to this adapter while it
        // is resident and are only read.
        let numbers = unsafe {
            let start = self.row(j, pool).add(W::offset()).cast::<W>();
            std::slice::from_raw_parts(start, self.inputs + self.outputs)
        };
        numbers.split_at(self.inputs)
    }
}

/// The rank row that comes so many after what is ahead; null where there is none.
fn fetched(ahead: Option<Ahead<'_>>, further: usize, pool: &PagePool) -> *const u8 {
    match ahead {
        Some(Ahead { pair, rank }) if rank + further < pair.rank() => pair.row(rank + further, pool),
        _ => std::ptr::null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: usize = 76;
    const N: usize = 45;
    const FORMATS: [RowFormat; 2] = [RowFormat::F16, RowFormat::Int8];

    fn number(i: usize) -> f32 {
        ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| number(i + seed * 7919)).collect()
    }

    fn pair(format: RowFormat, rank: usize, pool: &PagePool) -> Pair {
        let bytes = format.row_bytes(K, N);
        let rows: Vec<_> =
            (0..rank).map(|j| RowAddress { page: 2 * j as u32, offset: 4 * j as u32 }).collect();
        for (j, address) in rows.iter().enumerate() {
            // SAFETY: within the page, and nothing else refers to it.
            let row = unsafe {
                let start = pool.page(address.page).add(address.offset as usize);
                std::slice::from_raw_parts_mut(start, bytes)
            };
            format.write(&numbers(K, 2 * j), &numbers(N, 2 * j + 1), row);
        }
        Pair { scale: 0.75, inputs: K, outputs: N, format, rows }
    }

    /// Factors and sums for rows `x`, with the columns cut at `cut` and the ranks too.
    fn run(pair: &Pair, x: &[&[f32]], cut: usize, pool: &PagePool, variant: Variant) -> (Vec<f32>, Vec<f32>) {
        let (rows, rank, stride) = (x.len(), pair.rank(), N + 3);
        let mut factors = vec![0f32; rank * rows];
        let (front, back) = factors.split_at_mut(cut.min(rank) * rows);
        pair.shrink(0..cut.min(rank), x, front, Some(Ahead { pair, rank: cut.min(rank) }), pool, variant);
        pair.shrink(cut.min(rank)..rank, x, back, None, pool, variant);
        let mut sums: Vec<f32> = (0..rows).flat_map(|_| numbers(stride, 99)).collect();
        pair.expand(0..cut, &factors, &mut sums, stride, None, pool, variant);
        pair.expand(cut..N, &factors, &mut sums[cut..], stride, Some(Ahead { pair, rank: 0 }), pool, variant);
        (factors, sums)
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_cut_and_variant() {
        let pool = PagePool::new(2048, 600).unwrap();
        let values: Vec<Vec<f32>> = (0..7).map(|row| numbers(K, 1000 + row)).collect();
        let x: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        for (format, rank) in FORMATS.into_iter().flat_map(|f| [1, 4, 7, 33, 256].map(|rank| (f, rank))) {
            let pair = pair(format, rank, &pool);
            let (factors, sums) = run(&pair, &x, 16, &pool, Variant::Portable);
            for (variant, cut) in Variant::available().into_iter().flat_map(|v| [1, 13, 32].map(|c| (v, c))) {
                assert_eq!(run(&pair, &x, cut, &pool, variant), (factors.clone(), sums.clone()));
                for (row, x) in x.iter().enumerate() {
                    let (own, sum) = run(&pair, &[x], cut, &pool, variant);
                    assert!((0..rank).all(|j| own[j] == factors[j * 7 + row]));
                    assert_eq!(sum, sums[row * (N + 3)..][..N + 3]);
                }
            }
        }
    }

    #[test]
    fn int8_is_as_near_to_f16_as_its_codes() {
        let pool = PagePool::new(2048, 100).unwrap();
        let x = numbers(K, 1);
        let [exact, coded] = FORMATS.map(|format| {
            let pair = pair(format, 9, &pool);
            run(&pair, &[&x], 8, &pool, Variant::Portable)
        });
        // A code is off by half of 1/127 at most, and errors cancel out in part. Factors are not to be compared: with
        // int8, B's scales are in them.
        for (a, b) in exact.1.iter().zip(&coded.1) {
            assert!((a - b).abs() < 0.3, "{a} {b}");
        }
    }

    #[test]
    #[should_panic(expected = "a rank row at byte 3")]
    fn a_rank_row_between_alignments_is_refused() {
        let pool = PagePool::new(2048, 1).unwrap();
        let rows = vec![RowAddress { page: 0, offset: 3 }];
        let pair = Pair { scale: 1.0, inputs: K, outputs: N, format: RowFormat::F16, rows };
        pair.shrink(0..1, &[&[0.0; K]], &mut [0.0], None, &pool, Variant::Portable);
    }

    #[test]
    #[should_panic(expected = "row_bytes")]
    fn a_rank_row_that_crosses_its_page_is_refused() {
        let pool = PagePool::new(256, 2).unwrap();
        let rows = vec![RowAddress { page: 0, offset: 64 }];
        let pair = Pair { scale: 1.0, inputs: K, outputs: N, format: RowFormat::F16, rows };
        pair.expand(0..N, &[1.0], &mut [0.0; N], N, None, &pool, Variant::Portable);
    }
}
