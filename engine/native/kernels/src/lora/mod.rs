//! Low-rank changes for any mix of adapters, ranks and rows: y += scale · B·(A·x).
//!
//! An adapter lies in pages of the pool as slabs of up to sixteen ranks of a pair, no slab crossing a page (after
//! S-LoRA's unified paging, Sheng et al., 2023, section 5). Both halves of the product take several ranks and several
//! input rows at once, so that each number is fetched and widened once for many uses; which those are does not change
//! a row's bits.

mod expand;
mod shrink;
mod slab;

use std::ops::Range;

use crate::pool::PagePool;
use crate::prefetch::FetchQueue;
use crate::quantized_linear::PANEL;
use crate::simd::Variant;
use expand::ExpandWeight;
pub(crate) use shrink::ShrinkWeight;
pub use slab::{LoraDtype, SLAB_ALIGNMENT, SLAB_RANKS};
use slab::{Numbers, Weight};

/// Where a slab begins, and how many ranks it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slab {
    pub page: u32,
    /// In bytes from the start of the page, a multiple of [`SLAB_ALIGNMENT`].
    pub offset: u32,
    pub ranks: u32,
    /// What the ranks are multiplied by.
    pub scale: f32,
}

/// One projection of one layer that an adapter changes.
#[derive(Clone, Debug)]
pub struct Pair {
    pub inputs: usize,
    pub outputs: usize,
    pub dtype: LoraDtype,
    /// In ascending ranks.
    pub slabs: Vec<Slab>,
}

impl Pair {
    pub fn rank(&self) -> usize {
        self.slabs.iter().map(|slab| slab.ranks as usize).sum()
    }

    /// Computes the first half for some ranks: `factors[rank * x.len() + row] = scale · (A[rank] · x[row])` with
    /// the scale of the rank's slab, ranks counted from the first of `ranks`. Meanwhile what comes `next` is fetched.
    ///
    /// # Panics
    /// When lengths differ or a slab lies outside the pool.
    pub fn shrink(
        &self,
        ranks: Range<usize>,
        x: &[&[f32]],
        factors: &mut [f32],
        next: Option<(&Pair, usize)>,
        pool: &PagePool,
        variant: Variant,
    ) {
        assert_eq!(factors.len(), ranks.len() * x.len());
        match self.dtype {
            LoraDtype::F16 => self.shrink_as::<u16>(ranks, x, factors, next, pool, variant),
            LoraDtype::Int8 => self.shrink_as::<i8>(ranks, x, factors, next, pool, variant),
        }
    }

    fn shrink_as<W: ShrinkWeight>(
        &self,
        ranks: Range<usize>,
        x: &[&[f32]],
        mut factors: &mut [f32],
        next: Option<(&Pair, usize)>,
        pool: &PagePool,
        variant: Variant,
    ) {
        for (first, slab) in self.numbered_slabs() {
            let from = ranks.start.max(first);
            let to = ranks.end.min(first + slab.ranks as usize);
            if from >= to {
                continue;
            }
            let own;
            (own, factors) = factors.split_at_mut((to - from) * x.len());
            let a =
                &self.numbers::<W>(slab, pool).a[(from - first) * self.inputs..(to - first) * self.inputs];
            let next = if to < ranks.end { Some((self, to)) } else { next };
            let next = next.map_or(std::ptr::null(), |(pair, rank)| pair.a_address(rank, pool));
            W::shrink(a, next.cast(), x, own, variant);
            for (rank, factors) in (from - first..).zip(own.chunks_exact_mut(x.len())) {
                // SAFETY: `address` has checked the slab.
                let scale = slab.scale * unsafe { W::scale(self.address(slab, pool), rank) };
                factors.iter_mut().for_each(|factor| *factor *= scale);
            }
        }
    }

    /// Adds the second half for some panels of sixteen outputs: `out[row * stride + i] += Σ factors[rank * rows + row]
    /// · B[rank][16 · panels.start + i]`, in ascending ranks; the last panel's padding becomes whatever it was plus 0.
    ///
    /// # Panics
    /// When lengths differ or a slab lies outside the pool.
    pub fn expand(
        &self,
        panels: Range<usize>,
        factors: &[f32],
        out: &mut [f32],
        stride: usize,
        pool: &PagePool,
        variant: Variant,
    ) {
        match self.dtype {
            LoraDtype::F16 => self.expand_as::<u16>(panels, factors, out, stride, pool, variant),
            LoraDtype::Int8 => self.expand_as::<i8>(panels, factors, out, stride, pool, variant),
        }
    }

    fn expand_as<W: ExpandWeight>(
        &self,
        panels: Range<usize>,
        factors: &[f32],
        out: &mut [f32],
        stride: usize,
        pool: &PagePool,
        variant: Variant,
    ) {
        let rows = factors.len() / self.rank();
        assert_eq!(factors.len(), rows * self.rank());
        for (first, slab) in self.numbered_slabs() {
            let ranks = slab.ranks as usize;
            let b =
                &self.numbers::<W>(slab, pool).b[panels.start * ranks * PANEL..panels.end * ranks * PANEL];
            W::expand(b, &factors[first * rows..][..ranks * rows], rows, out, stride, variant);
        }
    }

    /// Where a rank's row of A begins.
    fn a_address(&self, rank: usize, pool: &PagePool) -> *const u8 {
        let mut slabs = self.numbered_slabs();
        let (first, slab) =
            slabs.find(|(first, slab)| rank < first + slab.ranks as usize).expect("the pair has that rank");
        self.address(slab, pool).wrapping_add(self.dtype.a_row(
            slab.ranks as usize,
            rank - first,
            self.inputs,
        ))
    }

    /// Queues what [`Pair::expand`] will read for these panels.
    pub fn queue_outputs(&self, panels: Range<usize>, pool: &PagePool, queue: &mut FetchQueue) {
        for slab in &self.slabs {
            let (ranks, bytes) = (slab.ranks as usize, self.dtype.panel_bytes(slab.ranks as usize));
            let b = self.address(slab, pool).wrapping_add(self.dtype.b_offset(ranks, self.inputs));
            queue.push(b.wrapping_add(panels.start * bytes), panels.len() * bytes);
        }
    }

    /// Each slab with its first rank.
    fn numbered_slabs(&self) -> impl Iterator<Item = (usize, &Slab)> {
        self.slabs.iter().scan(0, |next, slab| {
            let first = *next;
            *next += slab.ranks as usize;
            Some((first, slab))
        })
    }

    /// Address of a slab.
    ///
    /// # Panics
    /// When it lies outside the pool or between alignments.
    #[inline(always)]
    fn address(&self, slab: &Slab, pool: &PagePool) -> *const u8 {
        let offset = slab.offset as usize;
        let bytes = self.dtype.slab_bytes(slab.ranks as usize, self.inputs, self.outputs);
        assert!(offset + bytes <= pool.page_bytes(), "a slab of {bytes} bytes at byte {offset} of a page");
        assert!(offset.is_multiple_of(SLAB_ALIGNMENT), "a slab at byte {offset}");
        // SAFETY: inside the page.
        unsafe { pool.page(slab.page).add(offset) }
    }

    #[inline(always)]
    fn numbers<'a, W: Weight>(&self, slab: &Slab, pool: &'a PagePool) -> Numbers<'a, W> {
        debug_assert_eq!(W::DTYPE, self.dtype);
        // SAFETY: `address` has checked that such a slab is in bounds and aligned; the pages belong to this adapter while
        // it is resident and are only read.
        unsafe { Numbers::of(self.address(slab, pool), slab.ranks as usize, self.inputs, self.outputs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantized_linear::panels;

    const K: usize = 76;
    const N: usize = 45;
    /// Columns from one row of sums to the next.
    const STRIDE: usize = panels(N) * PANEL + 3;
    const DTYPES: [LoraDtype; 2] = [LoraDtype::F16, LoraDtype::Int8];

    fn number(i: usize) -> f32 {
        ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| number(i + seed * 7919)).collect()
    }

    /// A pair of that rank in slabs of the given numbers of ranks, over and over.
    fn pair(dtype: LoraDtype, rank: usize, slabs: &[u32], pool: &PagePool) -> Pair {
        let (a, columns) = (numbers(rank * K, 1), numbers(N * rank, 2));
        let mut pair = Pair { inputs: K, outputs: N, dtype, slabs: Vec::new() };
        let mut first = 0;
        for (index, most) in slabs.iter().cycle().enumerate() {
            if first == rank {
                break;
            }
            let ranks = (*most).min((rank - first) as u32);
            let slab = Slab { page: 2 * index as u32, offset: 64 * (index as u32 % 3), ranks, scale: 0.75 };
            // SAFETY: within the page, and nothing else refers to it.
            let bytes = unsafe {
                let start = pool.page(slab.page).add(slab.offset as usize);
                std::slice::from_raw_parts_mut(start, dtype.slab_bytes(ranks as usize, K, N))
            };
            dtype.write(&a, &columns, rank, first..first + ranks as usize, bytes);
            first += ranks as usize;
            pair.slabs.push(slab);
        }
        pair
    }

    /// Factors and sums for rows `x`, with the panels cut at `cut` and the ranks too.
    fn run(pair: &Pair, x: &[&[f32]], cut: usize, pool: &PagePool, variant: Variant) -> (Vec<f32>, Vec<f32>) {
        let (rows, rank) = (x.len(), pair.rank());
        let mut factors = vec![0f32; rank * rows];
        let ranks = (cut * 5).min(rank);
        let (front, back) = factors.split_at_mut(ranks * rows);
        pair.shrink(0..ranks, x, front, (ranks < rank).then_some((pair, ranks)), pool, variant);
        pair.shrink(ranks..rank, x, back, None, pool, variant);
        let mut sums: Vec<f32> = (0..rows).flat_map(|_| numbers(STRIDE, 99)).collect();
        pair.expand(0..cut, &factors, &mut sums, STRIDE, pool, variant);
        pair.expand(cut..panels(N), &factors, &mut sums[cut * PANEL..], STRIDE, pool, variant);
        (factors, sums)
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_cut_slabs_and_variant() {
        let pool = PagePool::new(8192, 600).unwrap();
        let values: Vec<Vec<f32>> = (0..7).map(|row| numbers(K, 1000 + row)).collect();
        let x: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        for (dtype, rank) in DTYPES.into_iter().flat_map(|d| [1, 4, 7, 33, 256].map(|rank| (d, rank))) {
            let whole = pair(dtype, rank, &[16], &pool);
            let (factors, sums) = run(&whole, &x, 1, &pool, Variant::Portable);
            for (row, sums) in sums.chunks(STRIDE).enumerate() {
                assert_eq!(
                    sums[N..],
                    numbers(STRIDE, 99)[N..],
                    "the padding of row {row} is not what it was"
                );
            }
            for slabs in [&[16][..], &[5, 16, 1]] {
                let pair = pair(dtype, rank, slabs, &pool);
                for (variant, cut) in Variant::available().into_iter().flat_map(|v| [0, 1, 2].map(|c| (v, c)))
                {
                    assert_eq!(run(&pair, &x, cut, &pool, variant), (factors.clone(), sums.clone()));
                    for (row, x) in x.iter().enumerate() {
                        let (own, sum) = run(&pair, &[x], cut, &pool, variant);
                        assert!((0..rank).all(|j| own[j] == factors[j * 7 + row]));
                        assert_eq!(sum, sums[row * STRIDE..][..STRIDE]);
                    }
                }
            }
        }
    }

    #[test]
    fn int8_is_as_near_to_f16_as_its_codes() {
        let pool = PagePool::new(8192, 100).unwrap();
        let x = numbers(K, 1);
        let [exact, coded] = DTYPES.map(|dtype| {
            let pair = pair(dtype, 9, &[16], &pool);
            run(&pair, &[&x], 1, &pool, Variant::Portable)
        });
        // A code is off by half of 1/127 at most, and errors cancel out in part. Factors are not to be compared: with
        // int8, B's scales are in them.
        for (a, b) in exact.1.iter().zip(&coded.1) {
            assert!((a - b).abs() < 0.3, "{a} {b}");
        }
    }

    fn misplaced(offset: u32, ranks: u32) -> Pair {
        let slabs = vec![Slab { page: 0, offset, ranks, scale: 1.0 }];
        Pair { inputs: K, outputs: N, dtype: LoraDtype::F16, slabs }
    }

    #[test]
    #[should_panic(expected = "a slab at byte 3")]
    fn a_slab_between_alignments_is_refused() {
        let pool = PagePool::new(2048, 1).unwrap();
        misplaced(3, 1).shrink(0..1, &[&[0.0; K]], &mut [0.0], None, &pool, Variant::Portable);
    }

    #[test]
    #[should_panic(expected = "a slab of 288 bytes at byte 64 of a page")]
    fn a_slab_that_crosses_its_page_is_refused() {
        let pool = PagePool::new(256, 2).unwrap();
        misplaced(64, 1).expand(0..1, &[1.0], &mut [0.0; 16], 16, &pool, Variant::Portable);
    }
}
